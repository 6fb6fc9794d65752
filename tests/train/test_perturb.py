import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modersmal.config import AugmentConfig, parse_recipe
from modersmal.errors import RecipeError
from modersmal.train.noise import coloured_noise, fast_length, rms, silence
from modersmal.train.perturb import perturb, speed_factors

RATE = 16_000
EVERYTHING = {
    "speed_share": 1.0, "noise_share": 1.0, "reverberation_share": 1.0, "gain_db": 6.0,
}  # fmt: skip


def tone(seconds=1.0, hertz=440.0):
    times = np.arange(round(seconds * RATE)) / RATE
    return (0.1 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def heard(samples, row=0, *, seed=0, epoch=0, **config):
    return perturb(samples, seed, epoch, row, len(samples) / RATE, AugmentConfig(**config))


def pitch(samples):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return spectrum.argmax() * RATE / len(samples)


def test_by_default_a_clip_is_left_as_it_is():
    clip = tone()
    assert heard(clip) is clip
    assert (speed_factors(0, 0, np.arange(9), np.ones(9), AugmentConfig()) == 1).all()


@pytest.mark.parametrize("config", [{key: value} for key, value in EVERYTHING.items()])
def test_each_perturbation_is_a_function_of_seed_epoch_and_row(config):
    clip = tone()
    first = heard(clip, **config)
    assert not np.array_equal(first[: len(clip)], clip[: len(first)])
    assert first.dtype == np.float32
    assert np.array_equal(first, heard(clip, **config))
    for other in ({"seed": 1}, {"epoch": 1}, {"row": 1}, {"row": 2}, {"row": 3}):
        if not np.array_equal(first, heard(clip, **config, **other)):
            break
    else:
        pytest.fail("nothing else is drawn")


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 40_000), st.integers(0, 10**7), st.floats(0, 1))
def test_any_clip_comes_out_sound(length, row, share):
    clip = np.random.default_rng(row).uniform(-1, 1, length).astype(np.float32)
    config = AugmentConfig(
        speed_share=share, noise_share=share, reverberation_share=share, gain_db=20 * share
    )
    duration_s = length / RATE
    after = perturb(clip, 3, 1, row, duration_s, config)
    factor = speed_factors(3, 1, np.array([row]), np.array([duration_s]), config)[0]
    assert after.dtype == np.float32
    assert np.isfinite(after).all()
    assert abs(len(after) - length / factor) <= 2


def test_speed_changes_pitch_and_duration_as_the_plan_was_told():
    config = AugmentConfig(speed_share=1.0, speed_factors=[0.8, 1.25])
    rows = np.arange(20)
    factors = speed_factors(5, 2, rows, np.full(20, 2.0), config)
    assert set(np.round(factors, 6)) == {np.float32(0.8), np.float32(1.25)}
    for row in rows[:6]:
        after = perturb(tone(2.0), 5, 2, int(row), 2.0, config)
        assert len(after) == pytest.approx(2 * RATE / factors[row], abs=2)
        assert pitch(after) == pytest.approx(440 * factors[row], rel=0.01)


def test_so_many_clips_are_played_faster_or_slower_as_asked_for_and_each_way_as_often():
    config = AugmentConfig(speed_share=0.3, speed_factors=[0.9, 1.1])
    rows = np.arange(100_000)
    factors = speed_factors(0, 0, rows, np.full(len(rows), 4.0), config)
    for value in (0.9, 1.1):
        assert np.mean(factors == np.float32(value)) == pytest.approx(0.15, abs=0.005)
    assert np.mean(factors == 1) == pytest.approx(0.7, abs=0.005)
    apart = speed_factors(0, 1, rows, np.full(len(rows), 4.0), config)
    assert np.mean((factors != 1) & (apart != 1)) == pytest.approx(0.09, abs=0.005)
    one_by_one = [speed_factors(0, 0, rows[n : n + 1], np.ones(1), config)[0] for n in range(50)]
    assert np.array_equal(one_by_one, factors[:50])


def test_no_clip_becomes_longer_than_a_window():
    config = AugmentConfig(speed_share=1.0, speed_factors=[0.9])
    factors = speed_factors(0, 0, np.arange(3), np.array([26.9, 27.0, 27.1]), config)
    assert factors == pytest.approx([0.9, 0.9, 1.0])


