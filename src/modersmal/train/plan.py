"""The order of training: what each optimiser step holds, as a pure function.

Nothing of it is stored. An epoch permutes the row groups of the corpus (so that reading stays
local) and cuts them into stretches of some 64 steps. Within a stretch clips are dealt to the steps
at random, each of which has its geometry: those of dynamic steps are sorted by length, those of
packed ones joined to windows. Every epoch has the same number of steps, so the step number alone
says what comes next: it is the whole state of the data side of a run.

What is kept of each clip is its length: 50,000 hours take 80 MB.
"""

import itertools
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

from modersmal.config import AugmentConfig, TrainConfig
from modersmal.corpus import Split
from modersmal.logmel import FRAMES_PER_S
from modersmal.train.packing import WINDOW_S, Window, pack_clips, pack_recording, straddling
from modersmal.train.perturb import speed_factors
from modersmal.train.shapes import GEOMETRIES, Geometry, Shapes
from modersmal.train.streams import stream

STRETCH_STEPS = 64
_PREVIOUS_CLIPS = 8
_SHORTEST_FIRST_S = 5.0
# Where steps hold less than a window's speech, windows are filled less; at last, clips are alone.
_FILLED = (1.0, 0.75, 0.5, 0.3, 0.15, 0.0)
_BLOCK_S = 120.0  # of a recording, that is dealt as one
_ORDER, _SAMPLES, _STRETCH = 1, 8, 9  # what a random stream is for


@dataclass(frozen=True)
class PlannedSample:
    """What the model hears at once: clips, by their rows, and when each begins, in seconds.

    A sample without clips is silence. `timestamps` says whether times are written, and `previous`
    are the rows whose texts are given as what was said before.
    """

    rows: tuple[int, ...] = ()
    starts_s: tuple[float, ...] = ()
    timestamps: bool = False
    previous: tuple[int, ...] = ()


@dataclass(frozen=True)
class PlannedBatch:
    """One optimiser step: its samples, and the log-mel frames that the encoder sees of each.

    `audio_s` are the seconds of the clips that are learned from.
    """

    step: int
    epoch: int
    geometry: Geometry
    frames: int
    audio_s: float
    samples: tuple[PlannedSample, ...]

    @property
    def padded_s(self) -> float:
        """Seconds that the encoder sees, padding included."""
        return len(self.samples) * self.frames / FRAMES_PER_S

    @property
    def rows(self) -> list[int]:
        """The clips, sample by sample, those that straddle an edge among them."""
        return [row for sample in self.samples for row in sample.rows]


@dataclass(frozen=True, eq=False)
class Clips:
    """What a plan knows of a split's clips; all but `groups` are of shape (rows,).

    `durations_s` float32 is 0 for those that take no part. `groups` (row groups + 1,) int64 is
    where row groups begin and end. Of recordings: `speech_s` (rows, 2) float32, the speech within
    a row, and `continues` bool, whether it goes on from the row before. `speakers` int32 is needed
    to keep them apart.
    """

    durations_s: np.ndarray
    groups: np.ndarray
    speech_s: np.ndarray | None = None
    continues: np.ndarray | None = None
    speakers: np.ndarray | None = None

    @classmethod
    def of(cls, split: Split, takes_part: np.ndarray, *, speakers: bool = False) -> "Clips":
        """What there is to know of a split, for the clips that take part, (rows,) bool."""
        recordings = split.has_recordings
        return cls(
            durations_s=np.where(takes_part, split.durations_s, np.float32(0)),
            groups=split.row_group_starts,
            speech_s=split.speech_s if recordings else None,
            continues=split.continues if recordings else None,
            speakers=_numbered(split.speakers) if speakers else None,
        )

    def ends_s(self, rows: np.ndarray) -> np.ndarray:
        """When the speech of rows ends, within their audio: float32."""
        return self.durations_s[rows] if self.speech_s is None else self.speech_s[rows, 1]

    def spoken_s(self, rows: np.ndarray) -> np.ndarray:
        """How long there is speech in rows, pauses within it included: float32."""
        if self.speech_s is None:
            return self.durations_s[rows]
        return self.speech_s[rows, 1] - self.speech_s[rows, 0]


