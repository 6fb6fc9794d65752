"""Text conventions: what must stay in every script, and what scores iron out."""

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from transformers.models.whisper.english_normalizer import BasicTextNormalizer

from modersmal.config import TextConfig
from modersmal.errors import RecipeError
from modersmal.text import clean, normaliser, sentence_key, spoken_letters, style

# One sentence for each way in which normalisers have been seen to destroy a language.
SCRIPTS = {
    "sv": "Räksmörgås på Åland",
    "se": "Mun lean Sámis ŋáđđut",
    "hi": "नमस्ते दुनिया क्या हाल है",
    "th": "สวัสดีครับผมชื่อสมชาย",
    "ar": "السَّلامُ عَلَيْكُم",
    "ja": "がぎぐげごと東京タワー",
    "ta": "வணக்கம் உலகம்",
    "vi": "Tiếng Việt rất đẹp",
    "yo": "Ọjọ́ dára",
    "bo": "བོད་སྐད",
    "km": "ភាសាខ្មែរ",
    "he": "שָׁלוֹם עולם",
}


def letters_and_marks(text):
    return [char for char in text if unicodedata.category(char)[0] in "LMN"]


@pytest.mark.parametrize(("language", "sentence"), SCRIPTS.items())
def test_letters_and_marks_of_every_script_stay(language, sentence):
    nfc = unicodedata.normalize("NFC", sentence)
    assert clean(unicodedata.normalize("NFD", sentence)) == nfc
    stripped = style(sentence, TextConfig(punctuation="strip"), language)
    assert letters_and_marks(stripped) == letters_and_marks(nfc)
    scored = normaliser("modersmal", language=language)(sentence)
    assert letters_and_marks(scored) == letters_and_marks(nfc.casefold())


@given(st.text())
def test_clean_is_nfc_single_spaced_and_settled(text):
    cleaned = clean(text)
    assert cleaned == clean(cleaned) == unicodedata.normalize("NFC", cleaned)
    assert cleaned == cleaned.strip()
    assert "  " not in cleaned
    assert not any(unicodedata.category(char) == "Cc" for char in cleaned)


@given(st.text())
def test_clean_loses_no_letter_mark_digit_or_sign(text):
    # White space, controls and invisible formatting go; nothing else does.
    kept = [c for c in unicodedata.normalize("NFC", clean(text)) if c != " "]
    gone = ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp")
    expected = [c for c in text if unicodedata.category(c) not in gone]
    joined = unicodedata.normalize("NFC", "".join(c for c in kept if c not in "\u200c\u200d"))
    visible = [c for c in joined if unicodedata.category(c) != "Cf"]
    assert len(unicodedata.normalize("NFD", "".join(visible))) == len(
        unicodedata.normalize("NFD", "".join(expected))
    )


def test_control_and_invisible_characters_go_but_joiners_stay():
    assert clean("\ufeff a\tb\r\nc\u00ad\u200b\u202e d\x00 ") == "a b c d"
    assert clean("می\u200cرود") == "می\u200cرود"


def test_style_replaces_lowers_and_strips_in_that_order():
    config = TextConfig(
        case="lower", punctuation="strip", replace={"&": "och", "Cafe\u0301": "kafé"}
    )
    assert style("Café & e-post, t.ex. EU:s «3,5» - don’t!", config) == (
        "kafé och e-post t ex eu:s 3,5 don’t"
    )
    assert style("Keep – as (it) is!", TextConfig()) == "Keep – as (it) is!"


