"""Uploads behind training's back: in order, capped, tried for ever, said once, kept until done."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from modersmal import store
from modersmal.errors import StoreError
from modersmal.store.faults import VARIABLE
from modersmal.store.queue import UploadQueue
from modersmal.store.remote import Backoff, Remote

IMPATIENT = Backoff(first_s=0.01, longest_s=0.02, within_s=0.05)
GB = 10**9


@pytest.fixture
def said():
    return []


@pytest.fixture
def make_queue(tmp_path, said):
    queues = []

    def make(remote, cap_bytes=GB):
        queue = UploadQueue(remote, tmp_path / "spool", cap_bytes, said.append, backoff=IMPATIENT)
        queues.append(queue)
        return queue

    yield make
    for queue in queues:
        queue.close()


def until(condition, timeout_s=10):
    ends_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends_s
        time.sleep(0.01)


def test_folders_arrive_in_order_and_are_confirmed(s3, make_queue, make_folder, said, tmp_path):
    remote = Remote.open("s3://bucket")
    queue = make_queue(remote)
    names = [f"checkpoints/step-{number}" for number in range(3)]
    for name in names:
        queue.put(make_folder(name), name)
    assert queue.drain(10) is True
    assert queue.confirmed == names
    assert queue.handed_over == queue.waiting == said == []
    for name in names:
        remote.get_folder(name, tmp_path / "got" / name)
    marks = [request for request in s3.seen if "PUT" in request and "manifest" in request]
    assert marks == [f"PUT /bucket/{name}/manifest.json?" for name in names]
    assert os.listdir(tmp_path / "spool") == []


def test_the_folder_may_be_deleted_while_it_waits(s3, make_queue, make_folder, tmp_path):
    s3.down = True
    remote = Remote.open("s3://bucket", backoff=IMPATIENT)
    queue = make_queue(remote)
    folder = make_folder("step", 5000)
    inode = (folder / "weights.bin").stat().st_ino
    queue.put(folder, "step")
    [waiting] = (tmp_path / "spool").iterdir()
    assert (waiting / "weights.bin").stat().st_ino == inode  # costs no space
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    s3.down = False
    assert queue.drain(10)
    remote.get_folder("step", tmp_path / "got")


def test_a_remote_that_is_down_and_comes_back_is_said_once_each(s3, make_queue, make_folder, said):
    s3.down = True
    queue = make_queue(Remote.open("s3://bucket", backoff=IMPATIENT))
    queue.put(make_folder("one"), "one")
    queue.put(make_folder("two"), "two")
    until(lambda: s3.count("GET") > 20)
    assert queue.drain(0.05) is False
    assert len(said) == 1
    assert "Uploads fail" in said[0]
    assert "s3://bucket/one" in said[0]
    s3.down = False
    assert queue.drain(10) is True
    assert queue.confirmed == ["one", "two"]
    assert [line.split(":")[0] for line in said] == [said[0].split(":")[0], "Uploads work again"]
    s3.down = True
    queue.put(make_folder("three"), "three")
    until(lambda: len(said) == 3)  # a new failure is said anew


def test_over_the_cap_the_oldest_not_begun_gives_way_to_the_newest(
    s3, make_queue, make_folder, said, tmp_path
):
    s3.down = True
    queue = make_queue(Remote.open("s3://bucket", backoff=IMPATIENT), cap_bytes=4000)
    for number in range(6):
        queue.put(make_folder(f"step-{number}"), f"step-{number}")
        if number == 0:
            until(lambda: said)  # the first is under way
    assert queue.waiting == ["step-0", "step-4", "step-5"]
    assert queue.waiting_bytes <= 4000
    assert [line for line in said if "not uploaded" in line] == [
        f"step-{number} is not uploaded: more than 0.0 GB wait, and step-{number + 2} is newer"
        for number in (1, 2, 3)
    ]
    queue.put(make_folder("huge", 100_000), "huge")
    assert queue.waiting == ["step-0", "huge"]  # the newest always has its place
    s3.down = False
    assert queue.drain(10)
    assert queue.confirmed == ["step-0", "huge"]
    assert os.listdir(tmp_path / "spool") == []


def test_a_damaged_folder_is_said_and_does_not_block_the_next(s3, make_queue, make_folder, said):
    s3.down = True
    queue = make_queue(Remote.open("s3://bucket", backoff=IMPATIENT))
    damaged = make_folder("damaged")
    queue.put(damaged, "damaged")
    queue.put(make_folder("sound"), "sound")
    with (damaged / "weights.bin").open("r+b") as file:
        file.write(b"\0" * 10)
    s3.down = False
    assert queue.drain(10)
    assert queue.confirmed == ["sound"]
    assert any("damaged is not uploaded" in line for line in said)


def test_a_mounted_drive_is_handed_over_and_nothing_is_confirmed(make_queue, make_folder, tmp_path):
    queue = make_queue(Remote.open(f"drive://{tmp_path}/drive"))
    folder = make_folder("step")
    queue.put(folder, "step")
    assert queue.drain(10)
    assert queue.confirmed == []
    assert queue.handed_over == ["step"]
    store.verify_manifest(folder)


def test_closing_in_the_middle_leaves_the_rest_for_the_next_process(
    s3, make_queue, make_folder, monkeypatch, tmp_path
):
    monkeypatch.setattr("modersmal.store.s3.PART_BYTES", 5 << 20)
    s3.trouble("partNumber=2", "error", times=10_000)
    first = make_queue(Remote.open("s3://bucket", backoff=IMPATIENT))
    first.put(make_folder("large", 12 << 20), "runs/sv/large")
    first.put(make_folder("small"), "small")
    until(lambda: s3.count("partNumber=2") > 2)
    first.close()
    assert first.waiting == ["runs/sv/large", "small"]
    s3.troubles.clear()
    s3.seen.clear()
    second = make_queue(Remote.open("s3://bucket"))
    assert second.waiting[0] == "runs/sv/large"
    assert second.drain(20)
    assert second.confirmed == ["runs/sv/large", "small"]
    assert s3.count("partNumber=1") == 0  # that part was there


@pytest.mark.parametrize("point", ["queue.before-rename", "queue.after-rename"])
def test_killed_while_queueing_it_is_in_the_spool_whole_or_not_at_all(
    s3, make_queue, make_folder, tmp_path, point
):
    code = (
        "import sys; from pathlib import Path\n"
        "from modersmal.store.queue import UploadQueue\n"
        "from modersmal.store.remote import Remote\n"
        "queue = UploadQueue(Remote.open('s3://nowhere'), Path(sys.argv[1]), 10**9, print)\n"
        "queue.put(Path(sys.argv[2]), 'step')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "spool"), str(make_folder("step"))]
    dying = {**os.environ, VARIABLE: f"{point}:1"}
    assert subprocess.run(command, env=dying, capture_output=True).returncode == -9
    queue = make_queue(Remote.open("s3://bucket"))
    assert queue.drain(10)
    assert queue.confirmed == (["step"] if point == "queue.after-rename" else [])
    assert os.listdir(tmp_path / "spool") == []


def test_a_full_disk_is_a_store_error_and_the_queue_goes_on(
    s3, make_queue, make_folder, monkeypatch
):
    queue = make_queue(Remote.open("s3://bucket"))
    monkeypatch.setenv(VARIABLE, "queue.before-rename:1:enospc")
    monkeypatch.setattr("modersmal.store.faults._passed", Counter())
    with pytest.raises(StoreError, match="the disk is full"):
        queue.put(make_folder("one"), "one")
    queue.put(make_folder("two"), "two")
    assert queue.drain(10)
    assert queue.confirmed == ["two"]


def test_a_fault_of_ours_in_the_thread_is_raised_outside(make_queue, make_folder, tmp_path):
    class Broken(Remote):
        def put_folder(self, local: Path, name: str, on_progress=None) -> None:
            raise KeyError("a bug")

    broken = Broken(Remote.open(str(tmp_path / "remote"))._backend, "x")
    queue = make_queue(broken)
    queue.put(make_folder("one"), "one")
    with pytest.raises(KeyError, match="a bug"):
        queue.drain(10)


def test_putting_does_not_wait_for_the_remote(s3, make_queue, make_folder):
    s3.trouble("GET", "hang", times=100)
    queue = make_queue(Remote.open("s3://bucket"))
    for number in range(5):
        queue.put(make_folder(f"step-{number}"), f"step-{number}")
    assert len(queue.waiting) == 5
    s3.troubles.clear()
    assert threading.active_count() > 1
    assert queue.drain(20)
