"""SpecAugment: masks over the log-mel, as a function of (seed, epoch, clip)."""

import torch
from torch import Tensor

from modersmal.config import SpecAugmentConfig
from modersmal.train.plan import stream

_MASKS = 3  # what the random stream is for


def mask_features(
    features: Tensor,
    frames: list[int],
    rows: list[int],
    *,
    seed: int,
    epoch: int,
    config: SpecAugmentConfig,
) -> Tensor:
    """Mask spans of time and bands of mels in (batch, mels, frames), each clip by its own mean.

    `frames` says how many frames of each clip are speech; spans lie there, so that padding does
    not dilute them. The masks of a clip depend on (seed, epoch, its row) alone, not on the batch
    it is in.
    """
    if not (config.time_masks and config.time_share) and not (
        config.frequency_masks and config.frequency_mels
    ):
        return features
    mels = features.shape[1]
    hidden = torch.zeros(features.shape, dtype=torch.bool)
    for place, (length, row) in enumerate(zip(frames, rows, strict=True)):
        random = stream(seed, epoch, row, _MASKS)
        for _ in range(config.time_masks):
            width = int(random.integers(0, int(length * config.time_share) + 1))
            start = int(random.integers(0, max(1, length - width + 1)))
            hidden[place, :, start : start + width] = True
        for _ in range(config.frequency_masks):
            width = int(random.integers(0, min(config.frequency_mels, mels // 2) + 1))
            low = int(random.integers(0, mels - width + 1))
            hidden[place, low : low + width] = True
    return torch.where(hidden.to(features.device), _means(features, frames), features)


def _means(features: Tensor, frames: list[int]) -> Tensor:
    """The mean of each clip's speech: (batch, 1, 1)."""
    lengths = torch.tensor(frames, device=features.device)
    speech = torch.arange(features.shape[2], device=features.device) < lengths[:, None]
    sums = (features * speech[:, None]).sum(dim=(1, 2), keepdim=True)
    return sums / (lengths * features.shape[1])[:, None, None]
