"""Asked to stop at any point: exit code 3 within seconds, a whole checkpoint, and no bit lost."""

import os
import signal
import time

import pytest
from interruption import (
    EXIT_STOPPED,
    child,
    code_of,
    hash_of,
    must_be_whole,
    steps_learned,
    wait_until_frozen,
    who_meets,
    woken,
)

from modersmal.train.checkpoint import Checkpoints

ENDS_WITHIN_S = 10.0
FIRST_STEP, SAVE, UPLOAD, END = (
    ["train.after-step:1"],
    ["snapshot.before:2", "snapshot.after:2", "checkpoint.begin:2",
     "checkpoint.within-optimizer.safetensors:2", "checkpoint.after-manifest:2",
     "checkpoint.within-removal:2"],
    ["queue.before-rename:2", "queue.after-rename:2", "remote.before-files:2",
     "remote.after-file:4", "remote.before-manifest:2", "remote.after-manifest:2",
     "queue.before-remove:2", "remote.before-delete:1"],
    ["model.after-manifest:1", "model.before-rename:1"],
)  # fmt: skip
QUICK = {"remote.after-file:4"}


def frozen_at(start, run, point, **how):
    """Start a training; return it, and the process that a point has frozen: it, or one of its."""
    process = start(run, fault=f"{point}:stop", **how)
    frozen = who_meets(process, point)
    wait_until_frozen(frozen)
    return process, frozen


def must_end_well(process, run):
    """With exit code 3, in time, and with a whole checkpoint of the last step."""
    began_s = time.monotonic()
    assert code_of(process) == EXIT_STOPPED
    assert time.monotonic() - began_s < ENDS_WITHIN_S
    must_be_whole(run)
    assert Checkpoints(run / "checkpoints").steps()[-1] == steps_learned(run)[-1]


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(point, marks=[] if point in QUICK else [pytest.mark.chaos])
        for point in [*FIRST_STEP, *SAVE, *UPLOAD, *END]
    ],
)
def test_it_is_heeded_at_any_point(start, expected, tmp_path, point):
    """It is frozen there, asked, and woken; the clock runs from then on."""
    run, there = tmp_path / "first", tmp_path / "there"
    process, frozen = frozen_at(start, run, point, store=there)
    with woken(frozen):
        os.kill(process.pid, signal.SIGTERM)
        time.sleep(0.3)
    must_end_well(process, run)
    assert code_of(start(tmp_path / "second", store=there)) == 0
    assert hash_of(tmp_path / "second") == hash_of(there / "runs/x") == expected


@pytest.mark.chaos
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("point", [*FIRST_STEP, *SAVE])
def test_an_interrupt_and_a_lost_terminal_are_heeded_alike(
    start, expected, tmp_path, point, number
):
    process, frozen = frozen_at(start, tmp_path, point)
    with woken(frozen):
        os.kill(process.pid, number)
        time.sleep(0.3)
    must_end_well(process, tmp_path)
    assert code_of(start(tmp_path)) == 0
    assert hash_of(tmp_path) == expected


@pytest.mark.chaos
def test_it_is_heeded_while_the_store_does_not_answer(start, expected, s3_store, tmp_path):
    """What has not arrived stays on this disk, and arrives with the next start."""
    server = child(os.getpid(), "flaky_s3")
    run, said = tmp_path / "run", tmp_path / "said"
    process, frozen = frozen_at(start, run, "remote.after-file:4", store=s3_store, log=said)
    with woken(server):
        with woken(frozen):
            os.kill(server, signal.SIGSTOP)
            os.kill(process.pid, signal.SIGTERM)
        must_end_well(process, run)
    assert "not yet in the store" in said.read_text()
    assert code_of(start(run, store=s3_store)) == 0
    assert hash_of(run) == expected
