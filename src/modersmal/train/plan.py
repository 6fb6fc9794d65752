"""The order of training: which clips make up which optimiser step, as a pure function.

Nothing of it is stored. An epoch permutes the row groups of the corpus (so that reading stays
local), cuts them into windows, sorts each window by length, cuts it into batches of about
`batch_s` seconds of audio, and shuffles the batches. Every epoch has the same number of batches,
so the step number alone says what comes next: it is the whole state of the data side of a run.
"""

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from modersmal.config import TrainConfig
from modersmal.logmel import FRAMES_PER_S, WINDOW_FRAMES

WINDOW_BATCHES = 64
_ORDER, _FULL = 1, 2  # what a random stream is for


@dataclass(frozen=True)
class ContextRule:
    """How much the encoder sees of a batch."""

    dynamic: bool = True
    floor_s: float = 2.0
    step_s: float = 0.5
    full_share: float = 0.1

    def frames(self, longest_s: float, *, full: bool = False) -> int:
        """Frames for a batch whose longest clip is `longest_s` seconds; even, at most 3,000."""
        if full or not self.dynamic:
            return WINDOW_FRAMES
        # A hair less than the clip, so that 3.0000001 s does not cost another step.
        steps = np.ceil(max(longest_s, self.floor_s) / self.step_s - 1e-4)
        frames = int(np.ceil(steps * self.step_s * FRAMES_PER_S / 2 - 1e-6)) * 2
        return min(WINDOW_FRAMES, frames)


@dataclass(frozen=True)
class PlannedBatch:
    """One optimiser step's clips, by their row in the split, and the frames the encoder sees."""

    step: int
    epoch: int
    rows: np.ndarray
    frames: int


@dataclass(frozen=True, eq=False)
class Plan:
    """The batches of a whole run.

    `rows` (int64) are the rows of the split that take part, `durations_s` their lengths and
    `row_groups` the number of the row group each lies in, all of shape (clips,).
    """

    rows: np.ndarray
    durations_s: np.ndarray
    row_groups: np.ndarray
    seed: int
    batch_s: float
    context: ContextRule

    @classmethod
    def of(
        cls, config: TrainConfig, rows: np.ndarray, durations_s: np.ndarray, row_groups: np.ndarray
    ) -> "Plan":
        """The plan that a recipe makes for these clips."""
        context = ContextRule(
            dynamic=config.context == "dynamic",
            floor_s=config.context_floor_s,
            step_s=config.context_step_s,
            full_share=config.full_share,
        )
        return cls(rows, durations_s, row_groups, config.seed, config.batch_s, context)

    @property
    def batches_per_epoch(self) -> int:
        wanted = round(float(self.durations_s.sum(dtype=np.float64)) / self.batch_s)
        return min(len(self.rows), max(1, wanted))

    def batch(self, step: int) -> PlannedBatch:
        """The batch of optimiser step `step`, counted from 0."""
        epoch, place = divmod(step, self.batches_per_epoch)
        chosen = self._epoch(epoch)[place]
        full = bool(stream(self.seed, epoch, place, _FULL).random() < self.context.full_share)
        frames = self.context.frames(float(self.durations_s[chosen].max()), full=full)
        return PlannedBatch(step, epoch, self.rows[chosen], frames)

    def _epoch(self, epoch: int) -> list[np.ndarray]:
        return _epoch_batches(self, epoch)


def stream(*key: int) -> np.random.Generator:
    """A random stream that is a function of `key` alone."""
    return np.random.default_rng(key)


def cut(weights: np.ndarray, parts: int) -> list[slice]:
    """Cut a sequence into `parts` runs of about equal weight, none empty.

    `parts` is at most the length of `weights`.
    """
    ends = np.cumsum(weights, dtype=np.float64)
    targets = ends[-1] * np.arange(1, parts) / parts
    middles = ends - np.asarray(weights, dtype=np.float64) / 2
    steps = np.arange(parts - 1)
    borders = np.searchsorted(middles, targets)
    borders = np.maximum.accumulate(borders - steps) + steps  # strictly rising ...
    borders = np.minimum(np.maximum(borders, steps + 1), len(weights) - parts + 1 + steps)
    edges = [0, *borders.tolist(), len(weights)]
    return [slice(start, end) for start, end in itertools.pairwise(edges)]


@lru_cache(maxsize=2)
def _epoch_batches(plan: Plan, epoch: int) -> list[np.ndarray]:
    """Batches of an epoch, as positions in `plan.rows`."""
    random = stream(plan.seed, epoch, 0, _ORDER)
    order = _permuted_groups(plan.row_groups, random)
    runs = cut(plan.durations_s[order], plan.batches_per_epoch)
    batches: list[np.ndarray] = []
    for first in range(0, len(runs), WINDOW_BATCHES):
        part = runs[first : first + WINDOW_BATCHES]
        window = order[part[0].start : part[-1].stop]
        # Within one step of the context, clips meet in a new order every epoch.
        buckets = np.ceil(plan.durations_s[window] / plan.context.step_s)
        window = window[np.lexsort((random.random(len(window)), buckets))]
        made = [window[run] for run in cut(plan.durations_s[window], len(part))]
        batches += [made[place] for place in random.permutation(len(made))]
    return batches


def _permuted_groups(row_groups: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Positions, row group by row group, the groups in random order."""
    _, group = np.unique(row_groups, return_inverse=True)
    rank = random.permutation(int(group.max()) + 1)
    return np.argsort(rank[group], kind="stable")
