"""One recipe over several sizes: a run for each, on one corpus, and what they come to."""

from dataclasses import dataclass

from modersmal.compare.compare import SizeComparison, compare
from modersmal.config import Recipe
from modersmal.errors import CorpusError
from modersmal.run import RunResult, run
from modersmal.train.train import session_end


@dataclass(frozen=True)
class SizesResult:
    """A run of each size, and their comparison; where that cannot be made, `why` says it."""

    runs: tuple[RunResult, ...]
    comparison: SizeComparison | None
    why: str = ""

    def __str__(self) -> str:
        made = [f"The model of {one.run.name} is {one.run / 'model'}." for one in self.runs]
        parts = [str(self.comparison or f"The sizes are not compared: {self.why}.")]
        parts.append("\n".join(made))
        return "\n\n".join([*(str(one.trained) for one in self.runs), *parts])


def run_sizes(recipe: Recipe) -> SizesResult:
    """Do all that the recipe says for each of its sizes, in their order, and compare them.

    Each is a run of its own: what is done is not done again, and one that was stopped goes on.
    A budget is that of all of them together.

    Raises:
        Stopped: a run was stopped with everything saved; the same call goes on.
        ModersmalError: as `run` and `compare` do.
    """
    limit = session_end(recipe.train)
    runs = tuple(run(size, limit) for size in recipe.each())
    if len(runs) < 2:
        return SizesResult(runs, None, "there is only one")
    try:
        return SizesResult(runs, compare([_address(recipe, one) for one in runs]))
    except CorpusError as error:  # a corpus that has neither dev nor test
        return SizesResult(runs, None, str(error))


def _address(recipe: Recipe, one: RunResult) -> str:
    """Where a run is kept: what another machine has trained is not all here."""
    place = recipe.workspace.place(f"runs/{one.run.name}")
    return place.address if place and place.address else str(one.run)
