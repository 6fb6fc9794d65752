"""Languages: their codes, Whisper's tokens for them, and Whisper's three tokenizers.

Whisper knows three vocabularies, told apart by their size: `english` (the `.en` models, 51,864
tokens), `multilingual` (51,865) and `multilingual-v3` (51,866, one language more). Needs neither
torch nor transformers.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources

from tokenizers import AddedToken, Tokenizer

from modersmal.errors import LanguageError, ModelError, nearest

MAX_TOKENS = 448
TIMESTAMP_STEP_S = 0.02
TIMESTAMP_COUNT = 1501

# In the order of Whisper's tokens (openai/whisper, tokenizer.py); "yue" exists since v3.
WHISPER_LANGUAGES = {
    "en": "English", "zh": "Chinese", "de": "German", "es": "Spanish", "ru": "Russian",
    "ko": "Korean", "fr": "French", "ja": "Japanese", "pt": "Portuguese", "tr": "Turkish",
    "pl": "Polish", "ca": "Catalan", "nl": "Dutch", "ar": "Arabic", "sv": "Swedish",
    "it": "Italian", "id": "Indonesian", "hi": "Hindi", "fi": "Finnish", "vi": "Vietnamese",
    "he": "Hebrew", "uk": "Ukrainian", "el": "Greek", "ms": "Malay", "cs": "Czech",
    "ro": "Romanian", "da": "Danish", "hu": "Hungarian", "ta": "Tamil", "no": "Norwegian",
    "th": "Thai", "ur": "Urdu", "hr": "Croatian", "bg": "Bulgarian", "lt": "Lithuanian",
    "la": "Latin", "mi": "Māori", "ml": "Malayalam", "cy": "Welsh", "sk": "Slovak",
    "te": "Telugu", "fa": "Persian", "lv": "Latvian", "bn": "Bengali", "sr": "Serbian",
    "az": "Azerbaijani", "sl": "Slovenian", "kn": "Kannada", "et": "Estonian", "mk": "Macedonian",
    "br": "Breton", "eu": "Basque", "is": "Icelandic", "hy": "Armenian", "ne": "Nepali",
    "mn": "Mongolian", "bs": "Bosnian", "kk": "Kazakh", "sq": "Albanian", "sw": "Swahili",
    "gl": "Galician", "mr": "Marathi", "pa": "Punjabi", "si": "Sinhala", "km": "Khmer",
    "sn": "Shona", "yo": "Yoruba", "so": "Somali", "af": "Afrikaans", "oc": "Occitan",
    "ka": "Georgian", "be": "Belarusian", "tg": "Tajik", "sd": "Sindhi", "gu": "Gujarati",
    "am": "Amharic", "yi": "Yiddish", "lo": "Lao", "uz": "Uzbek", "fo": "Faroese",
    "ht": "Haitian Creole", "ps": "Pashto", "tk": "Turkmen", "nn": "Nynorsk", "mt": "Maltese",
    "sa": "Sanskrit", "lb": "Luxembourgish", "my": "Burmese", "bo": "Tibetan", "tl": "Tagalog",
    "mg": "Malagasy", "as": "Assamese", "tt": "Tatar", "haw": "Hawaiian", "ln": "Lingala",
    "ha": "Hausa", "ba": "Bashkir", "jw": "Javanese", "su": "Sundanese", "yue": "Cantonese",
}  # fmt: skip

# Common codes that are not Whisper's own.
_ALIASES = {"nb": "no", "jv": "jw", "cmn": "zh", "iw": "he", "fil": "tl", "in": "id"}

# Languages Whisper lacks that people ask for, and the tokens that are worth borrowing.
_RELATED = {
    "se": ("Northern Sámi", ("fi", "et", "no")),
    "smn": ("Inari Sámi", ("fi", "et")),
    "sma": ("Southern Sámi", ("fi", "no", "sv")),
    "smj": ("Lule Sámi", ("fi", "sv", "no")),
    "fit": ("Meänkieli", ("fi",)),
    "fkv": ("Kven", ("fi",)),
    "krl": ("Karelian", ("fi",)),
    "rmy": ("Vlax Romani", ("ro", "hi")),
    "rm": ("Romansh", ("it", "de")),
    "gsw": ("Swiss German", ("de",)),
    "ga": ("Irish", ("cy", "br")),
    "gd": ("Scottish Gaelic", ("cy", "br")),
    "fy": ("Western Frisian", ("nl", "de")),
    "nds": ("Low German", ("de", "nl")),
    "ckb": ("Central Kurdish", ("fa",)),
    "kmr": ("Northern Kurdish", ("fa", "tr")),
    "ku": ("Kurdish", ("fa", "tr")),
    "ky": ("Kyrgyz", ("kk", "uz")),
    "ug": ("Uyghur", ("uz", "kk")),
    "cv": ("Chuvash", ("tt", "ru")),
    "eo": ("Esperanto", ("es", "it")),
    "ia": ("Interlingua", ("it", "es")),
    "rw": ("Kinyarwanda", ("sw", "sn")),
    "lg": ("Ganda", ("sw", "sn")),
    "ig": ("Igbo", ("yo", "ha")),
    "zu": ("Zulu", ("sn", "sw")),
    "xh": ("Xhosa", ("sn", "sw")),
    "kab": ("Kabyle", ("ar",)),
    "gn": ("Guarani", ("es",)),
    "qu": ("Quechua", ("es",)),
    "or": ("Odia", ("bn", "hi")),
    "dv": ("Dhivehi", ("si", "hi")),
    "ab": ("Abkhaz", ("ka", "ru")),
    "ast": ("Asturian", ("es", "gl")),
    "sc": ("Sardinian", ("it", "ca")),
    "kl": ("Greenlandic", ("da", "fi")),
    "hsb": ("Upper Sorbian", ("pl", "cs")),
}  # fmt: skip


@dataclass(frozen=True)
class Language:
    """A language and the Whisper token it is written under.

    `code` is the real language (BCP 47, as given); `token` is one of Whisper's codes, the same
    language or one that it borrows.
    """

    code: str
    name: str
    token: str


def resolve(code: str, language_token: str | None = None) -> Language:
    """Find a language by its BCP 47 code.

    Raises:
        LanguageError: the code is malformed, or Whisper has no token for it and none is borrowed.
    """
    primary = code.strip().replace("_", "-").split("-")[0].lower()
    if not (primary.isascii() and primary.isalpha() and 2 <= len(primary) <= 8):
        by_name = {name.lower(): known for known, name in WHISPER_LANGUAGES.items()}
        known = by_name.get(code.strip().lower())
        hint = f"; use {known!r}" if known else "; write a BCP 47 code such as 'sv'"
        raise LanguageError(f"{code!r} is not a language code{hint}")
    by_name = {name.lower(): known for known, name in WHISPER_LANGUAGES.items()}
    if primary in by_name:
        raise LanguageError(f"{code!r} is not a language code; use {by_name[primary]!r}")
    own = _ALIASES.get(primary, primary)
    name = WHISPER_LANGUAGES.get(own) or _RELATED.get(primary, (primary, ()))[0]
    if language_token is not None:
        token = language_token.strip().lower()
        if token not in WHISPER_LANGUAGES:
            raise LanguageError(
                f"language_token {language_token!r} is not one of Whisper's languages"
                f"{nearest(token, WHISPER_LANGUAGES)}"
            )
        return Language(code, name, token)
    if own in WHISPER_LANGUAGES:
        return Language(code, name, own)
    if primary in _RELATED:
        related = ", ".join(
            f"{token!r} ({WHISPER_LANGUAGES[token]})" for token in _RELATED[primary][1]
        )
        remedy = f"borrow the token of a related language with language_token, here {related}"
    else:
        remedy = (
            "borrow the token of a related language with language_token, for example 'fi'"
            f"{nearest(primary, WHISPER_LANGUAGES)}"
        )
    raise LanguageError(f"Whisper has no token for {name} ({code!r}); {remedy}")


def is_spaced(code: str) -> bool:
    """Whether words are separated by spaces; where not, characters are what counts (CER)."""
    return code.replace("_", "-").split("-")[0].lower() not in {
        "zh", "yue", "cmn", "ja", "th", "lo", "my", "km", "bo",
    }  # fmt: skip


class Vocabulary(StrEnum):
    """Whisper's vocabularies; each one's size tells it apart."""

    ENGLISH = "english"
    MULTILINGUAL = "multilingual"
    MULTILINGUAL_V3 = "multilingual-v3"

    @property
    def size(self) -> int:
        return {"english": 51_864, "multilingual": 51_865, "multilingual-v3": 51_866}[self.value]

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes in token order. (`.en` models carry the tokens too, but are not given one.)"""
        codes = tuple(WHISPER_LANGUAGES)
        return codes if self is Vocabulary.MULTILINGUAL_V3 else codes[:-1]

    @classmethod
    def of_size(cls, size: int) -> "Vocabulary":
        """Raises ModelError for a size that is none of Whisper's."""
        for vocabulary in cls:
            if vocabulary.size == size:
                return vocabulary
        raise ModelError(
            f"a vocabulary of {size:,} tokens is none of Whisper's "
            "(51,864 English, 51,865 multilingual, 51,866 multilingual v3)"
        )


