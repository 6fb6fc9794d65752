"""Where in a clip somebody speaks, and how it sounds where nobody does."""

import numpy as np

from modersmal.audio import SAMPLE_RATE

_FRAME_SAMPLES = 320
_BELOW_LOUDEST = 10 ** (-35 / 20)
_ABOVE_QUIETEST = 10 ** (6 / 20)
_EDGE_S = 0.06  # soft sounds at either end


def speech_bounds_s(samples: np.ndarray) -> tuple[float, float]:
    """When speech begins and ends in a clip, (n,) float32 at 16 kHz, by its loudness.

    A clip in which silence cannot be told from speech is speech from end to end.
    """
    duration_s = len(samples) / SAMPLE_RATE
    loudness = _loudness(samples)
    if not len(loudness):
        return 0.0, duration_s
    threshold = loudness.max() * _BELOW_LOUDEST
    threshold = max(threshold, min(_quiet(loudness) * _ABOVE_QUIETEST, loudness.max() / 4))
    loud = np.flatnonzero(loudness > threshold)
    if not len(loud):
        return 0.0, duration_s
    frame_s = _FRAME_SAMPLES / SAMPLE_RATE
    first_s, last_s = loud[0] * frame_s, (loud[-1] + 1) * frame_s
    return max(0.0, float(first_s) - _EDGE_S), min(duration_s, float(last_s) + _EDGE_S)


def room_tone(samples: np.ndarray, length: int, random: np.random.Generator) -> np.ndarray:
    """Silence as loud as a clip's own, (length,) float32, for the pause behind it."""
    loudness = _loudness(samples)
    level = _quiet(loudness) if len(loudness) else 0.0
    return random.standard_normal(length, dtype=np.float32) * np.float32(level)


def _loudness(samples: np.ndarray) -> np.ndarray:
    """Root mean square of frames of 20 ms."""
    frames = len(samples) // _FRAME_SAMPLES
    cut = samples[: frames * _FRAME_SAMPLES].reshape(frames, _FRAME_SAMPLES)
    return np.sqrt(np.mean(np.square(cut), axis=1))


def _quiet(loudness: np.ndarray) -> float:
    return float(np.quantile(loudness, 0.05))
