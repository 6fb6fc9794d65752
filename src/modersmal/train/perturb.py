"""Clips as they might have been recorded: faster, in noise, in a room, closer to the microphone.

All of it is a function of (seed, epoch, row). How fast a clip is played is told without reading
it, since the plan of batches depends on it.
"""

import numpy as np
import soxr

from modersmal.audio import CHUNK_S, SAMPLE_RATE
from modersmal.config import AugmentConfig
from modersmal.train.noise import coloured_noise, rms
from modersmal.train.streams import stream

_SPEED, _NOISE, _ROOM, _GAIN = 11, 12, 13, 14  # what the random streams are for
_NEAR_DB, _FAR_DB = 12.0, 0.0  # the voice itself against its echoes
_BLOCK = 2**14  # samples of a Fourier transform that fits a core's cache
_FAINT = 1e-9  # instead of nothing, to divide by
_FIRST_ECHO_S = 0.003
_DECAY_DB = 60.0  # over the reverberation time, by its definition


def speed_factors(
    seed: int, epoch: int, rows: np.ndarray, durations_s: np.ndarray, config: AugmentConfig
) -> np.ndarray:
    """How fast clips are played in an epoch, (n,) float32: 1 for most, else one of the factors.

    `rows` (n,) are rows of the split and `durations_s` (n,) their recorded lengths, which are
    divided by the factors. A clip that would then be over 30 s is played as it is.
    """
    durations_s = np.asarray(durations_s, dtype=np.float32)
    unchanged = np.ones(len(durations_s), dtype=np.float32)
    if not config.speed_share or not config.speed_factors:
        return unchanged
    drawn = _uniform(seed, epoch, np.asarray(rows))
    choices = np.array(config.speed_factors, dtype=np.float32)
    which = (np.minimum(drawn, config.speed_share) / config.speed_share * len(choices)).astype(int)
    factors = choices[np.minimum(which, len(choices) - 1)]
    fitting = (drawn < config.speed_share) & (durations_s <= CHUNK_S * factors)
    return np.where(fitting, factors, unchanged)


def perturb(
    samples: np.ndarray, seed: int, epoch: int, row: int, duration_s: float, config: AugmentConfig
) -> np.ndarray:
    """A clip as an epoch hears it: (n,) float32 at 16 kHz, n changed by its speed alone.

    `duration_s` is the recorded length, as `speed_factors` was given it.
    """
    factors = speed_factors(seed, epoch, np.array([row]), np.array([duration_s]), config)
    samples = _faster(samples, float(factors[0]))
    if _happens(config.reverberation_share, random := stream(seed, epoch, row, _ROOM)):
        low_s, high_s = config.reverberation_s
        samples = _in_room(samples, random.uniform(low_s, high_s), random)
    if _happens(config.noise_share, random := stream(seed, epoch, row, _NOISE)):
        low_db, high_db = config.noise_snr_db
        samples = _in_noise(samples, random.uniform(low_db, high_db), random)
    if config.gain_db:
        random = stream(seed, epoch, row, _GAIN)
        samples = _louder(samples, random.uniform(-config.gain_db, config.gain_db))
    return samples


def _happens(share: float, random: np.random.Generator) -> bool:
    return share > 0 and random.random() < share


def _faster(samples: np.ndarray, factor: float) -> np.ndarray:
    if factor == 1:
        return samples
    return soxr.resample(samples, SAMPLE_RATE * factor, SAMPLE_RATE, quality="MQ")


def _in_noise(samples: np.ndarray, snr_db: float, random: np.random.Generator) -> np.ndarray:
    """With noise of any colour from white to brown, so much below the clip."""
    noise = coloured_noise(len(samples), random.uniform(0, 2), random)
    return samples + np.float32(rms(samples) * 10 ** (-snr_db / 20)) * noise


def _in_room(samples: np.ndarray, echo_s: float, random: np.random.Generator) -> np.ndarray:
    """With echoes that fade by 60 dB in `echo_s`, as loud as before, and not delayed."""
    if not len(samples):
        return samples
    times = np.arange(1, int(echo_s * SAMPLE_RATE), dtype=np.float32) / np.float32(SAMPLE_RATE)
    fading = np.float32(10) ** (np.float32(-_DECAY_DB / 20 / echo_s) * times)
    echoes = random.standard_normal(len(times), dtype=np.float32) * fading
    echoes[: int(_FIRST_ECHO_S * SAMPLE_RATE)] = 0
    strength = 10 ** (-random.uniform(_FAR_DB, _NEAR_DB) / 20)
    room = np.zeros(len(times) + 1, dtype=np.float32)
    room[0] = 1
    room[1:] = echoes * np.float32(strength / max(rms(echoes) * len(echoes) ** 0.5, _FAINT))
    heard = _convolved(samples, room)
    return heard * np.float32(rms(samples) / max(rms(heard), _FAINT))


def _convolved(samples: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Their convolution, as long as `samples`: in blocks, which are faster than all at once."""
    size = max(_BLOCK, 1 << (2 * len(room)).bit_length())
    hop = size - len(room) + 1
    blocks = np.zeros((-(-len(samples) // hop), hop), dtype=np.float32)
    blocks.ravel()[: len(samples)] = samples
    heard = np.zeros(blocks.size + len(room), dtype=np.float32)
    spread = np.fft.irfft(np.fft.rfft(blocks, size) * np.fft.rfft(room, size), size)
    for place, block in enumerate(spread):
        heard[place * hop : place * hop + size] += block
    return heard[: len(samples)]


def _louder(samples: np.ndarray, gain_db: float) -> np.ndarray:
    """By so many dB, but never over full scale."""
    loudest = float(np.abs(samples).max(initial=0.0))
    most = max(1.0, 1 / loudest) if loudest else 1.0
    return samples * np.float32(min(10 ** (gain_db / 20), most))


def _uniform(seed: int, epoch: int, rows: np.ndarray) -> np.ndarray:
    """A number from 0 to 1 for each row: float64, a hash (SplitMix64) of (seed, epoch, row)."""
    start = stream(seed, epoch, _SPEED).integers(2**63, dtype=np.uint64)
    mixed = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)) * 2.0**-53