@pytest.mark.parametrize("snr_db", [0.0, 20.0])
def test_noise_is_as_much_below_the_clip_as_drawn(snr_db):
    clip = tone(2.0)
    after = heard(clip, noise_share=1.0, noise_snr_db=[snr_db, snr_db])
    measured = 20 * np.log10(rms(clip) / rms(after - clip))
    assert measured == pytest.approx(snr_db, abs=0.1)


@pytest.mark.parametrize(("slope", "per_octave_db"), [(0, 0.0), (1, -3.0), (2, -6.0)])
def test_noise_has_its_colour(slope, per_octave_db):
    noise = coloured_noise(40 * RATE, slope, np.random.default_rng(0))
    assert rms(noise) == pytest.approx(1, abs=1e-3)
    power = np.abs(np.fft.rfft(noise)) ** 2
    hertz = np.fft.rfftfreq(len(noise), 1 / RATE)
    octaves = [power[(hertz >= low) & (hertz < 2 * low)].mean() for low in (200, 400, 800, 1600)]
    falls = [10 * np.log10(after / before) for before, after in itertools.pairwise(octaves)]
    assert np.mean(falls) == pytest.approx(per_octave_db, abs=0.2)


def test_a_room_adds_echoes_that_fade_and_does_not_delay():
    click = np.zeros(RATE, dtype=np.float32)
    click[2000] = 0.5
    after = heard(click, reverberation_share=1.0, reverberation_s=[0.3, 0.3])
    assert np.abs(after).argmax() == 2000
    assert np.abs(after[:1990]).max() < 1e-5
    assert rms(after) == pytest.approx(rms(click), rel=1e-3)

    def level_db(at_s):
        start = 2000 + round(at_s * RATE)
        return 20 * np.log10(rms(after[start : start + 400]))

    assert level_db(0.05) - level_db(0.2) == pytest.approx(60 * 0.15 / 0.3, abs=3)


@pytest.mark.parametrize("seconds", [0.05, 1.0, 5.0])
@pytest.mark.parametrize("echo_s", [0.1, 1.5])
def test_a_clip_in_a_room_is_a_click_in_it_for_each_sample(seconds, echo_s):
    room = {"reverberation_share": 1.0, "reverberation_s": [echo_s, echo_s]}
    click = np.zeros(2 * RATE, dtype=np.float32)
    click[0] = 1
    clip = np.random.default_rng(0).standard_normal(int(seconds * RATE)).astype(np.float32)
    after = heard(clip, **room)
    expected = np.convolve(clip, heard(click, **room)[: int(echo_s * RATE)])[: len(clip)]
    assert after / rms(after) == pytest.approx(expected / rms(expected), abs=1e-3)


def test_gain_stays_within_its_bounds_and_below_full_scale():
    quiet, loud = tone(0.1), 9 * tone(0.1)
    gains = [rms(heard(quiet, row, gain_db=6.0)) / rms(quiet) for row in range(200)]
    assert 0.5 < min(gains) < 0.55
    assert 1.85 < max(gains) < 2.0
    assert max(np.abs(heard(loud, row, gain_db=6.0)).max() for row in range(50)) <= 1.0001


def test_silence_is_quiet_of_several_kinds_and_follows_its_stream():
    made = [silence(RATE, np.random.default_rng(seed)) for seed in range(60)]
    levels = [20 * np.log10(rms(each)) if each.any() else None for each in made]
    assert 10 < levels.count(None) < 30
    assert all(level is None or -80.1 <= level <= -34.9 for level in levels)
    assert all(len(each) == RATE and each.dtype == np.float32 for each in made)
    hums = [each for each in made if each.any() and pitch(each) % 50 < 1.1 and pitch(each) >= 50]
    assert hums
    assert np.array_equal(made[1], silence(RATE, np.random.default_rng(1)))
    assert len(silence(0, np.random.default_rng(1))) == 0


@given(st.integers(1, 10**6))
def test_a_fast_length_is_hardly_longer(length):
    assert length <= fast_length(length) <= 1.25 * length


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"speed_factors": [0.1]}, "0.5 to 2"),
        ({"noise_snr_db": [30, 10]}, "lower limit"),
        ({"reverberation_s": [0.1]}, "2"),
        ({"reverberation_s": [0, 0.5]}, "0.02"),
    ],
)
def test_what_makes_no_sense_is_refused(table, said):
    with pytest.raises(RecipeError, match=said):
        parse_recipe({"train": {"augment": table}})
