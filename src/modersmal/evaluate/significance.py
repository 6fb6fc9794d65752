"""How sure an error rate is, and whether one system is better than another: the bootstrap.

Clips of one speaker resemble each other, so whole speakers are drawn, with replacement (a cluster
bootstrap). Two systems are compared on the same draws (Bisani & Ney 2004). Draws depend on the
seed and the number of clusters alone, so every score of the same clips is resampled alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

RESAMPLES = 2000
CONFIDENCE = 0.95
MIN_SPEAKERS = 5
_INDICES_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Interval:
    """Where the true value lies with 95 % confidence."""

    low: float
    high: float


@dataclass(frozen=True)
class Clusters:
    """Which clips are drawn together: `of_clip` (clips,) holds a number below `count` for each."""

    of_clip: np.ndarray
    count: int
    unit: Literal["speaker", "clip"]


def clusters(speakers: Sequence[str | None]) -> Clusters:
    """Group clips by speaker; by clip where fewer than five speakers are known.

    A clip of an unknown speaker is a group of its own.
    """
    known = sorted({speaker for speaker in speakers if speaker})
    if len(known) < MIN_SPEAKERS:
        return Clusters(np.arange(len(speakers)), len(speakers), "clip")
    number = {speaker: place for place, speaker in enumerate(known)}
    of_clip = np.empty(len(speakers), dtype=np.int64)
    count = len(known)
    for clip, speaker in enumerate(speakers):
        if speaker:
            of_clip[clip] = number[speaker]
        else:
            of_clip[clip], count = count, count + 1
    return Clusters(of_clip, count, "speaker")


def rate_interval(
    errors: np.ndarray, units: np.ndarray, groups: Clusters, *, seed: int = 0
) -> Interval | None:
    """Interval of `errors.sum() / units.sum()`, given both per clip, shape (clips,).

    It always contains the rate itself. None with fewer than two groups, from which nothing can
    be learned, or where nothing was said.
    """
    if groups.count < 2 or not units.sum():
        return None
    sums = _resampled_sums(np.stack([errors, units], axis=1), groups, seed)
    return _interval(_rates(sums[:, 0], sums[:, 1]), errors.sum() / units.sum())


@dataclass(frozen=True)
class Difference:
    """An error rate minus that of the baseline on the same clips; below zero is better.

    `p` is the two-sided probability of a difference this far from zero if there were none.
    """

    difference: float
    interval: Interval | None
    p: float | None


def rate_difference(
    errors: np.ndarray,
    baseline_errors: np.ndarray,
    units: np.ndarray,
    groups: Clusters,
    *,
    seed: int = 0,
) -> Difference:
    """Compare two systems' errors per clip on the same references, all of shape (clips,)."""
    difference = float((errors.sum() - baseline_errors.sum()) / units.sum())
    if groups.count < 2:
        return Difference(difference, None, None)
    sums = _resampled_sums(np.stack([errors - baseline_errors, units], axis=1), groups, seed)
    drawn = _rates(sums[:, 0], sums[:, 1])
    tail = min(np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0))
    p = min(1.0, 2 * (tail + 1) / (len(drawn) + 1))
    return Difference(difference, _interval(drawn, difference), p)


def _resampled_sums(values: np.ndarray, groups: Clusters, seed: int) -> np.ndarray:
    """Sums of `values` (clips, k) over each of the resamples, shape (resamples, k)."""
    totals = np.stack(
        [np.bincount(groups.of_clip, column, groups.count) for column in values.T], axis=1
    )
    draws = np.random.default_rng([seed, groups.count])
    sums = np.empty((RESAMPLES, values.shape[1]))
    step = max(1, _INDICES_AT_ONCE // groups.count)
    for first in range(0, RESAMPLES, step):
        rows = min(step, RESAMPLES - first)
        drawn = draws.integers(groups.count, size=(rows, groups.count))
        sums[first : first + rows] = totals[drawn].sum(axis=1)
    return sums


def _rates(errors: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Rates of those resamples in which something was said."""
    said = units > 0
    return errors[said] / units[said]


def _interval(drawn: np.ndarray, estimate: float) -> Interval:
    """The middle 95 % of what was drawn, widened to the estimate where it lies outside."""
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [outside, 1 - outside])
    return Interval(float(min(low, estimate)), float(max(high, estimate)))
