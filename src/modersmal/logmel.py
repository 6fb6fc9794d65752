"""Log-mel spectrograms in batches, on any device, equal to Whisper's.

On the CPU the result equals `transformers.WhisperFeatureExtractor` bit for bit, the last frames
included (openai/whisper, audio.py: 25 ms Hann windows, 10 ms hop, 80 or 128 Slaney mel bands,
log10, clamped to 8 below the clip's maximum).
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from modersmal.audio import SAMPLE_RATE

WINDOW_SAMPLES = 400
HOP_SAMPLES = 160
FRAMES_PER_S = SAMPLE_RATE // HOP_SAMPLES
WINDOW_FRAMES = 3000
_FEWEST_FRAMES = 64  # a product of fewer columns takes another path on the CPU and rounds otherwise


@cache
def mel_filters(mels: int) -> np.ndarray:
    """Slaney-scale triangular filters from 0 to 8 kHz, shape (201, mels), float64."""
    from transformers.audio_utils import mel_filter_bank

    return mel_filter_bank(
        num_frequency_bins=1 + WINDOW_SAMPLES // 2,
        num_mel_filters=mels,
        min_frequency=0.0,
        max_frequency=SAMPLE_RATE / 2,
        sampling_rate=SAMPLE_RATE,
        norm="slaney",
        mel_scale="slaney",
    )


@cache
def _filters_on(device: torch.device, mels: int) -> Tensor:
    """The same, (mels, 201) float32, brought to a device once: each time it would be waited for."""
    return torch.from_numpy(mel_filters(mels)).to(device, torch.float32).T


def log_mel(samples: Tensor, mels: int) -> Tensor:
    """Turn (batch, n) float32 samples at 16 kHz into (batch, mels, n // 160) float32 log-mel.

    Pad clips with zeros at the end, by at least 200 samples where the frames behind the last
    sample are to equal those of a clip padded to 30 s: a window there reflects the end otherwise.
    """
    window = torch.hann_window(WINDOW_SAMPLES, device=samples.device)
    spectrum = torch.stft(samples, WINDOW_SAMPLES, HOP_SAMPLES, window=window, return_complex=True)
    power = (spectrum[..., :-1].abs() ** 2).contiguous()
    log_spectrum = torch.clamp(_filters_on(samples.device, mels) @ power, min=1e-10).log10()
    loudest = log_spectrum.amax(dim=(1, 2), keepdim=True)
    return (torch.maximum(log_spectrum, loudest - 8.0) + 4.0) / 4.0


def pad_clips(clips: list[np.ndarray], frames: int) -> Tensor:
    """Stack clips into (batch, n) float32 with zeros behind each, for `frames` frames.

    Two hops more than needed keep the last frames from reflecting, up to 30 s, where Whisper's
    own padding ends and its last frames reflect too; `log_mel(...)[..., :frames]` drops them.
    """
    width = min(max(frames + 2, _FEWEST_FRAMES), WINDOW_FRAMES) * HOP_SAMPLES
    batch = torch.zeros(len(clips), width)
    for row, clip in enumerate(clips):
        batch[row, : len(clip)] = torch.from_numpy(clip)
    return batch


def clip_features(clips: list[np.ndarray], mels: int, frames: int, device: str) -> Tensor:
    """Features of clips of at most `frames` hops: (batch, mels, frames) on `device`."""
    return log_mel(pad_clips(clips, frames).to(device), mels)[..., :frames]
