import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modersmal.config import SpecAugmentConfig
from modersmal.train.augment import mask_features


def noise(clips=3, mels=80, frames=400):
    return torch.randn(clips, mels, frames, generator=torch.Generator().manual_seed(0))


def masked(features, speech, keys, *, seed=0, epoch=0, **config):
    """`speech` is of frames from the first on where it is a number."""
    stretches = [[(0, own)] if isinstance(own, int) else own for own in speech]
    return mask_features(
        features, stretches, keys, seed=seed, epoch=epoch, config=SpecAugmentConfig(**config)
    )


def test_masks_depend_on_seed_epoch_and_sample_not_on_the_batch():
    features, frames = noise(), [400, 300, 200]
    whole = masked(features, frames, [7, 8, 9])
    alone = masked(features[1:2], [300], [8])
    assert torch.equal(whole[1:2] != features[1:2], alone != features[1:2])
    assert torch.allclose(whole[1:2], alone, atol=1e-6)
    assert torch.equal(whole, masked(features, frames, [7, 8, 9]))
    for other in ({"seed": 1}, {"epoch": 1}):
        assert not torch.equal(whole, masked(features, frames, [7, 8, 9], **other))
    assert not torch.equal(alone, masked(features[1:2], [300], [9]))


def test_a_sample_of_several_stretches_does_not_change_its_neighbours():
    features = noise(2)
    speech = [[(10, 60), (100, 180), (300, 400)], [(0, 300)]]
    both = masked(features, speech, [7, 8], time_share=0.4)
    assert torch.equal(both[1:], masked(features[1:], [300], [8], time_share=0.4))
    assert torch.equal(both[:1], masked(features[:1], speech[:1], [7], time_share=0.4))


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
    assert spans <= 2 * min(length * time_share, 100)
    outside = changed[~changed.all(dim=1)]  # spans lie within the speech
    assert not outside[:, length:].any()


def test_spans_lie_in_speech_and_pauses_count_for_nothing():
    stretches = [(50, 120), (200, 210), (330, 400)]
    features, spoken = noise(1), torch.zeros(400, dtype=torch.bool)
    for first, end in stretches:
        spoken[first:end] = True
    reached = torch.zeros(400, dtype=torch.bool)
    for key in range(300):
        hidden = masked(
            features, [stretches], [key], frequency_masks=0, time_masks=1, time_share=0.2
        ) != features  # fmt: skip
        times = hidden[0].all(dim=0)
        assert not (times & ~spoken).any()
        assert times.sum() <= 0.2 * spoken.sum()
        joined = times[spoken].nonzero().flatten()  # one piece, were it not for the pauses
        assert len(joined) == 0 or joined[-1] - joined[0] + 1 == len(joined)
        reached |= times
    assert torch.equal(reached, spoken)


def test_a_long_sample_has_no_longer_spans_than_a_second():
    features = noise(1, frames=3000)
    for key in range(30):
        hidden = masked(
            features, [3000], [key], frequency_masks=0, time_masks=1, time_share=0.5
        ) != features  # fmt: skip
        assert hidden[0].all(dim=0).sum() <= 100


def test_what_is_masked_is_the_sample_s_mean():
    features = noise(1) + 5
    after = masked(features, [[(0, 100), (200, 250)]], [0], time_share=0.4, time_masks=4)
    hidden = after != features
    assert hidden.any()
    speech = torch.cat([features[0, :, :100], features[0, :, 200:250]], dim=1)
    assert torch.allclose(after[hidden], speech.mean(), atol=1e-5)


def test_silence_is_masked_by_bands_only():
    features = noise(1)
    after = masked(features, [[]], [3], time_share=0.5, frequency_mels=20)
    assert torch.isfinite(after).all()
    changed = (after != features)[0]
    assert changed.any()
    assert not changed.all(dim=0).any()


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
