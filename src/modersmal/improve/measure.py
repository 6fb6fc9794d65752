"""What an improvement was worth: both releases transcribe, from scratch, what was set aside."""

from pathlib import Path

from modersmal.config import Recipe
from modersmal.errors import CorpusError
from modersmal.evaluate.evaluate import evaluate
from modersmal.improve.attempt import Measured

SET_ASIDE = "test"


def measure(recipe: Recipe, corpus: Path, before: int, after: int) -> Measured:
    """Score the releases `before` and `after` of the recipe's store on the test split of `corpus`,
    clip by clip.

    Nothing of what they write is kept.

    Raises:
        CorpusError: too little was set aside to tell them apart.
        ModelError, StoreError: a release cannot be loaded.
    """
    (score,) = evaluate(
        f"{recipe.store}#{after}",
        [corpus],
        split=SET_ASIDE,
        baseline=f"{recipe.store}#{before}",
        config=recipe.evaluate,
        language=recipe.language,
        language_token=recipe.language_token,
    ).scores
    found = score.comparison
    if found is None or found.difference.interval is None:
        raise CorpusError(
            f"{corpus} has too few clips set aside to say whether a model is better; accept more "
            "corrections"
        )
    return Measured(
        against=before,
        metric=found.metric,
        before=found.baseline.score.normalised.of(found.metric).rate,
        after=score.result.score.normalised.of(found.metric).rate,
        difference=found.difference.difference,
        low=found.difference.interval.low,
        high=found.difference.interval.high,
        clips=score.result.score.clips,
    )
