"""Joining new clips to a corpus: shards are shared, test stays, nothing evaluated is trained on."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from making import clip, contents, rejected, write_clips, write_manifest

import modersmal
from modersmal.config import DataConfig
from modersmal.corpus import Corpus
from modersmal.corpus.join import join
from modersmal.corpus.prepare import prepare
from modersmal.corpus.unfinished import alone
from modersmal.errors import CorpusError, Held
from modersmal.store import sha256

OLD = {"train": ["Ett.", "Två.", "Tre."], "dev": ["Fyra."], "test": ["Fem."]}
NEW = {"train": ["Sex.", "Sju.", "fem!"], "dev": ["Åtta."], "test": ["Nio."]}


def make(folder: Path, name: str, splits: dict[str, list[str]], first: int, **extra: Any) -> Corpus:
    rows, clips = [], {}
    for split, texts in splits.items():
        for text in texts:
            path = f"{first + len(rows)}.wav"
            clips[path] = clip(first + len(rows))
            speaker = f"{name}-{split}"
            rows.append({"audio": path, "text": text, "split": split, "speaker": speaker} | extra)
    write_clips(folder / f"{name}-source", clips)
    manifest = write_manifest(folder / f"{name}-source", rows)
    return prepare([str(manifest)], folder / name, data=DataConfig(workers=1)).corpus


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Corpus, Corpus]:
    folder = tmp_path_factory.mktemp("joined")
    old = make(folder, "old", OLD, 0, age="thirties")
    new = make(folder, "new", NEW, 100, release="release-1")
    return old, new, join(old, new, folder / "both")


def test_a_joined_corpus_has_what_both_have(made: tuple[Corpus, Corpus, Corpus]) -> None:
    old, new, both = made
    assert both.split("train").texts == ["Ett.", "Två.", "Tre.", "Sex.", "Sju."]
    assert both.split("dev").texts == ["Fyra.", "Åtta."]
    assert both.split("train").ids[:3] == old.split("train").ids
    assert both.split("train").audio_bytes([3]) == new.split("train").audio_bytes([0])
    assert [one["name"] for one in both.info["sources"]] == [
        one["name"] for corpus in (old, new) for one in corpus.info["sources"]
    ]
    both.verify()
    told = both.info["splits"]["train"]
    assert (told["clips"], told["speakers"]) == (5, 2)
    assert told["duration_s"] == pytest.approx(10.0)
    assert "train" in str(modersmal.inspect(both.path, verify=True))


def test_test_stays_what_it_was(made: tuple[Corpus, Corpus, Corpus]) -> None:
    old, _, both = made
    assert both.split("test").ids == old.split("test").ids


def test_where_there_is_no_test_the_new_one_is_it(tmp_path: Path) -> None:
    old = make(tmp_path, "old", {"train": ["Ett."], "dev": ["Två."]}, 0)
    both = join(old, make(tmp_path, "new", NEW, 100), tmp_path / "both")
    assert both.split("test").texts == ["Nio."]


def test_a_sentence_of_test_does_not_come_into_train(made: tuple[Corpus, Corpus, Corpus]) -> None:
    _, new, both = made
    (row,) = rejected(both.path)
    assert row["reasons"] == ["sentence-overlap"]
    assert row["where"] == new.split("train").ids[2]
    assert row["text"] is None
    assert both.info["rejected"]["train"]["sentence-overlap"] == 1
    assert both.info["overlap"] == []


def test_shards_are_not_kept_twice_and_have_the_same_columns(
    made: tuple[Corpus, Corpus, Corpus],
) -> None:
    old, _, both = made
    for name in ("train-00000.parquet", "dev-00000.parquet", "test-00000.parquet"):
        assert os.path.samefile(old.path / name, both.path / name)
    schemas = {pq.read_schema(path).to_string() for path in both.path.glob("*.parquet")}
    assert len(schemas) == 1
    assert both.split("train").column("age") == ["thirties"] * 3 + [None] * 2
    assert both.info["rejected_sha256"] == sha256(both.path / "rejected.jsonl")


def test_the_same_corpora_are_the_same_joined(
    made: tuple[Corpus, Corpus, Corpus], tmp_path: Path
) -> None:
    old, new, both = made
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "train-00000.parquet").write_bytes(b"of a join that was killed")
    assert contents(join(old, new, tmp_path / "again").path) == contents(both.path)


def test_of_two_who_join_into_one_corpus_one_is_refused(
    made: tuple[Corpus, Corpus, Corpus], tmp_path: Path
) -> None:
    old, new, both = made
    with alone(tmp_path / "again"), pytest.raises(Held):
        join(old, new, tmp_path / "again")
    assert contents(join(old, new, tmp_path / "again").path) == contents(both.path)


def test_what_is_said_in_two_splits_is_told(tmp_path: Path) -> None:
    old = make(tmp_path, "old", {"train": ["Ett."], "test": ["Två."]}, 0)
    new = make(tmp_path, "new", {"train": ["Tre."], "dev": ["Ett."]}, 100)
    both = join(old, new, tmp_path / "both")
    assert both.info["overlap"] == [
        {"splits": ["dev", "train"], "speakers": 0, "sentences": 1, "duplicates": 0}
    ]


def test_other_languages_and_finished_corpora_are_refused(
    made: tuple[Corpus, Corpus, Corpus], tmp_path: Path
) -> None:
    old, new, both = made
    with pytest.raises(CorpusError, match="is a corpus already"):
        join(old, new, both.path)
    info = json.loads((new.path / "corpus.json").read_text()) | {"language_token": "fi"}
    with pytest.raises(CorpusError, match="cannot be joined"):
        join(old, Corpus(new.path, info), tmp_path / "other")
