"""The ids of corrections in names and texts, and what stays of one when it is erased.

A trace tells, of an id that somebody has, whether it was there; no id can be told from it.
"""

import hashlib
import re
from collections.abc import Collection, Iterable

_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
_TRACE_LETTERS = 16


def ids_in(text: str) -> set[str]:
    """All that looks like the id of a correction in a text."""
    return set(_ID.findall(text))


def traces_of(ids: Iterable[str]) -> list[str]:
    """What stays of corrections, sorted."""
    return sorted({_trace(one) for one in ids})


def without(text: str, ids: Collection[str], instead: str) -> str:
    """A text up to where it names one of `ids`, with `instead` in the place of all after that."""
    begins = [found.start() for found in _ID.finditer(text) if found[0] in ids]
    if not begins:
        return text
    kept = text[: begins[0]]
    return kept[: len(kept) - len(kept.rpartition(" ")[2])] + instead


def _trace(correction_id: str) -> str:
    digest = hashlib.sha256(f"correction {correction_id}".encode()).hexdigest()
    return digest[:_TRACE_LETTERS]
