import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modersmal.errors import ModelError
from modersmal.language import MAX_TOKENS, Vocabulary, tokenizer
from modersmal.train.labels import MAX_PREVIOUS_TOKENS, NOT_LEARNED, Labeller, Utterance
from modersmal.train.preflight import label_fault
from modersmal.whisper.tokens import special_ids, text_of

V2 = Vocabulary.MULTILINGUAL
OWN = tokenizer(V2)
IDS = special_ids(V2)
SV = IDS.languages["sv"]
LABELLER = Labeller(OWN, V2, "sv")

utterances = st.lists(
    st.tuples(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1,
                      max_size=30).filter(str.strip), st.floats(0, 5)), max_size=6,
).map(
    lambda said: [
        Utterance(text, 5.0 * place, 5.0 * place + length_s)
        for place, (text, length_s) in enumerate(said)
    ]
)  # fmt: skip


def words(text):
    return OWN.encode(f" {text}", add_special_tokens=False).ids


def test_without_times():
    label = LABELLER.label([Utterance("Hej på dig.", 0.2, 1.4)])
    start = [IDS.start, SV, IDS.transcribe, IDS.no_timestamps]
    assert label.ids == [*start, *words("Hej på dig."), IDS.end]
    assert label.targets == [SV, NOT_LEARNED, NOT_LEARNED, *words("Hej på dig."), IDS.end]
    assert label.learned == len(label.ids) - 3


def test_with_times_and_a_clip_that_straddles_the_edge():
    said = [
        Utterance("Hej.", 0.2, 1.4),
        Utterance("Du.", 2.0, 2.5),
        Utterance("Och så", 28.06, None),
    ]
    label = LABELLER.label(said, timestamps=True)
    time = IDS.timestamp
    written = [
        *(time(0.2), *words("Hej."), time(1.4)),
        *(time(2.0), *words("Du."), time(2.5), time(28.06)),
        IDS.end,
    ]
    assert label.ids == [IDS.start, SV, IDS.transcribe, *written]
    assert label.targets == [SV, NOT_LEARNED, *written]


def test_what_was_said_before_is_given_and_not_learned():
    label = LABELLER.label([Utterance("Du.", 0, 1)], timestamps=True, previous=["Hej.", "Ja."])
    before = [IDS.start_of_previous, *words("Hej."), *words("Ja.")]
    assert label.ids[: len(before) + 1] == [*before, IDS.start]
    assert label.targets[: len(before)] == [NOT_LEARNED] * len(before)
    assert label.targets[len(before)] == SV


def test_what_was_said_before_is_cut_at_its_beginning():
    label = LABELLER.label([Utterance("Du.", 0, 1)], previous=["hej " * 400, "sist"])
    start = label.ids.index(IDS.start)
    assert start == MAX_PREVIOUS_TOKENS + 1
    assert label.ids[start - 1] == words("sist")[-1]
    long = LABELLER.label([Utterance("du " * 300, 0, 1)], previous=["hej " * 400])
    assert len(long.ids) == MAX_TOKENS


@pytest.mark.parametrize("timestamps", [False, True])
def test_silence_is_learned_as_such(timestamps):
    label = LABELLER.label([], timestamps=timestamps)
    first = IDS.timestamp(0) if timestamps else IDS.no_timestamps
    assert label.ids == [IDS.start, SV, IDS.transcribe, first, IDS.end]
    learned = first if timestamps else NOT_LEARNED
    assert label.targets == [IDS.no_speech, NOT_LEARNED, learned, IDS.end]


@settings(max_examples=100, deadline=None)
@given(utterances, st.booleans(), st.lists(st.sampled_from(["Hej.", "Ja då. " * 60]), max_size=3))
def test_every_label_is_sound_and_reads_as_what_is_said(said, timestamps, previous):
    label = LABELLER.label(said, timestamps=timestamps, previous=previous)
    assert len(label.inputs) == len(label.targets) < MAX_TOKENS
    start = label.ids.index(IDS.start)
    read = text_of(OWN, V2, label.ids[start:])
    assert label_fault(label.ids, read, OWN, V2, "sv") is None
    assert len(label.ids) - start == len(LABELLER.label(said, timestamps=timestamps).ids)
    assert set(label.ids) <= set(LABELLER.special.nonzero().flatten().tolist()) | set(
        range(IDS.end)
    )
    if not timestamps:
        alone = [OWN.decode(words(one.text.strip())).strip() for one in said]
        assert read.replace(" ", "") == "".join(alone).replace(" ", "")


@given(st.lists(st.integers(1, 200), min_size=1, max_size=8), st.booleans())
def test_what_has_room(lengths, timestamps):
    said = [Utterance("hej " * length, 0.0, 1.0) for length in lengths]
    count = LABELLER.fitting(said, timestamps=timestamps)
    assert len(LABELLER.label(said[:count], timestamps=timestamps).ids) <= MAX_TOKENS
    if count < len(said):
        assert len(LABELLER.label(said[: count + 1], timestamps=timestamps).ids) > MAX_TOKENS


def test_an_unknown_language_token_is_refused():
    with pytest.raises(ModelError, match="no token for language 'xx'"):
        Labeller(OWN, V2, "xx")
