"""Windows of 30 s out of clips, and out of the consecutive segments of recordings.

A segment that straddles the edge belongs to the next window; this one hears its beginning, and
learns when it starts (Whisper paper, section 2.3).
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WINDOW_S = 30.0
_ROUNDING_S = 1e-3
_LEAST_HEARD_S = 0.5  # of a segment that straddles the edge
_SHORT_PAUSE_S, _LONG_PAUSE_S = 0.5, 3.0  # means
_LONG_SHARE = 0.08
_STRADDLED_SHARE = 0.25
_EARLIER_S = (24.0, 29.0)


@dataclass(frozen=True)
class Window:
    """Clips, by position in what was packed, and when each begins, in seconds.

    One that ends behind 30 s straddles the edge: it is whole in another window.
    """

    clips: list[int]
    starts_s: list[float]


def pack_clips(
    durations_s: np.ndarray, random: np.random.Generator, longest_s: float = WINDOW_S
) -> list[Window]:
    """Join clips, (n,) seconds, in the order they come, with pauses as between sentences, to at
    most `longest_s` where a clip alone is not longer.

    Each goes to the fullest window that has room. A quarter of the windows end earlier, and hear
    the beginning of one clip more.
    """
    count = len(durations_s)
    pauses_s = np.minimum(_pauses_s(count, random), WINDOW_S - durations_s)
    rooms_s = np.where(
        random.random(count) < _STRADDLED_SHARE, random.uniform(*_EARLIER_S, count), WINDOW_S
    )
    rooms_s = np.minimum(rooms_s, longest_s)
    windows = [
        _placed(clips, pauses_s, durations_s)
        for clips in _best_fit((durations_s + pauses_s).tolist(), rooms_s.tolist())
    ]
    others = random.integers(count, size=len(windows)).tolist()
    for window, room_s, other in zip(windows, rooms_s, others, strict=False):
        start_s = window.starts_s[-1] + float(durations_s[window.clips[-1]] + pauses_s[other])
        start_s = min(start_s, WINDOW_S - _LEAST_HEARD_S)
        free = start_s >= window.starts_s[-1] + durations_s[window.clips[-1]]
        if room_s < WINDOW_S and free and straddling([start_s], durations_s[[other]])[0]:
            window.clips.append(other)
            window.starts_s.append(start_s)
    return windows


def pack_recording(
    durations_s: np.ndarray, speech_s: np.ndarray, first_s: float, longest_s: float = WINDOW_S
) -> list[Window]:
    """Cut a recording into windows. Its segments last (n,) seconds with the pauses behind them,
    and the speech of each `speech_s`.

    The first window is of at most `first_s` seconds, so that other epochs cut elsewhere, and the
    others of at most `longest_s`, where a segment alone is not longer.
    """
    starts_s = np.cumsum(durations_s, dtype=np.float64) - durations_s
    ends_s = starts_s + speech_s
    windows: list[Window] = []
    first, limit_s = 0, min(first_s, longest_s)
    while first < len(starts_s):
        begin_s = float(starts_s[first])
        last = int(np.searchsorted(ends_s, begin_s + limit_s + _ROUNDING_S, side="right"))
        last = max(last, first + 1)
        clips = list(range(first, last))
        goes_on = limit_s == WINDOW_S and last < len(starts_s)
        if goes_on and starts_s[last] - begin_s <= WINDOW_S - _LEAST_HEARD_S:
            clips.append(last)
        windows.append(Window(clips, [float(starts_s[clip]) - begin_s for clip in clips]))
        first, limit_s = last, longest_s
    return windows


def straddling(starts_s: Sequence[float], ends_s: np.ndarray) -> np.ndarray:
    """Which clips, that begin at `starts_s` and whose speech ends (n,) seconds later, straddle the
    edge of a window: bool."""
    return np.asarray(starts_s) + ends_s > WINDOW_S + _ROUNDING_S


def _pauses_s(count: int, random: np.random.Generator) -> np.ndarray:
    """Pauses before clips: most short, some long."""
    means_s = np.where(random.random(count) < _LONG_SHARE, _LONG_PAUSE_S, _SHORT_PAUSE_S)
    return random.exponential(means_s)


def _placed(clips: list[int], pauses_s: np.ndarray, durations_s: np.ndarray) -> Window:
    starts_s, now_s = [], 0.0
    for clip in clips:
        now_s += float(pauses_s[clip])
        starts_s.append(now_s)
        now_s += float(durations_s[clip])
    return Window(clips, starts_s)


def _best_fit(needs_s: list[float], rooms_s: list[float]) -> list[list[int]]:
    """Put each item, in turn, where the least room is left that it fits into.

    What is opened next has the next of `rooms_s`, or more where an item needs it.
    """
    open_: list[tuple[float, int]] = []  # sorted: room left, number
    bins: list[list[int]] = []
    for item, need_s in enumerate(needs_s):
        place = bisect.bisect_left(open_, (need_s, -1))
        if place == len(open_):
            room_s, number = max(need_s, rooms_s[len(bins)]), len(bins)
            bins.append([])
        else:
            room_s, number = open_.pop(place)
        bins[number].append(item)
        bisect.insort(open_, (room_s - need_s, number))
    return bins
