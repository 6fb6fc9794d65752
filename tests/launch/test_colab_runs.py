"""Colab's notebooks on machines like Colab's: all of it, and with the machine taken away midway."""

import shutil
import time
from collections.abc import Callable, Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest
from borrowed import Machine, can_borrow, image, running
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
STEPS = 40
RECIPE = f"""
language = "sv"
model = "bundled"
name = "weather"
[data]
sources = ["sv-SE"]
workers = 1
[train]
max_steps = {STEPS}
batch_s = 30
warmup_steps = 4
save_every = 10
evaluate_every = 20
evaluate_beside = false
loader_workers = 0
"""
ON_A_CPU = {"ON_CPU = False": "ON_CPU = True"}
Lend = Callable[[Path], Machine]


@pytest.fixture
def lend(tmp_path: Path) -> Lend:
    """Lends a new machine of Colab's with a Drive."""

    def lend(drive: Path) -> Machine:
        number = len(list(tmp_path.glob("machine-*")))
        env = {"COLAB_DRIVE": str(drive), "COLAB_RELEASE_TAG": "a stand-in"}
        return Machine.lent(tmp_path / f"machine-{number}", image(BUILD), "content", env)

    return lend


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A Drive to which the files and the data were uploaded."""
    folder = tmp_path / "drive" / "MyDrive" / "swedish"
    modersmal.launch("colab", write_recipe(tmp_path, RECIPE), folder)
    write_small_release(folder / "sv-SE")
    return tmp_path / "drive"


def notebook(drive: Path, name: str) -> Path:
    return drive / "MyDrive" / "swedish" / f"{name}.ipynb"


def run_of(drive: Path) -> Path:
    return drive / "MyDrive" / "swedish" / "modersmal-store" / "runs" / "weather"


def weights(drive: Path) -> str:
    return sha256(run_of(drive) / "model" / "model.safetensors")


def saved(drive: Path) -> list[str]:
    """Checkpoints that are whole on Drive."""
    return sorted(path.parent.name for path in run_of(drive).glob(f"checkpoints/*/{MANIFEST}"))


def versions(machine: Machine) -> Iterator[str]:
    (site,) = (machine.folder / "environment" / "lib").glob("python*/site-packages")
    for one in distributions(path=[str(site)]):
        yield f"{one.metadata['Name']}=={one.version}"


def test_run_all_again_ends_with_the_weights_of_an_undisturbed_run(
    lend: Lend, drive: Path, tmp_path: Path
) -> None:
    preparing = lend(drive)
    with running(preparing, notebook(drive, "prepare"), {}) as session:
        pass
    assert not session.failure, session.said
    assert "The corpus is ready" in session.said
    assert (preparing.disk / "flushed").exists()
    assert (preparing.disk / "given-back").exists()

    disturbed = tmp_path / "disturbed"
    shutil.copytree(drive, disturbed)
    machine = lend(drive)
    before = {
        pin for pin in versions(machine) if pin.startswith(("torch==", "numpy==", "pyarrow=="))
    }
    with running(machine, notebook(drive, "train"), ON_A_CPU) as session:
        pass
    assert not session.failure, session.said
    assert before <= set(versions(machine)), "what Colab brings stays"
    assert len(before) == 3
    assert "On a CPU, weather takes" in session.said
    assert "Rehearsed weather" in session.said
    assert session.said.count("read aloud  ") == session.said.count("heard       ") >= 10
    shown = [one for cell in session.notebook.cells for one in cell.get("outputs", [])]
    course = [one.data["text/plain"] for one in shown if one.output_type == "display_data"][-1]
    assert "best dev WER" in course
    assert "Drive has" in course
    assert session.said.rstrip().endswith("Finished.")
    assert (machine.disk / "given-back").exists()

    with running(lend(disturbed), notebook(disturbed, "train"), ON_A_CPU) as session:
        while not saved(disturbed) and session.thread.is_alive():
            time.sleep(0.1)
        session.take_away()
    assert saved(disturbed)
    assert not (run_of(disturbed) / "model").exists(), "it was in the middle of training"
    with running(lend(disturbed), notebook(disturbed, "train"), ON_A_CPU) as session:
        pass
    assert not session.failure, session.said
    assert "Begun before; it goes on where it was." in session.said
    assert "Going on from step" in session.said
    assert "Rehearsed" not in session.said
    assert weights(disturbed) == weights(drive)


def test_without_a_gpu_it_ends_before_time_is_spent(lend: Lend, drive: Path) -> None:
    with running(lend(drive), notebook(drive, "train"), {}) as session:
        pass
    assert "On a CPU, weather takes" in session.said
    assert session.stopped_by.startswith("this machine has no GPU")
    shown = [one for cell in session.notebook.cells for one in cell.get("outputs", [])]
    assert shown[-1].traceback == [f"STOPPED: {session.stopped_by}"], "a sentence, no traceback"
    assert not run_of(drive).exists()
