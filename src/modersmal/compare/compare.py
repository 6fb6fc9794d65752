"""Hold runs of different sizes against each other, where they were scored alike."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from modersmal.compare.contender import Contender, Rate
from modersmal.compare.read import read
from modersmal.errors import CorpusError, RecipeError
from modersmal.evaluate.metrics import Metric
from modersmal.evaluate.significance import rate_difference
from modersmal.progress import duration

Split = Literal["test", "dev"]


@dataclass(frozen=True)
class Behind:
    """How many more errors than the best one's, as a share of what was said, and within what ends
    with 95 % confidence: on the same clips, drawn alike."""

    difference: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Row:
    """One contender. What is not known is None.

    `rate` is the error rate that decides, `before` that of the model that training began with, both
    shares; `behind` is None of the best, and where clips were not kept. `train_s` is what the steps
    took on `hardware`, `audio_s_per_s` how many seconds of audio are decoded in one on
    `decoded_on`.
    """

    name: str
    model: str
    rate: Rate
    before: Rate | None
    behind: Behind | None
    parameters: int | None
    weights_bytes: int | None
    steps: int | None
    max_steps: int | None
    train_s: float | None
    hardware: tuple[str, ...]
    audio_s_per_s: float | None
    decoded_on: str | None

    @property
    def unfinished(self) -> bool:
        return bool(self.max_steps and (self.steps or 0) < self.max_steps)


@dataclass(frozen=True)
class Within:
    """The best dev score of a run within a limit that is the same for all: after `step` steps,
    which took `train_s` seconds."""

    name: str
    step: int
    train_s: float
    rate: Rate


@dataclass(frozen=True)
class Equal:
    """Runs that were given as much: `limit` is in steps, or in seconds."""

    limit: float
    runs: tuple[Within, ...]


@dataclass(frozen=True)
class SizeComparison:
    """Contenders, the best first, as scored on `split` in the rate `metric`.

    `steps` is how they stand after as many steps, `time` after as long a training, both on dev;
    None where fewer than two have dev scores that compare. `remarks` say what the numbers leave
    out. `contenders` are what they are of, with all dev scores.
    """

    split: Split
    metric: Metric
    rows: tuple[Row, ...]
    steps: Equal | None
    time: Equal | None
    remarks: tuple[str, ...]
    contenders: tuple[Contender, ...]
    picture: Path | None = None

    def __str__(self) -> str:
        from modersmal.compare.table import render

        return render(self)

    def to_json(self) -> dict[str, Any]:
        """JSON's types, with the dev scores of each run as `dev`; rates are shares."""
        dev = {one.name: [asdict(score) for score in one.dev] for one in self.contenders}
        return {
            "split": self.split,
            "metric": self.metric,
            "contenders": [asdict(row) | {"dev": dev[row.name]} for row in self.rows],
            "equal_steps": asdict(self.steps) if self.steps else None,
            "equal_time": asdict(self.time) if self.time else None,
            "remarks": list(self.remarks),
            "picture": str(self.picture) if self.picture else None,
        }


def compare(addresses: Sequence[str], *, picture: Path | None = None) -> SizeComparison:
    """Compare runs and reports, which must have been scored alike; draw them into `picture`, a PNG.

    Where all have a score on test, that decides; else dev does.

    Raises:
        RecipeError: fewer than two were given, or one twice.
        ModelError: something is neither a run nor a report.
        CorpusError: one has no scores yet, or the scores cannot be compared; it says what differs.
        StoreError: a store cannot be reached, or the picture cannot be written.
    """
    if len(addresses) < 2:
        raise RecipeError(
            "there is nothing to compare with; give two runs or reports, or more, as in "
            "STORE/runs/base STORE/runs/small"
        )
    twice = next((one for one in addresses if addresses.count(one) > 1), None)
    if twice is not None:
        raise RecipeError(f"{twice} is given twice; give each run once")
    contenders = _named_apart([read(address) for address in addresses], addresses)
    found = _compared(contenders)
    if picture is None:
        return found
    from modersmal.compare.picture import draw

    draw(found, picture)
    return replace(found, picture=picture)


def _compared(contenders: Sequence[Contender]) -> SizeComparison:
    split = _split(contenders)
    along = _along(contenders, decides=split == "dev")
    if split == "test":
        _must_be_alike(contenders)
    rows = sorted(_rows(contenders, split), key=lambda row: row.rate.value)
    steps, time = _equal(along)
    return SizeComparison(
        split=split,
        metric=contenders[0].metric,
        rows=tuple(rows),
        steps=steps,
        time=time,
        remarks=tuple(_remarks(rows, contenders, along)),
        contenders=tuple(contenders),
    )


def _named_apart(contenders: list[Contender], addresses: Sequence[str]) -> list[Contender]:
    """Those of one name by what they were given as."""
    names = [one.name for one in contenders]
    return [
        one if names.count(one.name) == 1 else replace(one, name=address)
        for one, address in zip(contenders, addresses, strict=True)
    ]


# --- What may be compared ------------------------------------------------------------------------


def _split(contenders: Sequence[Contender]) -> Split:
    """The split on which all were scored."""
    if all(one.test for one in contenders):
        return "test"
    if all(one.dev for one in contenders):
        return "dev"
    bare = next((one for one in contenders if not one.test and not one.dev), None)
    if bare:
        raise CorpusError(
            f"{bare.name} has no scores yet; let `modersmal run` score it, or train until "
            "its first dev score (train.evaluate_every)"
        )
    on_test = next(one.name for one in contenders if one.test)
    without = next(one.name for one in contenders if not one.test)
    raise CorpusError(
        f"{without} has no score on test, and {on_test} none on dev; let `modersmal run` score the "
        "former too, so that both have one of the same clips"
    )


