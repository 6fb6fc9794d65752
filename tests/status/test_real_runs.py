"""Real trainings, watched from the store alone: stopped, killed, gone on with, finished."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

import modersmal
import training_process
from modersmal.config import parse_recipe
from modersmal.errors import Stopped
from modersmal.status.runs import RunStatus
from modersmal.store.remote import Remote
from modersmal.train.loop import StepReport
from modersmal.train.train import train

STEPS = 40

Start = Callable[..., BaseProcess]


@pytest.fixture
def settings(tiny_whisper: Callable[..., Path]) -> dict[str, Any]:
    return {
        "language": "sv",
        "model": str(tiny_whisper(terse=True)),
        "train": {
            "max_steps": STEPS, "batch_s": 6.0, "save_every": 5, "evaluate_every": 10,
            "dev_clips": 2, "device": "cpu", "learning_rate": 1e-3, "full_share": 0.0,
            "packed_share": 0.0, "context_floor_s": 1.0, "context_step_s": 0.5,
        },
    }  # fmt: skip


@pytest.fixture
def start(settings: dict[str, Any], tiny_corpus: Callable[..., Path], tmp_path: Path) -> Start:
    """Start, or go on with, one run: in the folder it works in, and in a remote if one is given."""

    def begin(store: Path | None = None) -> BaseProcess:
        run = tmp_path / "work" / "runs" / "x"
        return training_process.start(settings, tiny_corpus(), run, store=store)

    return begin


def the_run(store: str | Path) -> RunStatus | None:
    found = [run for run in modersmal.status(store).runs if run.name == "x"]
    return found[0] if found else None


def wait_for(store: str | Path, holds: Callable[[RunStatus], bool]) -> RunStatus:
    ends_s = time.monotonic() + 60
    while True:
        run = the_run(store) if "://" in str(store) or Path(store).is_dir() else None
        if run and holds(run):
            return run
        assert time.monotonic() < ends_s, run
        time.sleep(0.02)


def test_a_run_that_is_stopped_gone_on_with_and_finished(start: Start, tmp_path: Path) -> None:
    store = tmp_path / "store"
    process = start(store)
    working = wait_for(store, lambda run: run.step is not None and (run.checkpoint or 0) >= 5)
    assert working.state in ("training", "scoring")
    assert working.max_steps == STEPS
    assert working.lease is not None
    assert working.lease.token == 1
    assert working.lease.until is not None
    process.terminate()
    process.join(60)
    assert process.exitcode == 3

    paused = the_run(store)
    assert paused is not None
    assert paused.state == "paused"
    assert paused.why.startswith(f"stopped at step {paused.step} of {STEPS} with everything saved")
    assert paused.step is not None
    assert 5 <= paused.step < STEPS
    assert (paused.checkpoint, paused.delivered) == (paused.step, "confirmed")
    assert paused.on_its_way is None
    assert paused.lease is not None
    assert paused.lease.ended
    assert (paused.audio_s_per_s or 0) > 0
    assert (paused.steps_per_s or 0) > 0

    process = start(store)
    process.join(60)
    assert process.exitcode == 0
    finished = the_run(store)
    assert finished is not None
    assert finished.state == "finished"
    assert finished.step == finished.checkpoint == STEPS
    assert [score.step for score in finished.scores] == [10, 20, 30, 40]
    assert finished.notes == ()
    assert finished.lease is not None
    assert finished.lease.token == 2

    # What an older version would have left tells nearly the same.
    Remote.open(str(store)).delete("runs/x/status.json")
    older = the_run(store)
    assert older is not None
    assert older.state == "finished"
    assert (older.step, older.max_steps, older.checkpoint) == (STEPS, STEPS, STEPS)
    assert older.scores == finished.scores
    assert older.notes == ()


def test_a_run_that_is_killed_falls_silent(start: Start, tmp_path: Path) -> None:
    """In a folder, which is both where it works and the store."""
    store = tmp_path / "work"
    process = start()
    wait_for(store, lambda run: (run.checkpoint or 0) >= 5 and run.state == "training")
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    killed = wait_for(store, lambda run: run.state == "silent")
    assert killed.why == "its process is gone"
    assert killed.delivered == "saved"
    assert "nothing heard for" in str(modersmal.status(store))


def test_from_another_process_with_nothing_but_a_url(
    settings: dict[str, Any], tiny_corpus: Callable[..., Path], s3_store: str, tmp_path: Path
) -> None:
    def ask() -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "modersmal", "status", s3_store, "--json"],
            cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        (found,) = json.loads(done.stdout)["runs"]
        return found

    working: dict[str, Any] = {}

    def on_step(report: StepReport) -> None:
        if report.step == 12:
            working.update(ask())
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped):
        train(
            parse_recipe(settings), tiny_corpus(), tmp_path / "run", on_step,
            place=Remote.open(s3_store).at("runs/x"),
        )  # fmt: skip
    assert working["state"] == "training"
    assert working["lease"]["until"]
    paused = ask()
    assert paused["state"] == "paused"
    assert paused["step"] == paused["checkpoint"] == 12
    assert paused["delivered"] == "confirmed"
    assert paused["scores"][0]["step"] == 10
    assert paused["lease"]["ended"]
