"""The loudness of a recording as it goes by: where to cut it into windows, and where it pauses."""

from collections.abc import Iterator

import numpy as np

from modersmal.audio import SAMPLE_RATE

FRAME_SAMPLES = 320
FRAME_S = FRAME_SAMPLES / SAMPLE_RATE
_FRAMES_PER_S = SAMPLE_RATE // FRAME_SAMPLES
_SHORTEST_SHARE = 0.4
_QUIET_FRAMES = 15
_SILENCE_DB = -60.0
_AROUND_S = 8
_PAUSE_LEVEL = 0.3
_LEAST_CONTRAST_DB = 10.0
_PAUSE_S = 0.1


class Trace:
    """Levels of 20 ms frames of a recording: 180 KB an hour are all that stays of it."""

    def __init__(self) -> None:
        self._levels: list[np.ndarray] = []

    def windows(
        self, recording: Iterator[np.ndarray], longest_s: float
    ) -> Iterator[tuple[float, np.ndarray]]:
        """Cut a recording at its quietest places: (start in seconds, samples) of each window.

        Windows without any sound are left out. `recording` comes in pieces: (n,) float32, 16 kHz.
        """
        longest = round(longest_s * SAMPLE_RATE) // FRAME_SAMPLES * FRAME_SAMPLES
        held, start = np.empty(0, np.float32), 0
        for piece in recording:
            held = np.concatenate([held, piece])
            while len(held) >= longest:
                cut = _quietest(held[:longest])
                yield from self._window(held[:cut], start)
                held, start = held[cut:], start + cut
        if len(held):
            yield from self._window(held, start)

    def pauses(self) -> np.ndarray:
        """Where the recording falls silent, against the voices around: (n, 2) seconds, rising."""
        levels = np.concatenate(self._levels) if self._levels else np.empty(0, np.float32)
        quiet = np.zeros(len(levels) + 2, bool)
        for second in range(-(-len(levels) // _FRAMES_PER_S)):
            here = slice(second * _FRAMES_PER_S, (second + 1) * _FRAMES_PER_S)
            first = max(0, second - _AROUND_S) * _FRAMES_PER_S
            around = levels[first : (second + _AROUND_S + 1) * _FRAMES_PER_S]
            low, high = np.percentile(around, (5, 95))
            limit = low + _PAUSE_LEVEL * (high - low)
            if high - low >= _LEAST_CONTRAST_DB:
                quiet[1:-1][here] = levels[here] < limit
        edges = np.flatnonzero(np.diff(quiet.astype(np.int8)))
        spans = edges.reshape(-1, 2) * FRAME_S
        return spans[spans[:, 1] - spans[:, 0] >= _PAUSE_S - 1e-9]

    def _window(self, samples: np.ndarray, start: int) -> Iterator[tuple[float, np.ndarray]]:
        levels = _levels(samples)
        self._levels.append(levels)
        if levels.max() > _SILENCE_DB:
            yield start / SAMPLE_RATE, samples


def _levels(samples: np.ndarray) -> np.ndarray:
    """Power of each frame in dB, of the last one too where it is not whole: (n,) float32."""
    padded = np.pad(samples, (0, -len(samples) % FRAME_SAMPLES)).reshape(-1, FRAME_SAMPLES)
    power = np.einsum("fn,fn->f", padded, padded) / FRAME_SAMPLES
    return np.maximum(10 * np.log10(power + 1e-12), -100).astype(np.float32)


def _quietest(samples: np.ndarray) -> int:
    """The sample to cut at: the middle of the quietest 0.3 s, not in the first part."""
    levels = _levels(samples)
    sums = np.convolve(levels, np.ones(_QUIET_FRAMES), "valid")
    first = int(len(sums) * _SHORTEST_SHARE)
    latest = len(sums) - 1 - int(np.argmin(sums[first:][::-1]))
    return (latest + _QUIET_FRAMES // 2) * FRAME_SAMPLES
