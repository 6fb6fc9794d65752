"""The saver: training waits for the copy, what is written is whole, what goes wrong comes up."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from modersmal import store
from modersmal.errors import StoreError
from modersmal.train import checkpoint
from modersmal.train.checkpoint import Best, Checkpoints, Name, Retention, State
from modersmal.train.saver import Saver

LARGE = 24 * 2**20  # values; 96 MiB of weights cannot be written as fast as copied


class Uploaded:
    """Takes checkpoints as the queue of uploads does, and confirms when told to."""

    def __init__(self):
        self.taken, self.confirmed, self.handed_over = [], [], []

    def put(self, folder, name):
        store.verify_manifest(folder)
        self.taken.append(name)

    def drain(self, timeout_s):
        self.confirmed = list(self.taken)
        return True


@pytest.fixture
def model():
    return torch.nn.Linear(8, 4)


@pytest.fixture
def optimizer(model):
    made = torch.optim.AdamW(model.parameters())
    model(torch.ones(8)).sum().backward()
    made.step()
    return made


def writer_pid():
    (pid,) = (
        int(child)
        for children in Path("/proc/self/task").glob("*/children")
        for child in children.read_text().split()
        if b"modersmal.train.writer" in Path(f"/proc/{child}/cmdline").read_bytes()
    )
    return pid


def save_and_wait(saver, *saved):
    saver.save(*saved)
    saver.wait_written()


def test_what_was_saved_is_of_the_moment_of_saving(model, optimizer, tmp_path):
    before = {name: value.clone() for name, value in model.named_parameters()}
    with Saver(Checkpoints(tmp_path)) as saver:
        saver.save(State(3), model, optimizer)
        with torch.no_grad():
            for value in model.parameters():
                value.zero_()
        assert saver.wait_written(20)
        (event,) = saver.poll()
    assert (event.kind, event.name) == ("saved", Name(3, 1))
    found = Checkpoints(tmp_path).bring(Name(3, 1))
    checkpoint.load_weights(found, model)
    for name, value in model.named_parameters():
        assert torch.equal(value, before[name])


def test_training_waits_for_the_copy_alone_and_a_second_save_for_the_first(tmp_path):
    model = torch.nn.Linear(LARGE // 1024, 1024, bias=False)
    optimizer = torch.optim.AdamW(model.parameters())
    with Saver(Checkpoints(tmp_path)) as saver:
        saver.save(State(1), model, optimizer)
        saver.wait_written()  # the buffer is there from here on
        saver.poll()
        os.kill(writer_pid(), signal.SIGSTOP)
        saver.save(State(2), model, optimizer)
        assert saver.poll() == []
        assert not saver.wait_written(0.2)
        os.kill(writer_pid(), signal.SIGCONT)
        with torch.no_grad():
            model.weight.zero_()
        saver.save(State(3), model, optimizer)
        assert [event.name.step for event in saver.poll()] == [2]
    second = checkpoint._read_tensors(tmp_path / str(Name(2, 1)) / "model.safetensors")
    third = checkpoint._read_tensors(tmp_path / str(Name(3, 1)) / "model.safetensors")
    assert second["weight"].any()
    assert not third["weight"].any()


def test_the_newest_and_the_best_stay(model, optimizer, tmp_path):
    with Saver(Checkpoints(tmp_path), retention=Retention(2)) as saver:
        for step in (10, 20, 30, 40):
            saver.save(State(step, best=Best(10, 0.2, "wer")), model, optimizer)
    assert Checkpoints(tmp_path).steps() == [10, 30, 40]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_full_disk_comes_up_and_earlier_ones_stay(model, optimizer, tmp_path, monkeypatch):
    monkeypatch.setenv("MODERSMAL_FAULT", "checkpoint.after-optimizer.safetensors:2:enospc")
    with Saver(Checkpoints(tmp_path)) as saver:
        saver.save(State(1), model, optimizer)
        saver.save(State(2), model, optimizer)
        with pytest.raises(StoreError, match=r"the disk is full: .*step-00000002"):
            saver.wait_written()
        saver.save(State(3), model, optimizer)
    assert Checkpoints(tmp_path).steps() == [1, 3]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_writer_that_was_killed_comes_up(model, optimizer, tmp_path):
    with Saver(Checkpoints(tmp_path)) as saver:
        saver.save(State(1), model, optimizer)
        saver.wait_written()
        os.kill(writer_pid(), signal.SIGKILL)
        with pytest.raises(StoreError, match=r"process that writes .* has ended \(exit code -9\)"):
            save_and_wait(saver, State(2), model, optimizer)
    store.verify_manifest(tmp_path / str(Name(1, 1)))


def test_memory_is_made_ready_before_the_first_save(model, optimizer, tmp_path):
    size = checkpoint.full_bytes(model)
    with Saver(Checkpoints(tmp_path)) as saver:
        saver.reserve(size)
        assert saver.wait_written(20)
        assert os.fstat(saver._snapshot.descriptor).st_blocks * 512 >= size
        saver.save(State(1), model, optimizer)
        tensors = checkpoint.contents(model, optimizer).values()
    assert sum(value.nbytes for file in tensors for value in file.values()) == size


def test_finished_ones_are_uploaded_and_their_confirmation_is_told(model, optimizer, tmp_path):
    uploads = Uploaded()
    checkpoints = Checkpoints(tmp_path, prefix="checkpoints")
    with Saver(checkpoints, token=7, uploads=uploads) as saver:
        saver.save(State(5), model, optimizer)
        saver.wait_written()
        assert uploads.taken == ["checkpoints/step-00000005.t00000007"]
        assert [event.kind for event in saver.poll()] == ["saved"]
        assert saver.drain(10)
        assert [(event.kind, event.name) for event in saver.poll()] == [("confirmed", Name(5, 7))]


def test_a_killed_training_takes_its_writer_along(tmp_path):
    script = textwrap.dedent("""
        import sys, time, torch
        from pathlib import Path
        from modersmal.train.checkpoint import Checkpoints, State
        from modersmal.train.saver import Saver
        model = torch.nn.Linear(24 * 1024, 1024)
        saver = Saver(Checkpoints(Path(sys.argv[1])))
        saver.save(State(1), model, torch.optim.AdamW(model.parameters()))
        print(saver._writer._process.pid, flush=True)
        time.sleep(60)
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    writer = int(process.stdout.readline())
    process.kill()
    process.wait()
    deadline_s = time.monotonic() + 5
    while alive(writer) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not alive(writer)
    for folder in tmp_path.iterdir():
        if not folder.name.startswith(".draft-"):
            store.verify_manifest(folder)


def alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_the_state_is_what_was_given(model, optimizer, tmp_path):
    state = State(5, Best(5, 1 / 3, "cer"), 5, 0.1, {"scale": 2.0}, {"a": None}, {"b": ["å"]})
    with Saver(Checkpoints(tmp_path)) as saver:
        saver.save(state, model, optimizer)
    folder = tmp_path / str(Name(5, 1))
    assert checkpoint.read_state(folder) == state
    assert json.loads((folder / "state.json").read_text())["schema"] == 3
