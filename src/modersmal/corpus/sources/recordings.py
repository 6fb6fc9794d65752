"""Long audio as a source: the clips that subtitles beside it cut it into.

Only the subtitles are read here; whether the recording is as long as they say shows when a worker
cuts it.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from modersmal.audio import SAMPLE_RATE
from modersmal.corpus.sources.base import Piece, Refused
from modersmal.corpus.subtitles import Cue, read_subtitles, spoken, without_repeats
from modersmal.corpus.tiling import Barrier, Segment, Tile, tile


def subtitled(
    root: Path, path: str, subtitles: str, *, split: str | None, longest_s: float, space: str
) -> Iterator[Piece | Refused]:
    """Clips of the recording at `path`, cut by the `subtitles` beside it; both below `root`."""
    try:
        found = (root / subtitles).resolve()
        if not found.is_relative_to(root):
            raise ValueError("it leads out of the source")
        cues = read_subtitles(found)
    except (OSError, ValueError) as error:
        yield Refused(subtitles, "no-text", f"{subtitles}: {error}", path, split, of_recording=True)
        return
    if not cues:
        detail = f"{subtitles} has no subtitles"
        yield Refused(subtitles, "no-text", detail, path, split, of_recording=True)
    parts: list[Segment | Barrier] = []
    latest_s = 0.0
    for cue in without_repeats(cues):
        where = f"{subtitles} line {cue.line}"
        if not isinstance(cue, Cue):
            yield Refused(where, cue.reason, cue.detail, path, split, cue.text, True)
            place_s = latest_s if cue.start_s is None else cue.start_s
            parts.append(Barrier(place_s, place_s))
            continue
        latest_s = cue.end_s
        text = spoken(cue)
        if text:
            parts.append(Segment(cue.start_s, cue.end_s, text, where, cue.speaker))
        elif cue.text:
            detail = f"{cue.text!r} is nothing that is said"
            yield Refused(where, "no-speech", detail, path, split, cue.text, True)
            parts.append(Barrier(cue.start_s, cue.end_s))
    yield from pieces(path, parts, split=split, longest_s=longest_s, space=space)


def pieces(
    path: str,
    parts: Iterable[Segment | Barrier],
    *,
    split: str | None,
    longest_s: float,
    space: str,
) -> Iterator[Piece | Refused]:
    """Clips of the recording at `path`; what is said for longer than `longest_s` is refused."""
    for one in tile(parts, longest_s, space):
        text = space.join(segment.text for segment in one.segments)
        where = one.segments[0].where
        said_s = one.segments[-1].end_s - one.segments[0].start_s
        if one.end - one.start > longest_s * SAMPLE_RATE:
            detail = f"{said_s:.4g} s, the limit is {longest_s:g}"
            yield Refused(where, "too-long", detail, path, split, text, True)
        else:
            yield _piece(path, one, text, split)


def _piece(path: str, one: Tile, text: str, split: str | None) -> Piece:
    begin_s = one.start / SAMPLE_RATE
    speakers = {segment.speaker for segment in one.segments}
    matches = [segment.match for segment in one.segments if segment.match is not None]
    return Piece(
        path=path,
        text=text,
        where=one.segments[0].where,
        speaker=speakers.pop() if len(speakers) == 1 else None,
        split=split,
        size=one.end - one.start,
        extras={"match": f"{min(matches):.2f}"} if matches else {},
        start=one.start,
        end=one.end,
        segments=tuple(
            (round(segment.start_s - begin_s, 4), round(segment.end_s - begin_s, 4), segment.text)
            for segment in one.segments
        ),
    )
