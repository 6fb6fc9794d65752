"""Log-mel equals transformers' WhisperFeatureExtractor to the last bit on the CPU."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperFeatureExtractor

from modersmal.logmel import (
    HOP_SAMPLES,
    WINDOW_FRAMES,
    clip_features,
    log_mel,
    mel_filters,
    pad_clips,
)

EXTRACTORS = {mels: WhisperFeatureExtractor(feature_size=mels) for mels in (80, 128)}
THIRTY_S = WINDOW_FRAMES * HOP_SAMPLES


def speech(samples: int, seed: int = 0, loudness: float = 0.1) -> np.ndarray:
    """Noise with a swelling tone in it, (samples,) float32."""
    generator = np.random.default_rng((seed, samples))
    tone = np.sin(np.arange(samples) * generator.uniform(0.01, 0.5))
    return (loudness * (generator.normal(0, 0.3, samples) + tone)).astype(np.float32)


def reference(clip: np.ndarray, mels: int) -> torch.Tensor:
    extracted = EXTRACTORS[mels](clip, sampling_rate=16_000, return_tensors="pt")
    return extracted.input_features[0]


def frames_of(clip: np.ndarray) -> int:
    return -(-len(clip) // HOP_SAMPLES)


LENGTHS = [
    1, 80, 160, 161, 200, 399, 400, 401, 1_600, 1_999, 3_200, 5_000, 16_000, 47_999, 48_000, 79_999,
    123_456, THIRTY_S - 361, THIRTY_S - 360, THIRTY_S - 201, THIRTY_S - 200, THIRTY_S - 199,
    THIRTY_S - 1, THIRTY_S,
]  # fmt: skip


@pytest.mark.parametrize("mels", [80, 128])
@pytest.mark.parametrize("samples", LENGTHS)
def test_equals_the_reference_in_every_frame(samples: int, mels: int) -> None:
    """At the clip's own length, and at 30 s, the last frames included."""
    clip = speech(samples)
    expected = reference(clip, mels)
    for frames in (frames_of(clip), WINDOW_FRAMES):
        features = clip_features([clip], mels, frames, "cpu")[0]
        assert features.shape == (mels, frames)
        assert features.dtype == torch.float32
        assert torch.equal(features, expected[:, :frames])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60_000), st.integers(0, 99), st.sampled_from([80, 128]))
def test_equals_the_reference_at_any_length(samples: int, seed: int, mels: int) -> None:
    clip = speech(samples, seed)
    frames = frames_of(clip)
    assert torch.equal(
        clip_features([clip], mels, frames, "cpu")[0], reference(clip, mels)[:, :frames]
    )


@pytest.mark.parametrize("mels", [80, 128])
def test_a_batch_gives_what_each_clip_gives(mels: int) -> None:
    """Neither the neighbours nor their lengths or loudness change a clip's features."""
    clips = [
        speech(samples, loudness=loudness)
        for samples, loudness in [(1, 0.1), (500, 1e-4), (16_000, 0.9), (31_999, 0.01), (80_000, 1)]
    ]
    batch = clip_features(clips, mels, 500, "cpu")
    assert batch.shape == (len(clips), mels, 500)
    for row, clip in zip(batch, clips, strict=True):
        assert torch.equal(row, clip_features([clip], mels, 500, "cpu")[0])
        assert torch.equal(row, reference(clip, mels)[:, :500])


def test_thread_count_does_not_matter() -> None:
    clips = [speech(40_000, seed) for seed in range(5)]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = clip_features(clips, 80, 250, "cpu")
        torch.set_num_threads(4)
        assert torch.equal(clip_features(clips, 80, 250, "cpu"), one)
    finally:
        torch.set_num_threads(before)


def test_silence_is_finite_and_equal() -> None:
    clip = np.zeros(16_000, np.float32)
    features = clip_features([clip], 80, 100, "cpu")[0]
    assert torch.isfinite(features).all()
    assert torch.equal(features, reference(clip, 80)[:, :100])


def test_padding_keeps_the_last_frames_from_reflecting() -> None:
    """The claim behind `pad_clips`: without the zeros, the last frames are wrong."""
    clip = speech(16_000)
    bare = log_mel(torch.from_numpy(clip)[None], 80)[0]
    expected = reference(clip, 80)[:, :100]
    assert torch.equal(bare[:, :98], expected[:, :98])
    assert (bare[:, 98:] - expected[:, 98:]).abs().max() > 1e-3


def test_clips_are_padded_with_zeros_behind() -> None:
    clips = [speech(1_000), speech(16_000)]
    batch = pad_clips(clips, 100)
    assert batch.shape[1] >= 16_000 + 200
    for row, clip in zip(batch, clips, strict=True):
        assert np.array_equal(row[: len(clip)].numpy(), clip)
        assert not row[len(clip) :].any()


def test_filters_cover_what_whisper_covers() -> None:
    for mels in (80, 128):
        assert np.array_equal(mel_filters(mels), EXTRACTORS[mels].mel_filters)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mels", [80, 128])
def test_on_a_gpu_it_is_within_1e_4(mels: int) -> None:
    clips = [speech(samples) for samples in LENGTHS]
    features = clip_features(clips, mels, WINDOW_FRAMES, "cuda").cpu()
    for row, clip in zip(features, clips, strict=True):
        assert (row - reference(clip, mels)).abs().max() < 1e-4
