"""Each target, launched once."""

from collections.abc import Callable

import pytest
from launching import write_recipe

import modersmal
from modersmal.launch.launch import Launched


@pytest.fixture(scope="session")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Launched]:
    """The files for a target; do not write among them."""
    made: dict[str, Launched] = {}

    def make(target: str) -> Launched:
        if target not in made:
            folder = tmp_path_factory.mktemp(target)
            made[target] = modersmal.launch(target, write_recipe(folder), folder / "files")
        return made[target]

    return make
