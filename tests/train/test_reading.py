import itertools
from dataclasses import replace

import numpy as np
import pytest

from modersmal.audio import decode
from modersmal.config import AugmentConfig
from modersmal.corpus import Corpus
from modersmal.errors import AudioError, CorpusError
from modersmal.train.labels import NOT_LEARNED
from modersmal.train.plan import PlannedSample
from modersmal.whisper.load import load
from modersmal.whisper.tokens import special_ids, text_of


@pytest.fixture
def whisper(tiny_whisper):
    return load(str(tiny_whisper()))


def text(whisper, label):
    return text_of(whisper.tokenizer, whisper.vocabulary, label.ids)


def test_a_step_holds_the_planned_clips_with_their_texts(make_loader, tiny_corpus, whisper):
    loader, split = make_loader(), Corpus.open(tiny_corpus()).split("train")
    batch = loader.reader.load(0)
    rows = batch.planned.rows
    assert len(rows) > 1
    assert [text(whisper, one.label) for one in batch.samples] == [split.texts[row] for row in rows]
    lengths_s = [len(one.samples) / 16_000 for one in batch.samples]
    assert np.allclose(lengths_s, split.durations_s[rows], atol=1e-4)
    assert batch.planned.audio_s == pytest.approx(sum(lengths_s), rel=1e-4)
    assert batch.learned == sum(one.label.learned for one in batch.samples)


def test_windows_hold_their_clips_where_the_times_say(make_loader, whisper):
    reader = make_loader(clips=150, batch_s=60.0, packed_share=1.0).reader
    ids = special_ids(whisper.vocabulary)
    batch = reader.load(0)
    several = [sample for sample in batch.planned.samples if len(sample.rows) > 3]
    assert several
    for planned, heard in zip(batch.planned.samples, batch.samples, strict=True):
        assert len(heard.samples) == 30 * 16_000
        times_s = [
            (token - ids.first_timestamp) * 0.02
            for token in heard.label.ids
            if token >= ids.first_timestamp
        ]
        starts_s, ends_s = times_s[::2], times_s[1::2]
        assert np.allclose(starts_s, planned.starts_s, atol=0.12)  # of tones without silence
        ends = [
            s + reader.split.durations_s[r] for s, r in zip(starts_s, planned.rows, strict=True)
        ]
        assert np.allclose(ends_s, ends[: len(ends_s)], atol=0.12)
        for start_s, row in zip(planned.starts_s, planned.rows, strict=True):
            first = round(start_s * 16_000)
            (encoded,) = reader.split.audio_bytes([row])
            clip = decode(encoded).samples[: 30 * 16_000 - first]
            assert np.array_equal(heard.samples[first : first + len(clip)], clip)


def test_pauses_are_as_quiet_as_the_clips(make_loader):
    reader = make_loader(clips=150, batch_s=60.0, packed_share=1.0).reader
    batch = reader.load(0)
    for planned, heard in zip(batch.planned.samples, batch.samples, strict=True):
        for (row, start_s), later_s in zip(
            zip(planned.rows, planned.starts_s, strict=True), planned.starts_s[1:], strict=False
        ):
            pause = slice(
                round((start_s + reader.split.durations_s[row]) * 16_000) + 1,
                round(later_s * 16_000),
            )
            assert np.abs(heard.samples[pause]).max(initial=0) < 1.5


def test_what_was_said_before_is_part_of_the_label(make_loader, whisper):
    reader = make_loader(clips=150, batch_s=60.0, packed_share=1.0, prompt_share=1.0).reader
    batch = reader.load(0)
    ids = special_ids(whisper.vocabulary)
    prompted = [place for place, one in enumerate(batch.planned.samples) if one.previous]
    assert prompted
    for place in prompted:
        label = batch.samples[place].label
        start = label.ids.index(ids.start)
        previous = [reader.split.texts[row] for row in batch.planned.samples[place].previous]
        before = text_of(whisper.tokenizer, whisper.vocabulary, label.ids[:start])
        assert before == " ".join(previous)
        assert set(label.targets[:start]) == {NOT_LEARNED}


