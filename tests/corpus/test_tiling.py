"""Tiles: in order, apart, within bounds, with every segment inside and every barrier outside."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modersmal.audio import SAMPLE_RATE
from modersmal.corpus.tiling import LEAD_S, MAX_PAUSE_S, Barrier, Segment, tile

LONGEST_S = 30.0
SLACK = 2  # samples that rounding may cost


def segment(start_s: float, end_s: float, text: str = "Ja visst.", **rest) -> Segment:
    return Segment(start_s, end_s, text, "a.srt line 1", **rest)


def seconds(tiles) -> list[tuple[float, float]]:
    return [(one.start / SAMPLE_RATE, one.end / SAMPLE_RATE) for one in tiles]


@st.composite
def timelines(draw) -> list[Segment | Barrier]:
    """Stretches one after the other, some of them barriers, some touching."""
    parts: list[Segment | Barrier] = []
    time_s = 0.0
    for _ in range(draw(st.integers(1, 12))):
        start_s = time_s + draw(st.sampled_from([0.0, 0.05, 0.3, 2.0, 9.0, 25.0]))
        time_s = start_s + draw(st.sampled_from([0.2, 1.0, 4.0, 12.0, 29.9, 31.0]))
        text = draw(st.sampled_from(["Ja.", "och så"]))
        kind = draw(st.sampled_from(["segment", "segment", "segment", "barrier"]))
        parts.append(
            segment(start_s, time_s, text) if kind == "segment" else Barrier(start_s, time_s)
        )
    return parts


@given(timelines())
def test_tiles_hold_every_segment_and_no_barrier(parts: list[Segment | Barrier]) -> None:
    tiles = tile(parts, LONGEST_S)
    segments = [part for part in parts if isinstance(part, Segment)]
    assert [one for tile_ in tiles for one in tile_.segments] == segments
    for before, after in pairwise(tiles):
        assert before.end <= after.start + SLACK
    for one in tiles:
        first_s, last_s = one.segments[0].start_s, one.segments[-1].end_s
        assert one.start <= first_s * SAMPLE_RATE + SLACK
        assert one.end >= last_s * SAMPLE_RATE - SLACK
        assert one.start >= (first_s - LEAD_S) * SAMPLE_RATE - SLACK
        if last_s - first_s <= LONGEST_S - LEAD_S:
            assert one.end - one.start <= LONGEST_S * SAMPLE_RATE + SLACK
        for barrier in parts:
            if isinstance(barrier, Barrier):
                assert (
                    one.end <= barrier.start_s * SAMPLE_RATE + SLACK
                    or one.start >= barrier.end_s * SAMPLE_RATE - SLACK
                )


@given(timelines())
def test_tiles_join_exactly_where_a_pause_is_short_and_known(
    parts: list[Segment | Barrier],
) -> None:
    tiles = tile(parts, LONGEST_S)
    barriers = [part for part in parts if isinstance(part, Barrier)]
    for before, after in pairwise(tiles):
        ends_s, begins_s = before.segments[-1].end_s, after.segments[0].start_s
        known = not any(ends_s <= barrier.start_s < begins_s for barrier in barriers)
        length = after.start - before.start
        short = begins_s - ends_s <= MAX_PAUSE_S and length <= LONGEST_S * SAMPLE_RATE
        if not known or not short:
            assert before.end < after.start or begins_s - ends_s <= LEAD_S
        else:
            assert before.end == after.start


def test_a_clip_begins_early_by_half_a_short_pause() -> None:
    tiles = tile([segment(1.0, 2.0), segment(2.2, 4.0), segment(6.0, 8.0)], LONGEST_S)
    assert seconds(tiles) == [
        pytest.approx((0.8, 2.1), abs=1e-4),
        pytest.approx((2.1, 5.8), abs=1e-4),
        pytest.approx((5.8, 8.2), abs=1e-4),
    ]


def test_a_sentence_over_several_subtitles_is_one_clip() -> None:
    parts = [
        segment(1.0, 3.0, "Det var en gång"),
        segment(3.0, 5.0, "en katt."),
        segment(5.0, 7.0, "Den sov."),
        segment(7.1, 7.5, "Ja."),
        segment(9.0, 9.4, "Nej."),
    ]
    tiles = tile(parts, LONGEST_S)
    assert [len(one.segments) for one in tiles] == [2, 2, 1]
    voices = [segment(1.0, 3.0, "Det", speaker="A"), segment(3.0, 5.0, "var", speaker="B")]
    assert len(tile(voices, LONGEST_S)) == 2


def test_overlapping_subtitles_are_parted_or_joined() -> None:
    [first, second] = tile([segment(1.0, 3.1), segment(3.0, 5.0)], LONGEST_S)
    assert first.end == second.start == 3 * SAMPLE_RATE
    [both] = tile([segment(1.0, 4.0, "Ett."), segment(2.0, 3.0, "Två.")], LONGEST_S)
    assert [(one.start_s, one.end_s, one.text) for one in both.segments] == [
        (1.0, 4.0, "Ett. Två.")
    ]
    [joined] = tile([segment(1.0, 4.0, "一"), segment(2.0, 3.0, "二")], LONGEST_S, space="")
    assert joined.segments[0].text == "一二"
