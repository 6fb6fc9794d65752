"""A team with a store: one that costs nothing, and one whose models really hear."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hard_of_hearing import correct_all, open_collection, write_recipe, write_releases, write_store
from modersmal.corpus.corrections.collection import Collection


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A store with two releases that hold nothing, of which the first is the latest."""
    path = write_recipe(tmp_path)
    write_releases(path)
    return path


@pytest.fixture
def collection(recipe: Path) -> Iterator[Collection]:
    """What the recipe's server keeps of corrections."""
    opened = open_collection(recipe)
    yield opened
    opened.book.database.close()


@pytest.fixture(scope="session")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a team whose release 1 is hard of hearing, with corrections of what it wrote;
    do not write to it."""
    folder = tmp_path_factory.mktemp("heard")
    path = write_recipe(folder)
    write_store(path)
    opened = open_collection(path)
    correct_all(opened)
    opened.book.database.close()
    return folder


Team = Callable[..., Path]


@pytest.fixture
def team(heard: Path, tmp_path: Path) -> Team:
    """A copy of it, whose recipe says something else where `changes` do."""

    def copy(**changes: str) -> Path:
        folder = shutil.copytree(heard, tmp_path / "team")
        opened = open_collection(folder / "recipe.toml")
        opened.book.database.close()
        return write_recipe(folder, **changes)

    return copy
