"""What a model has learned from follows it, and a run outlives an erasure."""

import json
import secrets
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from modersmal.config import parse_recipe
from modersmal.corpus import Corpus
from modersmal.corpus.corrections.traces import traces_of
from modersmal.corpus.erasing import Erasing
from modersmal.corpus.lineage import learned_from
from modersmal.corpus.schema import shard_schema
from modersmal.corpus.shards import ShardWriter, write_corpus_file
from modersmal.errors import CorpusError
from modersmal.release.source import open_run
from modersmal.store.remote import local_place
from modersmal.train.train import train
from modersmal.whisper.load import read_card


class Interrupted(Exception):
    """As a training ends that nobody asked."""


def corrected(tones: Path, to: Path) -> dict[str, list[str]]:
    """The corpus of tones as if every second clip had been a correction; their ids by split."""
    info, ids = dict(Corpus.open(tones).info), dict[str, list[str]]()
    shutil.copytree(tones, to)
    splits = {}
    for name, split in info["splits"].items():
        (file,) = (shard["file"] for shard in split["shards"])
        rows = pq.read_table(tones / file).to_pylist()
        for row in rows[::2]:
            ids.setdefault(name, []).append(secrets.token_hex(16))
            row |= {"id": f"corrections/{ids[name][-1]}.flac", "source": "corrections"}
        with ShardWriter(to / file, shard_schema([])) as writer:
            for row in rows:
                writer.add(row)
        assert writer.shard
        splits[name] = {"shards": [asdict(writer.shard)]}
    sources = [{"name": "tones", "kind": "folder"}, {"name": "corrections", "kind": "corrections"}]
    write_corpus_file(to, info | {"splits": splits, "sources": sources})
    return ids


def recipe(model: Path) -> Any:
    train = {
        "max_steps": 4, "batch_s": 6.0, "save_every": 2, "evaluate_every": 4, "dev_clips": 4,
        "device": "cpu", "learning_rate": 1e-3, "packed_share": 0.0, "full_share": 0.0,
        "context_floor_s": 1.0,
    }  # fmt: skip
    return parse_recipe({"language": "sv", "model": str(model), "train": train})


@pytest.mark.chaos
def test_a_run_goes_on_and_says_what_it_has_learned_from(
    tiny_whisper: Any, tiny_corpus: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, run = tmp_path / "corpora" / "sv", tmp_path / "runs" / "sv"
    ids = corrected(tiny_corpus(), corpus)
    heard = traces_of([*ids["train"], *ids["dev"]])
    assert learned_from(Corpus.open(corpus)) == heard
    steps = []

    def stops(report: Any) -> None:
        steps.append(report)
        if len(steps) == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(recipe(tiny_whisper(terse=True)), corpus, run, stops)
    erased = [ids["train"][0], ids["dev"][0], ids["test"][0]]
    (tmp_path / "work").mkdir()
    assert Erasing(local_place(corpus), erased, tmp_path / "work").erase()
    opened = Corpus.open(corpus)
    assert len(opened.split("train")) == len(Corpus.open(tiny_corpus()).split("train")) - 1
    assert learned_from(opened) == heard
    train(recipe(tiny_whisper(terse=True)), corpus, run)
    said = capsys.readouterr().err
    assert "Going on from step 2" in said
    assert "Clips were erased from the corpus since" in said
    assert list(read_card(run / "model").learned_from) == heard
    assert open_run(run).corpus.hash == opened.hash

    after = tmp_path / "runs" / "after"
    train(recipe(run / "model"), tiny_corpus(), after)
    assert list(read_card(after / "model").learned_from) == heard
    told = json.loads((after / "recipe.json").read_text("utf-8"))
    assert told["learned_from"] == heard
    with pytest.raises(CorpusError, match="not the corpus"):
        open_run(run, tiny_corpus())


def test_what_never_heard_a_correction_says_nothing_of_them(
    tiny_corpus: Any, tiny_whisper: Any
) -> None:
    assert learned_from(Corpus.open(tiny_corpus())) == []
    assert read_card(tiny_whisper()).learned_from == ()
