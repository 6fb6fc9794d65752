"""A recipe of two sizes that was run: each is scored on dev and on test."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from compared_runs import write_recipe

import modersmal
from modersmal.compare.sizes import SizesResult
from modersmal.language import resolve
from modersmal.whisper.load import load
from modersmal.whisper.save import save_complete
from small_release import write_small_release


@pytest.fixture(scope="session")
def cv_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_release(tmp_path_factory.mktemp("cv") / "sv-SE")


@pytest.fixture(scope="session")
def deaf(tiny_whisper: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base that hears short contexts, understands nothing and says little."""
    folder = tmp_path_factory.mktemp("bases") / "whisper-deaf"
    whisper = load(str(tiny_whisper(terse=True)))
    save_complete(replace(whisper, context="dynamic"), folder, resolve("sv"))
    return folder


@pytest.fixture(scope="session")
def done(
    cv_release: Path, deaf: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, SizesResult]:
    """The recipe and what it came to; the larger size begins with the bundled base, the better."""
    recipe = write_recipe(tmp_path_factory.mktemp("compared"), cv_release, [deaf, "bundled"])
    result = modersmal.run(recipe)
    assert isinstance(result, SizesResult)
    return recipe, result


@pytest.fixture(scope="session")
def store(done: tuple[Path, SizesResult]) -> Path:
    """Do not write to it."""
    return done[0].parent / "modersmal-store"
