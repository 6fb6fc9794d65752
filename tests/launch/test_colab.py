"""Colab's notebooks: as they are written, and what they say before time is spent."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import nbformat
import pytest
from launching import write_recipe
from platforms import code_of, run_cells, write_colab, write_gpu

import modersmal
from modersmal.errors import RecipeError
from modersmal.launch.launch import Launched

ROOT = Path(__file__).parents[2]
NOTEBOOKS = "prepare.ipynb", "train.ipynb"
INSTALL, NO_MORE = "# Install modersmal", "# Does everything work here"
Launch = Callable[[str], Launched]


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A Drive with the folder `swedish`, as it was launched and uploaded."""
    folder = tmp_path / "drive" / "MyDrive" / "swedish"
    modersmal.launch("colab", write_recipe(tmp_path, 'model = "bundled"\n'), folder)
    return tmp_path / "drive"


def said_by(
    drive: Path,
    until: str = INSTALL,
    changes: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    without: str | None = None,
) -> str:
    """What the first cells of train.ipynb say on a machine with this Drive."""
    machine = drive.parent / "machine"
    machine.mkdir(exist_ok=True)
    if not (machine / "google").exists():
        write_colab(machine)
    given = {"COLAB_DRIVE": str(drive), "PYTHONPATH": str(machine), **(env or {})}
    where = {'Path("/content/drive")': f"Path({str(drive)!r})", **(changes or {})}
    notebook = drive / "MyDrive" / "swedish" / "train.ipynb"
    return run_cells(notebook, until, machine, where, given, without=without)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_sound_and_readable(name: str, launched: Launch) -> None:
    path = launched("colab").folder / name
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].cell_type == "markdown"
    for cell in notebook.cells[1:]:
        ast.parse(cell.source)
        assert cell.source.startswith("# "), "a cell says what it is for"
        assert not cell.outputs
    subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", ROOT / "pyproject.toml", path],
        check=True,
    )


def test_one_asks_for_a_gpu_and_the_other_for_none(launched: Launch) -> None:
    prepare, train = (
        json.loads((launched("colab").folder / name).read_text())["metadata"] for name in NOTEBOOKS
    )
    assert train["accelerator"] == "GPU"
    assert train["colab"]["gpuType"] == "T4"
    assert "accelerator" not in prepare


def test_secrets_are_named_and_nothing_more(launched: Launch) -> None:
    text = "\n".join(code_of(launched("colab").folder / "train.ipynb"))
    assert 'for name in ["HF_TOKEN"]:' in text  # whose store is on the Hub
    assert "hf_" not in text


def test_what_colab_brings_is_not_pinned_and_what_the_recipe_needs_is_installed(
    tmp_path: Path,
) -> None:
    recipe = write_recipe(
        tmp_path, 'store = "s3://b/x"\n[data]\nsources = ["mdc:x"]\n[train.lora]\nrank = 8\n'
    )
    modersmal.launch("colab", recipe, tmp_path / "to")
    assert "[lora,mdc,s3]" in (tmp_path / "to" / "requirements.txt").read_text()
    pins = (tmp_path / "to" / "constraints.txt").read_text()
    assert "torch==" not in pins
    assert "transformers==" in pins
    train = "\n".join(code_of(tmp_path / "to" / "train.ipynb"))
    assert '["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MDC_API_KEY"]' in train


def test_the_first_cells_find_drive_and_its_room(drive: Path) -> None:
    assert "Drive has " in said_by(drive)


def test_without_drive_nothing_is_begun(drive: Path) -> None:
    said = said_by(drive, env={"COLAB_DRIVE": ""})
    assert "Stop: Drive is not mounted (mount failed); run all again and allow it" in said


def test_a_full_drive_is_named(drive: Path) -> None:
    said = said_by(drive, changes={"NEEDS_GB = 0.0": "NEEDS_GB = 1e9"})
    assert "Stop: Drive is too full: Drive has " in said
    assert "Empty the bin" in said


