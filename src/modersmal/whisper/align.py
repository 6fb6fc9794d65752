"""Find when the sentences of a text are said in a recording of any length.

The recording is heard window by window, cut where it is quietest; what is heard is matched with the
text letter by letter, so that either may lack what the other has. A sentence is said from its first
letter heard to its last; where the sound falls silent close by, it begins and ends there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby, islice
from typing import TYPE_CHECKING

import numpy as np

from modersmal.corpus.alignment import Alignment, Sentence
from modersmal.language import resolve
from modersmal.whisper.matching import letters_of, match
from modersmal.whisper.sentences import sentences_of
from modersmal.whisper.trace import Trace

if TYPE_CHECKING:
    from modersmal.whisper.timing import Ears, Heard

_METHOD = 1  # to be raised when what an alignment finds changes
_WINDOWS_AT_ONCE = 8
_LETTER_S = 0.07
_TORN_S = 1.5
_LETTER_BETWEEN, _TEAR = 0.4, 3.0  # what they take from a run of equal letters, each of which is 1
_UNWRITTEN_LETTERS = 8
_NEAR_S = 0.6
_MISHEARD_S = 1.2
_LONG_PAUSE_S = 0.5
# Of the sentences of another text, 97 in a hundred match by less than the first.
_CHANCE_MATCH = 0.4
_BELOW_WELL = 0.4
_WORTH_OF_NEARNESS = 0.7


@dataclass(frozen=True)
class ModelAligner:
    """Aligns with a Whisper, which is loaded when the first recording comes.

    `model` is as for `load`; `language` and `language_token` are as in a recipe.
    """

    model: str
    language: str
    language_token: str | None = None

    @property
    def name(self) -> str:
        return f"{self.model}, method {_METHOD}"

    def __call__(self, recording: Iterator[np.ndarray], text: str) -> Alignment:
        """Raises ModelError or HubError where the model cannot be had, AudioError as `stream`."""
        return align_text(text, *self.listen(recording))

    def listen(self, recording: Iterator[np.ndarray]) -> tuple["HeardLetters", np.ndarray]:
        """What is heard in a recording, and where it pauses: (n, 2) seconds. Raises the same."""
        trace, letters = Trace(), HeardLetters()
        windows = trace.windows(recording, self._ears.window_s)
        while batch := list(islice(windows, _WINDOWS_AT_ONCE)):
            heard = self._ears.hear([samples for _, samples in batch])
            for (start_s, _), said in zip(batch, heard, strict=True):
                letters.add(said, start_s)
        return letters, trace.pauses()

    @cached_property
    def _ears(self) -> "Ears":
        from modersmal.whisper.timing import Ears  # torch, which few who prepare need

        return Ears.open(self.model, resolve(self.language, self.language_token).token)


@dataclass
class HeardLetters:
    """Letters that were heard, in order, and when each begins and ends, in seconds."""

    letters: list[str] = field(default_factory=list)
    starts_s: list[float] = field(default_factory=list)
    ends_s: list[float] = field(default_factory=list)

    def add(self, heard: "Heard", start_s: float) -> None:
        """Append what was heard in a window that begins at `start_s`."""
        for letter, place in letters_of(heard.text):
            self.letters.append(letter)
            self.starts_s.append(start_s + float(heard.starts_s[place]))
            self.ends_s.append(start_s + float(heard.ends_s[place]))


def align_text(text: str, heard: HeardLetters, pauses_s: np.ndarray) -> Alignment:
    """Place the sentences of a text; `pauses_s` (n, 2) are where the recording falls silent."""
    sentences = sentences_of(text)
    letters = ["".join(letter for letter, _ in letters_of(one)) for one in sentences]
    partner = match("".join(letters), "".join(heard.letters))
    spans, first = [], 0
    for one in letters:
        spans.append(_span(one, partner[first : first + len(one)], heard))
        first += len(one)
    placed = [
        Sentence(one, None, None, 0.0) if span is None else _snapped(one, span, pauses_s)
        for one, span in zip(sentences, spans, strict=True)
    ]
    limit = _limit(placed)
    apart = _apart(placed, limit)
    said = [one for one in apart if one.match >= limit]
    unwritten = (_outside(stretch, said) for stretch in _unwritten(heard, spans))
    stretches = tuple((begin_s, end_s) for begin_s, end_s in unwritten if end_s > begin_s)
    return Alignment(tuple(apart), limit, stretches)


@dataclass(frozen=True)
class _Span:
    """Letters heard from `first` to `last` that a sentence is matched with."""

    first: int
    last: int
    start_s: float
    end_s: float
    match: float


def _span(letters: str, partner: np.ndarray, heard: HeardLetters) -> _Span | None:
    equal = [
        place
        for place, other in enumerate(partner)
        if other >= 0 and letters[place] == heard.letters[other]
    ]
    equal = _core(equal, partner, heard)
    if not equal:
        return None
    first, last = equal[0], equal[-1]
    while first > 0 and partner[first - 1] == partner[first] - 1:  # letters that were misheard
        first -= 1
    while last + 1 < len(letters) and partner[last + 1] == partner[last] + 1:
        last += 1
    begin, end = int(partner[first]), int(partner[last])
    return _Span(
        begin,
        end,
        max(0.0, heard.starts_s[begin] - _LETTER_S * first),
        heard.ends_s[end] + _LETTER_S * (len(letters) - 1 - last),
        len(equal) / max(len(letters), end - begin + 1),
    )


def _core(equal: list[int], partner: np.ndarray, heard: HeardLetters) -> list[int]:
    """The run of equal letters that is best, where what lies between two of them counts against it.

    So letters at either end that are matched by chance, far from the rest, do not count.
    """
    best, begin, value, best_value = slice(0), 0, 0.0, 0.0
    for number, place in enumerate(equal):
        if number:
            other, before = int(partner[place]), equal[number - 1]
            between = max(place - before, other - int(partner[before])) - 1
            torn = heard.starts_s[other] - heard.starts_s[int(partner[before])] > _TORN_S
            value -= _LETTER_BETWEEN * between + _TEAR * torn
        if value <= 0:
            begin, value = number, 0.0
        value += 1
        if value > best_value:
            best, best_value = slice(begin, number + 1), value
    return equal[best]


def _snapped(text: str, span: _Span, pauses_s: np.ndarray) -> Sentence:
    """A sentence that begins where a pause ends close by, and ends where one begins."""
    start_s = _sound(span.start_s, pauses_s, at_end=True)
    end_s = _sound(span.end_s, pauses_s, at_end=False)
    if end_s <= start_s:
        start_s, end_s = span.start_s, max(span.end_s, span.start_s + _LETTER_S)
    return Sentence(text, round(start_s, 3), round(end_s, 3), round(span.match, 3))


def _sound(time_s: float, pauses_s: np.ndarray, *, at_end: bool) -> float:
    """The end (or the beginning) of the pause that a time lies in, or of the best one close by."""
    begins_s, ends_s = pauses_s.T
    away_s = np.maximum(0.0, np.maximum(begins_s - time_s, time_s - ends_s))
    worth = np.minimum(ends_s - begins_s, _LONG_PAUSE_S) - _WORTH_OF_NEARNESS * away_s
    worth[away_s > _NEAR_S] = -np.inf
    if len(worth) and worth.max() > -np.inf:
        best = int(np.argmax(worth))
        return float(ends_s[best] if at_end else begins_s[best])
    # In the midst of sound: what was misheard may have been the rest of the sentence.
    outside = ends_s[ends_s <= time_s][-1:] if at_end else begins_s[begins_s >= time_s][:1]
    close = outside[np.abs(outside - time_s) <= _MISHEARD_S]
    return float(close[0]) if len(close) else time_s


def _limit(sentences: list[Sentence]) -> float:
    """Which match is no chance, and not far below that of the sentences that are heard well."""
    matches = [one.match for one in sentences]
    well = float(np.quantile(matches, 0.75)) if matches else 0.0
    return round(max(_CHANCE_MATCH, well - _BELOW_WELL), 3)


def _apart(sentences: list[Sentence], limit: float) -> list[Sentence]:
    """Sentences that match and overlap by what timing is uncertain, parted in the middle."""
    apart = list(sentences)
    latest: int | None = None
    for number, one in enumerate(apart):
        if one.start_s is None or one.end_s is None or one.match < limit:
            continue
        before = None if latest is None else apart[latest]
        latest_s = before.end_s if before and before.end_s else 0.0
        if before is not None and latest is not None and one.start_s < latest_s:
            middle_s = round((one.start_s + latest_s) / 2, 3)
            apart[latest] = replace(before, end_s=middle_s)
            apart[number] = replace(one, start_s=middle_s)
        latest = number
    return apart


def _unwritten(heard: HeardLetters, spans: list[_Span | None]) -> Iterator[tuple[float, float]]:
    """When more is heard that belongs to no sentence than mishearing explains."""
    written = np.zeros(len(heard.letters), bool)
    for span in spans:
        if span is not None:
            written[span.first : span.last + 1] = True
    for known, group in groupby(range(len(written)), key=lambda place: bool(written[place])):
        places = list(group)
        if not known and len(places) >= _UNWRITTEN_LETTERS:
            yield round(heard.starts_s[places[0]], 3), round(heard.ends_s[places[-1]], 3)


def _outside(stretch: tuple[float, float], said: list[Sentence]) -> tuple[float, float]:
    """What of a stretch is in none of the sentences, whose misheard ends it may be, at its ends."""
    begin_s, end_s = stretch
    for one in said:
        if one.start_s is not None and one.end_s is not None:
            if one.start_s <= begin_s < one.end_s:
                begin_s = one.end_s
            if one.start_s < end_s <= one.end_s:
                end_s = one.start_s
    return begin_s, end_s
