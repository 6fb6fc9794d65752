"""`prepare corrections:DATABASE`: what may be learned from becomes a corpus, the rest is accounted
for, and what was evaluated on is never trained on."""

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from collecting import TERMS, correction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import modersmal
from modersmal import cli
from modersmal.audio import decode
from modersmal.corpus import Corpus, prepare
from modersmal.corpus.corrections.book import Book
from modersmal.corpus.corrections.collection import Collection
from modersmal.corpus.corrections.correction import Correction, split_of
from modersmal.corpus.corrections.voices import Voices
from modersmal.corpus.sources.corrections import Corrections
from modersmal.database import Database
from modersmal.errors import CorpusError

SPEECH = sorted((Path(__file__).parents[2] / "data" / "speech").glob("*.ogg"))
FOREVER_S = 1e12
SENTENCES = ("Klockan är halv nio.", "Snart kommer våren.", "Tåget går klockan sju.",
             "Vem äger den röda bilen?", "Ingen vet var katten är.")  # fmt: skip


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    database = Database.open(f"sqlite:///{tmp_path / 'serve.db'}")
    book = Book(database)
    voices = Voices(tmp_path / "corrections")
    book.note_voices(voices.folder)
    yield Collection(book, voices)
    database.close()


@pytest.fixture
def address(collection: Collection, tmp_path: Path) -> str:
    return f"corrections:sqlite:///{tmp_path / 'serve.db'}"


def recording_in(split: str, after: int = 0) -> str:
    """The name of a recording whose hash falls into a split."""
    return next(
        name for name in map("recording{}".format, range(after, 10**6)) if split_of(name) == split
    )


def keep(collection: Collection, recording: str, text: str, **values: Any) -> Correction:
    """A correction that was agreed to, saved with audio of its own, and accepted."""
    key = collection.book.agree(recording, TERMS, "mine", "consent")
    person_id = str(collection.book.person(key))
    about = {"state": "accepted", "text": text, "expires_s": FOREVER_S}
    one = correction(recording, "s1", person_id, **about | values)
    number = len(collection.book.ids() | collection.book.tombstones()) % len(SPEECH)
    assert collection.settle(recording, [one], [], {one.id: decode(SPEECH[number]).samples})
    return one


def three(collection: Collection) -> dict[str, Correction]:
    return {
        split: keep(collection, recording_in(split), text)
        for split, text in zip(("train", "dev", "test"), SENTENCES, strict=False)
    }


def rejected(corpus: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (corpus / "rejected.jsonl").open(encoding="utf-8")]


def ids_of(corpus: Corpus, split: str) -> list[str]:
    return corpus.split(split).ids if split in corpus.splits else []


def test_accepted_corrections_become_a_corpus_in_the_splits_they_were_saved_with(
    collection: Collection, address: str, tmp_path: Path
) -> None:
    kept = three(collection)
    assert cli.main(["prepare", address, "--to", str(tmp_path / "corpus")]) == 0
    corpus = Corpus.open(tmp_path / "corpus")
    for split, one in kept.items():
        clips = corpus.split(split)
        assert clips.ids == [f"corrections/{one.id}.flac"]
        assert clips.texts == [one.text]
        assert clips.speakers == [one.person_id]
        for name, value in (
            ("release", one.release), ("consent", one.consent_version), ("state", "accepted"),
        ):  # fmt: skip
            assert clips.column(name) == [value]
        assert clips.audio_bytes([0]) == [collection.voices.path(one.id).read_bytes()]


def test_only_ones_own_voice_names_a_speaker(
    collection: Collection, address: str, tmp_path: Path
) -> None:
    keep(collection, recording_in("train"), SENTENCES[0], voice="others")
    corpus = prepare.prepare([address], tmp_path / "corpus").corpus
    assert corpus.split("train").speakers == [None]


def test_what_may_not_be_learned_from_is_refused_with_a_reason_and_without_its_text(
    collection: Collection, address: str, tmp_path: Path
) -> None:
    keep(collection, recording_in("train"), SENTENCES[0])
    faults: dict[str, dict[str, Any]] = {
        "unknown-voice": {"voice": "unknown"},
        "unknown-ground": {"ground": "unknown"},
        "unreviewed": {"state": "waiting"},
        "rejected": {"state": "rejected"},
        "expired": {"expires_s": 1.0},
        "other-language": {"language": "fi"},
    }
    refused = {
        reason: keep(
            collection, recording_in("dev", 100 * number), f"Hemlig mening {number}.", **values
        )
        for number, (reason, values) in enumerate(faults.items())
    }
    corpus = prepare.prepare([address], tmp_path / "corpus").corpus
    rows = {row["where"]: row for row in rejected(corpus.path)}
    assert len(rows) == len(refused)
    for reason, one in refused.items():
        row = rows[f"the correction {one.id}"]
        assert (row["reasons"], row["text"]) == ([reason], None)
        assert reason in str(modersmal.inspect(corpus.path))
    assert list(corpus.splits) == ["train"]
    assert not any(b"Hemlig" in path.read_bytes() for path in corpus.path.iterdir())


def test_a_sentence_that_is_evaluated_on_is_not_trained_on(
    collection: Collection, address: str, tmp_path: Path
) -> None:
    """One recording sent twice gets two names, and may get two splits."""
    test = keep(collection, recording_in("test"), SENTENCES[0])
    again = keep(collection, recording_in("train"), SENTENCES[0].upper())
    other = keep(collection, recording_in("train", 50), SENTENCES[1])
    corpus = prepare.prepare([address], tmp_path / "corpus").corpus
    assert test.id in ids_of(corpus, "test")[0]
    assert [other.id in id_ for id_ in ids_of(corpus, "train")] == [True]
    (row,) = rejected(corpus.path)
    assert row["reasons"] == ["sentence-overlap"]
    assert again.id in row["where"]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.sampled_from(["waiting", "accepted", "rejected"]), max_size=4))