def special_tokens(vocabulary: Vocabulary) -> tuple[str, ...]:
    """Every token after the byte-pair ones, in id order, timestamps last."""
    return (
        "<|endoftext|>",
        "<|startoftranscript|>",
        *(f"<|{code}|>" for code in vocabulary.languages),
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        "<|nospeech|>" if vocabulary is Vocabulary.MULTILINGUAL_V3 else "<|nocaptions|>",
        "<|notimestamps|>",
        *(f"<|{index * TIMESTAMP_STEP_S:.2f}|>" for index in range(TIMESTAMP_COUNT)),
    )


@cache
def tokenizer(vocabulary: Vocabulary = Vocabulary.MULTILINGUAL) -> Tokenizer:
    """Build one of Whisper's tokenizers from the byte-pair tables that ship with the package."""
    stem = "english" if vocabulary is Vocabulary.ENGLISH else "multilingual"
    table = resources.files("modersmal") / "assets" / "tokenizer" / f"{stem}.json"
    built = Tokenizer.from_str(table.read_text(encoding="utf-8"))
    specials = special_tokens(vocabulary)
    built.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in specials[:-TIMESTAMP_COUNT]]
    )
    built.add_tokens(
        [
            AddedToken(token, normalized=False, special=False)
            for token in specials[-TIMESTAMP_COUNT:]
        ]
    )
    return built


def count_label_tokens(texts: list[str], vocabulary: Vocabulary) -> list[int]:
    """Tokens of each label: the text between its four start tokens and end-of-text."""
    encoded = tokenizer(vocabulary).encode_batch(texts, add_special_tokens=False)
    return [len(one.ids) + 5 for one in encoded]
