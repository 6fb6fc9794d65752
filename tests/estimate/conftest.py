"""A recipe that was rehearsed here, and one that was not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import modersmal
from modersmal.language import resolve
from modersmal.rehearse.result import Rehearsal
from modersmal.whisper.load import load
from modersmal.whisper.save import save_complete
from small_release import write_small_release

WriteRecipe = Callable[..., Path]


@pytest.fixture(scope="session")
def write_recipe(
    tiny_whisper: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> WriteRecipe:
    """Write a recipe of a tiny base on a small release: `write_recipe(folder, train="…")`."""
    release = write_small_release(tmp_path_factory.mktemp("cv") / "sv-SE")
    base = tmp_path_factory.mktemp("bases") / "whisper-deaf"
    whisper = load(str(tiny_whisper(terse=True)))
    save_complete(replace(whisper, context="dynamic"), base, resolve("sv"))

    def write(folder: Path, train: str = "", top: str = "") -> Path:
        path = folder / "recipe.toml"
        path.write_text(
            f"""
            model = "{base}"
            name = "small"
            {top}
            [data]
            sources = ["{release}"]
            workers = 1
            [train]
            batch_s = 5.0
            warmup_steps = 1
            learning_rate = 1e-4
            loader_workers = 0
            packed_share = 0.0
            full_share = 0.0
            {train or "max_steps = 20"}
            """
        )
        return path

    return write


@pytest.fixture(scope="session")
def rehearsed(
    write_recipe: WriteRecipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Rehearsal]:
    """Do not write to its store."""
    recipe = write_recipe(tmp_path_factory.mktemp("rehearsed"))
    found = modersmal.run(recipe, rehearse=True)
    assert isinstance(found, Rehearsal)
    return recipe, found
