"""What a person does to segments: pure functions, whatever they are kept in."""

import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from modersmal.errors import RecipeError
from modersmal.serve.jobs.job import Segment
from modersmal.transcribe.formats import Word

MOST_LETTERS = 20_000


def retold(segment: Segment, text: str) -> Segment:
    """With another text. Raises RecipeError for one that is too long."""
    tidy = " ".join(text.split())
    if len(tidy) > MOST_LETTERS:
        raise RecipeError(f"a segment has at most {MOST_LETTERS:,} letters, not {len(tidy):,}")
    return replace(segment, text=tidy, confirmed=False)


def split(segment: Segment, at_char: int) -> tuple[Segment, Segment]:
    """Two segments, the second from letter `at_char` of the text on; its id and place are to be
    given.

    They part where the first word of the second was heard, or where the last of the first was.
    Where neither is known, the edge is guessed: between the words that are, or in proportion to
    the letters.

    Raises:
        RecipeError: one of them would be empty.
    """
    left, right = segment.text[:at_char].strip(), segment.text[at_char:].strip()
    if not left or not right:
        raise RecipeError("a segment is split inside its text, with something on both sides")
    guessed = not segment.words or not _is_heard(segment, len(left.split()))
    if segment.words:
        count = _heard_before(segment, len(left.split()))
        at_s = retimed(segment)[len(left.split())].start_s
        first, second = segment.words[:count], segment.words[count:]
        written = [" ".join(word.text for word in words) for words in (first, second)]
    else:
        share = len(left) / (len(left) + len(right))
        at_s = segment.start_s + share * (segment.end_s - segment.start_s)
        first = second = ()
        tokens = segment.written.split()
        count = round(share * len(tokens))
        written = [" ".join(tokens[:count]), " ".join(tokens[count:])]
    at_s = round(min(max(at_s, segment.start_s), segment.end_s), 3)
    first_half = replace(segment, text=left, end_s=at_s, words=first, written=written[0])
    second_half = replace(segment, text=right, start_s=at_s, words=second, written=written[1])
    return (
        replace(first_half, confirmed=False, end_guessed=guessed),
        replace(second_half, confirmed=False, start_guessed=guessed),
    )


def merged(first: Segment, second: Segment) -> Segment:
    """Both as one, under the first one's id."""
    return replace(
        first,
        end_s=max(first.end_s, second.end_s),
        text=_joined(first.text, second.text),
        written=_joined(first.written, second.written),
        words=(*first.words, *second.words),
        probability=min(first.probability, second.probability),
        confirmed=False,
        end_guessed=second.end_guessed,
    )


def replaced(text: str, find: str, by: str, *, match_case: bool, whole_words: bool) -> str:
    """A text with every `find` replaced. Raises RecipeError where there is nothing to find."""
    if not find:
        raise RecipeError("say what is to be replaced")
    pattern = re.escape(find)
    if whole_words:
        pattern = rf"(?<!\w){pattern}(?!\w)"
    flags = 0 if match_case else re.IGNORECASE
    return re.sub(pattern, lambda match: by, text, flags=flags)


def retimed(segment: Segment) -> list[Word]:
    """The words of the text that stands, with times: those that were heard keep theirs, others
    share the time between them."""
    texts = segment.text.split()
    heard = segment.words
    times: list[Word | None] = [None] * len(texts)
    for old, new, size in _alike(heard, texts):
        for step in range(size):
            times[new + step] = replace(heard[old + step], text=texts[new + step])
    timed: list[Word] = []
    place = 0
    while place < len(texts):
        known = times[place]
        if known is not None:
            timed.append(known)
            place += 1
            continue
        until = next((i for i in range(place, len(texts)) if times[i]), len(texts))
        begin_s = timed[-1].end_s if timed else segment.start_s
        following = times[until] if until < len(texts) else None
        end_s = max(begin_s, following.start_s if following else segment.end_s)
        each_s = (end_s - begin_s) / (until - place)
        edges_s = [round(begin_s + step * each_s, 3) for step in range(until - place + 1)]
        for step, text in enumerate(texts[place:until]):
            timed.append(Word(edges_s[step], edges_s[step + 1], text, 1.0))
        place = until
    return timed


def _is_heard(segment: Segment, place: int) -> bool:
    """Whether the word of the text at `place`, or the one before it, was heard as it stands."""
    blocks = _alike(segment.words, segment.text.split())
    return any(new <= word < new + size for _, new, size in blocks for word in (place - 1, place))


def _heard_before(segment: Segment, count: int) -> int:
    """How many of the words that were heard belong to the first `count` of the text."""
    texts = segment.text.split()
    before = 0
    for old, new, size in _alike(segment.words, texts):
        if new + size <= count:
            before = old + size
        elif new < count:
            return old + count - new
        else:
            return max(before, old - (new - count)) if old - (new - count) > 0 else before
    return min(len(segment.words), before + max(0, count - _end(segment, texts, before)))


def _end(segment: Segment, texts: Sequence[str], before: int) -> int:
    """How many words of the text belong to the first `before` that were heard."""
    last = 0
    for old, new, size in _alike(segment.words, texts):
        if old + size <= before:
            last = new + size
    return last


def _alike(heard: Sequence[Word], texts: Sequence[str]) -> list[tuple[int, int, int]]:
    matcher = SequenceMatcher(None, [word.text for word in heard], list(texts), autojunk=False)
    return [(m.a, m.b, m.size) for m in matcher.get_matching_blocks() if m.size]


def _joined(first: str, second: str) -> str:
    return " ".join(filter(None, (first, second)))