def test_turkish_capitals_are_lowered_to_their_own_letters():
    assert style("ISPARTA İZMİR", TextConfig(case="lower"), "tr") == "ısparta izmir"
    assert normaliser("modersmal", language="az")("ISPARTA İZMİR") == "ısparta izmir"
    assert style("IS", TextConfig(case="lower"), "sv") == "is"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Hej, du!", "hej du", True),
        ("don’t", "DON'T", True),
        ("don't", "dont", False),
        ("'hej'", "hej", True),
        ("e-post", "e post", True),
        ("EU:s", "EUs", True),
        ("klockan 12:30", "klockan 12.30", True),
        ("3,5", "35", False),
        ("t.ex.", "t ex", True),
        ("får", "far", False),
        ("für", "fur", False),
        ("²½ ﬁn", "21⁄2 fin", True),
        ("100 %", "100", True),
        ("", "…!", True),
    ],
)
def test_modersmal_irons_out_what_nobody_hears(one, other, same):
    scored = normaliser("modersmal")
    assert (scored(one) == scored(other)) is same


def test_languages_without_spaces_lose_them_all():
    assert normaliser("modersmal", language="ja")("東京、 タワー。") == "東京タワー"
    assert normaliser("modersmal", language="zh-CN")("你 好！") == "你好"


@given(st.text(st.characters(codec="utf-8", categories=["L", "M", "N", "P", "Z", "S"])))
def test_modersmal_leaves_only_words(text):
    scored = normaliser("modersmal")(text)
    assert all(unicodedata.category(char)[0] in "LMN" or char in " '." for char in scored)
    assert scored == " ".join(scored.split())


@example("ß:\N{COMBINING DOT ABOVE}")
@given(st.text(alphabet="aåÄßéIi̇ '’-:.,5٣ीक्が\"()"))
def test_modersmal_is_settled_after_one_pass(text):
    scored = normaliser("modersmal")
    assert scored(scored(text)) == scored(text)


@given(st.text())
def test_whisper_basic_equals_whispers_own(text):
    assert normaliser("whisper-basic")(text) == BasicTextNormalizer()(text).strip()


def test_whisper_basic_strips_brackets_and_marks():
    basic = normaliser("whisper-basic")
    assert basic("[skratt] Hej (på) <b>dig</b>, Åsa!") == "hej dig åsa"
    assert basic("नमस्ते") != normaliser("modersmal")("नमस्ते")


def test_custom_rules_run_in_order_on_lower_case():
    rules = {r"\buh\b": "", "[,.]": "", "colou?r": "tint", "tint": "färg"}
    custom = normaliser("custom", rules=rules)
    assert custom("Uh, Color. COLOUR") == "färg färg"
    assert custom.version != normaliser("custom", rules={"a": "b"}).version
    assert custom.version == normaliser("custom", rules=dict(rules)).version


@pytest.mark.parametrize("rules", [{"(": ""}, {"a": r"\1"}])
def test_a_rule_that_is_none_is_one_sentence(rules):
    with pytest.raises(RecipeError, match="is not a rule"):
        normaliser("custom", rules=rules)


def test_none_only_settles_spelling_of_accents_and_spaces():
    assert normaliser("none")(" A\u030angstro\u0308m,  Hej!") == "Ångström, Hej!"


def test_an_unknown_normaliser_names_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'whisper-basic'"):
        normaliser("whisper_basic")


def test_versions_are_what_scores_store():
    versions = [normaliser(name).version for name in ("none", "modersmal", "whisper-basic")]
    assert versions == ["none-1", "modersmal-1", "whisper-basic-1"]


def test_one_sentence_has_one_key_and_none_is_lost():
    assert sentence_key("Hej, DU!") == sentence_key("hej du")
    assert sentence_key("!!!") != sentence_key("???")


def test_letters_are_counted_as_voices_say_them():
    assert spoken_letters("Hej, du!") == 5
    assert spoken_letters("東京") == spoken_letters("とき") == spoken_letters("한국") == 6
    assert spoken_letters("नमस्ते") == 4
    assert spoken_letters("1984") == 4
    assert spoken_letters("1984", digit=4) == 16
    assert spoken_letters("…!") == 0


def test_neither_torch_nor_transformers_is_imported():
    script = "import sys, modersmal.text; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
