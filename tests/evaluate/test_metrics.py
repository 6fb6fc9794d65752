"""Error rates count what is wrong, and iron out nothing that a language needs."""

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modersmal.config import EvaluateConfig
from modersmal.errors import CorpusError
from modersmal.evaluate.metrics import Score, character_edits, score, word_edits

NONE = EvaluateConfig(normaliser="none")
texts = st.lists(st.text("abåäö ", max_size=12), min_size=1, max_size=12)


def scored(references: list[str], hypotheses: list[str], config=NONE, language="sv") -> Score:
    return score(references, hypotheses, [None] * len(references), language=language, config=config)


def test_counts_what_is_wrong() -> None:
    result = scored(["jag bor i Umeå", "hej"], ["jag borde i", "hej på dig"])

    wer = result.normalised.wer
    assert (wer.substitutions, wer.deletions, wer.insertions, wer.reference_units) == (1, 1, 2, 5)
    assert result.wer == wer.rate == pytest.approx(4 / 5)
    assert result.metric == "wer"
    assert result.deciding == wer
    assert list(result.normalised.word_edits.errors) == [2, 2]
    assert result.cer == pytest.approx(
        jiwer.cer(["jag bor i Umeå", "hej"], ["jag borde i", "hej på dig"])
    )


def test_orthographic_and_normalised_differ_by_the_normaliser_alone() -> None:
    references, hypotheses = ["Är det här Åsa?"], ["är det här åsa"]

    ours = scored(references, hypotheses, EvaluateConfig())
    assert (ours.wer, ours.orthographic.wer.rate) == (0, 2 / 4)
    # What Swedish tells apart stays apart, unless Whisper's own normaliser is asked for.
    stripped = ["ar det har asa"]
    assert scored(references, stripped, EvaluateConfig()).wer == 3 / 4
    rules = EvaluateConfig(normaliser="custom", rules={"[åä]": "a", r"\?": ""})
    assert scored(references, stripped, rules).wer == 0
    assert scored(references, references, rules).normaliser != ours.normaliser


def test_characters_decide_where_words_are_not_spaced() -> None:
    result = scored(["今天 天气很好"], ["今天天气 很坏"], language="zh")

    assert result.metric == "cer"
    assert result.deciding.rate == pytest.approx(1 / 6)  # spaces do not count
    assert scored(["อากาศ"], ["อากาศ"], language="th").deciding.rate == 0


def test_empty_texts_count_as_what_they_are() -> None:
    result = scored(["", "ett två", "tre"], ["nej", "", "tre"])

    assert (result.normalised.wer.insertions, result.normalised.wer.deletions) == (1, 2)
    assert result.wer == 1
    assert (result.empty_references, result.empty_hypotheses) == (1, 1)


def test_refuses_when_there_is_nothing_to_score() -> None:
    with pytest.raises(CorpusError, match="none of the 2 references holds a word"):
        scored(["", "?!"], ["hej", "hej"], EvaluateConfig())


def test_composed_and_decomposed_letters_are_the_same() -> None:
    assert scored(["Åsa älg"], ["A\u030asa a\u0308lg"]).cer == 0


@given(texts, st.data())
def test_rates_are_those_of_jiwer_and_survive_reordering(references, data) -> None:
    hypotheses = data.draw(
        st.lists(st.text("abåäö ", max_size=12), min_size=len(references), max_size=len(references))
    )
    if not any(reference.strip() for reference in references):
        references[0] = "a"
    result = scored(references, hypotheses)
    order = data.draw(st.permutations(range(len(references))))
    shuffled = scored([references[i] for i in order], [hypotheses[i] for i in order])

    assert result.wer == pytest.approx(jiwer.wer(references, hypotheses))
    assert result.wer == shuffled.wer
    assert result.cer == shuffled.cer
    assert result.deciding.interval is None or (
        result.deciding.interval.low <= result.wer <= result.deciding.interval.high
    )
    edits = result.normalised.word_edits
    assert list(edits.units) == [len(reference.split()) for reference in references]
    assert np.all(edits.errors <= np.maximum(edits.units, [len(h.split()) for h in hypotheses]))
    assert scored(references, references).wer == 0
    assert scored(references, [""] * len(references)).wer == 1


@given(texts)
def test_edits_of_the_same_text_are_none(same) -> None:
    plain = [" ".join(text.split()) for text in same]
    assert not word_edits(plain, plain).errors.any()
    assert not character_edits(plain, plain).errors.any()
