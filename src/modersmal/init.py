"""Write a recipe: every key with its effect, unit, default and when to change it, or a ready one.

The comments are the descriptions in `config/recipe.py`; there is no second text to keep in step.
"""

import json
import textwrap
from importlib import resources
from pathlib import Path
from typing import Any

from modersmal.config import Section, sections
from modersmal.errors import RecipeError, nearest
from modersmal.language import resolve
from modersmal.store import write_bytes

KB_WHISPER = "KBLab/kb-whisper-small"
_WIDTH = 94
_NO_BREAK = "\u00a0"

# For keys that are unset by default: what to uncomment.
_EXAMPLES = {
    "language_token": "fi",
    "learning_rate": 1e-5,
    "licence": "CC-BY-4.0",
    "licence_url": "https://creativecommons.org/licenses/by/4.0/",
    "redistributable": True,
    "device_batch_s": 120.0,
    "gradient_checkpointing": True,
    "budget": "2h50m",
    "rank": 32,
    "dev_clips": 300,
    "max_steps": 400,
    "deadline": "2026-12-24T18:00+01:00",
    "align_with": "openai/whisper-small",
    "corpus": "common-voice-sv",
    "database": "postgresql://modersmal@localhost/modersmal",
    "release": 7,
    "model": "anna/whisper-small-sv",
    "name": "speech.example.se",
    "certificate": "/etc/ssl/speech.example.se.pem",
    "certificate_key": "/etc/ssl/private/speech.example.se.key",
    "user": "anna",
}


def init(
    recipe: Path | str = "recipe.toml",
    *,
    language: str = "sv",
    language_token: str | None = None,
    ready: str | None = None,
    force: bool = False,
) -> Path:
    """Write a recipe to the path `recipe`, and return that path.

    `ready` names one of `ready_recipes()`, which replaces the full list of keys; the language is
    then the one it names. `force` replaces a file that is there.

    Raises:
        LanguageError: Whisper lacks the language, and no token is borrowed.
        RecipeError: the file exists, or there is no such ready recipe.
        StoreError: the file cannot be written.
    """
    path = Path(recipe)
    text = recipe_text(language, language_token) if ready is None else _ready_text(ready)
    if path.exists() and not force:
        raise RecipeError(f"{path} exists; choose another name, or replace it with --force")
    write_bytes(path, text.encode())
    return path


def ready_recipes() -> list[str]:
    """Names of the recipes that ship with the package."""
    folder = resources.files("modersmal") / "assets" / "recipes"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir())


def recipe_text(language: str = "sv", language_token: str | None = None) -> str:
    """Every key as TOML, at its default where the language does not suggest another value.

    Raises:
        LanguageError: Whisper lacks the language, and no token is borrowed.
    """
    known = resolve(language, language_token)
    values: dict[str, Any] = {"language": known.code, "language_token": language_token}
    if known.token == "sv" and language_token is None:
        values["candidates"] = [KB_WHISPER]
    opening = (
        f"A recipe for modersmal: Whisper learns {known.name}. Set data.sources, then start "
        "`modersmal run` with this file. Every key is here; one that you remove takes its default."
    )
    tables = [_table(name, schema, values) for name, schema in sections()]
    return "\n".join([_comment(opening), *tables, ""])


def _table(name: str, schema: type[Section], values: dict[str, Any]) -> str:
    lines = [f"\n[{name}]  # {schema.__doc__}"] if name else []
    for key, field in schema.model_fields.items():
        default = field.default
        if isinstance(default, Section):
            continue
        value = values.get(key, default)
        shown = "unset" if default is None else _toml(default)
        lines += ["", _comment(f"{field.description} Default:{_NO_BREAK}{shown}.")]
        lines.append(
            f"# {key} = {_toml(_EXAMPLES[key])}" if value is None else f"{key} = {_toml(value)}"
        )
    return "\n".join(lines)


def _comment(text: str) -> str:
    lines = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"# {line}" for line in lines).replace(_NO_BREAK, " ")


def _toml(value: Any) -> str:
    """TOML and JSON agree on strings, numbers, booleans, lists of them and the empty table."""
    return json.dumps(value, ensure_ascii=False)


def _ready_text(name: str) -> str:
    known = ready_recipes()
    if name not in known:
        raise RecipeError(
            f"there is no ready recipe {name!r}{nearest(name, known)}; there are {', '.join(known)}"
        )
    file = resources.files("modersmal") / "assets" / "recipes" / f"{name}.toml"
    return file.read_text(encoding="utf-8")
