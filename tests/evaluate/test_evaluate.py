"""An evaluation decodes, scores, compares, and keeps what its scores depend on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from modersmal.config import EvaluateConfig
from modersmal.corpus.shards import Corpus
from modersmal.errors import CorpusError, ModelError, RecipeError
from modersmal.evaluate.decoding import context_for
from modersmal.evaluate.evaluate import evaluate
from modersmal.evaluate.records import read_hypotheses
from modersmal.evaluate.results import compare
from modersmal.whisper.decode import decode
from modersmal.whisper.decode_torch import TransformersDecoder
from modersmal.whisper.load import load
from talkative import noise

CLIPS = [noise(duration_s, seed) for seed, duration_s in enumerate([2.4, 0.7, 31.0, 1.5, 3.0, 0.9])]


@pytest.fixture(scope="module")
def spoken(make_corpus, talkative: str) -> Corpus:
    """A corpus whose texts are what the model hears, but for one word in the second clip."""
    decoder = TransformersDecoder(load(talkative))
    heard = []
    for clip in CLIPS:
        quantised = np.round(clip * 32768).astype(np.float32) / 32768  # as FLAC keeps it
        parts = np.array_split(quantised, 2 if len(clip) > 30 * 16_000 else 1)
        decoded = decode(decoder, parts, language_token="sv", context="full")
        heard.append(" ".join(one.text for one in decoded))
    heard[1] = f"ett {heard[1]}"
    return make_corpus(heard, CLIPS, speakers=list("aabcde"))


def test_scores_what_the_model_hears(spoken: Corpus, talkative: str, tmp_path: Path) -> None:
    evaluation = evaluate(talkative, [spoken.path], output=tmp_path / "scores")

    (entry,) = evaluation.scores
    wer = entry.result.score.normalised.wer
    assert (wer.substitutions, wer.deletions, wer.insertions) == (0, 1, 0)  # 31 s included
    assert entry.result.score.intervals_by == "speaker"
    assert entry.result.system.context == "full"  # it was not trained on less
    assert (entry.result.system.engine, entry.result.system.precision) == ("ctranslate2", "float32")
    assert "context full, ctranslate2 in float32" in str(evaluation)
    rows = [json.loads(line) for line in (tmp_path / "scores/spoken-test.jsonl").open()]
    assert [row["id"] for row in rows] == [f"clip-{number}" for number in range(6)]
    assert [row["deletions"] for row in rows] == [0, 1, 0, 0, 0, 0]
    assert all(row["hypothesis"] in row["reference"] for row in rows)
    kept = json.loads((tmp_path / "scores/evaluation.json").read_text())
    assert kept == evaluation.to_json()
    conditions = kept["scores"][0]["result"]["conditions"]
    assert conditions["corpus"] == spoken.hash
    assert conditions["normaliser"] == "modersmal-1"
    assert len(kept["scores"][0]["result"]["system"]["model_hash"]) == 64
    table = str(evaluation)
    assert f"{100 * wer.rate:.1f}" in table
    assert "spoken, test" in table


def test_compares_with_a_baseline_on_the_same_clips(
    spoken: Corpus, talkative: str, tmp_path: Path
) -> None:
    perfect = tmp_path / "perfect.tsv"
    lines = [
        f"{id_}\t{text}\n"
        for id_, text in zip(spoken.split("test").ids, spoken.split("test").texts, strict=True)
    ]
    perfect.write_text("id\ttext\n" + "".join(lines), encoding="utf-8")

    evaluation = evaluate(
        "a perfect one",
        [spoken.path],
        hypotheses=perfect,
        baseline=talkative,
        output=tmp_path / "out",
    )

    comparison = evaluation.scores[0].comparison
    assert comparison.difference.difference < 0
    assert (comparison.better, comparison.worse, comparison.equal) == (1, 0, 5)
    assert "Against" in str(evaluation)
    # An evaluation that was kept serves as a baseline without decoding again.
    again = evaluate(talkative, [spoken.path], baseline=str(tmp_path / "out"))
    assert again.scores[0].comparison.difference.difference == -comparison.difference.difference
    same = evaluate("itself", [spoken.path], hypotheses=perfect, baseline=str(tmp_path / "out"))
    change = same.scores[0].comparison.difference
    assert (change.difference, change.interval.low, change.interval.high) == (0, 0, 0)
    assert "the same" in str(same)


def test_refuses_to_compare_what_was_scored_otherwise(
    spoken: Corpus, talkative: str, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    first = evaluate(talkative, [spoken.path], output=kept).scores[0].result

    for config, what in [
        (EvaluateConfig(normaliser="none"), "normaliser"),
        (EvaluateConfig(context="full"), "context"),
        (EvaluateConfig(beams=2), "beams"),
    ]:
        with pytest.raises(CorpusError, match=f"differ in {what} "):
            evaluate(talkative, [spoken.path], baseline=str(kept), config=config)
    (kept / "evaluation.json").write_text('{"scores": [{"split": "test"}]}', "utf-8")
    with pytest.raises(CorpusError, match="is not the result of an evaluation"):
        evaluate(talkative, [spoken.path], baseline=str(kept))
    other = replace(first, conditions=replace(first.conditions, clips="0" * 64))
    with pytest.raises(CorpusError, match="differ in clips "):
        compare(first, other)


def test_either_engine_scores_and_their_scores_compare(
    spoken: Corpus, talkative: str, tmp_path: Path
) -> None:
    fast = evaluate(talkative, [spoken.path], output=tmp_path / "fast").scores[0].result
    plain = EvaluateConfig(engine="transformers")

    slow = evaluate(talkative, [spoken.path], config=plain, baseline=str(tmp_path / "fast"))

    assert slow.scores[0].result.system.engine == "transformers"
    assert slow.scores[0].result.hypotheses == fast.hypotheses
    assert slow.scores[0].comparison.equal == 6


def test_says_why_ctranslate2_does_not_decode(
    spoken: Corpus, talkative: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MODERSMAL_CACHE", str(tmp_path / "file"))

    found = evaluate(talkative, [spoken.path])

    assert found.scores[0].result.system.engine == "transformers"
    assert "is decoded with transformers: " in capsys.readouterr().err
    with pytest.raises(ModelError, match="CTranslate2 cannot decode"):
        evaluate(talkative, [spoken.path], config=EvaluateConfig(engine="ctranslate2"))


def test_short_contexts_are_for_models_trained_on_them(talkative: str) -> None:
    stock = load(talkative)
    ours = replace(stock, context="dynamic")

    assert context_for(stock, EvaluateConfig()) == "full"
    assert context_for(ours, EvaluateConfig()) == "dynamic"
    assert context_for(ours, EvaluateConfig(context="full")) == "full"


def test_characters_decide_where_the_corpus_says_so(make_corpus, tmp_path: Path) -> None:
    corpus = make_corpus(["今天", "天气"], language="zh", language_token="zh")
    texts = tmp_path / "texts.jsonl"
    texts.write_text(
        '{"id": "clip-1", "hypothesis": "天 气"}\n{"id": "clip-0", "hypothesis": "今"}\n', "utf-8"
    )

    evaluation = evaluate("other", [corpus.path], hypotheses=texts)

    assert evaluation.scores[0].result.score.deciding.rate == 1 / 4
    assert "CER decides" in str(evaluation)


def test_corpora_of_one_name_keep_files_of_their_own(make_corpus, tmp_path: Path) -> None:
    corpora = [make_corpus(["ett två"]).path, make_corpus(["tre"]).path]
    texts = tmp_path / "texts.tsv"
    texts.write_text("id\thypothesis\nclip-0\ttre\n", "utf-8")

    evaluation = evaluate("other", corpora, hypotheses=texts, output=tmp_path / "out")

    assert [entry.result.score.wer for entry in evaluation.scores] == [1, 0]
    assert len(list((tmp_path / "out").glob("*.jsonl"))) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"id": "clip-0", "text": "ja"}\n', "lacks 1 of 2 clips, the first is clip-1"),
        (
            "a.jsonl",
            '{"id": "clip-0", "text": "ja"}\n' * 2,
            "line 2: the clip clip-0 is there twice",
        ),
        ("a.jsonl", "clip-0 ja\n", "line 1 is not JSON"),
        ("a.jsonl", '{"id": "clip-0"}\n', "it needs 'id', and 'hypothesis' or 'text'"),
        ("a.jsonl", '{"id": "clip-0", "text": 3}\n', "is no text but 3"),
        ("a.jsonl", "[1]\n", "line 1 is not a JSON object"),
        ("a.tsv", "id\ttext\nclip-0\n", "line 2 has not the 2 columns"),
        ("a.tsv", "id\ttext\nclip-0\tja\tnej\n", "line 2 has not the 2 columns"),
        ("missing.tsv", None, "does not exist"),
        ("a.jsonl", b"\xff\xfe", "cannot be read as UTF-8"),
    ],
)
def test_says_what_is_wrong_with_a_file_of_hypotheses(
    tmp_path: Path, name, content, message
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(CorpusError, match=message):
        read_hypotheses(path, ["clip-0", "clip-1"])


def test_quotes_in_a_tsv_are_plain_characters(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('id\ttext\nclip-0\t"Hej", sa han\n', "utf-8")

    assert read_hypotheses(path, ["clip-0"]) == ['"Hej", sa han']


def test_refuses_what_cannot_be_scored(make_corpus, tiny_whisper, tmp_path: Path) -> None:
    corpus = make_corpus(["ett"])
    english = str(tiny_whisper("english"))

    with pytest.raises(CorpusError, match="has no split 'tset'"):
        evaluate(english, [corpus.path], split="tset")
    with pytest.raises(ModelError, match="English-only"):
        evaluate(english, [corpus.path])
    with pytest.raises(RecipeError, match="at least one corpus"):
        evaluate(english, [])
    with pytest.raises(ModelError, match="there is no model at"):
        evaluate("no/such/model", [corpus.path])
    with pytest.raises(CorpusError, match="holds no clips"):
        evaluate(english, [make_corpus([]).path])
