"""Read a recipe's file: check it, override keys, and say in one sentence what is wrong with it."""

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modersmal.config.recipe import Recipe, Section
from modersmal.errors import RecipeError, nearest
from modersmal.language import resolve


def load_recipe(
    path: Path | str, overrides: Sequence[str] = (), *, several: bool = False
) -> Recipe:
    """Read a recipe, with `train.max_steps=100`-like overrides, paths resolved against its folder.

    One that names a single size is that of this size; with `several` it may name more.

    Raises:
        RecipeError: missing, not TOML, an unknown key, a value that does not fit, or several sizes.
        LanguageError: Whisper lacks the language, and no token is borrowed.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise RecipeError(
            f"there is no recipe at {path}; `modersmal init {path}` writes one"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not TOML: {error}") from error
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path} cannot be read: {error}") from error
    for override in overrides:
        _override(table, override)
    recipe = _resolved(parse_recipe(table, where=str(path)), path.resolve().parent)
    if len(recipe.sizes) > 1 and not several:
        raise RecipeError(
            f"{path} names {len(recipe.sizes)} sizes, which `modersmal run` takes one after the "
            f"other; here give one, as in --set 'sizes=[\"{recipe.sizes[0]}\"]', or set it there"
        )
    return recipe if len(recipe.sizes) > 1 else recipe.each()[0]


def parse_recipe(table: dict[str, Any], where: str = "the recipe") -> Recipe:
    """Check a recipe's table.

    Raises:
        RecipeError: names the key, and the nearest right one.
        LanguageError: Whisper lacks the language, and no token is borrowed.
    """
    try:
        recipe = Recipe.model_validate(table)
    except ValidationError as error:
        raise RecipeError(f"{where}: {_plain(error.errors()[0])}") from None
    resolve(recipe.language, recipe.language_token)
    return recipe


def sections() -> Iterator[tuple[str, type[Section]]]:
    """Every table of the recipe as (dotted name, schema), the top, "", first."""
    yield from _below("", Recipe)


def _below(name: str, section: type[Section]) -> Iterator[tuple[str, type[Section]]]:
    yield name, section
    for key, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from _below(f"{name}.{key}".lstrip("."), inner)


def _override(table: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals:
        raise RecipeError(f"--set {override!r} is not KEY=VALUE, as in train.max_steps=500")
    *path, last = key.strip().split(".")
    for section in path:
        inner = table.setdefault(section, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"--set {override!r}: {section} is not a table")
        table = inner
    try:
        table[last] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        table[last] = value.strip()


def _resolved(recipe: Recipe, folder: Path) -> Recipe:
    """Make relative paths absolute; ids of models and URLs stay."""

    def at_home(path: str) -> str:
        address = "://" in path or path.startswith(("hf:", "mdc:", "corrections:"))
        return path if address else str(folder / Path(path).expanduser())

    def model_at_home(model: str) -> str:
        local = model.startswith((".", "~")) or (folder / model).is_dir()
        return at_home(model) if local else model

    sources = [at_home(source) for source in recipe.data.sources]
    sizes = [model_at_home(size) for size in recipe.sizes]
    aligner = recipe.data.align_with
    align_with = None if aligner is None else model_at_home(aligner)
    candidates = [model_at_home(model) for model in recipe.evaluate.candidates]
    return recipe.model_copy(
        update={
            "store": at_home(recipe.store),
            "model": model_at_home(recipe.model),
            "sizes": sizes,
            "data": recipe.data.model_copy(update={"sources": sources, "align_with": align_with}),
            "evaluate": recipe.evaluate.model_copy(update={"candidates": candidates}),
            "serve": recipe.serve.model_copy(update={"folder": at_home(recipe.serve.folder)}),
        }
    )


def _plain(error: Any) -> str:
    """One sentence for one of pydantic's errors."""
    location = [str(part) for part in error["loc"]]
    key = ".".join(location)
    if error["type"] == "extra_forbidden":
        return f"unknown key {key!r}{_right_key(location)}"
    message = error["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return f"{key}: {message}" + (
        "" if error["type"] == "value_error" else f", not {error['input']!r}"
    )


def _right_key(location: list[str]) -> str:
    """What was probably meant: a key of the same table, or this key's own table."""
    *table, key = location
    schemas = dict(sections())
    if close := nearest(key, schemas[".".join(table)].model_fields):
        return close
    homes = [name for name, schema in schemas.items() if key in schema.model_fields]
    return f" (it belongs to {f'[{homes[0]}]' if homes[0] else 'the top'})" if homes else ""
