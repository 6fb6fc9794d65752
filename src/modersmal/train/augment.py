"""SpecAugment: masks over the log-mel, as a function of (seed, epoch, sample).

The host draws a few whole numbers per sample; where they say the masks lie is worked out on the
device that the features are on.
"""

import numpy as np
import torch
from torch import Tensor

from modersmal.config import SpecAugmentConfig
from modersmal.logmel import FRAMES_PER_S
from modersmal.train.streams import stream

_MASKS = 3  # what the random stream is for
_LONGEST_FRAMES = FRAMES_PER_S  # of the published policies for read speech

Stretches = list[tuple[int, int]]


def mask_features(
    features: Tensor,
    speech: list[Stretches],
    keys: list[int],
    *,
    seed: int,
    epoch: int,
    config: SpecAugmentConfig,
) -> Tensor:
    """Mask spans of time and bands of mels in (batch, mels, frames), each by its sample's mean.

    `speech` has, for each sample, the stretches of frames in which there is speech, from a first
    frame to the one behind the last. Spans of time lie there, as if nothing were in between, so
    that neither padding nor pauses dilute them. The masks of a sample depend on (seed, epoch, its
    key) alone, not on the batch it is in.
    """
    if not (config.time_masks and config.time_share) and not (
        config.frequency_masks and config.frequency_mels
    ):
        return features
    mels, frames, device = features.shape[1], features.shape[2], features.device
    drawn = [
        _draw(sum(end - first for first, end in stretches), mels, stream(seed, epoch, key, _MASKS),
              config)
        for stretches, key in zip(speech, keys, strict=True)
    ]  # fmt: skip
    spans, bands = (_onto(device, list(part)) for part in zip(*drawn, strict=True))
    spoken = _within(torch.arange(frames, device=device)[None], _onto(device, _padded(speech)))
    place = spoken.cumsum(1) - 1  # of a frame, in its sample's speech
    hidden = (spoken & _within(place, spans))[:, None]
    hidden = hidden | _within(torch.arange(mels, device=device)[None], bands)[:, :, None]
    sums = (features.sum(1) * spoken).sum(1)
    means = sums / (spoken.sum(1) * mels).clamp(min=1)
    return torch.where(hidden, means[:, None, None], features)


def _draw(
    length: int, mels: int, random: np.random.Generator, config: SpecAugmentConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Where masks begin and end: spans (time masks, 2) in `length` frames, bands (masks, 2)."""
    longest = min(int(length * config.time_share), _LONGEST_FRAMES)
    widest = min(config.frequency_mels, mels // 2)
    return (
        _intervals(config.time_masks, longest, length, random),
        _intervals(config.frequency_masks, widest, mels, random),
    )


def _intervals(count: int, longest: int, room: int, random: np.random.Generator) -> np.ndarray:
    lengths = random.integers(0, longest, count, endpoint=True)
    starts = random.integers(0, room - lengths, endpoint=True)
    return np.stack([starts, starts + lengths], axis=1)


def _within(positions: Tensor, intervals: Tensor) -> Tensor:
    """Whether positions (batch or 1, n) lie in any of a sample's intervals (batch, k, 2)."""
    first, end = intervals[:, None, :, 0], intervals[:, None, :, 1]
    inside = (positions[..., None] >= first) & (positions[..., None] < end)
    return inside.any(dim=2)


def _padded(speech: list[Stretches]) -> list[np.ndarray]:
    """The same number of stretches for every sample, empty ones behind its own."""
    most = max(map(len, speech))
    return [np.array([*own, *[(0, 0)] * (most - len(own))]).reshape(most, 2) for own in speech]


def _onto(device: torch.device, rows: list[np.ndarray]) -> Tensor:
    table = torch.from_numpy(np.stack(rows))
    if device.type == "cuda":
        table = table.pin_memory()  # else the host waits for the device here
    return table.to(device, non_blocking=True)
