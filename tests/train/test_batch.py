import itertools

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from modersmal.corpus import Corpus
from modersmal.errors import AudioError, CorpusError
from modersmal.train.batch import collate
from modersmal.whisper.load import load
from modersmal.whisper.tokens import text_of


def test_a_step_holds_the_planned_clips_with_their_texts(make_loader, tiny_corpus, tiny_whisper):
    loader, split = make_loader(), Corpus.open(tiny_corpus()).split("train")
    whisper = load(str(tiny_whisper()))
    batch = loader.reader.load(0)
    rows = batch.planned.rows.tolist()
    assert len(rows) > 1
    texts = [text_of(whisper.tokenizer, whisper.vocabulary, label) for label in batch.labels]
    assert texts == [split.texts[row] for row in rows]
    lengths = [len(clip) / 16_000 for clip in batch.clips]
    assert np.allclose(lengths, split.durations_s[rows], atol=1e-4)
    assert batch.audio_s == pytest.approx(sum(lengths))


@pytest.mark.parametrize("workers", [1, 3])
def test_steps_decoded_ahead_are_those_decoded_when_asked_for(make_loader, workers):
    expected = list(make_loader(0).steps(2, 9))
    ahead = list(make_loader(workers).steps(2, 9))
    assert len(ahead) == 7
    for one, other in zip(expected, ahead, strict=True):
        assert one.planned.step == other.planned.step
        assert one.labels == other.labels
        assert all(map(np.array_equal, one.clips, other.clips))


def test_a_loader_that_is_left_stops_reading(make_loader):
    loader, read = make_loader(2), []
    load_step = loader.reader.load
    loader.reader.load = lambda step: read.append(step) or load_step(step)
    steps = loader.steps(0, 1000)
    next(steps)
    steps.close()
    assert len(read) < 10


def test_micro_batches_hold_every_clip_and_the_seconds_asked_for(make_loader):
    batch = make_loader(batch_s=16.0).reader.load(0)
    padded_s = batch.planned.frames / 100
    parts = list(batch.micro_batches(3 * padded_s))
    assert [row for part in parts for row in part.rows] == batch.planned.rows.tolist()
    assert all(len(part.rows) <= 3 for part in parts)
    assert {part.frames for part in parts} == {batch.planned.frames}
    assert [int(count) for part in parts for count in part.counts] == list(map(len, batch.labels))
    assert len(list(batch.micro_batches(0.1))) == len(batch.clips)


@pytest.mark.parametrize("context", ["dynamic", "full"])
def test_features_are_whisper_s_own(make_loader, context):
    batch = make_loader(dynamic=context == "dynamic").reader.load(1)
    (part,) = batch.micro_batches(1e6)
    extractor = WhisperFeatureExtractor()
    padded = extractor(batch.clips, sampling_rate=16_000, return_tensors="pt").input_features
    assert torch.equal(part.features(80, torch.device("cpu")), padded[..., : part.frames])


def test_labels_are_padded_behind_their_length():
    clips = [np.zeros(1600, np.float32), np.zeros(3200, np.float32)]
    part = collate(clips, [[1, 2, 9], [1, 2, 3, 4, 9]], [5, 6], frames=40)
    assert part.tokens.tolist() == [[1, 2, 9, 9, 9], [1, 2, 3, 4, 9]]
    assert part.counts.tolist() == [3, 5]
    assert part.speech_frames == [10, 20]
    assert part.rows == [5, 6]


def test_a_clip_that_is_not_what_the_corpus_says_is_named(make_loader):
    loader = make_loader()
    row = int(loader.reader.plan.batch(0).rows[0])
    loader.reader.split.durations_s = loader.reader.split.durations_s + 1
    with pytest.raises(CorpusError, match=rf"clip {loader.reader.split.ids[row]} lasts .*prepare"):
        loader.reader.load(0)


def test_damaged_audio_is_named_also_from_a_thread(make_loader):
    loader = make_loader(1)
    loader.reader.split.audio_bytes = lambda rows: [b"not audio"] * len(rows)
    with pytest.raises(AudioError, match="clip train-"):
        list(itertools.islice(loader.steps(0, 3), 3))