@dataclass(frozen=True, eq=False)
class Plan:
    """The steps of a whole run; `augment` says how fast clips are played."""

    clips: Clips
    seed: int
    batch_s: float
    shapes: Shapes
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    _groups: np.ndarray = field(init=False, repr=False)
    _group_s: np.ndarray = field(init=False, repr=False)
    _group_clips: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        durations_s, starts = self.clips.durations_s, self.clips.groups[:-1]
        seconds = np.add.reduceat(durations_s, starts).astype(np.float64)
        # The narrowest type that holds a row group's: all rows are cast to it at once.
        clips = np.add.reduceat(durations_s > 0, starts, dtype=np.uint16).astype(np.int64)
        kept = np.flatnonzero(clips)
        for name, value in (("_groups", kept), ("_group_s", seconds), ("_group_clips", clips)):
            object.__setattr__(self, name, value if name == "_groups" else value[kept])

    @classmethod
    def of(cls, config: TrainConfig, clips: Clips) -> "Plan":
        """The plan that a recipe makes for these clips."""
        return cls(clips, config.seed, config.batch_s, Shapes.of(config), config.augment)

    @property
    def clip_count(self) -> int:
        return int(self._group_clips.sum())

    @property
    def audio_s(self) -> float:
        """Seconds of an epoch's clips."""
        return float(self._group_s.sum())

    @property
    def longest_s(self) -> float:
        """The most that the encoder sees of any sample."""
        if self.shapes.packed_share + self.shapes.full_share > 0:
            return WINDOW_S
        longest_s = float(self.clips.durations_s.max())
        return self.shapes.frames("dynamic", longest_s) / FRAMES_PER_S

    @cached_property
    def batches_per_epoch(self) -> int:
        return min(self.clip_count, max(1, round(self.audio_s / self.batch_s)))

    def batch(self, step: int) -> PlannedBatch:
        """Optimiser step `step`, counted from 0."""
        epoch, place = divmod(step, self.batches_per_epoch)
        _, edges = _stretches(self, epoch)
        number = int(np.searchsorted(edges, place, side="right")) - 1
        windows = _stretch(self, epoch, number)[place - int(edges[number])]
        return self._finished(step, epoch, windows)

    def seconds(self, rows: np.ndarray, epoch: int) -> np.ndarray:
        """How long the audio of rows lasts as an epoch hears it: float32."""
        return self._sped(self.clips.durations_s[rows], rows, epoch)

    def ends_s(self, rows: np.ndarray, epoch: int) -> np.ndarray:
        """When the speech of rows ends, within their audio, as an epoch hears it: float32."""
        return self._sped(self.clips.ends_s(rows), rows, epoch)

    def spoken_s(self, rows: np.ndarray, epoch: int) -> np.ndarray:
        """How long the speech of rows lasts as an epoch hears it: float32."""
        return self._sped(self.clips.spoken_s(rows), rows, epoch)

    def _sped(self, seconds: np.ndarray, rows: np.ndarray, epoch: int) -> np.ndarray:
        recorded_s = self.clips.durations_s[rows]
        return seconds / speed_factors(self.seed, epoch, rows, recorded_s, self.augment)

    def _finished(self, step: int, epoch: int, windows: list[Window]) -> PlannedBatch:
        """Give a step's windows, whose clips are rows by now, all that is drawn for them."""
        shapes, geometry = self.shapes, self.shapes.geometry(self.seed, step)
        random = stream(self.seed, epoch, step, _SAMPLES)
        packed = geometry == "packed"
        timed = random.random(len(windows)) < (1.0 if packed else shapes.timestamp_share)
        prompted = random.random(len(windows)) < (shapes.prompt_share if packed else 0.0)
        samples = [
            PlannedSample(
                tuple(window.clips),
                tuple(window.starts_s),
                bool(timed[place]),
                self._previous(window, windows[place - 1]) if prompted[place] else (),
            )
            for place, window in enumerate(windows)
        ]
        silent = int(len(windows) * shapes.silence_share + random.random())
        samples += [
            PlannedSample(timestamps=packed or random.random() < shapes.timestamp_share)
            for _ in range(silent)
        ]
        rows = np.array([row for window in windows for row in window.clips])
        frames = shapes.frames(geometry, float(self.spoken_s(rows, epoch).max()))
        audio_s = sum(_whole_s(self, epoch, window) for window in windows)
        return PlannedBatch(step, epoch, geometry, frames, audio_s, tuple(samples))

    def _previous(self, window: Window, other: Window) -> tuple[int, ...]:
        """The rows before a window: of its recording where it has one, else of another window."""
        first = window.clips[0]
        if self.clips.continues is None or not self.clips.continues[first]:
            return tuple(other.clips[-_PREVIOUS_CLIPS:]) if other is not window else ()
        rows = [first - 1]
        while self.clips.continues[rows[0]] and len(rows) < _PREVIOUS_CLIPS:
            rows.insert(0, rows[0] - 1)
        return tuple(rows)


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


