"""Which weights are released: of all that a run has left, those that do best on dev.

Tried are the best checkpoint, the average of the last ones, and the better of them with some of the
base mixed in, as training itself may do at its end; what it has scored then is not scored again.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from modersmal.config import ReleaseConfig
from modersmal.errors import HubError, ModelError
from modersmal.progress import progress
from modersmal.release.source import Source
from modersmal.train.candidates import CANDIDATES, Candidates, Choice, Scores, Sources
from modersmal.train.checkpoint import Checkpoints, read_state
from modersmal.train.dev import DevScore, DevSet
from modersmal.train.finish import base_name
from modersmal.train.parts import as_it_learns, choose_dev
from modersmal.whisper.load import CARD_FILE, Whisper, load


@dataclass(frozen=True)
class Chosen:
    """What a release is made of. `weights` says it in words, `reason` why; `rate` is its dev rate
    of `metric` as a share, None where there is none, and `rates` those of all that was tried."""

    weights: str
    reason: str
    step: int | None
    metric: str | None
    rate: float | None
    rates: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def choose(source: Source, config: ReleaseConfig, scores: Path) -> tuple[Whisper, Chosen]:
    """Put the best weights of a run together. Scores are noted in the file `scores` as they come.

    Of a run whose checkpoints have gone, it is the model that training left.

    Raises:
        ModelError: the run has neither checkpoints nor a model, or its base has gone and is needed.
        CheckpointError: no checkpoint can be read.
        StoreError: what is needed is out of reach.
    """
    checkpoints, recipe = source.checkpoints, source.recipe
    names = checkpoints.names()
    if not names:
        return _as_it_was_left(source)
    state = read_state(checkpoints.bring(names[-1]))
    whisper = _whisper(source, config)
    sources = Sources(
        state,
        checkpoints,
        base=recipe.model,
        averaged=_to_average(checkpoints, recipe.train.save_every, config.average_last),
        interpolated=config.interpolate,
        lora=recipe.train.lora,
    )
    known = Scores(scores, source.identity)
    known.rates = Scores(source.folder / CANDIDATES, source.identity).rates | known.rates
    dev = choose_dev(recipe, source.corpus)
    choice = Candidates(
        sources, whisper.model, known, lambda name: _score(dev, whisper, name), trained=False
    ).choose()
    metric = state.best.metric if state.best else None
    reason = _reason(choice, metric)
    return whisper, Chosen(choice.weights, reason, choice.step, metric, choice.rate, choice.rates)


def _whisper(source: Source, config: ReleaseConfig) -> Whisper:
    """A model with all that belongs to it, for the weights to be put into."""
    recipe = source.recipe
    if source.model and not (config.interpolate or recipe.train.lora.rank):
        return load(str(source.model))
    try:
        base = load(recipe.model)
    except (ModelError, HubError) as error:
        way_out = (
            ""
            if recipe.train.lora.rank
            else ("; with interpolate = [] in the recipe's [release] it is not needed")
        )
        raise ModelError(
            f"the base {recipe.model}, which is mixed in, cannot be loaded: {error}{way_out}"
        ) from error
    return replace(as_it_learns(base, recipe.train), base=base_name(recipe.model, base))


def _to_average(checkpoints: Checkpoints, every: int, count: int) -> Sequence[int]:
    """The last of those saved at regular steps, and the last of all."""
    steps = checkpoints.steps()
    regular = [step for step in steps if step % every == 0 or step == steps[-1]]
    return regular[-count:] if count else []


def _score(dev: DevSet | None, whisper: Whisper, name: str) -> DevScore | None:
    if dev is None:
        return None
    with progress(f"Scoring {name}", total=len(dev.rows), unit="clips") as advance:
        return dev.score(whisper, advance)


def _as_it_was_left(source: Source) -> tuple[Whisper, Chosen]:
    if source.model is None:
        raise ModelError(
            f"the run {source.folder} has neither a checkpoint nor a model to release; train it"
        )
    whisper = load(str(source.model))
    card = json.loads((source.model / CARD_FILE).read_text(encoding="utf-8"))
    weights = card.get("weights", "the model that training left")
    reason = "its checkpoints have gone, so nothing else could be tried"
    return whisper, Chosen(weights, reason, None, None, None, {})


def _reason(choice: Choice, metric: str | None) -> str:
    if choice.rate is None or metric is None:
        return "the corpus has no dev split to choose by: the last step is taken"
    others = [
        f"{rate:.1%} of {name}" for name, rate in choice.rates.items() if name != choice.weights
    ]
    found = f"{choice.rate:.1%} {metric.upper()} on dev"
    return f"{found}, against {', '.join(others)}" if others else f"{found}; nothing else was there"
