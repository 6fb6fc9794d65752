"""Kaggle's notebook: as it is written, and what it says before time is spent."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import nbformat
import pytest
from launching import write_recipe
from platforms import run_cells, write_gpu

import modersmal
from modersmal.errors import RecipeError
from modersmal.launch.launch import Launched
from modersmal.store import write_manifest

ROOT = Path(__file__).parents[2]
RECIPE = """
model = "bundled"
[data]
sources = ["/home/anna/cv-corpus-sv.tar.gz"]
[launch.kaggle]
user = "anna"
"""
ENVIRONMENT = "# An environment of its own"
Launch = Callable[[str], Launched]


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    """The folder /kaggle, where the launched files and the unpacked data are attached."""
    root = tmp_path / "kaggle"
    (root / "working").mkdir(parents=True)
    modersmal.launch("kaggle", write_recipe(tmp_path, RECIPE), root / "input" / "files")
    data = root / "input" / "my-data" / "cv-corpus-sv" / "cv-corpus-22" / "sv-SE"
    data.mkdir(parents=True)
    (data / "train.tsv").touch()
    return root


def said_by(
    kaggle: Path,
    changes: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    gpu: str = "Tesla T4, 7.5",
    then: str = "",
) -> str:
    """What is said before anything is installed; `then` is run after that."""
    programs = kaggle.parent / "programs"
    if not programs.exists():
        write_gpu(programs, gpu)
    where = {'"/kaggle/input"': f'"{kaggle}/input"', '"/kaggle/working"': f'"{kaggle}/working"'}
    given = {"PATH": f"{programs}:{os.environ['PATH']}", **(env or {})}
    notebook = kaggle / "input" / "files" / "train.ipynb"
    changes = where | dict(changes or {})
    return run_cells(notebook, ENVIRONMENT, kaggle / "working", changes, given, then=then)


def test_the_notebook_is_sound_and_readable(launched: Launch) -> None:
    path = launched("kaggle").folder / "train.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells[1:]:
        ast.parse(cell.source)
        assert cell.source.startswith("# "), "a cell says what it is for"
    subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", ROOT / "pyproject.toml", path],
        check=True,
    )


def test_metadata_name_what_is_attached_and_what_it_runs_on(launched: Launch) -> None:
    folder = launched("kaggle").folder
    kernel = json.loads((folder / "kernel-metadata.json").read_text())
    assert kernel["id"] == "anna/modersmal-run"
    assert kernel["id"] == f"anna/{kernel['title']}"
    assert kernel["code_file"] == "train.ipynb"
    assert kernel["machine_shape"] == "NvidiaTeslaT4"
    assert kernel["enable_gpu"] is kernel["enable_internet"] is kernel["is_private"] is True
    assert kernel["dataset_sources"] == ["anna/modersmal-run-files", "anna/interviews"]
    assert kernel["kernel_sources"] == [kernel["id"]], "a run goes on from the last one's output"
    files = json.loads((folder / "dataset-metadata.json").read_text())
    assert files["id"] == "anna/modersmal-run-files"


def test_a_long_name_makes_a_slug_that_kaggle_takes(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, f'name = "Åsa_{60 * "x"}"\n{RECIPE}')
    modersmal.launch("kaggle", recipe, tmp_path / "to")
    for name in ("kernel", "dataset"):
        table = json.loads((tmp_path / "to" / f"{name}-metadata.json").read_text())
        slug = table["id"].removeprefix("anna/")
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
        assert slug == table["title"]
        assert 6 <= len(slug) <= 50


def test_whose_account_it_is_must_be_said(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"set launch\.kaggle\.user to the name"):
        modersmal.launch("kaggle", write_recipe(tmp_path, ""), tmp_path / "to")


def test_a_store_on_this_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="which Kaggle cannot reach"):
        modersmal.launch(
            "kaggle", write_recipe(tmp_path, f'store = "/data/x"\n{RECIPE}'), tmp_path / "to"
        )


def test_data_are_found_where_kaggle_has_unpacked_them(kaggle: Path) -> None:
    said = said_by(kaggle, then="print(SET, STORE)")
    data = kaggle / "input" / "my-data" / "cv-corpus-sv" / "cv-corpus-22" / "sv-SE"
    assert "Stop" not in said
    assert f'data.sources=["{data}"]' in said
    assert f"{kaggle}/working/modersmal-store" in said
    assert "Training on Tesla T4" in said


def test_data_that_are_not_attached_are_named(kaggle: Path) -> None:
    (kaggle / "input" / "my-data" / "cv-corpus-sv").rename(kaggle / "elsewhere")
    assert "Stop: cv-corpus-sv.tar.gz is not among the inputs" in said_by(kaggle)


def test_files_that_are_not_attached_are_named(kaggle: Path) -> None:
    (kaggle / "input" / "files" / "modersmal-0.1.0-py3-none-any.whl").unlink()
    said = said_by(kaggle)
    assert (
        "is not among the inputs; send the folder as the dataset anna/modersmal-run-files" in said
    )


def test_an_accelerator_that_torch_no_longer_knows_is_refused(kaggle: Path) -> None:
    said = said_by(kaggle, gpu="Tesla P100-PCIE-16GB, 6.0")
    assert "Stop: this session has a Tesla P100-PCIE-16GB, which torch no longer knows" in said
    assert "GPU T4 x2" in said


def test_a_tpu_is_refused(kaggle: Path) -> None:
    said = said_by(kaggle, gpu="", env={"TPU_ACCELERATOR_TYPE": "v5e-8"})
    assert "Stop: this session has a TPU" in said


def test_without_a_gpu_it_goes_on_to_the_plan(kaggle: Path) -> None:
    assert "Training on the CPU" in said_by(kaggle, gpu="")


def test_a_store_that_would_be_lost_is_refused(kaggle: Path) -> None:
    (kaggle / "input" / "files" / "recipe.toml").write_text('store = "/data/store"\n')
    assert "Stop: the recipe's store /data/store would be lost" in said_by(kaggle)


def test_checkpoints_that_the_output_cannot_hold_are_refused(kaggle: Path) -> None:
    said = said_by(kaggle, {"NEEDS_GB = 0.0": "NEEDS_GB = 24.0"})
    assert "Stop: checkpoints and model take 24.0 GB, and Kaggle keeps 20 GB" in said


def test_a_missing_secret_is_named(kaggle: Path, tmp_path: Path) -> None:
    module = tmp_path / "modules" / "kaggle_secrets.py"
    module.parent.mkdir()
    module.write_text(
        "class UserSecretsClient:\n    def get_secret(self, name):\n        raise KeyError\n"
    )
    said = said_by(
        kaggle, {"for name in []:": 'for name in ["HF_TOKEN"]:'}, {"PYTHONPATH": str(module.parent)}
    )
    assert "Stop: the recipe needs the secret HF_TOKEN" in said


def leave_output(kaggle: Path, name: str, *steps: int, finished: bool = False) -> None:
    """What a run leaves as output, attached as an input."""
    run = kaggle / "input" / name / "modersmal-store" / "runs" / "run"
    for step in steps:
        checkpoint = run / "checkpoints" / f"step-{step:08d}.t00000001"
        checkpoint.mkdir(parents=True)
        (checkpoint / "state.json").write_text(str(step))
        write_manifest(checkpoint)
    if finished:
        (run / "model").mkdir()
        (run / "model" / "config.json").touch()


def test_it_goes_on_from_the_output_that_is_furthest(kaggle: Path) -> None:
    leave_output(kaggle, "first", 10, 20)
    leave_output(kaggle, "second", 20, 30)
    leave_output(kaggle, "third", 5)
    said = said_by(kaggle)
    assert "second/modersmal-store saved up to step 30" in said
    there = kaggle / "working" / "modersmal-store" / "runs" / "run" / "checkpoints"
    assert sorted(path.name[:13] for path in there.iterdir()) == ["step-00000020", "step-00000030"]


def test_a_finished_run_is_further_than_any_step(kaggle: Path) -> None:
    leave_output(kaggle, "first", 10, finished=True)
    leave_output(kaggle, "second", 30)
    assert "first/modersmal-store" in said_by(kaggle)


def test_what_this_session_has_is_not_replaced(kaggle: Path) -> None:
    leave_output(kaggle, "first", 10)
    (kaggle / "working" / "modersmal-store").mkdir()
    assert "An earlier run" not in said_by(kaggle)
    assert not list((kaggle / "working" / "modersmal-store").iterdir())
