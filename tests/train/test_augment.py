import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modersmal.config import SpecAugmentConfig
from modersmal.train.augment import mask_features


def noise(clips=3, mels=80, frames=400):
    return torch.randn(clips, mels, frames, generator=torch.Generator().manual_seed(0))


def masked(features, frames, rows, *, seed=0, epoch=0, **config):
    return mask_features(
        features, frames, rows, seed=seed, epoch=epoch, config=SpecAugmentConfig(**config)
    )


def test_masks_depend_on_seed_epoch_and_clip_not_on_the_batch():
    features, frames = noise(), [400, 300, 200]
    whole = masked(features, frames, [7, 8, 9])
    alone = masked(features[1:2], [300], [8])
    assert torch.equal(whole[1:2] != features[1:2], alone != features[1:2])
    assert torch.allclose(whole[1:2], alone, atol=1e-6)
    assert torch.equal(whole, masked(features, frames, [7, 8, 9]))
    for other in ({"seed": 1}, {"epoch": 1}):
        assert not torch.equal(whole, masked(features, frames, [7, 8, 9], **other))
    assert not torch.equal(alone, masked(features[1:2], [300], [9]))


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, 10_000), st.integers(20, 400), st.floats(0, 0.5), st.integers(0, 64),
    st.sampled_from([80, 128]),
)  # fmt: skip
def test_no_more_is_masked_than_asked_for(row, length, time_share, frequency_mels, mels):
    features = noise(1, mels)
    changed = (
        masked(features, [length], [row], time_share=time_share, frequency_mels=frequency_mels)
        != features
    )[0]
    bands = changed.all(dim=1).sum()  # mels that are hidden over the whole clip
    assert bands <= 2 * min(frequency_mels, mels // 2)
    spans = changed[:, :length].all(dim=0).sum()
    assert spans <= 2 * length * time_share
    outside = changed[~changed.all(dim=1)]  # spans lie within the speech
    assert not outside[:, length:].any()


def test_what_is_masked_is_the_clip_s_mean():
    features = noise(1) + 5
    after = masked(features, [250], [0], time_share=0.4, time_masks=4)
    hidden = after != features
    assert hidden.any()
    assert torch.allclose(after[hidden], features[0, :, :250].mean(), atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        {"time_masks": 0, "frequency_masks": 0},
        {"time_share": 0, "frequency_mels": 0},
        {"time_masks": 0, "frequency_mels": 0},
    ],
)
def test_turned_off_it_changes_nothing(config):
    features = noise()
    assert torch.equal(masked(features, [400] * 3, [0, 1, 2], **config), features)
