"""Whisper's prompt and labels, as token ids.

A label is prompt, text, end-of-text. The prompt begins with the one start-of-transcript. `.en`
models are given neither language nor task.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from tokenizers import Tokenizer

from modersmal.errors import ModelError, nearest
from modersmal.language import (
    TIMESTAMP_COUNT,
    TIMESTAMP_STEP_S,
    WHISPER_LANGUAGES,
    Vocabulary,
    special_tokens,
)


@dataclass(frozen=True)
class SpecialIds:
    """Ids of the tokens that are not text; all ids below `end` are text."""

    end: int
    start: int
    languages: dict[str, int]
    translate: int
    transcribe: int
    start_of_lm: int
    start_of_previous: int
    no_speech: int
    no_timestamps: int
    first_timestamp: int

    def timestamp(self, time_s: float) -> int:
        """Id of the timestamp token nearest to `time_s`, from 0 to 30 seconds."""
        return self.first_timestamp + min(TIMESTAMP_COUNT - 1, round(time_s / TIMESTAMP_STEP_S))


@cache
def special_ids(vocabulary: Vocabulary) -> SpecialIds:
    """Find the special ids of a vocabulary, which its order and size fix."""
    tokens = special_tokens(vocabulary)
    end = vocabulary.size - len(tokens)
    first_timestamp = vocabulary.size - TIMESTAMP_COUNT
    return SpecialIds(
        end=end,
        start=end + 1,
        languages={code: end + 2 + place for place, code in enumerate(vocabulary.languages)},
        translate=first_timestamp - 6,
        transcribe=first_timestamp - 5,
        start_of_lm=first_timestamp - 4,
        start_of_previous=first_timestamp - 3,
        no_speech=first_timestamp - 2,
        no_timestamps=first_timestamp - 1,
        first_timestamp=first_timestamp,
    )


def prompt_ids(
    vocabulary: Vocabulary, language_token: str | None, timestamps: bool = False
) -> list[int]:
    """What the decoder is given before it writes.

    Raises:
        ModelError: the model has no such language token.
    """
    ids = special_ids(vocabulary)
    prompt = [ids.start]
    if vocabulary is Vocabulary.ENGLISH:
        if language_token not in (None, "en"):
            raise ModelError(
                f"an English-only (.en) model cannot write language {language_token!r}; "
                "take the multilingual model of the same size"
            )
    elif language_token not in ids.languages:
        known = nearest(str(language_token), WHISPER_LANGUAGES)
        raise ModelError(f"this model has no token for language {language_token!r}{known}")
    else:
        prompt += [ids.languages[language_token], ids.transcribe]
    return prompt if timestamps else [*prompt, ids.no_timestamps]


def given_ids(vocabulary: Vocabulary) -> frozenset[int]:
    """Tokens that the caller always gives, so that no model need learn to write them.

    The language is not among them: runtimes ask a model for it where the caller does not know.
    """
    ids = special_ids(vocabulary)
    return frozenset((ids.transcribe, ids.translate, ids.no_timestamps))


def text_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Encode texts as Whisper writes them, with a leading space.

    A special token spelled out in a text, such as `<|sv|>`, is encoded letter by letter.
    """
    encodings = _plain(tokenizer).encode_batch_fast(
        [f" {text.strip()}" for text in texts], add_special_tokens=False
    )
    return [encoding.ids for encoding in encodings]


def label_ids(
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
    texts: Sequence[str],
    language_token: str | None,
) -> list[list[int]]:
    """Labels without timestamps: prompt, text and end-of-text for every text.

    Raises:
        ModelError: the model has no such language token.
    """
    prompt, end = prompt_ids(vocabulary, language_token), special_ids(vocabulary).end
    return [[*prompt, *ids, end] for ids in text_ids(tokenizer, texts)]


def text_of(tokenizer: Tokenizer, vocabulary: Vocabulary, ids: Sequence[int]) -> str:
    """Decode the text among `ids`, without special tokens, timestamps and outer spaces."""
    end = special_ids(vocabulary).end
    text = tokenizer.decode([token for token in ids if token < end], skip_special_tokens=False)
    return text.strip()


def _plain(tokenizer: Tokenizer) -> Tokenizer:
    """The byte-pair part of a tokenizer, that knows no added tokens."""
    plain = Tokenizer(tokenizer.model)
    plain.pre_tokenizer = tokenizer.pre_tokenizer
    if tokenizer.normalizer is not None:
        plain.normalizer = tokenizer.normalizer
    return plain
