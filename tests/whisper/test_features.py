"""Features that are kept equal those that are computed, and take no more room than is allowed."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modersmal.logmel import clip_features
from modersmal.whisper import features as module
from modersmal.whisper.decode import Batch
from modersmal.whisper.features import KeptFeatures
from talkative import noise


@given(
    st.lists(st.integers(0, 100_000) | st.integers(478_000, 480_000), min_size=1, max_size=3),
    st.sampled_from([80, 128]),
    st.integers(0, 2),
)
def test_what_is_kept_is_what_was_heard(lengths: list[int], mels: int, quiet: int) -> None:
    clips = [0.1**quiet * noise(length / 16_000, length % 7) for length in lengths]
    frames = max(200, -(-max(lengths) // 16_000) * 100)
    read: list[list[int]] = []

    def samples(numbers: list[int]) -> list[np.ndarray]:
        read.append(numbers)
        return [clips[number] for number in numbers]

    kept, batch = KeptFeatures(samples), Batch(list(range(len(clips))), frames)
    heard = clip_features(clips, mels, frames, "cpu")

    assert torch.equal(kept.batch(batch, mels), heard)
    assert torch.equal(kept.batch(batch, mels), heard)
    assert read == [batch.clips]
    assert kept.bytes <= sum(4 * mels * (length // 160 + 4) for length in lengths)


def test_no_more_is_kept_than_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[list[int]] = []

    def samples(numbers: list[int]) -> list[np.ndarray]:
        read.append(numbers)
        return [noise(1.0, number) for number in numbers]

    monkeypatch.setattr(module, "_MOST_BYTES", 2 * 4 * 80 * 104)
    kept, batch = KeptFeatures(samples), Batch([0, 1, 2], 200)

    first, again = kept.batch(batch, 80), kept.batch(batch, 80)

    assert read == [[0, 1, 2], [2]]
    assert torch.equal(first, again)
    assert kept.bytes == 2 * 4 * 80 * 104
    assert kept.batch(Batch([1], 300), 80).shape == (1, 80, 300)  # another context is heard anew
    assert read[2:] == [[1]]
