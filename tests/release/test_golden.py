"""The golden set: the same for everybody, topped up, with a recording and silence."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import speech

from modersmal.audio import SAMPLE_RATE, encode_flac
from modersmal.corpus import Corpus
from modersmal.corpus.schema import shard_name, shard_schema
from modersmal.corpus.shards import ShardWriter, write_corpus_file
from modersmal.errors import CorpusError
from modersmal.release.golden import golden_set

TONE = 0.3 * np.sin(np.arange(30 * SAMPLE_RATE) / 20).astype(np.float32)


def made(folder: Path, splits: dict[str, Iterable[dict]], recordings: bool = False) -> Corpus:
    """A corpus of rows that say what is special about them: id, seconds, flags."""
    folder.mkdir(parents=True)
    listed = {}
    for split, rows in splits.items():
        with ShardWriter(folder / shard_name(split, 0), shard_schema([], recordings)) as writer:
            for row in rows:
                lasts_s = row.get("duration", 1.0)
                samples = np.resize(TONE, round(lasts_s * SAMPLE_RATE))
                audio = {"bytes": encode_flac(samples), "path": "clip.flac"}
                clip = {"audio": audio, "text": f"Text {row['id']}.", "duration": lasts_s,
                        "speaker": None, "source": "tones", "split": split,
                        "flags": []}  # fmt: skip
                writer.add(clip | row)
        shards = [asdict(writer.shard)] if writer.shard else []
        listed[split] = {"shards": shards}
    info = {"language": "sv", "language_token": "sv", "splits": listed}
    return write_corpus_file(folder, info)


def numbered(prefix: str, count: int) -> list[dict]:
    return [{"id": f"{prefix}-{number}"} for number in range(count)]


def test_dev_tops_up_what_test_lacks(tmp_path: Path) -> None:
    corpus = made(tmp_path / "c", {"dev": numbered("dev", 8), "test": numbered("test", 5)})
    golden = golden_set(corpus, 9)
    assert len(golden.names) == len(golden.clips) == len(golden.texts) == len(golden.speakers) == 9
    assert {name for name in golden.names if name.startswith("test")} == {
        f"test-{number}" for number in range(5)
    }
    assert [f"Text {name}." for name in golden.names] == list(golden.texts)
    assert len(golden_set(corpus, 4).names) == 4
    assert len(golden_set(corpus).names) == 13  # all where fewer


def test_clips_are_drawn_by_their_names_and_not_by_their_places(tmp_path: Path) -> None:
    rows = numbered("test", 12)
    there = golden_set(made(tmp_path / "one", {"test": rows}), 5)
    again = golden_set(made(tmp_path / "two", {"test": rows[::-1]}), 5)
    assert there.names == again.names
    assert set(there.names) != {row["id"] for row in rows[:5]}
    more = golden_set(made(tmp_path / "three", {"test": rows}), 8)
    assert more.names[:5] == there.names


def test_what_no_runtime_can_take_as_a_clip_is_left_out(tmp_path: Path) -> None:
    rows = [
        {"id": "good"}, {"id": "window", "duration": 30.0}, {"id": "long", "duration": 31.0},
        {"id": "flagged", "flags": ["silent"]},
    ]  # fmt: skip
    golden = golden_set(made(tmp_path / "c", {"test": rows}))
    assert set(golden.names) == {"good", "window"}
    assert max(map(len, golden.clips)) == 30 * SAMPLE_RATE


def spoken(clips: list[np.ndarray]) -> list[dict]:
    return [
        {"id": f"{number}", "duration": len(clip) / SAMPLE_RATE,
         "audio": {"bytes": encode_flac(clip), "path": "clip.flac"}}
        for number, clip in enumerate(clips)
    ]  # fmt: skip


def test_clips_are_heard_as_they_are_in_the_corpus(tmp_path: Path) -> None:
    clips = speech(range(4))
    golden = golden_set(made(tmp_path / "c", {"test": spoken(clips)}))
    for name, found in zip(golden.names, golden.clips, strict=True):
        assert found.dtype == np.float32
        assert np.abs(found - clips[int(name)]).max() < 1e-3
    assert [len(clip) for clip in golden.clips[1:3]] == [len(clip) for clip in golden.clips][1:3]


def test_clips_are_joined_to_a_recording_with_pauses(tmp_path: Path) -> None:
    golden = golden_set(made(tmp_path / "c", {"test": numbered("test", 6)}), 3)
    assert 100 <= len(golden.recording) / SAMPLE_RATE < 110
    assert golden.recording.dtype == np.float32
    assert golden.recording_texts[:4] == (*golden.texts, golden.texts[0])
    said_s = len(golden.recording_texts) * 1.0
    assert 20 < said_s < 80  # the rest is pauses


def of_recording(name: str, clips: list[np.ndarray]) -> list[dict]:
    begins_s = np.cumsum([0, *map(len, clips)]) / SAMPLE_RATE
    return [
        row | {"id": f"{name}-{row['id']}", "recording": name, "offset": float(begin_s)}
        for row, begin_s in zip(spoken(clips), begins_s, strict=False)
    ]


def test_a_recording_of_the_corpus_itself_is_taken(tmp_path: Path) -> None:
    clips = speech(range(30))
    short, long = of_recording("short", clips[:3]), of_recording("long", clips)
    rows = [*short, *long, *of_recording("end", clips[:1])]
    corpus = made(tmp_path / "c", {"dev": numbered("dev", 2), "test": rows}, recordings=True)
    golden = golden_set(corpus, 5)
    heard = np.concatenate(clips)
    assert len(heard) > 45 * SAMPLE_RATE
    assert golden.recording_texts == tuple(f"Text long-{number}." for number in range(30))
    assert np.abs(golden.recording - heard).max() < 1e-3


def test_of_a_very_long_recording_the_beginning_is_enough(tmp_path: Path) -> None:
    clips = [TONE[: 20 * SAMPLE_RATE]] * 9
    corpus = made(tmp_path / "c", {"test": of_recording("long", clips)}, recordings=True)
    golden = golden_set(corpus)
    assert len(golden.recording) == 100 * SAMPLE_RATE
    assert golden.recording_texts == tuple(f"Text long-{number}." for number in range(5))


def test_silences_are_silent(tmp_path: Path) -> None:
    golden = golden_set(made(tmp_path / "c", {"test": numbered("test", 1)}))
    assert any(not clip.any() for clip in golden.silences)
    assert any(clip.any() for clip in golden.silences)
    assert max(np.abs(clip).max() for clip in golden.silences) < 0.01
    assert len({len(clip) for clip in golden.silences}) > 2


def test_a_corpus_without_test_and_dev_is_one_plain_sentence(tmp_path: Path) -> None:
    corpus = made(tmp_path / "c", {"train": numbered("train", 3), "test": []})
    with pytest.raises(CorpusError, match="no clips in test or dev"):
        golden_set(corpus)


@given(st.integers(1, 15))
def test_never_more_than_asked_and_none_twice(tmp_path_factory, clips: int) -> None:
    folder = tmp_path_factory.getbasetemp() / "counted"
    corpus = (
        Corpus.open(folder)
        if (folder / "corpus.json").exists()
        else made(folder, {"dev": numbered("dev", 5), "test": numbered("test", 5)})
    )
    names = golden_set(corpus, clips).names
    assert len(names) == len(set(names)) == min(clips, 10)
