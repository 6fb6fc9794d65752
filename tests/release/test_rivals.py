"""Scores on test, kept and compared: what is worse than an earlier release is told."""

import csv
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from publishing import facts
from safetensors.torch import load_file, save_file
from small_models import SPEECH

from modersmal.audio import SAMPLE_RATE, decode
from modersmal.config import EvaluateConfig
from modersmal.corpus import Corpus
from modersmal.corpus.schema import shard_name, shard_schema
from modersmal.corpus.shards import ShardWriter, write_corpus_file
from modersmal.errors import CorpusError
from modersmal.release.facts import Rate, SplitScore
from modersmal.release.rivals import compare, rivals, score_test
from modersmal.store.releases import Entry
from modersmal.whisper.load import locate

CLIPS = 12


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Clips of what the bundled base was made for, as a test split."""
    folder = tmp_path_factory.mktemp("corpus")
    with (SPEECH / "texts.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))[:CLIPS]
    with ShardWriter(folder / shard_name("test", 0), shard_schema([])) as writer:
        for row in rows:
            data = (SPEECH / f"{row['id']}.ogg").read_bytes()
            writer.add({
                "id": row["id"], "text": row["text"], "audio": {"bytes": data, "path": "a.ogg"},
                "duration": len(decode(data).samples) / SAMPLE_RATE, "speaker": None,
                "source": "speech", "split": "test", "flags": [],
            })  # fmt: skip
    splits = {"test": {"shards": [asdict(writer.shard)]}}
    return write_corpus_file(folder, {"language": "sv", "language_token": "sv", "splits": splits})


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Path:
    """The bundled base as a release, with what it wrote of test."""
    folder = tmp_path_factory.mktemp("released")
    shutil.copytree(locate("bundled"), folder, dirs_exist_ok=True)
    test = score_test(str(folder), corpus, folder, system="release 1")
    facts("content", test=test).write(folder)
    return folder


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled base as a badly tuned model would be."""
    folder = tmp_path_factory.mktemp("damaged") / "model"
    shutil.copytree(locate("bundled"), folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.decoder.layers.1.encoder_attn.out_proj.weight"][:, :64] = 0
    draws = torch.Generator().manual_seed(0)
    for name, value in weights.items():
        if value.ndim == 2 and "encoder_attn" in name:
            noise = torch.randn(value.shape, generator=draws) * value.float().std()
            value += noise.to(value.dtype)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_what_is_scored_is_kept(released: Path, corpus: Corpus) -> None:
    score = json.loads((released / "release.json").read_text())["test"]
    assert score["system"] == "release 1"
    assert score["clips"] == CLIPS
    assert score["audio_s"] == pytest.approx(corpus.split("test").duration_s)
    assert 0 <= score["wer"]["low"] <= score["wer"]["value"] <= score["wer"]["high"] < 0.5
    assert score["conditions"]["corpus"] == corpus.hash
    rows = [json.loads(line) for line in (released / score["clips_file"]).open()]
    assert [row["id"] for row in rows] == corpus.split("test").ids
    assert any(row["hypothesis"] == row["reference"] for row in rows)


def test_what_is_kept_is_not_decoded_again(released: Path, corpus: Corpus, tmp_path: Path) -> None:
    shutil.copytree(released, tmp_path / "copy")
    file = tmp_path / "copy" / "scores" / "model.jsonl"
    file.write_bytes(b"")
    again = score_test(str(tmp_path / "copy"), corpus, tmp_path / "copy")
    assert again.model_dump() == json.loads((released / "release.json").read_text())["test"]
    assert not file.read_bytes()
    score_test(str(tmp_path / "copy"), corpus, tmp_path / "copy", config=EvaluateConfig(beams=2))
    assert len(file.read_text().splitlines()) == CLIPS
    (tmp_path / "copy" / "scores" / "model.json").write_text("{")
    file.write_bytes(b"")
    score_test(str(tmp_path / "copy"), corpus, tmp_path / "copy")
    assert len(file.read_text().splitlines()) == CLIPS


def test_a_worse_model_is_worse(
    released: Path, damaged: Path, corpus: Corpus, tmp_path: Path
) -> None:
    mine = score_test(str(damaged), corpus, tmp_path, system="mine")
    found = compare(mine, tmp_path, released, corpus, against="release 1", name="release-0001")
    assert (found.against, found.metric, found.worse) == ("release 1", "wer", True)
    assert 0 < found.low < found.difference < found.high
    assert not (tmp_path / "scores" / "release-0001.jsonl").exists()  # what it kept was taken
    facts("content", test=mine).write(tmp_path)
    shutil.copytree(damaged, tmp_path, dirs_exist_ok=True)
    test = SplitScore.model_validate(json.loads((released / "release.json").read_text())["test"])
    better = compare(test, released, tmp_path, corpus, against="release 2", name="release-0002")
    assert better.difference == pytest.approx(-found.difference)
    assert not better.worse


def test_the_same_model_is_not_worse(released: Path, corpus: Corpus, tmp_path: Path) -> None:
    mine = score_test("bundled", corpus, tmp_path)
    found = compare(mine, tmp_path, released, corpus, against="release 1", name="release-0001")
    assert (found.difference, found.low, found.high, found.worse) == (0, 0, 0, False)


def test_what_was_decoded_in_another_way_is_decoded_again(
    released: Path, corpus: Corpus, tmp_path: Path
) -> None:
    config = EvaluateConfig(beams=2)
    mine = score_test("bundled", corpus, tmp_path, config=config)
    found = compare(
        mine, tmp_path, released, corpus, against="release 1", name="release-0001", config=config
    )
    assert found.difference == 0
    again = [json.loads(line) for line in (tmp_path / "scores/release-0001.jsonl").open()]
    assert [row["id"] for row in again] == corpus.split("test").ids


@pytest.mark.parametrize("spoilt", ["missing", "cut short", "never scored"])
def test_what_was_not_kept_is_decoded_again(
    released: Path, corpus: Corpus, tmp_path: Path, spoilt: str
) -> None:
    other = tmp_path / "other"
    shutil.copytree(released, other)
    kept = other / "scores" / "model.jsonl"
    if spoilt == "missing":
        kept.unlink()
    elif spoilt == "cut short":
        kept.write_text("\n".join(kept.read_text().splitlines()[:3]))
    else:
        facts("content", test=None).write(other)
    mine = score_test("bundled", corpus, tmp_path)
    found = compare(mine, tmp_path, other, corpus, against="release 1", name="release-0001")
    assert found.difference == 0
    assert (tmp_path / "scores" / "release-0001.jsonl").is_file()


def test_another_normaliser_needs_no_decoding(
    released: Path, corpus: Corpus, tmp_path: Path
) -> None:
    config = EvaluateConfig(normaliser="none")
    mine = score_test("bundled", corpus, tmp_path, config=config)
    compare(
        mine, tmp_path, released, corpus, against="release 1", name="release-0001", config=config
    )
    assert not (tmp_path / "scores" / "release-0001.jsonl").exists()


def test_a_score_of_other_clips_is_refused(
    released: Path, corpus: Corpus, tmp_path: Path, tiny_corpus
) -> None:
    mine = score_test("bundled", corpus, tmp_path)
    other = Corpus.open(tiny_corpus())
    with pytest.raises(CorpusError, match="cannot be compared"):
        compare(mine, tmp_path, released, other, against="release 1", name="release-0001")


def test_without_clips_in_test_there_is_no_score(tmp_path: Path, tiny_corpus) -> None:
    with pytest.raises(CorpusError, match="no split 'test'"):
        score_test("bundled", Corpus.open(tiny_corpus(test=0)), tmp_path)


def entry(number: int, wer: float, state="complete", **conditions) -> Entry:
    score = SplitScore(
        system="s", wer=Rate(value=wer), cer=Rate(value=1 - wer), clips=1, audio_s=1.0,
        conditions={"language": "sv", "corpus": "a"} | conditions,
    )  # fmt: skip
    return Entry(number, state, 1, facts("c", test=score).model_dump(mode="json"))


def test_the_deployed_and_the_best_are_the_rivals() -> None:
    mine = SplitScore.model_validate(entry(9, 0.3).facts["test"])
    releases = [
        entry(1, 0.20),
        entry(2, 0.10, "half-written"),
        entry(3, 0.25, "latest"),
        entry(4, 0.15, corpus="another"),
        Entry(5, "complete", 1, {}),
    ]
    assert rivals(releases, mine) == (3, 1)
    assert rivals([entry(1, 0.20, "latest"), entry(2, 0.3)], mine) == (1,)
    assert rivals([], mine) == ()
    # Where nothing was scored alike, the best of what there is.
    other = mine.model_copy(update={"conditions": {"language": "sv", "corpus": "new"}})
    assert rivals(releases, other) == (3, 4)
    # Languages without spaces are told apart by characters.
    chinese = {"language": "zh", "corpus": "a"}
    mine = mine.model_copy(update={"conditions": chinese})
    assert rivals([entry(1, 0.2, **chinese), entry(2, 0.3, **chinese)], mine) == (2,)
