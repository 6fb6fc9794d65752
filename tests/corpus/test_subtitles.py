"""Subtitles: what transcribe writes is read back the same, and so is what is found in the wild."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modersmal.corpus.subtitles import (
    BrokenCue,
    Cue,
    parse_subtitles,
    read_subtitles,
    spoken,
    without_repeats,
)
from modersmal.transcribe.formats import Segment, Word, render

LETTERS = st.characters(exclude_categories=("Cs",))
TEXTS = st.text(LETTERS, min_size=1, max_size=30).filter(lambda text: bool(text.split()))
# SRT cannot tell markup from text that looks like it.
PLAIN_TEXTS = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="<{"), min_size=1, max_size=30
).filter(lambda text: bool(text.split()))
TIMES_S = st.lists(st.integers(1, 90_000), min_size=2, max_size=12).map(
    lambda steps_ms: [sum(steps_ms[: n + 1]) / 1000 for n in range(len(steps_ms))]
)


def segments(data: st.DataObject, texts: st.SearchStrategy[str]) -> list[Segment]:
    times_s = data.draw(TIMES_S)
    pairs = zip(times_s[::2], times_s[1::2], strict=False)
    return [Segment(start_s, end_s, data.draw(texts)) for start_s, end_s in pairs]


def shape(cues) -> list[tuple[float, float, str]]:
    assert all(isinstance(cue, Cue) for cue in cues)
    return [(round(cue.start_s, 3), round(cue.end_s, 3), cue.text) for cue in cues]


def written(of: list[Segment]) -> list[tuple[float, float, str]]:
    return [(one.start_s, one.end_s, " ".join(one.text.split())) for one in of]


@given(st.data())
def test_vtt_is_read_back_as_it_was_written(data: st.DataObject) -> None:
    of = segments(data, TEXTS)
    assert shape(parse_subtitles(render(of, "vtt", about={}), vtt=True)) == written(of)


@given(st.data())
def test_srt_is_read_back_as_it_was_written(data: st.DataObject) -> None:
    of = segments(data, PLAIN_TEXTS.filter(lambda text: "-->" not in text))
    assert shape(parse_subtitles(render(of, "srt", about={}), vtt=False)) == written(of)


@given(st.data())
def test_timed_words_are_read_back_as_their_text(data: st.DataObject) -> None:
    texts = TEXTS.map(lambda text: " ".join(text.split()))
    of = [
        Segment(
            one.start_s,
            one.end_s,
            one.text,
            tuple(Word(one.start_s + 0.01, one.end_s, word, 1.0) for word in one.text.split()),
        )
        for one in segments(data, texts)
    ]
    assert shape(parse_subtitles(render(of, "vtt", words=True, about={}), vtt=True)) == written(of)


def test_srt_as_found(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_bytes(
        "\ufeff1\r\n00:00:01,000 --> 00:00:02.5  X1:10 X2:20\r\n{\\an8}<i>Hej</i> du\r\n"
        '<font color="red">där</font>\r\n'
        "2\r\n01:02 --> 1:02:03,04\r\n3\r\n3\r\n00:00:05,000 --> 00:00:06,000\r\na < b > c\r\n"
        "\r\n\r\n4\r\n00:00:09,000 --> 00:00:08,000\r\nBaklänges\r\n"
        "\r\n5\r\n00:00:zz,000 --> 00:00:10,000\r\nTrasig\r\n"
        "\r\n6\r\n00:00:12,000 --> 00:00:12,000\r\n\r\n7\r\n00:00:13,000 --> 00:00:14,000".encode()
    )
    cues = read_subtitles(path)
    assert cues[0] == Cue(1.0, 2.5, ("Hej du", "där"), 2)
    assert cues[1] == Cue(62.0, 3723.04, ("3",), 6)
    assert cues[2] == Cue(5.0, 6.0, ("a < b > c",), 9)
    assert [type(cue) for cue in cues[3:5]] == [BrokenCue, BrokenCue]
    assert (cues[3].line, cues[3].reason, cues[3].start_s) == (14, "bad-times", 9.0)
    assert (cues[4].line, cues[4].reason, cues[4].text) == (18, "broken-row", "Trasig")
    assert cues[5:] == [Cue(13.0, 14.0, (), 25)]


def test_vtt_as_found() -> None:
    cues = parse_subtitles(
        "WEBVTT - Title\nKind: captions\n\nNOTE 00:00 --> 00:01\nnot this\n\nSTYLE\n"
        "::cue { color: red }\n\nintro\n00:01.000 --> 00:02.000 align:start position:0%\n"
        "<v.loud Anna Ek>Hej &amp; hå</v>\n\n00:03.000 --> 00:04.000\n"
        "<v Anna>En</v>\n<v Bo>Två</v>\n\n00:05.000 --> 00:06.000\n"
        "<00:00:05.000><c>ord</c><00:00:05.500><c.x> ett</c>\n",
        vtt=True,
    )
    assert cues == [
        Cue(1.0, 2.0, ("Hej & hå",), 11, "Anna Ek"),
        Cue(3.0, 4.0, ("En", "Två"), 14),
        Cue(5.0, 6.0, ("ord ett",), 18),
    ]


def test_captions_that_roll_say_every_line_once() -> None:
    cues = parse_subtitles(
        "WEBVTT\n\n00:00.000 --> 00:02.000\n \nen rad\n\n00:02.000 --> 00:02.010\nen rad\n \n\n"
        "00:02.010 --> 00:04.000\nen rad\ntvå rader\n\n00:04.000 --> 00:04.010\ntvå rader\n\n"
        "00:06.000 --> 00:07.000\nJa.\n\n00:07.000 --> 00:08.000\nJa.\n",
        vtt=True,
    )
    assert [cue.text for cue in without_repeats(cues)] == ["en rad", "två rader", "Ja.", "Ja."]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("[applåder]",), ""),
        (("(Dörren slår igen)",), ""),
        (("♪ Du gamla, du fria ♪",), ""),
        (("...",), ""),
        (("- Hej.", "- Hej då."), "Hej. Hej då."),
        (("[skratt] Ja visst",), "Ja visst"),
        (("Det (och mer) är så",), "Det (och mer) är så"),
        (("-5 grader - ungefär",), "-5 grader - ungefär"),
    ],
)
def test_what_is_spoken(lines: tuple[str, ...], said: str) -> None:
    assert spoken(Cue(0, 1, lines, 1)) == said


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_bytes("1\n00:00:01,000 --> 00:00:02,000\nåäö\n".encode("latin-1"))
    with pytest.raises(ValueError, match="UTF-8"):
        read_subtitles(path)
    path.write_bytes("1\n00:00:01,000 --> 00:00:02,000\nåäö\n".encode("utf-16"))
    assert [cue.text for cue in read_subtitles(path)] == ["åäö"]