@pytest.mark.parametrize(
    ("more", "gb"), [("", 18.4), ("keep = 3", 21.3), ("[train.lora]\nrank = 32", 1.9)]
)
def test_what_checkpoints_and_model_take_on_drive_is_known(
    more: str, gb: float, tmp_path: Path
) -> None:
    """The newest, two more that nobody has confirmed, the best, one being written; the model."""
    modersmal.launch("colab", write_recipe(tmp_path, f"[train]\n{more}"), tmp_path / "to")
    assert f"NEEDS_GB = {gb} " in "\n".join(code_of(tmp_path / "to" / "train.ipynb"))


def test_what_is_in_the_bin_is_counted(drive: Path) -> None:
    thrown = drive / ".Trash-0" / "files" / "model.safetensors"
    thrown.parent.mkdir(parents=True)
    with thrown.open("wb") as file:
        file.truncate(2_500_000_000)
    assert "2.5 GB lie in its bin" in said_by(drive)


def test_a_folder_that_was_not_uploaded_is_named(drive: Path) -> None:
    (drive / "MyDrive" / "swedish" / "recipe.toml").unlink()
    said = said_by(drive)
    assert "Stop: there is no recipe.toml in " in said
    assert "upload the folder to My Drive" in said


def test_a_store_that_would_go_with_the_machine_is_refused(drive: Path, tmp_path: Path) -> None:
    (drive / "MyDrive" / "swedish" / "recipe.toml").write_text('store = "/data/store"\n')
    assert "Stop: the recipe's store /data/store would be lost" in said_by(drive)
    with pytest.raises(RecipeError, match="which Colab cannot reach"):
        modersmal.launch(
            "colab", write_recipe(tmp_path, 'store = "/data/store"\n'), tmp_path / "to"
        )


def test_a_missing_secret_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "drive" / "MyDrive" / "swedish"
    modersmal.launch("colab", write_recipe(tmp_path, 'store = "hf://anna/store"\n'), folder)
    assert "Stop: the recipe needs the secret HF_TOKEN" in said_by(tmp_path / "drive")
    assert "Stop" not in said_by(tmp_path / "drive", env={"COLAB_SECRET_HF_TOKEN": "x"})


def test_elsewhere_it_says_what_to_use_instead(drive: Path) -> None:
    said = said_by(drive, env={"PYTHONPATH": ""})
    assert "Stop: this notebook is for Colab; anywhere else, use `modersmal run`" in said


def said_when_installed(drive: Path, gpu: str, **changes: str) -> str:
    """What is said of the GPU on a machine whose driver shows `gpu`, or none."""
    programs = write_gpu(drive.parent / "programs", gpu)
    source = Path(modersmal.__file__).parents[1]
    env = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": f"{drive.parent / 'machine'}:{source}",
        "HOME": str(drive.parent),
    }
    return said_by(drive, NO_MORE, changes, env, without=INSTALL)


def test_without_a_gpu_it_says_how_long_a_cpu_would_take_and_ends(drive: Path) -> None:
    said = said_when_installed(drive, "")
    assert re.search(r"On a CPU, run takes \d+\.\d h \(\d+\.\d to \d+\.\d\)\.", said)
    assert "Stop: this machine has no GPU; choose one under Runtime" in said


def test_who_wants_to_train_on_a_cpu_may(drive: Path) -> None:
    said = said_when_installed(drive, "", **{"ON_CPU = False": "ON_CPU = True"})
    assert "On a CPU, run takes" in said
    assert "Stop" not in said


def test_a_gpu_is_named(drive: Path) -> None:
    said = said_when_installed(drive, "Tesla T4, 7.5")
    assert "Training on Tesla T4" in said
    assert "On a CPU" not in said


WORKS = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("saved", flush=True), sys.exit(3)))
print("step", sys.argv, flush=True)
signal.pause()
"""


def test_the_stop_button_waits_until_it_has_saved(launched: Launch) -> None:
    helpers = code_of(launched("colab").folder / "train.ipynb")[1]
    script = f"{helpers}\n\nPYTHON = [sys.executable, '-c', {WORKS!r}]\ncommand('run')\n"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as cell:
        assert cell.stdout
        assert cell.stderr
        assert "step ['-c', '-m', 'modersmal', 'run']" in cell.stdout.readline()
        cell.send_signal(signal.SIGINT)
        assert cell.stdout.read().strip() == "saved"
        assert "Stop: you stopped it; run all again, and it goes on" in cell.stderr.read()
