"""Splits from hashes: shares hold, speakers stay whole, and growth moves nobody."""

from hypothesis import given
from hypothesis import strategies as st

from modersmal.config import DataConfig
from modersmal.corpus.schema import split_name
from modersmal.corpus.sources.base import Row
from modersmal.corpus.splits import assign_split


def split_of(text="", speaker=None, data=None):
    return assign_split(Row("a.wav", text, "here", speaker), data or DataConfig(), "sv")


def test_shares_are_about_right():
    splits = [split_of(speaker=f"speaker {number}") for number in range(4000)]
    assert 150 < splits.count("dev") < 250
    assert 150 < splits.count("test") < 250


def test_a_speaker_is_in_one_split_whatever_is_said():
    for speaker in map(str, range(50)):
        assert len({split_of(f"Mening {n}", speaker) for n in range(20)}) == 1


def test_without_speakers_a_sentence_is_in_one_split_however_written():
    half = DataConfig(dev_share=0.3, test_share=0.3)
    for number in range(50):
        splits = {
            split_of(text, data=half)
            for text in (f"Hej, du {number}!", f"hej du {number}", f"HEJ DU {number}.")
        }
        assert len(splits) == 1
    assert {split_of(f"Mening {number}", data=half) for number in range(50)} == {
        "train", "dev", "test"
    }  # fmt: skip


@given(st.text(min_size=1), st.floats(0, 0.49), st.floats(0, 0.49), st.floats(0, 0.49))
def test_more_dev_never_touches_test_and_only_takes_from_train(speaker, test, dev, more_dev):
    dev, more_dev = sorted((dev, more_dev))
    before = split_of(speaker=speaker, data=DataConfig(dev_share=dev, test_share=test))
    after = split_of(speaker=speaker, data=DataConfig(dev_share=more_dev, test_share=test))
    assert (before == "test") == (after == "test")
    assert after == before or (before, after) == ("train", "dev")


def test_the_hash_is_forever():
    # A change here would move clips between splits of everybody's corpora.
    data = DataConfig(dev_share=0.2, test_share=0.2)
    assigned = [split_of(speaker=f"s{number}", data=data) for number in range(40)]
    initials = "".join({"train": "r", "dev": "d", "test": "t"}[split] for split in assigned)
    assert initials == "rtrrtrtttrrrrrrdrtrdrrrdrtrtrttrtrtrrrdr"


def test_names_of_splits():
    assert [split_name(name) for name in ("Train", " validation ", "VAL", "test", "other")] == [
        "train", "dev", "dev", "test", "other",
    ]  # fmt: skip
    assert [split_name(name) for name in ("", "../x", "a/b", "tåg", "x" * 40)] == [None] * 5