def test_silence_comes_with_no_text(make_loader, whisper):
    batch = make_loader(silence_share=0.5).reader.load(0)
    silent = [
        heard
        for planned, heard in zip(batch.planned.samples, batch.samples, strict=True)
        if not planned.rows
    ]
    assert silent
    assert {text(whisper, one.label) for one in silent} == {""}
    assert {len(one.samples) for one in silent} == {batch.planned.frames * 160}
    assert len({one.key for one in silent}) == len(silent)


def test_a_window_leaves_out_what_has_no_room_in_its_label(make_loader):
    reader = make_loader(clips=150, batch_s=60.0, packed_share=1.0).reader
    planned = reader.plan.batch(0)
    window = max(planned.samples, key=lambda sample: len(sample.rows))
    row = window.rows[1]
    stored_clips = reader.split.clips

    def with_a_long_text(rows):
        return [
            replace(clip, text="orden tar aldrig slut " * 100) if number == row else clip
            for number, clip in zip(rows, stored_clips(rows), strict=True)
        ]

    reader.split.clips = with_a_long_text
    batch = reader.load(0)
    assert window.rows[:1] in [sample.rows for sample in batch.planned.samples]
    stored = dict(zip([row], reader.split.clips([row]), strict=True))
    alone = reader._fitting(PlannedSample((row,), (0.0,), timestamps=True), 0, stored)
    assert alone == PlannedSample((row,), (0.0,), timestamps=False)


@pytest.mark.parametrize("shares", [{}, {"packed_share": 1.0}, {"full_share": 1.0}])
def test_processes_share_a_step(make_loader, shares):
    whole = make_loader(batch_s=40.0, silence_share=0.2, **shares).reader
    parts = []
    for rank in range(3):
        part = make_loader(batch_s=40.0, silence_share=0.2, **shares).reader
        part._share = slice(rank, None, 3)
        parts.append(part)
    together = whole.load(1)
    for rank, part in enumerate(parts):
        batch = part.load(1)
        assert batch.learned == together.learned
        expected = together.samples[rank::3]
        assert [one.label for one in batch.samples] == [one.label for one in expected]
        assert all(
            np.array_equal(mine.samples, theirs.samples)
            for mine, theirs in zip(batch.samples, expected, strict=True)
        )
        assert len(part.load(1, whole=True).samples) == len(together.samples)


def test_faster_clips_keep_their_texts_and_their_times_shrink(make_loader):
    loader = make_loader(timestamp_share=1.0)
    reader = loader.reader
    augment = AugmentConfig(speed_share=1.0, speed_factors=[2.0])
    reader.plan = replace(reader.plan, augment=augment)
    ids = reader.labeller._ids
    batch = reader.load(0)
    for planned, heard in zip(batch.planned.samples, batch.samples, strict=True):
        duration_s = reader.split.durations_s[planned.rows[0]] / 2
        assert len(heard.samples) / 16_000 == pytest.approx(duration_s, abs=0.01)
        end_s = (heard.label.ids[-2] - ids.first_timestamp) * 0.02
        assert end_s == pytest.approx(duration_s, abs=0.1)


def test_a_clip_that_is_not_what_the_corpus_says_is_named(make_loader):
    reader = make_loader().reader
    row = reader.plan.batch(0).rows[0]
    reader.plan.clips.durations_s[:] += 1
    with pytest.raises(CorpusError, match=r"clip train-\d+ lasts .*prepare"):
        reader.load(0)
    assert reader.split.ids[row].startswith("train-")


def test_damaged_audio_is_named_also_from_a_thread(make_loader):
    loader = make_loader(1)
    stored_clips = loader.reader.split.clips
    loader.reader.split.clips = lambda rows: [
        replace(clip, data=b"not audio") for clip in stored_clips(rows)
    ]
    with pytest.raises(AudioError, match="clip train-"):
        list(itertools.islice(loader.steps(0, 3), 3))
