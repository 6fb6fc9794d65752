"""Text against what was heard: what is equal is matched, whatever either lacks."""

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from modersmal.whisper.matching import letters_of, match
from modersmal.whisper.sentences import sentences_of

LETTERS = st.text("abcdefgh", max_size=60)


def prose(seed: int, words: int) -> str:
    draw = random.Random(seed)
    return "".join(
        "".join(draw.choice("abcdefghijklmnopqrst") for _ in range(draw.randint(2, 9)))
        for _ in range(words)
    )


def equal(written: str, heard: str, partner: np.ndarray) -> int:
    return sum(other >= 0 and written[a] == heard[other] for a, other in enumerate(partner))


@given(LETTERS, LETTERS)
def test_partners_rise_and_exist(written: str, heard: str) -> None:
    partner = match(written, heard)
    known = partner[partner >= 0]
    assert len(partner) == len(written)
    assert (np.diff(known) > 0).all()
    assert (known < len(heard)).all()


@given(LETTERS)
def test_a_text_is_matched_with_itself(text: str) -> None:
    assert match(text, text).tolist() == list(range(len(text)))


def test_an_hour_with_holes_on_both_sides_is_matched_in_seconds() -> None:
    parts = [prose(seed, 1500) for seed in range(6)]
    written = "".join(parts[:2] + parts[3:])  # the text lacks a part,
    heard = "".join(parts[:4] + parts[5:])  # the recording another one
    partner = match(written, heard)
    common = sum(map(len, (parts[0], parts[1], parts[3], parts[5])))
    assert equal(written, heard, partner) >= 0.98 * common
    missing = slice(len("".join(parts[:2])) + len(parts[3]), -len(parts[5]))
    assert (partner[missing] >= 0).mean() < 0.02


def test_a_third_of_the_letters_may_be_misheard() -> None:
    draw = random.Random(1)
    written = prose(7, 800)
    heard = "".join(
        draw.choice("uvwxyz") if draw.random() < 0.25 else letter
        for letter in written
        if draw.random() > 0.08
    )
    assert equal(written, heard, match(written, heard)) > 0.64 * len(written)


def test_letters_are_folded_and_know_their_places() -> None:
    assert letters_of("Å, ß-1") == [("å", 0), ("s", 3), ("s", 3), ("1", 5)]


def test_sentences() -> None:
    assert sentences_of(
        "Det var en gång. En katt, t.ex. Måns, sov!  »Ja.» Sedan\nvaknade den."
    ) == [
        "Det var en gång.",
        "En katt, t.ex. Måns, sov!",
        "»Ja.» Sedan vaknade den.",
    ]
    assert sentences_of("en rad utan punkt\nsom går vidare\nOch en helt ny") == [
        "en rad utan punkt som går vidare",
        "Och en helt ny",
    ]
    assert sentences_of("今日は天気がとてもいいです。明日もきっと晴れるでしょう。") == [
        "今日は天気がとてもいいです。",
        "明日もきっと晴れるでしょう。",
    ]
    assert sentences_of(" \n ") == []


@given(st.text("ab ,.A\n", max_size=900))
def test_sentences_keep_every_letter_and_are_short(text: str) -> None:
    sentences = sentences_of(text)
    kept = "".join(sentences).replace(" ", "")
    assert kept == "".join(text.split()) or not any(map(str.isalpha, text))
    assert all(sum(map(str.isalpha, one)) <= 260 for one in sentences)