def test_no_verdict_moves_a_correction_to_another_split(
    changes: list[str], collection: Collection, address: str
) -> None:
    """Nor do those that come and go beside it."""
    collection.erase(collection.book.ids())
    one = keep(collection, recording_in("test"), SENTENCES[0])
    for number, state in enumerate(changes):
        one = replace(one, state=state, text=SENTENCES[number])  # type: ignore[arg-type]
        assert collection.settle(one.recording, [one], [], {})
    keep(collection, recording_in("train", 10), SENTENCES[4])
    source = Corrections(address, "sv")
    assert {row.split for row in source.rows() if one.id in row.where} == {"test"}
    assert {row.split for row in source.rows() if one.id not in row.where} == {"train"}


def test_what_was_erased_comes_in_no_more_and_a_continued_prepare_looks_again(
    collection: Collection, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Erased while its corpus is being made: that is not finished, and begins without it."""
    kept = three(collection)
    real = prepare._prepare_shards

    def erased_meanwhile(*arguments: Any) -> None:
        real(*arguments)
        collection.erase([kept["train"].id])

    with monkeypatch.context() as patch:
        patch.setattr(prepare, "_prepare_shards", erased_meanwhile)
        with pytest.raises(CorpusError, match="erased while they were prepared; start again"):
            prepare.prepare([address], tmp_path / "corpus")
    corpus = prepare.prepare([address], tmp_path / "corpus").corpus
    assert ids_of(corpus, "train") == []
    assert ids_of(corpus, "test") == [f"corrections/{kept['test'].id}.flac"]
    remains = subprocess.run(
        ["grep", "-rl", kept["train"].id, str(corpus.path)], capture_output=True, text=True
    )
    assert remains.stdout == ""


@pytest.mark.parametrize("lost", ["the database's", "the voices'"])
def test_a_backup_brings_nothing_back_that_either_tombstone_names(
    lost: str, collection: Collection, address: str, tmp_path: Path
) -> None:
    kept = three(collection)
    backup = collection.voices.path(kept["train"].id).read_bytes()
    collection.erase([kept["train"].id])
    collection.voices.path(kept["train"].id).write_bytes(backup)
    with sqlite3.connect(tmp_path / "serve.db") as connection:
        if lost == "the database's":
            connection.execute("DELETE FROM tombstones")
        columns = vars(kept["train"])
        connection.execute(
            f"INSERT INTO corrections ({', '.join(columns)}) VALUES "
            f"({', '.join('?' * len(columns))})",
            list(columns.values()),
        )
    if lost == "the voices'":
        (collection.voices.folder / "tombstones").unlink()
    corpus = prepare.prepare([address], tmp_path / "corpus").corpus
    assert ids_of(corpus, "train") == []
    assert "train" not in corpus.info["rejected"]


def test_a_corpus_of_corrections_is_not_published(
    collection: Collection, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    three(collection)
    corpus = prepare.prepare([address], tmp_path / "corpus").corpus
    assert corpus.info["sources"][0]["redistributable"] is False
    assert "must not be passed on" in str(modersmal.inspect(corpus.path))
    assert cli.main(["publish", str(corpus.path), "--repo", "anna/sv", "--dry-run"]) == 1
    assert "forbid that it is passed on" in capsys.readouterr().err


def test_nothing_of_a_corpus_says_how_to_reach_the_database(
    collection: Collection, address: str, tmp_path: Path
) -> None:
    three(collection)
    corpus = prepare.prepare([address], tmp_path / "corpus").corpus
    assert "sqlite" not in json.dumps(corpus.info)
    assert str(tmp_path) not in json.dumps(corpus.info)


def test_audio_that_was_moved_is_found_where_one_says(
    collection: Collection, address: str, tmp_path: Path
) -> None:
    kept = three(collection)
    collection.voices.folder.rename(tmp_path / "elsewhere")
    moved = f"{address}#{tmp_path / 'elsewhere'}"
    corpus = prepare.prepare([moved], tmp_path / "corpus").corpus
    assert ids_of(corpus, "test") == [f"corrections/{kept['test'].id}.flac"]


def test_a_language_without_a_token_is_not_told_by_its_token(
    collection: Collection, address: str
) -> None:
    keep(collection, recording_in("train"), SENTENCES[0], language="fi")
    assert len(Corrections(address, "se").usable()) == 1
    assert Corrections(address, "sv").usable() == []


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("corrections:", "names no database"),
        ("corrections:sqlite:////nowhere/at.db", "there is no database at /nowhere/at.db"),
        ("corrections:sqlite:///{empty}", "no server has kept a correction"),
    ],
)
def test_what_is_no_database_of_a_server_is_told(
    written: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Database.open(f"sqlite:///{tmp_path / 'empty.db'}").close()
    written = written.format(empty=tmp_path / "empty.db")
    assert cli.main(["prepare", written, "--to", str(tmp_path / "corpus")]) == 1
    assert sentence in capsys.readouterr().err


def test_the_same_corrections_are_the_same_corpus(
    collection: Collection, address: str, tmp_path: Path
) -> None:
    three(collection)
    hashes = {
        prepare.prepare([address], tmp_path / name).corpus.hash for name in ("one", "another")
    }
    assert len(hashes) == 1
    again = prepare.prepare([address], tmp_path / "one").corpus
    assert again.hash in hashes
    keep(collection, recording_in("train", 10), SENTENCES[3])
    with pytest.raises(CorpusError, match="of other sources or settings"):
        prepare.prepare([address], tmp_path / "one")
