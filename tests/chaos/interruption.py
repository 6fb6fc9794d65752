"""What is asked of runs that are interrupted: how they ended, where they were, what they left."""

import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path

from modersmal import store
from modersmal.train.checkpoint import Checkpoints
from modersmal.train.log import read_metrics

STEPS = 10
EXIT_USER_ERROR, EXIT_STOPPED = 1, 3
UPLOADER_POINTS = (
    "remote.before-files", "remote.after-file", "remote.before-manifest", "remote.after-manifest",
)  # fmt: skip


def code_of(process, timeout_s=120):
    process.join(timeout_s)
    assert process.exitcode is not None, "it does not end"
    return process.exitcode


def hash_of(run):
    return store.sha256(run / "model" / "model.safetensors")


def must_be_whole(run):
    """Every checkpoint that bears a name is whole; what is not is a draft."""
    for name in Checkpoints(run / "checkpoints").local_names():
        store.verify_manifest(run / "checkpoints" / str(name))


def steps_learned(run):
    return [row["step"] for row in read_metrics(run) if "loss" in row]


def where_it_was(run, began_with):
    """What a killed training was at; `began_with` are the bytes of its metrics at its start."""
    rows = read_metrics(run)
    if drafts_of_the_model(run) or (run / "model").exists():
        return "writing the model, or ending"
    if metrics_of(run) == began_with:
        return "starting"
    if list((run / "checkpoints").glob(".draft-step*")):
        return "while a checkpoint was written"
    if rows[-1]["step"] % 5 == 0 and "dev_wer" not in rows[-1]:
        return "scoring dev, or about to save"
    return "between saves"


def drafts_of_the_model(run):
    return list(run.glob(".draft-model-*"))


def metrics_of(run):
    path = run / "metrics.jsonl"
    return path.read_bytes() if path.exists() else b""


def until(condition, timeout_s=60.0):
    """Wait until `condition()` is true, and return what it is."""
    ends_s = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < ends_s, "it does not come"
        time.sleep(0.02)
    return found


def child(pid, command):
    """The id of a child of a process whose command line has a word in it; None if there is none."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for found in children.read_text().split():
            if command.encode() in Path(f"/proc/{found}/cmdline").read_bytes():
                return int(found)
    return None


def who_meets(process, point):
    """The id of the process that meets a point: the training, its writer or its uploader."""
    name = point.partition(":")[0]
    if name.startswith("checkpoint."):
        return until(lambda: child(process.pid, "train.writer"))
    if name in UPLOADER_POINTS:
        return until(lambda: child(process.pid, "store.uploader"))
    return process.pid


def is_running(pid):
    return _state(pid) not in "ZX"


def _state(pid):
    """As the kernel has it: R, S, D, T (frozen), Z, and X for what is not there any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def wait_until_frozen(pid):
    until(lambda: _state(pid) == "T")


@contextmanager
def woken(pid):
    """Wake a frozen process afterwards, whatever happens."""
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
