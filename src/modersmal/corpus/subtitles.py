"""Read subtitles as they are found: SubRip (.srt) and WebVTT (.vtt), sound or not.

Both are read alike: a cue is a line of times with the lines of text below it, up to a blank line or
the next cue. A broken cue costs itself alone, and is told with its line.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from modersmal.text import clean, spoken_letters

SUFFIXES = (".vtt", ".srt")  # where a recording has both, the one that can name its speakers
MAX_BYTES = 32 * 1024**2

_TIME = r"(?:(\d{1,4})\s*:\s*)?(\d{1,3})\s*:\s*(\d{1,2})(?:\s*[.,:]\s*(\d{1,6}))?"
_TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:[ \t].*)?")
_TAG = re.compile(
    r"</?(?:[ibucsv]|font|ruby|rt|lang|span|strong|em)(?:[.\s/][^<>]*)?>|<\d[\d:.]*>|\{\\[^{}]*\}",
    re.IGNORECASE,
)
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s+([^<>]+)>", re.IGNORECASE)
_ID = re.compile(r"\s*\d+\s*")
_VTT_BLOCKS = ("NOTE", "STYLE", "REGION")
_DESCRIPTION = re.compile(r"\[[^\[\]]*\]|［[^［］]*］|【[^【】]*】")
_ASIDE = re.compile(r"[(（][^()（）]*[)）]")
_MUSIC = re.compile(r"[♩♪♫♬]")
_DASH = re.compile(r"^\s*[-–—‐−](?:\s+|(?=[^\W\d]|[\"'«»“”‘’¿¡]))")
_SHOWN_AGAIN_S = 0.05


@dataclass(frozen=True)
class Cue:
    """One subtitle: what it says from `start_s` to `end_s`.

    `lines` are its lines without markup, `line` the number of its first line in the file, and
    `speaker` whom WebVTT's `<v …>` names, where that is one.
    """

    start_s: float
    end_s: float
    lines: tuple[str, ...]
    line: int
    speaker: str | None = None

    @property
    def text(self) -> str:
        return " ".join(self.lines)


@dataclass(frozen=True)
class BrokenCue:
    """A cue that cannot be placed; `start_s` is where it begins, as far as that is known."""

    line: int
    reason: str
    detail: str
    text: str
    start_s: float | None = None


def read_subtitles(path: Path) -> list[Cue | BrokenCue]:
    """All cues of a file, in its order.

    Raises:
        ValueError: it is too large, or neither UTF-8 nor UTF-16; one clause says which.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has over {MAX_BYTES:,} bytes")
    return parse_subtitles(_decoded(data), vtt=path.suffix.lower() == ".vtt")


def parse_subtitles(written: str, *, vtt: bool) -> list[Cue | BrokenCue]:
    """All cues of a file's text; with `vtt`, `&amp;` and `NOTE` mean what WebVTT says they do."""
    cues = (_cue(block, vtt) for block in _blocks(written, vtt))
    return [cue for cue in cues if cue]


def without_repeats(cues: list[Cue | BrokenCue]) -> list[Cue | BrokenCue]:
    """Cues without lines that the cue before shows already, as captions do that roll upwards."""
    kept: list[Cue | BrokenCue] = []
    for before, cue in zip([None, *cues], cues, strict=False):
        new = _new_lines(cue, before) if isinstance(before, Cue) and isinstance(cue, Cue) else cue
        if new:
            kept.append(new)
    return kept


def spoken(cue: Cue) -> str:
    """What is said in a cue: without descriptions of sounds, and dashes that begin a turn.

    Empty where nothing is: `[applause]`, `(door slams)`, or lines between ♪, which are sung.
    """
    text = clean(" ".join(_DASH.sub("", _DESCRIPTION.sub(" ", line)) for line in cue.lines))
    if _MUSIC.search(text) or not spoken_letters(_ASIDE.sub(" ", text)):
        return ""
    return text


@dataclass(frozen=True)
class _Block:
    line: int
    times: str
    text: tuple[str, ...]


def _decoded(data: bytes) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8; save it as such") from None


def _blocks(written: str, vtt: bool) -> Iterator[_Block]:
    """Lines of times with the text below them."""
    lines = written.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    number = 0
    while number < len(lines):
        line = lines[number]
        if vtt and line.split(maxsplit=1)[:1] and line.split(maxsplit=1)[0] in _VTT_BLOCKS:
            while number < len(lines) and lines[number].strip():
                number += 1
        elif "-->" in line and _looks_timed(line):
            end = number + 1
            while end < len(lines) and lines[end] and not _begins_cue(lines, end):
                end += 1
            yield _Block(number + 1, line, tuple(lines[number + 1 : end]))
            number = end
        else:
            number += 1


def _looks_timed(line: str) -> bool:
    """Whether a line is one of times, sound or not: an arrow, and digits on both sides of it."""
    before, _, after = line.partition("-->")
    return any(map(str.isdigit, before)) and any(map(str.isdigit, after))


def _begins_cue(lines: list[str], number: int) -> bool:
    """Whether a cue begins here although no blank line stands before it."""
    if _TIMES.fullmatch(lines[number]):
        return True
    following = lines[number + 1] if number + 1 < len(lines) else ""
    return bool(_ID.fullmatch(lines[number]) and _TIMES.fullmatch(following))


def _cue(block: _Block, vtt: bool) -> Cue | BrokenCue | None:
    lines, speaker = _plain(block.text, vtt)
    text = " ".join(lines)
    times = _TIMES.fullmatch(block.times)
    if times is None:
        detail = f"{block.times.strip()!r} is no line of times"
        return BrokenCue(block.line, "broken-row", detail, text)
    start_s, end_s = _seconds(*times.groups()[:4]), _seconds(*times.groups()[4:])
    if end_s <= start_s:
        if not lines:
            return None
        detail = f"it begins at {start_s:.3f} s and ends at {end_s:.3f} s"
        return BrokenCue(block.line, "bad-times", detail, text, start_s)
    return Cue(start_s, end_s, lines, block.line, speaker)


def _plain(lines: tuple[str, ...], vtt: bool) -> tuple[tuple[str, ...], str | None]:
    """Lines without markup and blank ones, and the one speaker that is named."""
    names = {clean(html.unescape(name)) for line in lines for name in _VOICE.findall(line)}
    plain = [_TAG.sub("", line) for line in lines]
    if vtt:
        plain = [html.unescape(line) for line in plain]
    kept = tuple(line for line in (" ".join(line.split()) for line in plain) if line)
    return kept, (names.pop() or None) if len(names) == 1 else None


def _new_lines(cue: Cue, before: Cue) -> Cue | None:
    touches = cue.start_s - before.end_s <= _SHOWN_AGAIN_S
    if not touches or not cue.lines or cue.lines[:1] != before.lines[-1:]:
        return cue
    if len(cue.lines) > 1:
        return replace(cue, lines=cue.lines[1:])
    return None if cue.end_s - cue.start_s <= _SHOWN_AGAIN_S else cue


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str | None) -> float:
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + (int(fraction) / 10 ** len(fraction) if fraction else 0.0)
