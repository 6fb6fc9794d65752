"""What an evaluation finds: scores with the conditions they were taken under, and comparisons."""

from dataclasses import dataclass, field
from pathlib import Path

from modersmal.evaluate.metrics import Metric, Score
from modersmal.evaluate.records import Conditions
from modersmal.evaluate.significance import Difference, rate_difference


@dataclass(frozen=True)
class System:
    """What was scored: a model, or a file of another system's output.

    `context` and `precision` are those that the model was decoded in, `engine` what decoded it.
    They may differ between scores that are compared: in full precision they write the same text.
    """

    name: str
    model_hash: str | None = None
    context: str | None = None
    precision: str | None = None
    engine: str | None = None


@dataclass(frozen=True)
class Speed:
    """How fast a split was decoded: `audio_s` of it within `seconds`, reading included, loading
    not; on what."""

    audio_s: float
    seconds: float
    hardware: str


@dataclass(frozen=True)
class Scored:
    """One system on one split, and what it wrote for each clip, in the split's order.

    `speed` is None where nothing was decoded, and of scores that earlier versions took.
    """

    system: System
    conditions: Conditions
    score: Score
    hypotheses: list[str] = field(repr=False)
    clips_file: str | None = None
    speed: Speed | None = None


@dataclass(frozen=True)
class Comparison:
    """The system against the baseline, in the rate that decides.

    `better`, `worse` and `equal` count clips by their errors.
    """

    baseline: Scored
    metric: Metric
    difference: Difference
    better: int
    worse: int
    equal: int


@dataclass(frozen=True)
class CorpusScore:
    """The score on one corpus."""

    corpus: Path
    split: str
    result: Scored
    comparison: Comparison | None


def compare(result: Scored, baseline: Scored) -> Comparison:
    """Compare two systems on the same clips, in the rate that decides.

    Raises:
        CorpusError: the scores were not taken alike.
    """
    result.conditions.check_comparable(baseline.conditions)
    metric = result.score.metric
    ours = result.score.normalised.edits(metric)
    theirs = baseline.score.normalised.edits(metric)
    return Comparison(
        baseline=baseline,
        metric=metric,
        difference=rate_difference(ours.errors, theirs.errors, ours.units, result.score.groups),
        better=int((ours.errors < theirs.errors).sum()),
        worse=int((ours.errors > theirs.errors).sum()),
        equal=int((ours.errors == theirs.errors).sum()),
    )
