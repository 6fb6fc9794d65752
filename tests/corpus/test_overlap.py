"""What clips have in common, against a plain search on small corpora."""

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from modersmal.corpus.overlap import collect, find_duplicates, overlaps, shares_with_evaluation
from modersmal.corpus.plan import PlannedShard
from modersmal.corpus.worker import Outcome

clip_lists = st.lists(
    st.tuples(
        st.sampled_from(["train", "dev", "test", "other"]),
        st.integers(0, 5),  # audio
        st.integers(0, 5),  # sentence
        st.one_of(st.none(), st.integers(1, 4)),  # speaker
    ),
    max_size=25,
)


def clips_of(rows):
    outcomes = []
    for number, (split, audio, sentence, speaker) in enumerate(rows):
        kept = {
            "row": [7],
            "digest": [f"{audio:032x}"],
            "sentence": [sentence],
            "speaker": [speaker],
        }
        outcomes.append((PlannedShard(number, split, 0, 0, 8), Outcome(None, kept, {}, {})))
    return collect(outcomes)


def precedence(split):
    return {"test": 0, "train": 2}.get(split, 1)


@given(clip_lists)
def test_duplicates_are_those_a_plain_search_finds(rows):
    original = find_duplicates(clips_of(rows))
    for index, row in enumerate(rows):
        same = [place for place, other in enumerate(rows) if other[1] == row[1]]
        first = min(same, key=lambda place: (precedence(rows[place][0]), place))
        assert original[index] == (-1 if first == index else first)


@given(clip_lists, st.randoms())
def test_overlap_is_what_a_plain_search_finds(rows, draw):
    clips = clips_of(rows)
    original = find_duplicates(clips)
    kept = np.array([draw.random() < 0.7 for _ in rows], bool)
    found = {tuple(entry["splits"]): entry for entry in overlaps(clips, original, kept)}
    for one, other in combinations(sorted({row[0] for row in rows}), 2):
        here = [row for row, stays in zip(rows, kept, strict=True) if stays and row[0] == one]
        there = [row for row, stays in zip(rows, kept, strict=True) if stays and row[0] == other]
        speakers = {row[3] for row in here} & {row[3] for row in there} - {None}
        sentences = {row[2] for row in here} & {row[2] for row in there}
        crossing = sum(
            original[index] >= 0 and {row[0], rows[original[index]][0]} == {one, other}
            for index, row in enumerate(rows)
        )
        entry = found.get((one, other), {"speakers": 0, "sentences": 0, "duplicates": 0})
        assert (entry["speakers"], entry["sentences"], entry["duplicates"]) == (
            len(speakers), len(sentences), crossing
        )  # fmt: skip
    assert all(sum((e["speakers"], e["sentences"], e["duplicates"])) for e in found.values())


@given(clip_lists)
def test_train_shares_what_a_plain_search_finds(rows):
    by_speaker, by_sentence = shares_with_evaluation(clips_of(rows))
    elsewhere = [row for row in rows if row[0] != "train"]
    for index, (split, _, sentence, speaker) in enumerate(rows):
        in_train = split == "train"
        assert by_sentence[index] == (in_train and sentence in {row[2] for row in elsewhere})
        assert by_speaker[index] == (
            in_train and speaker is not None and speaker in {row[3] for row in elsewhere}
        )


def test_places_are_kept():
    clips = clips_of([("train", 1, 1, 1), ("dev", 2, 2, None)])
    assert clips.shard.tolist() == [0, 1]
    assert clips.row.tolist() == [7, 7]
    assert clips.speaker.tolist() == [1, 0]


def test_digests_that_differ_in_zero_bytes_differ():
    clips = clips_of([("train", 0, 1, 1), ("train", 1 << 120, 2, 2), ("train", 1, 3, 3)])
    assert find_duplicates(clips).tolist() == [-1, -1, -1]


def test_no_clips_are_no_trouble():
    clips = clips_of([])
    assert len(clips) == 0
    assert overlaps(clips, find_duplicates(clips), np.ones(0, bool)) == []
