import numpy as np
import pytest

from modersmal.train.bounds import room_tone, speech_bounds_s


def said(before_s, speech_s, after_s, noise_db=-60.0, seed=0):
    """A hum between two stretches of noise."""
    random = np.random.default_rng(seed)
    length = round((before_s + speech_s + after_s) * 16_000)
    clip = random.standard_normal(length) * 10 ** (noise_db / 20)
    first = round(before_s * 16_000)
    times = np.arange(round(speech_s * 16_000)) / 16_000
    clip[first : first + len(times)] += 0.2 * np.sin(2 * np.pi * 180 * times)
    return clip.astype(np.float32)


@pytest.mark.parametrize("noise_db", [-80, -60, -45])
@pytest.mark.parametrize(("before_s", "after_s"), [(0.0, 0.0), (0.5, 0.3), (2.0, 1.0)])
def test_speech_is_found_between_silences(before_s, after_s, noise_db):
    start_s, end_s = speech_bounds_s(said(before_s, 1.5, after_s, noise_db))
    assert start_s == pytest.approx(before_s, abs=0.1)
    assert end_s == pytest.approx(before_s + 1.5, abs=0.1)


@pytest.mark.parametrize(
    "clip",
    [np.zeros(16_000, np.float32), np.zeros(10, np.float32), said(0, 2.0, 0, -10.0)],
    ids=["silence", "next to nothing", "no silence"],
)
def test_where_nothing_can_be_told_it_is_all_speech(clip):
    start_s, end_s = speech_bounds_s(clip)
    assert start_s == 0
    assert end_s == pytest.approx(len(clip) / 16_000, abs=0.03)


def test_a_pause_sounds_like_its_clip():
    random = np.random.default_rng(0)
    for noise_db in (-70, -40):
        tone = room_tone(said(0.5, 1.0, 0.5, noise_db), 16_000, random)
        assert 20 * np.log10(tone.std()) == pytest.approx(noise_db, abs=3)
    assert not room_tone(np.zeros(16_000, np.float32), 100, random).any()
    assert not room_tone(np.zeros(3, np.float32), 100, random).any()
