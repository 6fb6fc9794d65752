"""Split a text into sentences, short enough to be clips and long enough to be recognised."""

import re
from itertools import pairwise

from modersmal.text import clean, spoken_letters

_LONGEST_LETTERS = 250
_FEWEST_LETTERS = 8

_BORDER = re.compile(
    r"(?<!\.\w\.)(?<!\.\w\w\.)(?<!\b[^\W\d_]\.)"  # t.ex., J. R.
    r"(?:(?<=[.!?…])|(?<=[.!?…][\"'»”’)\]]))\s+(?=[\"'«»“”‘’(\[¿¡–—-]*\s?[^\W_a-zà-öø-ÿ])"
    r"|(?<=[。！？])(?![」』”])|(?<=[。！？][」』”])|\n\s*\n|\n(?=[^\W_a-zà-öø-ÿ])"
)
_CLAUSE = re.compile(r"(?<=[,;:，；、])\s*|\s+(?=[–—])")


def sentences_of(text: str) -> list[str]:
    """Sentences in order, each cleaned; those of few letters go with the one behind them.

    Where a sentence is too long for a clip, it is split at commas, or else between words.
    """
    found: list[str] = []
    waiting = ""
    for piece in _split(text, _BORDER):
        sentence = clean(f"{waiting} {piece}")
        if spoken_letters(sentence) < _FEWEST_LETTERS:
            waiting = sentence
            continue
        waiting = ""
        found += _shortened(sentence)
    if waiting and (found or spoken_letters(waiting)):
        found[-1:] = [clean(" ".join([*found[-1:], waiting]))]
    return found


def _split(text: str, border: re.Pattern[str]) -> list[str]:
    """Parts between borders, which are of any width, none included."""
    edges = [0]
    for found in border.finditer(text):
        edges += [found.start(), found.end()]
    edges.append(len(text))
    parts = [text[first:last] for first, last in pairwise(edges)][::2]
    return [part for part in parts if part.strip()]


def _shortened(sentence: str) -> list[str]:
    if spoken_letters(sentence) <= _LONGEST_LETTERS:
        return [sentence]
    parts = _joined(_split_keeping(sentence, _CLAUSE))
    words = [
        word
        for part in parts
        for word in ([part] if spoken_letters(part) <= _LONGEST_LETTERS else _words(part))
    ]
    return [clean(part) for part in _joined(words)]


def _split_keeping(text: str, border: re.Pattern[str]) -> list[str]:
    edges = [0, *(found.end() for found in border.finditer(text)), len(text)]
    return [text[first:last] for first, last in pairwise(edges) if last > first]


def _words(text: str) -> list[str]:
    """Words with the space behind them; of what has no spaces, some letters at a time."""
    return [
        word[place : place + 20]
        for word in re.findall(r"\S+\s*", text)
        for place in range(0, len(word), 20)
    ]


def _joined(parts: list[str]) -> list[str]:
    """Neighbours joined as long as they are not too long together."""
    joined: list[str] = []
    for part in parts:
        if joined and spoken_letters(joined[-1] + part) <= _LONGEST_LETTERS:
            joined[-1] += part
        else:
            joined.append(part)
    return joined
