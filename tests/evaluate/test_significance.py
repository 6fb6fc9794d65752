"""Intervals that are right 95 times in 100, and comparisons that know when nothing differs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modersmal.evaluate.significance import clusters, rate_difference, rate_interval


def drawn_clips(seed: int, speakers: int = 40, clips: int = 10, spread: float = 0.1):
    """Errors and words per clip, where speakers differ: a true rate of 0.3 at least."""
    draws = np.random.default_rng(seed)
    rates = np.clip(draws.normal(0.3, spread, speakers), 0, 1).repeat(clips)
    units = draws.integers(3, 15, speakers * clips)
    names = [f"speaker-{number}" for number in np.arange(speakers).repeat(clips)]
    return draws.binomial(units, rates), units, clusters(names)


def test_draws_whole_speakers_where_they_are_known() -> None:
    names = ["a", "b", "c", "d", "e", "a", None, ""]
    groups = clusters(names)

    assert (groups.unit, groups.count) == ("speaker", 7)  # two clips of no known speaker
    assert groups.of_clip[0] == groups.of_clip[5]
    assert len(set(groups.of_clip)) == 7
    assert clusters(["a", "b", "c", "d", "a"]).unit == "clip"  # too few speakers
    assert clusters([None] * 9).count == 9


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    held = 0
    for seed in range(150):
        interval = rate_interval(*drawn_clips(seed))
        held += interval.low <= 0.3 <= interval.high

    assert 0.87 <= held / 150 <= 1


def test_speakers_who_differ_make_it_wider() -> None:
    errors, units, by_speaker = drawn_clips(0, spread=0.25)
    by_clip = clusters([None] * len(errors))

    wide, narrow = (rate_interval(errors, units, groups) for groups in (by_speaker, by_clip))

    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_finds_a_real_difference_and_no_other() -> None:
    errors, units, groups = drawn_clips(1)
    better = np.maximum(errors - (np.arange(len(errors)) % 3 == 0), 0)

    found = rate_difference(better, errors, units, groups)
    assert found.difference < 0
    assert found.interval.high < 0
    assert found.p < 0.01
    draws = np.random.default_rng(2)
    shuffled = errors + draws.choice([-1, 1], len(errors)) * (errors > 0)
    chance = rate_difference(shuffled, errors, units, groups)
    assert chance.interval.low < 0 < chance.interval.high
    assert chance.p > 0.05


def test_is_a_function_of_its_input() -> None:
    assert rate_interval(*drawn_clips(3)) == rate_interval(*drawn_clips(3))


def test_one_clip_says_nothing_of_others() -> None:
    one = np.array([1])
    assert rate_interval(one, np.array([4]), clusters([None])) is None
    alone = rate_difference(one, np.array([2]), np.array([4]), clusters([None]))
    assert (alone.difference, alone.interval, alone.p) == (-0.25, None, None)


clip = st.tuples(
    st.integers(0, 9), st.integers(0, 9), st.integers(1, 9), st.sampled_from("abcdefg")
)


@given(st.lists(clip, min_size=2, max_size=60))
def test_the_interval_holds_the_estimate(clips) -> None:
    errors, others, units, names = (list(column) for column in zip(*clips, strict=True))
    groups = clusters(names)
    ours, theirs, said = map(np.array, (errors, others, units))

    interval = rate_interval(ours, said, groups)
    rate = ours.sum() / said.sum()
    assert interval.low <= rate <= interval.high
    same = rate_difference(ours, ours, said, groups)
    assert (same.difference, same.interval.low, same.interval.high, same.p) == (0, 0, 0, 1)
    there, back = (
        rate_difference(ours, theirs, said, groups),
        rate_difference(theirs, ours, said, groups),
    )
    assert there.difference == pytest.approx(-back.difference)
    assert there.interval.low == pytest.approx(-back.interval.high)
    assert there.p == back.p
    assert there.interval.low <= there.difference <= there.interval.high
