"""The interface's words: every language has them all, and the page asks for no others."""

import re

import pytest

from modersmal.serve.page.files import STATIC
from modersmal.serve.page.words import read_words

WORDS = read_words()
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in STATIC.iterdir()}
CODE = "".join(SCRIPTS.values())


def test_there_are_swedish_and_english() -> None:
    assert WORDS["sv"]["name"] == "svenska"
    assert WORDS["en"]["name"] == "English"


@pytest.mark.parametrize("language", WORDS)
def test_every_language_says_the_same_things_with_the_same_gaps(language: str) -> None:
    assert WORDS[language].keys() == WORDS["en"].keys()
    for key, sentence in WORDS[language].items():
        assert set(gaps(sentence)) == set(gaps(WORDS["en"][key])), key


def gaps(sentence: str) -> list[str]:
    return re.findall(r"\{\w+\}", sentence)


def test_what_the_markup_asks_for_is_there() -> None:
    asked = re.findall(r'data-word(?:-label|-placeholder)?="(\w+)"', SCRIPTS["page.html"])
    assert len(asked) > 40
    assert set(asked) <= WORDS["en"].keys()


def test_what_the_scripts_ask_for_is_there() -> None:
    asked = re.findall(r'\.say\(\s*"(\w+)"', CODE) + re.findall(r'"(microphone_\w+)"', CODE)
    asked += [
        key for one in re.findall(r'\.count\(\s*"(\w+)"', CODE) for key in (one, one + "_one")
    ]
    assert len(asked) > 60
    assert set(asked) <= WORDS["en"].keys()


def test_no_word_is_left_that_nothing_asks_for() -> None:
    begun = (*re.findall(r"\.say\(`(\w+)_\$", CODE), "voice_", "ground_")
    for key in WORDS["en"]:
        known = re.search(rf'"{key.removesuffix("_one")}"', CODE)
        assert known or key.startswith(begun) or key == "name", key
