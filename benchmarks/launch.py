"""What a notebook of Colab's costs before the first step and at every disconnect, and its sizes.

    python benchmarks/launch.py

The notebook is launched, and run on stand-ins of borrowed machines (tests/launch/borrowed.py; that
needs the right to mount): until the machine is taken away in the middle of training, and once more
on another. Packages come from pip's cache where that has them: what is downloaded is counted.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "tests" / part) for part in ("", "launch")]

from borrowed import Machine, Session, image, running  # noqa: E402
from launching import write_recipe  # noqa: E402

import modersmal  # noqa: E402
from modersmal.store import MANIFEST  # noqa: E402
from small_release import write_small_release  # noqa: E402

SAVE_EVERY, STEPS = 10, 60
RECIPE = f"""
language = "sv"
model = "bundled"
name = "weather"
[data]
sources = ["sv-SE"]
workers = 1
[train]
max_steps = {STEPS}
batch_s = 60
warmup_steps = 4
save_every = {SAVE_EVERY}
evaluate_every = 0
loader_workers = 0
[launch.kaggle]
user = "anna"
"""
CELLS = {
    "Drive": "# Drive, where",
    "install": "# Install modersmal",
    "doctor": "# Does everything work here",
    "rehearsal and estimate": "# Before the first start",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder))


def measure(folder: Path) -> None:
    swedish = folder / "drive" / "MyDrive" / "swedish"
    recipe = write_recipe(folder, RECIPE)
    launched = modersmal.launch("colab", recipe, swedish)
    write_small_release(swedish / "sv-SE")
    env = {"COLAB_DRIVE": str(folder / "drive"), "COLAB_RELEASE_TAG": "a stand-in"}
    machines = (
        Machine.lent(folder / f"machine-{number}", image(ROOT / "build"), "content", env)
        for number in range(2)
    )
    table = {
        "wheel, MB": launched.wheel_bytes / 1e6,
        "downloaded on Colab, MB": downloads_mb(swedish, folder / "colab-wheels"),
        **session(next(machines), swedish, taken_away=True),
        **session(next(machines), swedish, taken_away=False),
    }
    modersmal.launch("kaggle", recipe, folder / "kaggle")
    table["downloaded on Kaggle beside torch, MB"] = downloads_mb(
        folder / "kaggle", folder / "kaggle-wheels", clean=True
    )
    print(json.dumps(table, indent=2))


def session(machine: Machine, swedish: Path, *, taken_away: bool) -> dict[str, float]:
    """Seconds of one "Run all", which ends in the middle of training where it is `taken_away`."""
    which = "first" if taken_away else "second"
    learned: list[tuple[float, int]] = []
    before = max(saved(swedish), default=0)
    began_s = time.monotonic()
    changes = {"ON_CPU = False": "ON_CPU = True"}
    with running(machine, swedish / "train.ipynb", changes) as running_session:
        watching = threading.Thread(target=watch, args=(machine, running_session, learned, before))
        watching.start()
        while taken_away and running_session.thread.is_alive():
            time.sleep(0.05)
            if learned and learned[-1][1] % SAVE_EVERY == SAVE_EVERY - 2 and saved(swedish):
                running_session.take_away()
                break
    watching.join()
    if not taken_away and running_session.failure:
        raise running_session.failure
    first_s = learned[0][0] - began_s
    cells = dict(seconds_of(running_session))
    found = {f"{which}: {name}, s": seconds for name, seconds in cells.items()}
    found[f"{which}: first cell to first step, s"] = first_s
    found[f"{which}: the same without installing, s"] = first_s - cells["install"]
    found[f"{which}: a step, s"] = (learned[-1][0] - learned[0][0]) / (
        learned[-1][1] - learned[0][1]
    )
    if taken_away:
        found["steps learned when it was taken away"] = learned[-1][1]
    else:
        found["of which were saved on Drive"] = before
    return found


def watch(
    machine: Machine, session: Session, learned: list[tuple[float, int]], before: int
) -> None:
    """Note when the newest step of the session was taken, as its machine's disk shows it.

    It begins after step `before`.
    """
    while session.thread.is_alive():
        step = newest_step(machine)
        if step > (learned[-1][1] if learned else before):
            learned.append((time.monotonic(), step))
        time.sleep(0.1)


def newest_step(machine: Machine) -> int:
    """The last step in the metrics on a machine's disk; those of an earlier one come with them."""
    steps = [0]
    for metrics in machine.folder.glob(".cache/modersmal/workspaces/*/runs/*/metrics.jsonl"):
        lines = metrics.read_text().split("\n")[:-1]  # the last may be half written
        steps += [row["step"] for row in map(json.loads, lines) if "loss" in row]
    return max(steps)


def saved(swedish: Path) -> list[int]:
    """Steps of the checkpoints that are whole on Drive."""
    found = swedish.glob(f"modersmal-store/runs/*/checkpoints/step-*/{MANIFEST}")
    return [int(path.parent.name[5:13]) for path in found]


def seconds_of(session: Session) -> Iterator[tuple[str, float]]:
    """How long cells took, by what they are for."""
    for name, text in CELLS.items():
        (cell,) = (cell for cell in session.notebook.cells if text in cell.source)
        times = cell.metadata["execution"]
        begin, end = (
            datetime.fromisoformat(times[key])
            for key in ("iopub.execute_input", "shell.execute_reply")
        )
        yield name, (end - begin).total_seconds()


def downloads_mb(folder: Path, to: Path, *, clean: bool = False) -> float:
    """What pip has to download there, the wheel of modersmal aside."""
    machine = image(ROOT / "build") / "bin" / "python"
    pip = [machine, "-m", "pip", "install", "-q", "--dry-run", "-r", "requirements.txt"]
    pip += ["--ignore-installed"] if clean else []
    to.mkdir()
    report = to / "report.json"
    subprocess.run([*pip, "--report", report], cwd=folder, check=True)
    wanted = [
        f"{one['metadata']['name']}=={one['metadata']['version']}"
        for one in json.loads(report.read_text())["install"]
        if one["metadata"]["name"] not in ("modersmal", "torch", "triton")
        and not one["metadata"]["name"].startswith(("nvidia", "cuda"))
    ]
    subprocess.run(
        [machine, "-m", "pip", "download", "-q", "--no-deps", "-d", to, *wanted], check=True
    )
    return sum(path.stat().st_size for path in to.glob("*.*") if path != report) / 1e6


if __name__ == "__main__":
    main()
