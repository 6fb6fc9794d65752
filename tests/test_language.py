"""Codes, tokens and tokenizers are Whisper's own."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from modersmal.errors import LanguageError, ModelError
from modersmal.language import (
    WHISPER_LANGUAGES,
    Vocabulary,
    count_label_tokens,
    is_spaced,
    resolve,
    special_tokens,
    tokenizer,
)


def test_languages_are_whispers_in_its_order() -> None:
    assert list(WHISPER_LANGUAGES) == list(LANGUAGES)


@pytest.mark.parametrize(
    ("code", "token"),
    [("sv", "sv"), ("sv-SE", "sv"), ("SV_se", "sv"), ("nb-NO", "no"), ("zh-Hant-TW", "zh"),
     ("yue", "yue"), ("nn", "nn"), ("fil", "tl"), ("cmn", "zh"), ("jv", "jw")],
)  # fmt: skip
def test_known_languages(code: str, token: str) -> None:
    language = resolve(code)
    assert (language.code, language.token) == (code, token)
    assert language.name == WHISPER_LANGUAGES[token]


def test_a_language_that_whisper_lacks_borrows_a_token() -> None:
    language = resolve("se", "fi")
    assert (language.code, language.name, language.token) == ("se", "Northern Sámi", "fi")


@pytest.mark.parametrize(
    ("code", "token", "words"),
    [
        ("se", None, ["Northern Sámi", "'fi' (Finnish)", "language_token"]),
        ("gsw", None, ["Swiss German", "'de'"]),
        ("tlh", None, ["no token", "language_token"]),
        ("swedish", None, ["use 'sv'"]),
        ("Swedish", None, ["use 'sv'"]),
        ("", None, ["BCP 47"]),
        ("s", None, ["BCP 47"]),
        ("sv!", None, ["BCP 47"]),
        ("se", "fin", ["not one of Whisper's", "'fi'"]),
        ("se", "se", ["not one of Whisper's"]),
    ],
)
def test_an_unknown_language_says_what_to_do(
    code: str, token: str | None, words: list[str]
) -> None:
    with pytest.raises(LanguageError) as refused:
        resolve(code, token)
    for word in words:
        assert word in str(refused.value)


def test_every_related_token_is_whispers() -> None:
    from modersmal.language import _RELATED

    assert all(token in WHISPER_LANGUAGES for _, tokens in _RELATED.values() for token in tokens)
    assert not set(_RELATED) & set(WHISPER_LANGUAGES)


@pytest.mark.parametrize(
    ("vocabulary", "size", "ids"),
    [
        (
            Vocabulary.ENGLISH,
            51_864,
            {"<|endoftext|>": 50_256, "<|startoftranscript|>": 50_257, "<|notimestamps|>": 50_362,
             "<|0.00|>": 50_363, "<|30.00|>": 51_863},
        ),
        (
            Vocabulary.MULTILINGUAL,
            51_865,
            {"<|endoftext|>": 50_257, "<|startoftranscript|>": 50_258, "<|en|>": 50_259,
             "<|sv|>": 50_273, "<|su|>": 50_357, "<|translate|>": 50_358, "<|transcribe|>": 50_359,
             "<|startofprev|>": 50_361, "<|nocaptions|>": 50_362, "<|notimestamps|>": 50_363,
             "<|0.00|>": 50_364, "<|30.00|>": 51_864},
        ),
        (
            Vocabulary.MULTILINGUAL_V3,
            51_866,
            {"<|endoftext|>": 50_257, "<|sv|>": 50_273, "<|yue|>": 50_358, "<|translate|>": 50_359,
             "<|transcribe|>": 50_360, "<|startofprev|>": 50_362, "<|nospeech|>": 50_363,
             "<|notimestamps|>": 50_364, "<|0.00|>": 50_365, "<|30.00|>": 51_865},
        ),
    ],
)  # fmt: skip
def test_tokenizers_have_whispers_ids(
    vocabulary: Vocabulary, size: int, ids: dict[str, int]
) -> None:
    words = tokenizer(vocabulary)
    assert words.get_vocab_size() == vocabulary.size == size
    assert Vocabulary.of_size(size) is vocabulary
    for token, number in ids.items():
        assert words.token_to_id(token) == number
        assert words.id_to_token(number) == token
    specials = special_tokens(vocabulary)
    assert [words.token_to_id(token) for token in specials] == list(
        range(size - len(specials), size)
    )


def test_known_text_has_known_ids() -> None:
    """Ids that OpenAI's tokenizers give."""
    multilingual = tokenizer(Vocabulary.MULTILINGUAL)
    assert multilingual.encode(" Hello world", add_special_tokens=False).ids == [2425, 1002]
    english = tokenizer(Vocabulary.ENGLISH)
    assert english.encode(" Hello world", add_special_tokens=False).ids == [18435, 995]


@settings(max_examples=200, deadline=None)
@given(st.text(), st.sampled_from(list(Vocabulary)))
def test_text_survives_its_tokens(text: str, vocabulary: Vocabulary) -> None:
    """Any text comes back letter for letter, unless it spells a special token."""
    words = tokenizer(vocabulary)
    ids = words.encode(text, add_special_tokens=False).ids
    if "<|" not in text:
        assert words.decode(ids, skip_special_tokens=False) == text


def test_labels_are_counted_with_prompt_and_end() -> None:
    counts = count_label_tokens([" Hello world", ""], Vocabulary.MULTILINGUAL)
    assert counts == [2 + 5, 5]


def test_a_size_that_is_not_whispers() -> None:
    with pytest.raises(ModelError, match="32,000 tokens is none of Whisper's"):
        Vocabulary.of_size(32_000)


def test_languages_without_spaces() -> None:
    assert not any(map(is_spaced, ["zh", "zh-TW", "ja", "th", "lo", "my", "km", "yue"]))
    assert all(map(is_spaced, ["sv", "se", "ko", "vi", "hi"]))
