"""Recipes as targets get them: the whole file, or of one what a server needs and nothing more."""

import json
from collections.abc import Mapping
from typing import Any


def serving_recipe(table: Mapping[str, Any], serve: Mapping[str, Any]) -> str:
    """A recipe with the language of `table`, and `serve` as its [serve].

    What else a recipe says (where data and stores are) is nobody's business where it serves.
    """
    kept = {key: table[key] for key in ("language", "language_token") if key in table}
    return to_toml(kept | {"serve": serve})


def to_toml(table: Mapping[str, Any], name: str = "") -> str:
    """A table of plain values and such tables. JSON and TOML write those values alike."""
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    lines = [f"[{name}]"] if name else []
    lines += [
        f"{key} = {json.dumps(value, ensure_ascii=False)}"
        for key, value in table.items()
        if key not in inner
    ]
    text = "\n".join([*lines, ""]) if lines else ""
    below = [to_toml(value, f"{name}.{key}".lstrip(".")) for key, value in inner.items()]
    return "\n".join(part for part in [text, *below] if part)
