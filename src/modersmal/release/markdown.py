"""Markdown, as cards are written in."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells may hold anything: what would end one is shown otherwise."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def toml(settings: Mapping[str, Any], name: str = "") -> Iterator[str]:
    """The lines of a recipe as its own file has them; keys that are unset are left out."""
    inner = {key: value for key, value in settings.items() if isinstance(value, dict)}
    if name and len(inner) < len(settings):
        yield f"\n[{name}]"
    for key, value in settings.items():
        if key not in inner and value is not None:
            yield f"{_key(key)} = {json.dumps(value, ensure_ascii=False)}"
    for key, value in inner.items():
        yield from toml(value, f"{name}.{_key(key)}".lstrip("."))


def _key(key: str) -> str:
    plain = key.replace("_", "").replace("-", "")
    return key if plain.isascii() and plain.isalnum() else json.dumps(key, ensure_ascii=False)
