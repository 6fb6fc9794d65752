import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modersmal.errors import ModelError
from modersmal.language import Vocabulary, special_tokens, tokenizer
from modersmal.whisper.tokens import (
    given_ids,
    label_ids,
    prompt_ids,
    special_ids,
    text_ids,
    text_of,
)

SWEDISH = [50258, 50273, 50359, 50363]  # as openai/whisper-small's generation config has them


@pytest.mark.parametrize("vocabulary", list(Vocabulary))
def test_special_ids_are_those_of_the_tokenizer(vocabulary):
    ids, own = special_ids(vocabulary), tokenizer(vocabulary)
    names = {
        "<|endoftext|>": ids.end,
        "<|startoftranscript|>": ids.start,
        "<|translate|>": ids.translate,
        "<|transcribe|>": ids.transcribe,
        "<|startoflm|>": ids.start_of_lm,
        "<|startofprev|>": ids.start_of_previous,
        "<|notimestamps|>": ids.no_timestamps,
        "<|0.00|>": ids.timestamp(0.0),
        "<|1.50|>": ids.timestamp(1.5),
        "<|30.00|>": ids.timestamp(30.0),
        **{f"<|{code}|>": id_ for code, id_ in ids.languages.items()},
    }
    assert {name: own.token_to_id(name) for name in names} == names
    assert own.id_to_token(ids.no_speech) in ("<|nospeech|>", "<|nocaptions|>")
    assert len(special_tokens(vocabulary)) == vocabulary.size - ids.end


def test_prompts_of_the_three_vocabularies():
    assert prompt_ids(Vocabulary.MULTILINGUAL, "sv") == SWEDISH
    assert prompt_ids(Vocabulary.MULTILINGUAL, "sv", timestamps=True) == SWEDISH[:3]
    assert prompt_ids(Vocabulary.MULTILINGUAL_V3, "sv") == [50258, 50273, 50360, 50364]
    assert prompt_ids(Vocabulary.ENGLISH, "en") == [50257, 50362]
    assert prompt_ids(Vocabulary.ENGLISH, None, timestamps=True) == [50257]


@pytest.mark.parametrize(
    ("vocabulary", "token", "message"),
    [
        (Vocabulary.MULTILINGUAL, "yue", "no token for language 'yue'"),
        (Vocabulary.MULTILINGUAL, "se", "no token for language 'se'"),
        (Vocabulary.MULTILINGUAL, None, "no token for language None"),
        (Vocabulary.ENGLISH, "sv", "English-only"),
    ],
)
def test_a_prompt_in_a_language_that_the_model_lacks_is_refused(vocabulary, token, message):
    with pytest.raises(ModelError, match=message):
        prompt_ids(vocabulary, token)


def test_a_label_has_one_start_one_end_and_the_leading_space():
    own = tokenizer(Vocabulary.MULTILINGUAL)
    (label,) = label_ids(own, Vocabulary.MULTILINGUAL, ["Hej på dig"], "sv")
    end = special_ids(Vocabulary.MULTILINGUAL).end
    assert label[:4] == SWEDISH
    assert label[-1] == end
    assert own.decode(label[4:-1]) == " Hej på dig"
    assert text_of(own, Vocabulary.MULTILINGUAL, label) == "Hej på dig"


def test_special_tokens_spelled_out_in_a_text_are_letters():
    own = tokenizer(Vocabulary.MULTILINGUAL)
    text = "skriv <|endoftext|> och <|sv|> och <|1.00|>"
    (ids,) = text_ids(own, [text])
    assert max(ids) < special_ids(Vocabulary.MULTILINGUAL).end
    assert text_of(own, Vocabulary.MULTILINGUAL, ids) == text


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_survives_its_label(text):
    for vocabulary in (Vocabulary.MULTILINGUAL, Vocabulary.ENGLISH):
        own = tokenizer(vocabulary)
        (label,) = label_ids(own, vocabulary, [text], "en")
        ids = special_ids(vocabulary)
        assert label.count(ids.start) == label.count(ids.end) == 1
        assert text_of(own, vocabulary, label) == text.strip()


@pytest.mark.parametrize("vocabulary", list(Vocabulary))
def test_the_task_is_given_and_the_language_is_learned(vocabulary):
    prompt, given = prompt_ids(vocabulary, "en"), given_ids(vocabulary)
    learned = [token for token in prompt[1:] if token not in given]
    ids = special_ids(vocabulary)
    assert learned == ([] if vocabulary is Vocabulary.ENGLISH else [ids.languages["en"]])