def share_out(total: int, weights: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Whole numbers that add up to `total`, about in proportion to `weights`, each from 1 to its
    `most`. `total` is at least their number and at most the sum of `most`."""
    ends = np.round(total * np.cumsum(weights) / weights.sum()).astype(np.int64)
    shares = np.clip(np.diff(ends, prepend=0), 1, most)
    lacking = total - int(shares.sum())
    slack = most - shares if lacking > 0 else shares - 1
    taken = np.diff(np.minimum(np.cumsum(slack), abs(lacking)), prepend=0)
    return shares + np.sign(lacking) * taken


@lru_cache(maxsize=2)
def _stretches(plan: Plan, epoch: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The row groups of each stretch of an epoch, and the steps, within it, where they begin."""
    order = stream(plan.seed, epoch, 0, _ORDER).permutation(len(plan._groups))
    count = min(len(order), -(-plan.batches_per_epoch // STRETCH_STEPS))
    runs = cut(plan._group_s[order], count)
    seconds = np.array([plan._group_s[order[run]].sum() for run in runs])
    clips = np.array([plan._group_clips[order[run]].sum() for run in runs])
    steps = share_out(plan.batches_per_epoch, seconds, clips)
    return [plan._groups[order[run]] for run in runs], np.concatenate([[0], np.cumsum(steps)])


@lru_cache(maxsize=2)
def _stretch(plan: Plan, epoch: int, number: int) -> list[list[Window]]:
    """What each step of a stretch holds: windows whose clips are rows."""
    groups, edges = _stretches(plan, epoch)
    random = stream(plan.seed, epoch, number, _STRETCH)
    rows = _shuffled(plan.clips, groups[number], random)
    first, last = edges[number : number + 2].tolist()
    before = epoch * plan.batches_per_epoch
    geometries = [plan.shapes.geometry(plan.seed, before + place) for place in range(first, last)]
    dealt = cut(plan.seconds(rows, epoch), last - first)
    held: list[list[Window]] = [[] for _ in dealt]
    for geometry in GEOMETRIES:
        steps = [place for place, one in enumerate(geometries) if one == geometry]
        if not steps:
            continue
        pool = np.concatenate([rows[dealt[place]] for place in steps])
        made = _samples(plan, epoch, geometry, pool, len(steps), random)
        for place, run in zip(steps, made, strict=True):
            held[place] = run
    return held


def _samples(
    plan: Plan,
    epoch: int,
    geometry: Geometry,
    rows: np.ndarray,
    steps: int,
    random: np.random.Generator,
) -> list[list[Window]]:
    """Make samples of the rows of one geometry, and divide them among its steps."""
    if geometry == "packed":
        windows = next(
            packed
            for share in _FILLED
            if len(packed := _packed(plan, epoch, rows, random, share * WINDOW_S)) >= steps
        )
        weights = np.array([_whole_s(plan, epoch, window) for window in windows])
        return [windows[run] for run in cut(weights, steps)]
    spoken_s = plan.spoken_s(rows, epoch)
    if geometry == "dynamic":
        # Within one step of the context, clips meet in a new order every epoch.
        buckets = np.ceil(spoken_s / plan.shapes.step_s)
        order = np.lexsort((random.random(len(rows)), buckets))
        rows, spoken_s = rows[order], spoken_s[order]
    made = [[Window([row], [0.0]) for row in rows[run].tolist()] for run in cut(spoken_s, steps)]
    return [made[place] for place in random.permutation(steps)]


def _packed(
    plan: Plan, epoch: int, rows: np.ndarray, random: np.random.Generator, longest_s: float
) -> list[Window]:
    """Windows, filled up to `longest_s`, in random order: of each recording's stretches, and of
    clips."""
    seconds, ends_s = plan.seconds(rows, epoch), plan.ends_s(rows, epoch)
    windows: list[Window] = []
    alone = np.ones(len(rows), dtype=bool)
    for run in _runs(plan.clips, rows):
        first_s = float(random.uniform(_SHORTEST_FIRST_S, WINDOW_S))
        windows += _of_rows(
            rows[run], pack_recording(seconds[run], ends_s[run], first_s, longest_s)
        )
        alone[run] = False
    by_speaker = np.zeros(len(rows), dtype=np.int32)
    if plan.shapes.same_speaker and plan.clips.speakers is not None:
        by_speaker = plan.clips.speakers[rows]
    for speaker in np.unique(by_speaker[alone]):
        chosen = np.flatnonzero(alone & (by_speaker == speaker))
        windows += _of_rows(rows[chosen], pack_clips(ends_s[chosen], random, longest_s))
    return [windows[place] for place in random.permutation(len(windows))]


def _of_rows(rows: np.ndarray, windows: list[Window]) -> list[Window]:
    return [Window(rows[window.clips].tolist(), window.starts_s) for window in windows]


def _whole_s(plan: Plan, epoch: int, window: Window) -> float:
    """Seconds of the clips that do not straddle the window's edge."""
    seconds = plan.ends_s(np.array(window.clips), epoch)
    return float(seconds[~straddling(window.starts_s, seconds)].sum())


def _shuffled(clips: Clips, groups: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The rows of groups that take part, in random order; stretches of recordings stay together."""
    rows = np.concatenate([np.arange(*clips.groups[group : group + 2]) for group in groups])
    rows = rows[clips.durations_s[rows] > 0]
    if clips.continues is None:
        return rows[random.permutation(len(rows))]
    joined = clips.continues[rows] & (np.diff(rows, prepend=-2) == 1)
    chain = np.cumsum(~joined) - 1
    seconds = clips.durations_s[rows].astype(np.float64)
    starts_s = np.cumsum(seconds) - seconds
    within_s = starts_s - starts_s[~joined][chain]
    offsets_s = random.random(chain[-1] + 1) * _BLOCK_S
    piece = (within_s + offsets_s[chain]) // _BLOCK_S
    block = np.cumsum(~joined | (np.diff(piece, prepend=piece[0]) != 0)) - 1
    rank = random.permutation(block[-1] + 1)[block]
    return rows[np.argsort(rank, kind="stable")]


def _runs(clips: Clips, rows: np.ndarray) -> list[slice]:
    """Where rows follow each other in a recording, two at least."""
    if clips.continues is None:
        return []
    joined = clips.continues[rows] & (np.diff(rows, prepend=-2) == 1)
    edges = [*np.flatnonzero(~joined).tolist(), len(rows)]
    return [slice(a, b) for a, b in itertools.pairwise(edges) if b - a > 1]


def _numbered(speakers: list[str | None]) -> np.ndarray:
    """Numbers for names: (rows,) int32."""
    numbers: dict[str | None, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in speakers], np.int32)
