"""inspect counts what is there, and notices harm when asked to."""

import pytest
from making import clip, simple_release, write_clips, write_manifest

from modersmal.config import DataConfig
from modersmal.corpus.inspect import inspect
from modersmal.corpus.prepare import prepare
from modersmal.errors import CorpusError
from modersmal.language import Vocabulary, count_label_tokens

ROWS = [
    ("Hej på dig", "anna", "train", 0.9),
    ("Räksmörgås", "anna", "train", 1.0),
    ("Nej", "bo", "train", 4.9),
    ("Hej", "bo", "dev", 31.0),
    ("Kort", "cia", "train", 0.1),
]


@pytest.fixture
def corpus(tmp_path):
    entries = []
    for number, (text, speaker, split, duration_s) in enumerate(ROWS):
        data = clip(number, duration_s, level=0.5)
        write_clips(tmp_path / "source", {f"{number}.wav": data})
        entries.append({"audio": f"{number}.wav", "text": text, "speaker": speaker, "split": split})
    manifest = write_manifest(tmp_path / "source", entries)
    prepare([str(manifest)], tmp_path / "corpus", data=DataConfig(workers=1))
    return tmp_path / "corpus"


def test_splits_are_counted(corpus):
    summary = inspect(corpus)
    train, dev = summary.splits["train"], summary.splits["dev"]
    assert (train.clips, train.speakers, round(train.duration_s, 2)) == (3, 2, 6.8)
    assert {seconds: count for seconds, count in train.durations.items() if count} == {
        "0-1": 1, "1-2": 1, "3-5": 1,
    }  # fmt: skip
    assert {seconds: count for seconds, count in dev.durations.items() if count} == {"30-": 1}
    tokens = count_label_tokens([f" {row[0]}" for row in ROWS[:3]], Vocabulary.MULTILINGUAL)
    assert train.longest_label_tokens == max(tokens)
    assert train.mean_label_tokens == round(sum(tokens) / 3, 1)


def test_characters_are_those_in_use(corpus):
    characters = inspect(corpus).characters
    text = "".join(row[0] for row in ROWS[:4])
    assert characters == {char: text.count(char) for char in set(text)}
    assert list(characters.values()) == sorted(characters.values(), reverse=True)


def test_rejections_flags_and_overlap_are_told(corpus):
    summary = inspect(corpus)
    assert summary.rejected == {"train": {"too-short": 1}}
    assert summary.flagged == {"dev": {"too-long": 1, "too-slow": 1}}
    assert summary.overlap[0]["speakers"] == 1
    assert (summary.language, summary.codec) == ("sv", "original")
    assert summary.sources[0]["licence"] is None


def test_it_reads_well(corpus):
    printed = str(inspect(corpus, verify=True))
    for part in (
        "sv, codec original", "train      3   0.00         2", "too-long", "dev and train",
        "test is empty", "licence not known", "characters, most frequent first",
        "Every shard is as it was written.",
    ):  # fmt: skip
        assert part in printed
    assert max(map(len, printed.splitlines())) < 200


def test_harm_is_noticed_only_when_asked_for(corpus):
    shard = corpus / "train-00000.parquet"
    content = bytearray(shard.read_bytes())
    content[2000] ^= 1
    shard.write_bytes(content)
    assert inspect(corpus).splits["train"].clips == 3
    with pytest.raises(CorpusError, match="is damaged"):
        inspect(corpus, verify=True)


def test_a_borrowed_token_is_said(tmp_path):
    release = simple_release(tmp_path / "se", 2, 1, 1)
    prepare(
        [str(release)], tmp_path / "corpus", language="se", language_token="fi",
        data=DataConfig(workers=1),
    )  # fmt: skip
    assert "se (under fi)" in str(inspect(tmp_path / "corpus"))
