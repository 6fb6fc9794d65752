"""What a target is, and where they are found: a new one is one new file in `targets`."""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from modersmal.config import Recipe
from modersmal.errors import RecipeError, nearest
from modersmal.launch import targets


@dataclass(frozen=True)
class Order:
    """What is to be launched.

    `recipe` has its paths resolved; `text` and `table` are its file as it was written. `wheel` is
    the name of the wheel beside the files, and `folder` where all of it goes.
    """

    recipe: Recipe
    path: Path
    text: str
    table: Mapping[str, Any]
    wheel: str
    folder: Path


@dataclass(frozen=True)
class File:
    """A file as it is written."""

    text: str
    executable: bool = False


@dataclass(frozen=True)
class Target:
    """A kind of place to run in.

    `files` makes its files by their names (the wheel and what installs it are there already), and
    raises RecipeError where the recipe does not fit. `next_step` is what to do with them. `extras`
    are installed of modersmal, beside what its store needs; `brings` names packages that the place
    has of its own, which stay as they are.
    """

    title: str
    extras: tuple[str, ...]
    files: Callable[[Order], dict[str, File]]
    next_step: Callable[[Order], str]
    brings: frozenset[str] = frozenset()


def target_names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(targets.__path__))


def find_target(name: str) -> Target:
    """The target of a name. Raises RecipeError where there is none."""
    known = target_names()
    if name not in known:
        raise RecipeError(
            f"there is no target {name!r}{nearest(name, known)}; there are {', '.join(known)}"
        )
    found: Target = import_module(f"{targets.__name__}.{name}").TARGET
    return found
