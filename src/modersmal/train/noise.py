"""Noise as rooms and devices make it, and what is heard where nobody speaks."""

import numpy as np

from modersmal.audio import SAMPLE_RATE

_FAINT = 1e-30  # instead of nothing, to divide by
_PURE, _NOISY, _HUMMING = range(3)  # kinds of silence
_QUIETEST_DB, _LOUDEST_DB = -80.0, -35.0
_MAINS_HZ = (50.0, 60.0)
_OVERTONES = 6
_SMOOTH = (1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 15, 16, 18, 20, 24, 25, 27, 30, 32)  # of 2, 3, 5
_LOWEST_HZ = 20.0  # below, brown noise would be all rumble


def coloured_noise(length: int, slope: float, random: np.random.Generator) -> np.ndarray:
    """Noise of root mean square 1, (length,) float32, whose power falls with frequency to the
    power of `slope`: 0 is white, 1 pink, 2 brown."""
    if not length:
        return np.zeros(0, dtype=np.float32)
    size = fast_length(length)
    spectrum = random.standard_normal(size // 2 * 2 + 2, dtype=np.float32).view(np.complex64)
    frequencies = np.arange(len(spectrum), dtype=np.float32) * np.float32(SAMPLE_RATE / size)
    spectrum *= np.maximum(frequencies, np.float32(_LOWEST_HZ)) ** np.float32(-slope / 2)
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, size)[:length].astype(np.float32, copy=False)
    return noise / max(rms(noise), _FAINT)


def silence(length: int, random: np.random.Generator) -> np.ndarray:
    """What a recording holds while nobody speaks, (length,) float32 at 16 kHz: digital silence,
    noise of some colour, or the hum of the mains in it; at most -35 dB of full scale."""
    kind = random.integers(3)
    if kind == _PURE:
        return np.zeros(length, dtype=np.float32)
    noise = coloured_noise(length, random.uniform(0, 2), random)
    if kind == _HUMMING:
        noise = 0.3 * noise + _hum(length, random)
    level = 10 ** (random.uniform(_QUIETEST_DB, _LOUDEST_DB) / 20)
    return (noise * (level / max(rms(noise), _FAINT))).astype(np.float32)


def rms(samples: np.ndarray) -> float:
    """Root mean square; 0 of nothing."""
    return float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0


def fast_length(length: int) -> int:
    """A length that a Fourier transform is fast at: `length`, or at most a fifth more."""
    part = 1 << max(0, (length - 1).bit_length() - 5)
    return next(part * count for count in _SMOOTH if part * count >= length)


def _hum(length: int, random: np.random.Generator) -> np.ndarray:
    """The mains and its overtones, each of its own strength."""
    times = np.arange(length, dtype=np.float32) / np.float32(SAMPLE_RATE)
    mains = 2 * np.pi * random.choice(_MAINS_HZ)
    strengths = random.uniform(0, 1, _OVERTONES) / np.arange(1, _OVERTONES + 1)
    hum = np.zeros(length, dtype=np.float32)
    for number, strength in enumerate(strengths, start=1):
        phase = np.float32(random.uniform(0, 2 * np.pi))
        hum += np.float32(strength) * np.sin(np.float32(mains * number) * times + phase)
    return hum
