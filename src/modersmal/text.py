"""Text: the style a corpus is written in, and what is ironed out before a score.

Every text is NFC. Letters, combining marks and digits of every script stay everywhere, except under
Whisper's own normaliser, which is here because published scores use it. A normaliser carries a
version that scores store: when what it does changes, so does the version.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from modersmal.config import TextConfig
from modersmal.errors import RecipeError, nearest
from modersmal.language import is_spaced

# Inside a word these are part of its spelling: don't, e-post, EU:s, col·lecció, צה״ל, м’ята.
_APOSTROPHES = frozenset("'’‘ʼ＇´`")
_HYPHENS = frozenset("-‐‑－")
_JOINTS = frozenset(':·‧"״׳՛՜՞')
_NUMBER_MARKS = frozenset(".,:٫")

# Visible marks that Unicode files under "format", and joiners that change how letters are written.
_KEPT_FORMAT = frozenset("\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u08e2")
_JOINERS = {0x200C: None, 0x200D: None}
_VARIATION_SELECTORS = dict.fromkeys([*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])
_SPACING_MODIFIERS = dict.fromkeys(map(ord, "¨¯¸˘˙˚˛˜˝゛゜"), " ")


def clean(text: str) -> str:
    """NFC, without control and invisible characters, each run of white space one space."""
    if not text.isprintable():
        text = text.translate(_CLEANING)
    return " ".join(unicodedata.normalize("NFC", text).split())


def style(text: str, config: TextConfig, language: str = "sv") -> str:
    """Write a corpus's text in the recipe's style: replacements, then case, then punctuation."""
    text = clean(text)
    for old, new in config.replace.items():
        text = text.replace(unicodedata.normalize("NFC", old), new)
    if config.case == "lower":
        text = _dotless(text, language).lower()
    if config.punctuation == "strip":
        text = "".join(
            char if _kind(char) != "P" or _is_spelling(text, index) else " "
            for index, char in enumerate(text)
        )
    return clean(text)


@dataclass(frozen=True)
class Normaliser:
    """What is ironed out of reference and hypothesis alike before they are compared."""

    version: str
    function: Callable[[str], str]

    def __call__(self, text: str) -> str:
        return self.function(text)


def normaliser(
    name: str, *, language: str = "sv", rules: Mapping[str, str] | None = None
) -> Normaliser:
    """Find a normaliser by its name in the recipe.

    `none`: NFC and single spaces only.
    `modersmal`: NFKC, full case folding (after Turkish and Azerbaijani I), punctuation and symbols
    out; letters, marks and digits stay. An apostrophe inside a word stays, in one form; a hyphen
    becomes a space (e-post = e post), other marks inside a word close up (EU:s = EUs); a point,
    comma or colon between digits is a point. Languages without spaces between words lose all.
    `whisper-basic`: Whisper's BasicTextNormalizer, which strips combining marks.
    `custom`: lower case, then `rules` (regular expression → replacement), in order.

    Raises:
        RecipeError: an unknown name, or a rule that is not a regular expression.
    """
    if name == "none":
        return Normaliser("none-1", clean)
    if name == "modersmal":
        return Normaliser("modersmal-1", lambda text: _modersmal(text, language))
    if name == "whisper-basic":
        return Normaliser("whisper-basic-1", _whisper_basic)
    if name == "custom":
        return _custom(rules or {}, language)
    known = ("none", "modersmal", "whisper-basic", "custom")
    raise RecipeError(
        f"there is no normaliser {name!r}{nearest(name, known)}; there are {', '.join(known)}"
    )


def sentence_key(text: str, language: str = "sv") -> str:
    """Two texts with the same key are the same sentence, whatever their case and punctuation."""
    return _modersmal(text, language) or clean(text)


def spoken_letters(text: str, digit: int = 1) -> int:
    """Letters that a voice has to say, where one of a script of syllables or words counts three.

    `digit` is what a digit counts for: it is one character, and a word of about four letters.
    """
    count = 0
    for char in text:
        kind = _kind(char)
        if kind == "L":
            count += 3 if _is_syllabic(char) else 1
        elif kind == "N":
            count += digit
    return count


def _modersmal(text: str, language: str) -> str:
    text = _fold(text, language)
    written = "".join(
        char if _kind(char) in "LMN" else _inside(text, index) for index, char in enumerate(text)
    )
    words = unicodedata.normalize("NFC", written).split()  # a mark may have found a new letter
    return " ".join(words) if is_spaced(language) else "".join(words)


def _fold(text: str, language: str) -> str:
    text = clean(text).translate(_SPACING_MODIFIERS | _JOINERS | _VARIATION_SELECTORS)
    text = "".join("'" if char in _APOSTROPHES else char for char in text)
    text = unicodedata.normalize("NFKC", text)
    return unicodedata.normalize("NFKC", _dotless(text, language).casefold())


def _inside(text: str, index: int) -> str:
    """What a mark is replaced by: itself or nothing where it spells a word, else a space."""
    char = text[index]
    if not _is_spelling(text, index) or char in _HYPHENS:
        return " "
    if char in _NUMBER_MARKS and _is_between_digits(text, index):
        return "."
    return "'" if char in _APOSTROPHES else ""


def _is_spelling(text: str, index: int) -> bool:
    """Whether the mark at `index` stands inside a word or number and belongs to it."""
    char, before, after = text[index], text[index - 1 : index], text[index + 1 : index + 2]
    if not (before and after and _kind(before) in "LMN" and _kind(after) in "LMN"):
        return False
    if char in _NUMBER_MARKS and _is_between_digits(text, index):
        return True
    return char in _APOSTROPHES or char in _HYPHENS or char in _JOINTS


def _is_between_digits(text: str, index: int) -> bool:
    return text[index - 1].isdigit() and text[index + 1].isdigit()


def _whisper_basic(text: str) -> str:
    """openai/whisper, normalizers/basic.py: BasicTextNormalizer(), stripped at the ends."""
    text = re.sub(r"[<\[][^>\]]*[>\]]", "", text.lower())
    text = re.sub(r"\(([^)]+?)\)", "", text)
    plain = "".join(
        " " if _kind(char) in "MSP" else char for char in unicodedata.normalize("NFKC", text)
    )
    return re.sub(r"\s+", " ", plain.lower()).strip()


def _custom(rules: Mapping[str, str], language: str) -> Normaliser:
    compiled = []
    for pattern, replacement in rules.items():
        try:
            expression = re.compile(pattern)
            expression.sub(replacement, "")
        except (re.error, IndexError) as error:
            raise RecipeError(
                f"evaluate.rules: {pattern!r} = {replacement!r} is not a rule: {error}"
            ) from None
        compiled.append((expression, replacement))

    def apply(text: str) -> str:
        text = _dotless(clean(text), language).lower()
        for expression, replacement in compiled:
            text = expression.sub(replacement, text)
        return clean(text)

    written = "\0".join(f"{pattern}\0{replacement}" for pattern, replacement in rules.items())
    return Normaliser(f"custom-{hashlib.sha256(written.encode()).hexdigest()[:12]}", apply)


def _dotless(text: str, language: str) -> str:
    """Lower the two letters I of Turkish and Azerbaijani, which plain lowering confuses."""
    if language.split("-")[0].lower() in ("tr", "az"):
        return text.replace("İ", "i").replace("I", "ı")
    return text


@cache
def _kind(char: str) -> str:
    """The first letter of the Unicode category: Letter, Mark, Number, Punctuation, Symbol, …"""
    return unicodedata.category(char)[0]


_SYLLABIC = (
    (0x1200, 0x139F), (0x13A0, 0x13FF), (0x1400, 0x167F), (0x18B0, 0x18FF), (0x2D80, 0x2DDF),
    (0x3040, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA000, 0xA4CF),
    (0xA500, 0xA63F), (0xAB00, 0xAB2F), (0xAB70, 0xABBF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)  # fmt: skip


@cache
def _is_syllabic(char: str) -> bool:
    """Ethiopic, Cherokee, Canadian syllabics, Kana, Han, Yi, Vai and Hangul."""
    return any(first <= ord(char) <= last for first, last in _SYLLABIC)


class _Cleaning(dict[int, str]):
    """A translation table that fills itself: control to space, invisible to nothing."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        if category in ("Cc", "Zl", "Zp"):
            kept = " "
        elif category == "Cs" or (category == "Cf" and char not in _KEPT_FORMAT):
            kept = ""
        else:
            kept = char
        self[code] = kept
        return kept


_CLEANING = _Cleaning()
