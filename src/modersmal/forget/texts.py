"""Take clips out of what names them: reports and hypotheses line by line, notes word by word."""

import json
from collections.abc import Collection
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from modersmal.corpus.corrections.traces import ids_in, without
from modersmal.corpus.erasing import ERASED
from modersmal.store.files import json_bytes

_TABLES = (".jsonl", ".tsv", ".csv")
_NOTES = (".json", ".md", ".txt", ".log")
_OF_MODELS = {
    "vocab.json", "tokenizer.json", "merges.txt", "added_tokens.json", "vocabulary.json",
    "normalizer.json", "special_tokens_map.json", "tokenizer_config.json",
}  # fmt: skip


def may_name_clips(name: str) -> bool:
    """Whether a file is a text in which clips may be named."""
    path = PurePosixPath(name)
    return path.suffix in (*_TABLES, *_NOTES) and path.name not in _OF_MODELS


def text_without(name: str, data: bytes, ids: Collection[str]) -> bytes | None:
    """The text `data` of the file `name` without the clips `ids`; None where it names none.

    Of a table, a clip's line goes; elsewhere, what a line or a string says from the clip on.
    """
    text, wanted = data.decode("utf-8", "replace"), set(ids)
    if not ids_in(text) & wanted:
        return None
    lines = text.split("\n")  # not as splitlines does: JSON's strings may hold other separators
    if name.endswith(_TABLES):
        return "\n".join(line for line in lines if not ids_in(line) & wanted).encode()
    if name.endswith(".json"):
        with suppress(ValueError):  # half a file is text
            return json_bytes(_without(json.loads(text), wanted))
    return "\n".join(without(line, wanted, ERASED) for line in lines).encode()


def _without(value: Any, ids: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(inner, ids) for key, inner in value.items() if not ids_in(key) & ids}
    if isinstance(value, list):
        return [_without(inner, ids) for inner in value if not _is_clip(inner, ids)]
    return without(value, ids, ERASED) if isinstance(value, str) else value


def _is_clip(value: Any, ids: set[str]) -> bool:
    """Whether a part of a list is about one of the clips, and nothing else."""
    return isinstance(value, dict) and any(
        isinstance(inner, str) and ids_in(inner) & ids for inner in value.values()
    )
