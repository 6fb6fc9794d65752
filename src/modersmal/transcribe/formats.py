"""Write transcripts as text, subtitles or JSON.

Times in subtitles are whole milliseconds; cues follow each other, never overlap and last at least
one. SRT has no escapes: what it would misread is replaced.
"""

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from modersmal.errors import RecipeError, nearest

Format = Literal["txt", "srt", "vtt", "json"]
FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True)
class Word:
    """A word with its times in seconds from the start of the file."""

    start_s: float
    end_s: float
    text: str
    probability: float


@dataclass(frozen=True)
class Segment:
    """A stretch of speech; `words` are there if they were asked for."""

    start_s: float
    end_s: float
    text: str
    words: tuple[Word, ...] = ()


def check_format(format: str, words: bool) -> None:
    """Raises RecipeError for an unknown format, or for word times in one that has none."""
    if format not in FORMATS:
        raise RecipeError(
            f"there is no format {format!r}{nearest(format, FORMATS)}; there are "
            f"{', '.join(FORMATS)}"
        )
    if words and format == "txt":
        raise RecipeError("txt holds no times of words; take json, vtt or srt")


def render(
    segments: Sequence[Segment], format: Format, *, words: bool = False, about: dict[str, Any]
) -> str:
    """Write segments in `format`; `about` stands before them in JSON.

    With `words`, SRT gives every word a cue of its own, and VTT times words inside the cues.
    """
    check_format(format, words)
    if format == "txt":
        return "".join(f"{_line(segment.text)}\n" for segment in segments)
    if format == "srt":
        return _srt(_split_words(segments) if words else segments)
    if format == "vtt":
        return _vtt(segments, words)
    return _json(segments, about)


def write_time(ms: int, mark: Literal[",", "."]) -> str:
    """HH:MM:SS with milliseconds; hours grow beyond two digits where they must."""
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{mark}{ms:03d}"


@dataclass(frozen=True)
class _Cue:
    start_ms: int
    end_ms: int
    segment: Segment


def _cues(segments: Iterable[Segment]) -> list[_Cue]:
    """Segments with text, one after the other."""
    cues: list[_Cue] = []
    for segment in segments:
        if not _line(segment.text):
            continue
        earliest = cues[-1].end_ms if cues else 0
        start = max(round(segment.start_s * 1000), earliest)
        cues.append(_Cue(start, max(round(segment.end_s * 1000), start + 1), segment))
    return cues


def _srt(segments: Iterable[Segment]) -> str:
    return "\n".join(
        f"{number}\n{write_time(cue.start_ms, ',')} --> {write_time(cue.end_ms, ',')}\n"
        f"{_line(cue.segment.text).replace('-->', '→')}\n"
        for number, cue in enumerate(_cues(segments), start=1)
    )


def _vtt(segments: Iterable[Segment], words: bool) -> str:
    blocks = [
        f"{write_time(cue.start_ms, '.')} --> {write_time(cue.end_ms, '.')}\n"
        f"{_timed_words(cue) if words else _escaped(cue.segment.text)}\n"
        for cue in _cues(segments)
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def _timed_words(cue: _Cue) -> str:
    """A cue's text with the start of each word inside it; times must rise within the cue."""
    written: list[str] = []
    latest = cue.start_ms
    for word in cue.segment.words:
        start = round(word.start_s * 1000)
        timed = latest < start < cue.end_ms
        latest = start if timed else latest
        tag = f"<{write_time(start, '.')}>" if timed else ""
        written.append(f"{tag}{_escaped(word.text)}")
    return " ".join(filter(None, written)) or _escaped(cue.segment.text)


def _split_words(segments: Iterable[Segment]) -> Iterable[Segment]:
    for segment in segments:
        if not segment.words:
            yield segment
        for word in segment.words:
            yield Segment(word.start_s, word.end_s, word.text)


def _json(segments: Sequence[Segment], about: dict[str, Any]) -> str:
    text = " ".join(filter(None, (_line(segment.text) for segment in segments)))
    table = {**about, "text": text, "segments": [asdict(segment) for segment in segments]}
    return json.dumps(table, ensure_ascii=False, indent=2) + "\n"


def _escaped(text: str) -> str:
    return html.escape(_line(text), quote=False)


def _line(text: str) -> str:
    """One line: an empty one within a cue would end it."""
    return " ".join(text.split())
