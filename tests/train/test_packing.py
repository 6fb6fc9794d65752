import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from modersmal.train.packing import WINDOW_S, pack_clips, pack_recording, straddling

lengths = st.lists(st.floats(0.25, 30, width=32), min_size=1, max_size=80).map(
    lambda drawn: np.array(drawn, np.float32)
)


def whole(window, ends_s):
    off = straddling(window.starts_s, ends_s[window.clips])
    return [clip for clip, cut in zip(window.clips, off, strict=True) if not cut]


@settings(deadline=None)
@given(lengths, st.integers(0, 2**31))
def test_clips_are_each_whole_in_one_window_and_do_not_overlap(durations_s, seed):
    windows = pack_clips(durations_s, np.random.default_rng(seed))
    held = [clip for window in windows for clip in whole(window, durations_s)]
    assert sorted(held) == list(range(len(durations_s)))
    for window in windows:
        assert window.starts_s[0] >= 0
        for (clip, start_s), later_s in zip(
            zip(window.clips, window.starts_s, strict=True),
            [*window.starts_s[1:], np.inf],
            strict=True,
        ):
            assert start_s < WINDOW_S
            assert start_s + durations_s[clip] <= later_s + 1e-4
        assert len(window.clips) - len(whole(window, durations_s)) <= 1


def test_windows_are_well_filled_with_pauses_as_people_make_them():
    random = np.random.default_rng(0)
    durations_s = random.gamma(6, 0.72, 3000).astype(np.float32)
    windows = pack_clips(durations_s, random)
    filled = durations_s.sum() / (len(windows) * WINDOW_S)
    assert filled > 0.8
    gaps = np.concatenate(
        [
            np.diff(window.starts_s) - durations_s[window.clips[:-1]]
            for window in windows
            if len(window.clips) > 1
        ]
    )
    assert 0.2 < np.median(gaps) < 1.0
    assert gaps.max() > 5
    straddled = [len(whole(window, durations_s)) < len(window.clips) for window in windows]
    assert 0.12 < np.mean(straddled) < 0.3


@settings(deadline=None)
@given(lengths, st.floats(5, 30), st.integers(0, 2**31))
def test_a_recording_s_windows_are_what_it_was(durations_s, first_s, seed):
    speech_s = durations_s * np.random.default_rng(seed).uniform(0.3, 1, len(durations_s))
    speech_s = speech_s.astype(np.float32)
    windows = pack_recording(durations_s, speech_s, first_s)
    held = [clip for window in windows for clip in whole(window, speech_s)]
    assert held == list(range(len(durations_s)))
    starts_s = np.cumsum(durations_s, dtype=np.float64) - durations_s
    for window in windows:
        offsets_s = starts_s[window.clips] - starts_s[window.clips[0]]
        assert np.allclose(window.starts_s, offsets_s, atol=1e-6)
        cut = set(window.clips) - set(whole(window, speech_s))
        assert cut <= {window.clips[-1]}


def test_windows_of_a_recording_are_as_long_as_they_can_be():
    durations_s = np.full(60, 4.0, np.float32)
    windows = pack_recording(durations_s, durations_s - 0.5, 30.0)
    assert [len(whole(window, durations_s - 0.5)) for window in windows[:-1]] == [7] * 8
    assert all(window.clips[-1] == window.clips[0] + 7 for window in windows[:-1])
