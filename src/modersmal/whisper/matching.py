"""Match a text with what was heard of it, letter by letter, however much either lacks.

Long stretches that occur once in both are anchors; what lies between two anchors is matched by
edit distance. Case, punctuation and spaces count for nothing.
"""

import unicodedata
from bisect import bisect_left

import numpy as np

_ANCHOR_LENGTHS = (14, 9, 6, 4)
_MOST_CELLS = 4_000_000
_HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_MISHEARD, _GAP, _GAP_LETTER = 3, 3, 1


def letters_of(text: str) -> list[tuple[str, int]]:
    """The letters, marks and digits of a text, case folded, each with its place in the text."""
    return [
        (folded, place)
        for place, char in enumerate(text)
        if unicodedata.category(char)[0] in "LMN"
        for folded in unicodedata.normalize("NFKC", char).casefold()
    ]


def match(written: str, heard: str) -> np.ndarray:
    """For each letter of `written`, the number of the letter of `heard` beside it, or -1: int64.

    Numbers rise; the two letters need not be equal. Both are letters alone (see `letters_of`).
    """
    partner = np.full(len(written), -1, np.int64)
    _match(written, heard, 0, 0, 0, partner)
    return partner


def _match(written: str, heard: str, i: int, j: int, level: int, partner: np.ndarray) -> None:
    """Match two stretches that begin at letters `i` and `j`, writing into `partner`."""
    if not (written and heard):
        return
    if len(written) * len(heard) <= _MOST_CELLS // 16 or level == len(_ANCHOR_LENGTHS):
        _match_by_distance(written, heard, i, j, partner)
        return
    length = _ANCHOR_LENGTHS[level]
    a = b = 0
    for first, second in [*_anchors(written, heard, length), (len(written), len(heard))]:
        if first < a or second < b:  # overlaps the anchor before
            continue
        _match(written[a:first], heard[b:second], i + a, j + b, level + 1, partner)
        if first < len(written):
            partner[i + first : i + first + length] = np.arange(j + second, j + second + length)
        a, b = first + length, second + length


def _anchors(written: str, heard: str, length: int) -> list[tuple[int, int]]:
    """Places of stretches that occur once in both, as many as come in the same order."""
    (keys, here), (others, there) = (_unique(text, length) for text in (written, heard))
    _, first, second = np.intersect1d(keys, others, assume_unique=True, return_indices=True)
    common = sorted(zip(here[first].tolist(), there[second].tolist(), strict=True))
    tails: list[int] = []
    tops: list[int] = []
    back = [-1] * len(common)
    for number, (_, place) in enumerate(common):
        height = bisect_left(tails, place)
        if height == len(tails):
            tails.append(place)
            tops.append(number)
        else:
            tails[height], tops[height] = place, number
        back[number] = tops[height - 1] if height else -1
    chain = []
    number = tops[-1] if tops else -1
    while number >= 0:
        chain.append(common[number])
        number = back[number]
    return chain[::-1]


def _unique(text: str, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the stretches of `length` letters that occur once, and their places."""
    count = max(0, len(text) - length + 1)
    codes = np.array([ord(char) for char in text], np.uint64)
    hashes = np.zeros(count, np.uint64)
    for place in range(length):
        hashes = hashes * _HASH_FACTOR + codes[place : place + count]
    keys, places, times = np.unique(hashes, return_index=True, return_counts=True)
    return keys[times == 1], places[times == 1]


def _match_by_distance(written: str, heard: str, i: int, j: int, partner: np.ndarray) -> None:
    """By the fewest edits, where it costs to begin a gap (Gotoh's alignment).

    So what one side lacks is one long gap, and its letters are not scattered over the other's.
    Stretches that are too long for that are left unmatched.
    """
    rows, columns = len(written), len(heard)
    if rows * columns > _MOST_CELLS:
        return
    a, b = (np.array([ord(char) for char in text], np.int32) for text in (written, heard))
    slope = _GAP_LETTER * np.arange(columns + 1, dtype=np.int32)
    cost = np.empty((rows + 1, columns + 1), np.int32)
    begins = np.zeros((rows + 1, columns + 1), bool)  # whether a gap down begins above a cell
    cost[0] = _GAP + slope
    cost[0, 0] = 0
    down = np.full(columns + 1, 1 << 28, np.int32)
    for row, char in enumerate(a, 1):
        begun = cost[row - 1] + (_GAP + _GAP_LETTER)
        down = np.minimum(down + _GAP_LETTER, begun)
        begins[row] = down == begun
        best = down.copy()
        best[1:] = np.minimum(best[1:], cost[row - 1, :-1] + _MISHEARD * (b != char))
        across = np.minimum.accumulate(best - slope)[:-1] + slope[1:] + _GAP
        best[1:] = np.minimum(best[1:], across)
        cost[row] = best
    row, column = rows, columns
    while row and column:
        here = cost[row, column]
        if here == cost[row - 1, column - 1] + _MISHEARD * (a[row - 1] != b[column - 1]):
            row, column = row - 1, column - 1
            partner[i + row] = j + column
            continue
        lefts = cost[row, :column] + _GAP + _GAP_LETTER * np.arange(column, 0, -1)
        found = np.flatnonzero(lefts == here)
        if len(found):
            column = int(found[-1])
            continue
        while not begins[row, column]:
            row -= 1
        row -= 1
