"""Shards: the same rows give the same bytes, and one clip is found without reading the rest."""

import dataclasses
import json
import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow.parquet as pq
import pytest

from modersmal.corpus import Corpus
from modersmal.corpus.schema import shard_schema
from modersmal.corpus.shards import ShardWriter, write_corpus_file
from modersmal.errors import CorpusError, StoreError


def row(number, size=50):
    return {
        "id": f"clip-{number}",
        "audio": {"bytes": number.to_bytes(4, "big") * size, "path": f"{number}.wav"},
        "text": f"mening {number}",
        "duration": 1.0 + number / 10,
        "speaker": None if number % 5 == 0 else f"speaker-{number % 3}",
        "source": "here",
        "split": "train",
        "flags": ["clipped"] if number % 50 == 0 else [],
        "age": "teens",
    }


def write_shard(path, rows):
    with ShardWriter(path, shard_schema(["age"])) as writer:
        for one in rows:
            writer.add(one)
    return writer.shard


@pytest.fixture
def corpus(tmp_path):
    shards = [
        write_shard(tmp_path / "train-00000.parquet", map(row, range(250))),
        write_shard(tmp_path / "train-00002.parquet", map(row, range(250, 310))),
    ]
    info = {
        "language": "se",
        "language_token": "fi",
        "splits": {
            "train": {"shards": [dataclasses.asdict(shard) for shard in shards]},
            "dev": {"shards": []},
        },
    }
    return write_corpus_file(tmp_path, info)


def test_the_same_rows_give_the_same_bytes(tmp_path):
    first = write_shard(tmp_path / "a", map(row, range(150)))
    second = write_shard(tmp_path / "b", map(row, range(150)))
    assert first.sha256 == second.sha256
    assert first.rows == 150
    assert first.row_groups == (100, 50)


def test_a_row_group_stays_small_in_bytes_too(tmp_path):
    shard = write_shard(tmp_path / "a", (row(number, 1_300_000) for number in range(8)))
    assert shard.row_groups == (3, 3, 2)


def test_no_rows_no_file(tmp_path):
    assert write_shard(tmp_path / "a", []) is None
    assert os.listdir(tmp_path) == []


def test_a_shard_that_fails_leaves_nothing(tmp_path):
    def rows():
        yield from map(row, range(120))
        raise KeyError

    with pytest.raises(KeyError):
        write_shard(tmp_path / "a", rows())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("count", [20, 250])
def test_a_full_disk_leaves_nothing_and_says_so(tmp_path, count):
    script = textwrap.dedent("""
        import resource, sys
        from test_shards import row, write_shard
        from pathlib import Path
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        write_shard(Path(sys.argv[1]), (row(number, 500) for number in range(int(sys.argv[2]))))
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a"), str(count)],
        capture_output=True,
        text=True,
        cwd=os.path.dirname(__file__),
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"{StoreError.__module__}.StoreError: the disk is full: ")
    assert os.listdir(tmp_path) == []


def test_columns_come_whole_and_in_order(corpus):
    train = Corpus.open(corpus.path).split("train")
    assert len(train) == 310
    assert train.ids == [f"clip-{number}" for number in range(310)]
    assert train.texts[249:251] == ["mening 249", "mening 250"]
    assert train.speakers[:2] == [None, "speaker-1"]
    assert train.flags[49:51] == [[], ["clipped"]]
    assert train.column("age") == ["teens"] * 310
    assert "age" in train.columns
    assert train.durations_s.dtype == np.float32
    assert train.durations_s == pytest.approx(1 + np.arange(310) / 10)
    assert train.duration_s == pytest.approx(train.durations_s.sum(), rel=1e-5)


def test_row_groups_are_numbered_through(corpus):
    starts = corpus.split("train").row_group_starts
    assert starts.tolist() == [0, 100, 200, 250, 310]


def test_clips_come_in_the_order_asked_for(corpus):
    train = corpus.split("train")
    wanted = [309, 0, 100, 99, 309, 250]
    clips = train.audio_bytes(wanted)
    assert [int.from_bytes(clip[:4], "big") for clip in clips] == wanted
    assert train.audio_bytes([]) == []
    for wrong in ([310], [-1]):
        with pytest.raises(IndexError):
            train.audio_bytes(wrong)


def test_each_row_group_is_read_once(corpus, monkeypatch):
    reads = []
    real = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda self, group, **rest: reads.append(group) or real(self, group, **rest),
    )
    train = corpus.split("train")
    train.audio_bytes([5, 205, 6, 206])
    train.audio_bytes([7, 8])
    assert sorted(reads) == [0, 2]


def test_a_split_goes_to_another_process_without_what_it_read(corpus):
    train = corpus.split("train")
    assert train.texts
    assert train.audio_bytes(range(300))
    sent = pickle.dumps(train)
    assert len(sent) < 5000
    assert pickle.loads(sent).audio_bytes([3]) == train.audio_bytes([3])  # noqa: S301


def test_an_empty_split_is_a_split(corpus):
    dev = corpus.split("dev")
    assert (len(dev), dev.ids, dev.durations_s.tolist()) == (0, [], [])
    assert dev.audio_bytes([]) == []


def test_missing_things_are_named(corpus, tmp_path):
    with pytest.raises(CorpusError, match=r"no split 'tran' .*'train'.*it has train, dev"):
        corpus.split("tran")
    with pytest.raises(CorpusError, match=r"no column 'aeg' .*'age'"):
        corpus.split("train").column("aeg")
    with pytest.raises(CorpusError, match="there is no corpus at"):
        Corpus.open(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="not a finished corpus"):
        Corpus.open(tmp_path / "empty")


def test_language_and_token_are_told_apart(corpus):
    opened = Corpus.open(corpus.path)
    assert (opened.language, opened.language_token, opened.splits) == ("se", "fi", ("train", "dev"))


def test_the_hash_follows_the_content(corpus, tmp_path):
    again = write_corpus_file(
        tmp_path, {key: corpus.info[key] for key in ("splits", "language_token", "language")}
    )
    assert again.hash == corpus.hash
    other = write_corpus_file(tmp_path, again.info | {"language": "sv"})
    assert other.hash != corpus.hash


def test_harm_is_noticed(corpus):
    corpus.verify()
    shard = corpus.path / "train-00000.parquet"
    content = bytearray(shard.read_bytes())
    content[300] ^= 1
    shard.write_bytes(content)
    opened = Corpus.open(corpus.path)
    with pytest.raises(CorpusError, match=r"train-00000\.parquet is damaged"):
        opened.verify()
    shard.write_bytes(content[:1000])
    with pytest.raises(CorpusError, match="missing or cut short"):
        Corpus.open(corpus.path)
    with pytest.raises(CorpusError, match="cannot be read"):
        opened.split("train").audio_bytes([0])
    shard.unlink()
    with pytest.raises(CorpusError, match="missing or cut short"):
        Corpus.open(corpus.path)
    (corpus.path / "corpus.json").write_text("{")
    with pytest.raises(CorpusError, match="cannot be read"):
        Corpus.open(corpus.path)
    (corpus.path / "corpus.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(CorpusError, match="format"):
        Corpus.open(corpus.path)
