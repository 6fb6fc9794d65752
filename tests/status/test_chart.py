"""The curve stays in its frame, and shows its ends."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modersmal.status.chart import chart

BRAILLE = {chr(code) for code in range(0x2801, 0x2900)}
steps_and_rates = st.lists(st.tuples(st.integers(1, 500), st.floats(0, 3)), min_size=2, max_size=60)


def rising(pairs: list) -> list:
    """Points from gaps and rates."""
    steps = itertools.accumulate(float(gap) for gap, _ in pairs)
    return list(zip(steps, (rate for _, rate in pairs), strict=True))


series = steps_and_rates.map(rising)


def test_a_falling_curve() -> None:
    points = [(250.0 * n, 0.18 + 0.4 * math.exp(-n / 3)) for n in range(1, 9)]
    assert chart(points, width=30, height=4) == [
        "46.7% ┤⠑⠤⡀",
        "      │  ⠈⠒⠤⣀",
        "      │      ⠉⠑⠤⢄⣀⡀",
        "20.8% ┤           ⠈⠉⠉⠉⠒⠒⠒⠤⠤⠤⢄⣀",
        "      └───────────────────────",
        "       250               2,000",
    ]


@given(series, st.integers(1, 120), st.integers(2, 12))
def test_it_stays_within_its_frame(points: list, width: int, height: int) -> None:
    lines = chart(points, width=width, height=height)
    assert lines
    assert all(len(line) <= width for line in lines)
    assert len(lines) in (1, height + 1, height + 2)


@given(series, st.integers(24, 120), st.integers(2, 12))
def test_highest_and_lowest_touch_top_and_bottom(points: list, width: int, height: int) -> None:
    lines = chart(points, width=width, height=height)
    rates = [rate for _, rate in points]
    if max(rates) - min(rates) > 1e-6:
        assert f"{max(rates):.1%}" in lines[0]
        assert f"{min(rates):.1%}" in lines[height - 1]
        assert BRAILLE & set(lines[0])
        assert BRAILLE & set(lines[height - 1])
    # The line is unbroken: every column of the plot has a dot.
    left = lines[height].index("└") + 1
    columns = len(lines[height]) - left
    for column in range(left, left + columns):
        assert any(column < len(row) and row[column] in BRAILLE for row in lines[:height])


def test_a_level_curve_has_one_label() -> None:
    lines = chart([(1, 0.4), (2, 0.4), (3, 0.4)], width=40, height=5)
    assert [line.count("40.0%") for line in lines] == [0, 0, 1, 0, 0, 0, 0]
    assert BRAILLE & set(lines[2])


def test_without_room_it_is_one_line_of_blocks() -> None:
    assert chart([(n, 1 / n) for n in range(1, 6)], width=20) == ["█▄▂▁▁"]
    assert len(chart([(n, 1 / n) for n in range(1, 90)], width=8)[0]) == 8


@pytest.mark.parametrize("points", [[], [(1.0, 0.5)], [(1.0, math.nan), (2.0, 0.5)]])
def test_fewer_than_two_numbers_are_no_curve(points: list) -> None:
    assert chart(points, width=60) == []
