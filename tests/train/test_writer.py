"""The writer: a process without torch that writes what it is told to, whole, and ends with us."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from modersmal import store
from modersmal.errors import StoreError
from modersmal.train.snapshot import Snapshot
from modersmal.train.writer import remove, write_checkpoint

NAME = "step-00000010.t00000001"
CONTENTS = {
    "model.safetensors": {"w": torch.arange(1000.0)},
    "optimizer.safetensors": {"w.step": torch.tensor(3.0), "w.exp_avg": torch.ones(1000)},
}


class Writer:
    """The process, spoken to in its own words."""

    def __init__(self, folder, contents=CONTENTS):
        self.snapshot = Snapshot()
        self.files = [vars(file) for file in self.snapshot.take(contents)]
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "modersmal.train.writer",
                str(folder), str(self.snapshot.descriptor),
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[self.snapshot.descriptor],
        )  # fmt: skip

    def tell(self, order):
        self.process.stdin.write((json.dumps(order) + "\n").encode())
        self.process.stdin.flush()

    def ask(self, order):
        self.tell(order)
        return json.loads(self.process.stdout.readline())

    def write(self, name=NAME):
        return {"write": {"name": name, "files": self.files, "state": {"step": 10}}}

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        code = self.process.wait(10)
        self.process.stdout.close()
        self.snapshot.close()
        return code


@pytest.fixture
def writer(tmp_path):
    made = Writer(tmp_path)
    yield made
    if made.process.returncode is None:
        made.end()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_writes_what_is_in_the_buffer(writer, tmp_path):
    answer = writer.ask(writer.write())
    assert answer["done"] == "write"
    store.verify_manifest(tmp_path / NAME)
    for file, tensors in CONTENTS.items():
        found = load_file(tmp_path / NAME / file)
        assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert json.loads((tmp_path / NAME / "state.json").read_text()) == {"step": 10}
    assert names(tmp_path) == [NAME]


def test_the_manifest_is_that_of_the_store(writer, tmp_path):
    """Hashes taken on the way are those of the bytes on the disk."""
    writer.ask(writer.write())
    written = (tmp_path / NAME / store.MANIFEST).read_bytes()
    store.write_manifest(tmp_path / NAME)
    assert (tmp_path / NAME / store.MANIFEST).read_bytes() == written


def test_it_reserves_and_removes(writer, tmp_path):
    assert writer.ask({"reserve": 10**6})["done"] == "reserve"
    assert os.fstat(writer.snapshot.descriptor).st_size == 10**6
    writer.ask(writer.write())
    (tmp_path / ".draft-of-a-killed-one").mkdir()
    assert writer.ask({"remove": [NAME, "step-00000003.t00000001"]})["done"] == "remove"
    assert names(tmp_path) == []


def test_a_damaged_one_of_the_same_name_is_replaced(writer, tmp_path):
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "half").write_text("")
    writer.ask(writer.write())
    store.verify_manifest(tmp_path / NAME)
    assert names(tmp_path) == [NAME]


def test_it_imports_no_torch():
    script = "import sys, modersmal.train.writer; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["False"]


def test_it_ends_with_its_parent_and_not_at_a_signal(writer):
    assert writer.ask({"remove": []})["done"] == "remove"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        writer.process.send_signal(number)
    assert writer.ask({"remove": []})["done"] == "remove"
    assert writer.end() == 0


def test_it_ends_in_the_midst_of_a_write(tmp_path):
    """256 MiB are not written and synced in the time that it takes to close a pipe."""
    writer = Writer(tmp_path, {"model.safetensors": {"w": torch.zeros(64 * 2**20)}})
    writer.tell(writer.write())
    while not any(path.name.startswith(".draft-") for path in tmp_path.iterdir()):
        time.sleep(0.001)
    assert writer.end() == 0
    assert all(name.startswith(".draft-") for name in names(tmp_path))


POINTS = [
    "begin", "within-model.safetensors", "after-model.safetensors",
    "within-optimizer.safetensors", "after-optimizer.safetensors", "after-state.json",
    "after-manifest",
]  # fmt: skip


def write_again(folder):
    snapshot = Snapshot()
    files = snapshot.take(CONTENTS)
    write_checkpoint(folder, NAME, files, {"step": 10}, memoryview(snapshot._buffer.numpy()))
    snapshot.close()


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize(("action", "words"), [("enospc", "the disk is full"), ("eio", "cannot")])
def test_a_disk_that_refuses_leaves_what_was_there(tmp_path, monkeypatch, point, action, words):
    from modersmal.store import faults

    monkeypatch.setattr(faults, "_passed", faults.Counter())
    write_again(tmp_path)
    (tmp_path / NAME).rename(tmp_path / "step-00000005.t00000001")
    monkeypatch.setenv("MODERSMAL_FAULT", f"checkpoint.{point}:1:{action}")
    with pytest.raises(StoreError, match=words):
        write_again(tmp_path)
    assert names(tmp_path) == ["step-00000005.t00000001"]


@pytest.mark.parametrize("point", [*POINTS, "after-rename", "within-removal"])
def test_killed_at_any_point_it_leaves_whole_ones_and_drafts(tmp_path, monkeypatch, point):
    write_again(tmp_path)
    (tmp_path / NAME).rename(tmp_path / "step-00000005.t00000001")
    monkeypatch.setenv("MODERSMAL_FAULT", f"checkpoint.{point}:1:kill")
    writer = Writer(tmp_path)
    writer.tell(writer.write())
    writer.tell({"remove": ["step-00000005.t00000001"]})
    assert writer.process.wait(20) == -signal.SIGKILL
    assert writer.process.stdout.read().count(b"done") == (point == "within-removal")
    for name in names(tmp_path):
        if not name.startswith(".draft-"):
            store.verify_manifest(tmp_path / name)
    remove(tmp_path, [])
    expected = {
        "after-rename": ["step-00000005.t00000001", NAME],
        "within-removal": [NAME],
    }  # fmt: skip
    assert names(tmp_path) == expected.get(point, ["step-00000005.t00000001"])
    writer.end()