def _must_be_alike(contenders: Sequence[Contender]) -> None:
    """Raises CorpusError naming the first two that were scored differently, and in what."""
    for one, other in ((contenders[0], other) for other in contenders[1:]):
        if one.test and other.test:
            _refuse(one, other, one.test.conditions.differences(other.test.conditions))


def _along(contenders: Sequence[Contender], *, decides: bool) -> list[Contender]:
    """Those whose dev scores compare; none where they differ and do not decide anyway."""
    runs = [one for one in contenders if one.dev]
    for one, other in pairwise(runs):
        differences = _dev_differences(one, other)
        if differences and decides:
            _refuse(one, other, differences)
        if differences:
            return []
    return runs


def _dev_differences(one: Contender, other: Contender) -> dict[str, tuple[str, str]]:
    ours, theirs = one.alike or {}, other.alike or {}
    return {
        name: (_shown(ours.get(name)), _shown(theirs.get(name)))
        for name in ours
        if ours.get(name) != theirs.get(name)
    }


def _refuse(one: Contender, other: Contender, differences: dict[str, tuple[str, str]]) -> None:
    if differences:
        said = "; ".join(f"{what}: {ours} and {theirs}" for what, (ours, theirs) in
                         differences.items())  # fmt: skip
        raise CorpusError(
            f"{one.name} and {other.name} cannot be compared, their scores differ in {said}; score "
            "both alike"
        )


def _shown(value: object) -> str:
    text = "unset" if value is None else str(value)
    return f"{text[:12]}…" if len(text) == 64 else text


# --- How they stand ------------------------------------------------------------------------------


def _rows(contenders: Sequence[Contender], split: Split) -> Iterable[Row]:
    best = min(contenders, key=lambda one: _rate(one, split).value)
    for one in contenders:
        speed = one.test.speed if one.test else None
        yield Row(
            name=one.name,
            model=one.model,
            rate=_rate(one, split),
            before=one.test.before if one.test and split == "test" else None,
            behind=_behind(one, best) if split == "test" and one is not best else None,
            parameters=one.parameters,
            weights_bytes=one.weights_bytes,
            steps=one.steps,
            max_steps=one.max_steps,
            train_s=one.train_s,
            hardware=one.hardware,
            audio_s_per_s=speed.audio_s / speed.seconds if speed else None,
            decoded_on=speed.hardware if speed else None,
        )


def _rate(one: Contender, split: Split) -> Rate:
    found = one.test if split == "test" else one.best_dev
    if found is None:
        raise ValueError(f"{one.name} has no score on {split}")
    return found.rate


def _behind(one: Contender, best: Contender) -> Behind | None:
    ours, theirs = (one.test.clips if one.test else None), (best.test.clips if best.test else None)
    if ours is None or theirs is None or len(ours.errors) != len(theirs.errors):
        return None
    found = rate_difference(ours.errors, theirs.errors, ours.units, ours.groups)
    interval = found.interval
    return Behind(
        found.difference, interval.low if interval else None, interval.high if interval else None
    )


def _equal(runs: Sequence[Contender]) -> tuple[Equal | None, Equal | None]:
    """The best of each run's dev scores within what the least of them was given."""
    if len(runs) < 2:
        return None, None
    steps = min(one.dev[-1].step for one in runs)
    seconds = min(one.dev[-1].train_s for one in runs)
    return _within(runs, steps, step=steps), _within(runs, seconds, train_s=seconds)


def _within(runs: Sequence[Contender], limit: float, **within: float) -> Equal | None:
    """None where fewer than two were scored within the limit."""
    found = [(one.name, one.best_dev_within(**within)) for one in runs]
    scored = [Within(name, score.step, score.train_s, score.rate) for name, score in found if score]
    scored.sort(key=lambda one: one.rate.value)
    return Equal(limit, tuple(scored)) if len(scored) > 1 else None


def _remarks(
    rows: Sequence[Row], contenders: Sequence[Contender], along: Sequence[Contender]
) -> Iterable[str]:
    for row in rows:
        if row.unfinished:
            yield f"{row.name} is not finished: step {row.steps:,} of {row.max_steps:,}."
    trained = {row.name: ", ".join(row.hardware) for row in rows if row.hardware}
    if len(set(trained.values())) > 1:
        yield f"Training times are of different machines: {_listed(trained)}."
    decoded = {row.name: row.decoded_on for row in rows if row.decoded_on}
    if len(set(decoded.values())) > 1:
        yield f"Decoding speeds are of different machines: {_listed(decoded)}."
    seconds = min((one.dev[-1].train_s for one in along), default=0.0)
    for one in along:
        if one.best_dev_within(train_s=seconds) is None:
            yield f"{one.name} had no dev score within {duration(seconds)} of training yet."
    runs = [one for one in contenders if one.dev]
    if len(runs) > 1 and not along:
        one, other = next(pair for pair in pairwise(runs) if _dev_differences(*pair))
        what = ", ".join(_dev_differences(one, other))
        yield (
            f"Equal steps and equal time are left out: the dev scores of {one.name} and "
            f"{other.name} differ in {what}."
        )
    elif along and any(one.rate.low is None for run in along for one in run.dev):
        yield "Dev scores without an interval were taken by an earlier version."


def _listed(said: dict[str, str]) -> str:
    return "; ".join(f"{name} on {where}" for name, where in said.items())
