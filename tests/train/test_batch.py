import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from modersmal.train.batch import HeardSample, collate
from modersmal.train.labels import NOT_LEARNED, Label

CPU = torch.device("cpu")


def heard(samples, ids=(1, 2, 9), **more):
    label = Label(list(ids), [NOT_LEARNED, *ids[2:]])
    return HeardSample(np.zeros(samples, np.float32), label, 5, [(0, samples // 160)], **more)


def test_micro_batches_hold_every_sample_and_the_seconds_asked_for(make_loader):
    batch = make_loader(batch_s=16.0).reader.load(0)
    context_s = batch.planned.frames / 100
    parts = list(batch.micro_batches(3 * context_s))
    assert [key for part in parts for key in part.keys] == [one.key for one in batch.samples]
    assert all(len(part.keys) <= 3 for part in parts)
    assert {part.frames for part in parts} == {batch.planned.frames}
    learned = sum(int((part.targets != NOT_LEARNED).sum()) for part in parts)
    assert learned == batch.learned > 0
    assert len(list(batch.micro_batches(0.1))) == len(batch.samples)


@pytest.mark.parametrize("geometry", ["dynamic", "packed", "full"])
def test_features_are_whisper_s_own(make_loader, geometry):
    share = {} if geometry == "dynamic" else {f"{geometry}_share": 1.0}
    batch = make_loader(**share).reader.load(1)
    (part,) = batch.micro_batches(1e6)
    extractor = WhisperFeatureExtractor()
    clips = [one.samples for one in batch.samples]
    padded = extractor(clips, sampling_rate=16_000, return_tensors="pt").input_features
    expected = padded[..., : part.frames]
    for row, sample in enumerate(batch.samples):
        if sample.zeros_from is not None:
            expected[row, :, sample.zeros_from :] = 0
    assert torch.equal(part.features(80, CPU), expected)


def test_some_of_what_is_padded_to_30_s_is_padded_as_other_runtimes_do(make_loader):
    batches = [make_loader(full_share=1.0).reader.load(step) for step in range(4)]
    samples = [sample for batch in batches for sample in batch.samples if sample.speech]
    zeros = [sample.zeros_from for sample in samples]
    assert None in zeros
    assert set(zeros) != {None}
    for sample in samples:
        if sample.zeros_from is not None:
            assert sample.zeros_from == len(sample.samples) // 160 + 1


def test_parts_are_made_ahead_in_memory_that_a_gpu_copies_from(make_loader, monkeypatch):
    """Of the size that the device takes; where that has changed since, they are made anew."""
    pinned = []

    def pin(tensor):  # what takes a GPU
        pinned.append(tensor.clone())
        return pinned[-1]

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    batch = make_loader(batch_s=20.0, full_share=1.0).reader.load(0)

    ahead = batch.made_ahead(60.0, pinned=True)

    def tensors(parts):
        return [value for part in parts for value in vars(part).values() if torch.is_tensor(value)]

    parts = list(ahead.micro_batches(60.0))
    assert len(parts) > 1
    assert all(one is other for one, other in zip(tensors(parts), pinned, strict=True))
    plain = tensors(batch.micro_batches(60.0))
    assert all(torch.equal(one, other) for one, other in zip(plain, pinned, strict=True))
    again = tensors(ahead.micro_batches(30.0))
    assert len(again) > len(pinned)
    assert not {id(one) for one in again} & {id(one) for one in pinned}


def test_labels_are_padded_behind_their_length():
    part = collate([heard(1600), heard(3200, ids=(1, 2, 3, 4, 9))], frames=40)
    assert part.inputs.tolist() == [[1, 2, 2, 2], [1, 2, 3, 4]]
    assert part.targets.tolist() == [[-100, 9, -100, -100], [-100, 3, 4, 9]]
    assert part.places.tolist() == [1, 5, 6, 7]
    assert part.learned.tolist() == [9, 3, 4, 9]
    assert part.speech == [[(0, 10)], [(0, 20)]]
    assert part.zeros_from is None


def test_a_sample_is_cut_to_the_context():
    part = collate([heard(160 * 50)], frames=40)
    assert part.features(80, CPU).shape == (1, 80, 40)
