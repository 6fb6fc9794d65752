"""Edits keep order, times and words, whatever is done."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modersmal.errors import RecipeError
from modersmal.serve.jobs.edits import merged, replaced, retimed, retold, split
from modersmal.serve.jobs.job import Segment
from modersmal.transcribe.formats import Word

WORDS = st.lists(st.sampled_from("ett två tre fyra fem sex".split()), min_size=1, max_size=8)


def segment(texts: list[str], start_s: float = 1.0) -> Segment:
    words = tuple(
        Word(start_s + n * 0.5, start_s + n * 0.5 + 0.4, text, 0.9) for n, text in enumerate(texts)
    )
    text = " ".join(texts)
    return Segment("a", 1.0, start_s, words[-1].end_s, text, text, words, 0.9, 1, 1, "r")


@given(WORDS, WORDS)
def test_words_of_any_text_are_timed_in_order(heard: list[str], typed: list[str]) -> None:
    edited = retold(segment(heard), " ".join(typed))
    timed = retimed(edited)
    assert [word.text for word in timed] == typed
    times_s = [time_s for word in timed for time_s in (word.start_s, word.end_s)]
    assert times_s == sorted(times_s)
    assert edited.start_s <= times_s[0]
    assert times_s[-1] <= edited.end_s + 1e-3


@given(WORDS)
def test_what_nobody_changed_keeps_its_times(heard: list[str]) -> None:
    assert tuple(retimed(segment(heard))) == segment(heard).words


@given(WORDS, WORDS, st.data())
def test_split_and_merged_is_what_it_was(
    heard: list[str], typed: list[str], data: st.DataObject
) -> None:
    edited = retold(segment(heard), " ".join(typed))
    inside = [n for n in range(1, len(edited.text)) if edited.text[n] == " "]
    if not inside:
        return
    left, right = split(edited, data.draw(st.sampled_from(inside)))
    assert left.end_s == right.start_s
    assert edited.start_s <= left.end_s <= edited.end_s
    assert left.words + right.words == edited.words
    again = merged(left, right)
    assert again.text == edited.text
    assert again.written == edited.written


def test_without_words_it_is_split_by_letters() -> None:
    bare = Segment("a", 1.0, 0.0, 10.0, "aaaa bbbb", "aaaa bbbb", (), 0.9, 1, 1, "r")
    left, right = split(bare, 5)
    assert left.end_s == pytest.approx(5.0)
    assert (left.written, right.written) == ("aaaa", "bbbb")


@pytest.mark.parametrize("at", [0, 999])
def test_nothing_is_no_segment(at: int) -> None:
    with pytest.raises(RecipeError):
        split(segment(["ett", "två"]), at)


def test_find_and_replace() -> None:
    text = "Anna ann anna"
    assert replaced(text, "anna", "Eva", match_case=True, whole_words=False) == "Anna ann Eva"
    assert replaced(text, "ann", "Bo", match_case=False, whole_words=True) == "Anna Bo anna"
    assert replaced(text, "a.n", "x", match_case=False, whole_words=False) == text
    assert replaced("1", "1", r"\1", match_case=True, whole_words=False) == r"\1"
    with pytest.raises(RecipeError):
        replaced(text, "", "x", match_case=True, whole_words=False)
