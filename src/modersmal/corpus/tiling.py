"""Tile a recording into clips: each begins shortly before its speech, to the next one's beginning.

So consecutive clips, joined, are the recording again, pauses included. Where something lies between
two segments that is not transcribed, or nothing for long, they do not join.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from modersmal.audio import SAMPLE_RATE

LEAD_S = 0.2
MAX_PAUSE_S = 10.0
_OVERLAP_S = 0.3
_TOUCHING_S = 0.15
_SHORT_S = 1.0
_SENTENCE_S = 15.0
_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", "।", "؟", "۔", "።", ":", ";")
_CLOSING = "\"'»«”’)]」』"


@dataclass(frozen=True)
class Segment:
    """What is said from `start_s` to `end_s`; `where` is its place in the file that says so."""

    start_s: float
    end_s: float
    text: str
    where: str
    speaker: str | None = None
    match: float | None = None


@dataclass(frozen=True)
class Barrier:
    """A stretch that no clip may hold: somebody may speak there, and nobody wrote down what."""

    start_s: float
    end_s: float


@dataclass(frozen=True)
class Tile:
    """One clip: samples `start` to `end` of the recording at 16 kHz, and the segments in it."""

    start: int
    end: int
    segments: tuple[Segment, ...]


def tile(parts: Iterable[Segment | Barrier], longest_s: float, space: str = " ") -> list[Tile]:
    """Clips of segments, in order and without overlap; none begins before the one before ends.

    Segments that overlap become one, which then may be longer than `longest_s`; so may be what was
    too long from the start. Every other clip is not. `space` stands between joined texts.
    """
    rows = _rows(_in_order(parts, space), longest_s)
    tiles: list[Tile] = []
    for before, row, after in zip([None, *rows], rows, [*rows[1:], None], strict=False):
        start_s = _lead(before, row)
        end_s = _end(row, after, start_s, longest_s)
        tiles.append(Tile(_samples(start_s), _samples(end_s), row.segments))
    return tiles


@dataclass(frozen=True)
class _Row:
    """Segments of one clip; `wall_s` is the end of what must stay out before it, None for no wall.

    `wall_s` and `next_wall_s` limit the clip where a barrier stands before or after it.
    """

    segments: tuple[Segment, ...]
    wall_s: float | None
    next_wall_s: float | None = None

    @property
    def start_s(self) -> float:
        return self.segments[0].start_s

    @property
    def end_s(self) -> float:
        return self.segments[-1].end_s


def _in_order(parts: Iterable[Segment | Barrier], space: str) -> list[Segment | Barrier]:
    """Sorted by their start, with segments that overlap parted or joined."""
    ordered: list[Segment | Barrier] = []
    for part in sorted(parts, key=lambda part: part.start_s):
        last = ordered[-1] if ordered else None
        if isinstance(part, Segment) and isinstance(last, Segment) and part.start_s < last.end_s:
            ordered[-1:] = _parted(last, part, space)
        else:
            ordered.append(part)
    return ordered


def _parted(first: Segment, second: Segment, space: str) -> list[Segment | Barrier]:
    """Two segments that overlap: the first cut short where that costs little, else both joined."""
    overlap_s = first.end_s - second.start_s
    if overlap_s <= min(_OVERLAP_S, (first.end_s - first.start_s) / 2, second.end_s - first.end_s):
        cut = Segment(
            first.start_s, second.start_s, first.text, first.where, first.speaker, first.match
        )
        return [cut, second]
    speaker = first.speaker if first.speaker == second.speaker else None
    text = f"{first.text}{space}{second.text}"
    matches = [one.match for one in (first, second) if one.match is not None]
    match = min(matches, default=None)
    end_s = max(first.end_s, second.end_s)
    return [Segment(first.start_s, end_s, text, first.where, speaker, match)]


def _rows(parts: list[Segment | Barrier], longest_s: float) -> list[_Row]:
    rows: list[_Row] = []
    wall: Barrier | None = None
    for part in parts:
        if isinstance(part, Barrier):
            if wall is None or part.end_s > wall.end_s:
                start_s = wall.start_s if wall else part.start_s
                wall = Barrier(start_s, part.end_s)
            continue
        if wall is None and rows and _belongs(rows[-1], part, longest_s):
            rows[-1] = _Row((*rows[-1].segments, part), rows[-1].wall_s)
            continue
        if wall and rows:
            rows[-1] = _Row(rows[-1].segments, rows[-1].wall_s, wall.start_s)
        rows.append(_Row((part,), wall.end_s if wall else None))
        wall = None
    if wall and rows:
        rows[-1] = _Row(rows[-1].segments, rows[-1].wall_s, wall.start_s)
    return rows


def _belongs(row: _Row, segment: Segment, longest_s: float) -> bool:
    """Whether a clip goes on with a segment: the sentence does, or one of them is very short."""
    if segment.start_s - row.end_s > _TOUCHING_S or row.segments[-1].speaker != segment.speaker:
        return False
    if segment.end_s - row.start_s > min(_SENTENCE_S, longest_s - 2 * LEAD_S):
        return False
    lengths_s = (row.end_s - row.start_s, segment.end_s - segment.start_s)
    unfinished = not row.segments[-1].text.rstrip(_CLOSING).endswith(_SENTENCE_ENDS)
    return unfinished or min(lengths_s) < _SHORT_S


def _lead(before: _Row | None, row: _Row) -> float:
    """Where a clip begins: early by up to half of the pause before it."""
    free_s = max(0.0, row.start_s if row.wall_s is None else row.start_s - row.wall_s)
    if before is not None:
        free_s = min(free_s, (row.start_s - before.end_s) / 2)
    return row.start_s - min(LEAD_S, max(0.0, free_s))


def _end(row: _Row, after: _Row | None, start_s: float, longest_s: float) -> float:
    """Where a clip ends: where the next begins, or shortly behind its speech."""
    free_s = LEAD_S
    if row.next_wall_s is not None:
        free_s = min(free_s, max(0.0, row.next_wall_s - row.end_s))
    if after is not None:
        next_s = _lead(row, after)
        pause_s = after.start_s - row.end_s
        walled = row.next_wall_s is not None
        if not walled and pause_s <= MAX_PAUSE_S and next_s - start_s <= longest_s:
            return next_s
        free_s = min(free_s, max(0.0, next_s - row.end_s))
    return row.end_s + max(0.0, min(free_s, longest_s - (row.end_s - start_s)))


def _samples(time_s: float) -> int:
    return round(time_s * SAMPLE_RATE)
