"""Subtitles that every player reads: right times, no overlaps, nothing lost, nothing misread."""

import html
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modersmal.errors import RecipeError
from modersmal.transcribe.formats import FORMATS, Segment, Word, check_format, render

TIME = r"(\d{2,}):([0-5]\d):([0-5]\d)[,.](\d{3})"
CUE = re.compile(rf"^{TIME} --> {TIME}$")
TWO = [
    Segment(0.0, 1.25, "Hej & hå", (Word(0.0, 0.5, "Hej", 0.9), Word(0.6, 1.25, "& hå", 0.8))),
    Segment(3725.5, 3727.0, "<i>nästa</i>", (Word(3725.5, 3727.0, "<i>nästa</i>", 0.5),)),
]

texts = st.text(st.characters(codec="utf-8"), max_size=30)
times = st.floats(0, 400_000, allow_nan=False)


@st.composite
def segments(draw: st.DrawFn) -> list[Segment]:
    """Segments as any engine might give them: overlapping, empty, backwards."""
    made = []
    for _ in range(draw(st.integers(0, 6))):
        words = [
            Word(draw(times), draw(times), draw(texts), 0.5) for _ in range(draw(st.integers(0, 3)))
        ]
        made.append(Segment(draw(times), draw(times), draw(texts), tuple(words)))
    return made


def ms(parts: tuple[str, ...]) -> int:
    hours, minutes, seconds, rest = map(int, parts)
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + rest


def cues(text: str) -> list[tuple[int, int, str]]:
    """Parse subtitles as players do: blocks parted by empty lines."""
    found = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line]
        if lines and lines[0].isdigit():
            lines = lines[1:]
        if lines and (match := CUE.match(lines[0])):
            assert len(lines) == 2, lines
            found.append((ms(match.groups()[:4]), ms(match.groups()[4:]), lines[1]))
    return found


def test_srt() -> None:
    assert render(TWO, "srt", about={}) == (
        "1\n00:00:00,000 --> 00:00:01,250\nHej & hå\n\n"
        "2\n01:02:05,500 --> 01:02:07,000\n<i>nästa</i>\n"
    )


def test_vtt() -> None:
    assert render(TWO, "vtt", about={}) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.250\nHej &amp; hå\n\n"
        "01:02:05.500 --> 01:02:07.000\n&lt;i&gt;nästa&lt;/i&gt;\n"
    )


def test_words_get_times_where_the_format_has_them() -> None:
    assert "00:00:00,600 --> 00:00:01,250\n& hå\n" in render(TWO, "srt", words=True, about={})
    assert "\nHej <00:00:00.600>&amp; hå\n" in render(TWO, "vtt", words=True, about={})
    with pytest.raises(RecipeError, match="txt holds no times of words"):
        check_format("txt", words=True)
    with pytest.raises(RecipeError, match=r"no format 'str' \(did you mean 'srt'\?\)"):
        check_format("str", words=False)


def test_txt_and_json() -> None:
    assert render(TWO, "txt", about={}) == "Hej & hå\n<i>nästa</i>\n"
    table = json.loads(render(TWO, "json", about={"file": "a.mp3"}))
    assert table["file"] == "a.mp3"
    assert table["text"] == "Hej & hå <i>nästa</i>"
    assert table["segments"][0]["words"][1] == {
        "start_s": 0.6, "end_s": 1.25, "text": "& hå", "probability": 0.8,
    }  # fmt: skip


def test_long_recordings_have_long_hours() -> None:
    late = [Segment(360_000.0, 360_001.0, "hundra timmar")]
    assert cues(render(late, "srt", about={})) == [(360_000_000, 360_001_000, "hundra timmar")]


@given(segments(), st.booleans())
def test_what_is_written_can_be_read_back(spoken: list[Segment], words: bool) -> None:
    lines = [" ".join(segment.text.split()) for segment in spoken]
    lines = [line for line in lines if line]

    srt, vtt = cues(render(spoken, "srt", about={})), cues(render(spoken, "vtt", about={}))

    assert [text for *_, text in srt] == [line.replace("-->", "→") for line in lines]
    assert [html.unescape(text) for *_, text in vtt] == lines
    for found in (srt, vtt, cues(render(spoken, "srt", words=True, about={}))):
        edges = [edge for start, end, _ in found for edge in (start, end)]
        assert edges == sorted(edges)
        assert all(start < end for start, end, _ in found)
    timed = cues(render(spoken, "vtt", words=True, about={}))
    for start, end, text in timed:
        inside = [ms(parts) for parts in re.findall(f"<{TIME}>", text)]
        assert inside == sorted(set(inside))
        assert all(start < time < end for time in inside)
    for format in FORMATS:
        text = render(spoken, format, words=words and format != "txt", about={})
        assert text.encode("utf-8").decode("utf-8") == text
    assert len(json.loads(render(spoken, "json", about={}))["segments"]) == len(spoken)
