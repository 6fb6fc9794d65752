"""One recipe over several sizes is a run for each, on one corpus, and a comparison."""

import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from compared_runs import write_recipe

import modersmal
from modersmal.compare.sizes import SizesResult
from modersmal.config import load_recipe, parse_recipe
from modersmal.errors import RecipeError, Stopped
from modersmal.release.source import open_run
from modersmal.run import RunResult

READY = Path(__file__).parents[2] / "recipes" / "small-or-base.toml"


@pytest.fixture
def twin(deaf: Path, tmp_path: Path) -> Path:
    """Another base that is as fast."""
    return Path(shutil.copytree(deaf, tmp_path / "whisper-twin"))


def test_each_size_is_a_run_of_its_own_on_one_corpus(done: tuple[Path, SizesResult]) -> None:
    recipe, result = done
    store = recipe.parent / "modersmal-store"
    assert [one.run.name for one in result.runs] == ["size-whisper-deaf", "size-bundled"]
    assert {path.name for path in (store / "runs").iterdir()} == {
        one.run.name for one in result.runs
    }
    assert [path.name for path in (store / "corpora").glob("[!.]*")] == ["size"]
    assert result.comparison is not None
    assert [row.name for row in result.comparison.rows] == ["size-bundled", "size-whisper-deaf"]
    assert "size-bundled has the lowest WER" in str(result)
    assert f"The model of size-bundled is {store / 'runs' / 'size-bundled' / 'model'}." in str(
        result
    )


def test_the_same_command_does_nothing_again(done: tuple[Path, SizesResult]) -> None:
    recipe, before = done
    store = recipe.parent / "modersmal-store"
    models = {path: path.stat().st_mtime for path in store.rglob("evaluation.json")}
    steps = [(one.run / "metrics.jsonl").read_bytes() for one in before.runs]
    again = modersmal.run(recipe)
    assert isinstance(again, SizesResult)
    assert models == {path: path.stat().st_mtime for path in store.rglob("evaluation.json")}
    assert steps == [(one.run / "metrics.jsonl").read_bytes() for one in again.runs]
    assert again.comparison is not None
    assert before.comparison is not None
    assert again.comparison.rows == before.comparison.rows


def test_one_size_alone_is_the_same_run(
    done: tuple[Path, SizesResult], cv_release: Path, deaf: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path, cv_release, [deaf, "bundled"])
    alone = modersmal.run(recipe, settings=[f'sizes=["{deaf}"]'])
    assert isinstance(alone, RunResult)
    assert alone.run.name == "size-whisper-deaf"
    there = done[1].runs[0].run
    ours, theirs = (run / "model" / "model.safetensors" for run in (alone.run, there))
    assert ours.read_bytes() == theirs.read_bytes()
    other = done[0].parent / "modersmal-store" / "runs" / "size-bundled"
    found = modersmal.compare([alone.run, other])
    assert found.split == "test"


def test_a_size_that_is_stopped_goes_on_and_the_others_follow(
    cv_release: Path, deaf: Path, twin: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path, cv_release, [deaf, twin], "max_steps = 4\nsave_every = 2")
    with pytest.raises(Stopped):
        modersmal.run(recipe, budget="0.001s")
    result = modersmal.run(recipe)
    assert isinstance(result, SizesResult)
    assert [one.trained.steps for one in result.runs] == [4, 4]


@pytest.mark.chaos
def test_killed_within_the_second_size_it_ends_with_the_same_weights(
    cv_release: Path, deaf: Path, tmp_path: Path
) -> None:
    """Real processes, killed at once; bits are the same for the same number of threads."""

    def start(folder: Path) -> subprocess.Popen[bytes]:
        folder.mkdir(exist_ok=True)
        twin = folder / "whisper-twin"
        if not twin.exists():
            shutil.copytree(deaf, twin)
        train = "max_steps = 40\nsave_every = 5"
        recipe = write_recipe(folder, cv_release, [deaf, twin], train)
        return subprocess.Popen(
            [sys.executable, "-m", "modersmal", "run", str(recipe)],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def weights(folder: Path) -> list[bytes]:
        runs = folder / "modersmal-store" / "runs"
        names = ("size-whisper-deaf", "size-whisper-twin")
        return [(runs / name / "model" / "model.safetensors").read_bytes() for name in names]

    assert start(tmp_path / "whole").wait(300) == 0
    killed = start(tmp_path / "killed")
    second = tmp_path / "killed" / "modersmal-store" / "runs" / "size-whisper-twin"
    ends_s = time.monotonic() + 240
    while not list(second.glob("checkpoints/step-*/manifest.json")):
        assert killed.poll() is None
        assert time.monotonic() < ends_s
        time.sleep(0.01)
    killed.kill()
    killed.wait(30)
    assert not (second / "model").exists()
    first = second.with_name("size-whisper-deaf") / "metrics.jsonl"
    before = first.read_bytes()
    assert start(tmp_path / "killed").wait(300) == 0
    assert first.read_bytes() == before
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


def test_a_release_finds_the_corpus_of_its_run(done: tuple[Path, SizesResult]) -> None:
    run = done[1].runs[0].run
    assert open_run(run).corpus.path == run.parents[1] / "corpora" / "size"
    assert open_run(run).recipe.corpus == "size"


def test_a_corpus_without_scored_splits_is_told(
    cv_release: Path, deaf: Path, twin: Path, tmp_path: Path
) -> None:
    bare = Path(shutil.copytree(cv_release, tmp_path / "cv" / "sv-SE"))
    for split in ("dev", "test"):
        (bare / f"{split}.tsv").unlink()
    result = modersmal.run(write_recipe(tmp_path, bare, [deaf, twin]))
    assert isinstance(result, SizesResult)
    assert result.comparison is None
    assert "The sizes are not compared: size-whisper-deaf has no scores yet" in str(result)


def test_other_commands_take_one_size(cv_release: Path, deaf: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, cv_release, [deaf, "bundled"])
    for command in (modersmal.train, lambda path: modersmal.run(path, rehearse=True)):
        with pytest.raises(RecipeError, match=r"names 2 sizes, which `modersmal run` takes"):
            command(recipe)
    single = load_recipe(recipe, ['sizes=["bundled"]'])
    assert (single.name, single.model, single.corpus_name) == ("size-bundled", "bundled", "size")


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        (["a/whisper-base", "b/whisper-base"], "two are called 'whisper-base'"),
        (["a/-base"], "cannot name a run"),
        ([""], "cannot name a run"),
    ],
)
def test_sizes_that_cannot_name_runs_are_refused(sizes: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        parse_recipe({"sizes": sizes})


def test_recordings_are_aligned_by_one_model_for_all_sizes() -> None:
    recipe = parse_recipe({"sizes": ["a/x", "a/y"], "model": "openai/whisper-small"})
    assert {one.aligner for one in recipe.each()} == {"openai/whisper-small"}
    chosen = parse_recipe({"sizes": ["a/x"], "data": {"align_with": "a/z"}})
    assert chosen.each()[0].aligner == "a/z"
    assert parse_recipe({"model": "a/x"}).aligner == "a/x"


def test_the_ready_recipe_is_sound() -> None:
    recipe = parse_recipe(tomllib.loads(READY.read_text(encoding="utf-8")))
    assert [one.name for one in recipe.each()] == ["size-whisper-base", "size-whisper-small"]
    assert {one.corpus_name for one in recipe.each()} == {"size"}
