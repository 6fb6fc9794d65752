"""Kaggle's notebook on machines like Kaggle's: all of it, killed midway, and the next run from its
output."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from borrowed import Machine, can_borrow, image, running, training_on
from launching import write_recipe

import modersmal
from modersmal.store import MANIFEST, sha256
from small_release import write_small_release

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not can_borrow(), reason="needs the right to mount in a namespace"),
]
BUILD = Path(__file__).parents[2] / "build"
RECIPE = """
language = "sv"
model = "bundled"
name = "weather"
[data]
sources = ["sv-SE"]
workers = 1
[train]
max_steps = 40
batch_s = 30
warmup_steps = 4
save_every = 10
evaluate_every = 20
evaluate_beside = false
loader_workers = 0
[launch.kaggle]
user = "anna"
"""
ON_A_CPU = {"ON_CPU = False": "ON_CPU = True"}
Lend = Callable[[], Machine]


@pytest.fixture
def lend(tmp_path: Path) -> Lend:
    """Lends a new machine of Kaggle's, with files and data among its inputs."""
    modersmal.launch("kaggle", write_recipe(tmp_path, RECIPE), tmp_path / "files")
    write_small_release(tmp_path / "data" / "sv-SE")

    def lend() -> Machine:
        number = len(list(tmp_path.glob("machine-*")))
        env = {"KAGGLE_KERNEL_RUN_TYPE": "Batch"}
        machine = Machine.lent(tmp_path / f"machine-{number}", image(BUILD), "kaggle", env)
        machine.works_in.mkdir()
        for name in ("files", "data"):
            shutil.copytree(tmp_path / name, machine.disk / "input" / name)
        return machine

    return lend


def run_of(machine: Machine) -> Path:
    return machine.works_in / "modersmal-store" / "runs" / "weather"


def weights(machine: Machine) -> str:
    return sha256(run_of(machine) / "model" / "model.safetensors")


def test_the_next_run_goes_on_from_the_last_output_to_the_same_weights(
    lend: Lend, tmp_path: Path
) -> None:
    notebook = tmp_path / "files" / "train.ipynb"
    undisturbed = lend()
    with running(undisturbed, notebook, ON_A_CPU) as session:
        pass
    assert not session.failure, session.said
    assert "with torch==" in session.said
    environment = undisturbed.folder / "scratch" / "modersmal"
    (torch,) = environment.glob("lib/python*/site-packages/torch")
    assert torch.is_symlink(), "torch is Kaggle's"
    assert not list(environment.glob("lib/python*/site-packages/pandas")), "and nothing else is"
    assert "weather takes" in session.said
    assert "in 1 session(s) of 11 h." in session.said
    assert session.said.rstrip().endswith("Finished.")

    killed = lend()
    with running(killed, notebook, ON_A_CPU) as session:
        while session.thread.is_alive() and not (
            list(run_of(killed).glob(f"checkpoints/*/{MANIFEST}")) and training_on(session)
        ):
            time.sleep(0.1)
        os.kill(training_on(session)[0], signal.SIGKILL)
    assert not session.failure, "a notebook that fails may lose its output"
    assert "STOPPED: modersmal could not go on" in session.said
    assert not (run_of(killed) / "model").exists(), "it was in the middle of training"

    following = lend()
    shutil.copytree(killed.works_in, following.disk / "input" / "modersmal-weather")
    with running(following, notebook, ON_A_CPU) as session:
        pass
    assert not session.failure, session.said
    assert "An earlier run has left /kaggle/input/modersmal-weather/modersmal-store" in session.said
    assert "Going on from step" in session.said
    assert weights(following) == weights(undisturbed)
