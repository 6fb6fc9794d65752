"""Uploads from a process of its own: it may die or stand still, and all arrives all the same."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

import modersmal
from children import children, command_line
from modersmal.errors import StoreDamaged, StoreError
from modersmal.store.faults import VARIABLE
from modersmal.store.queue import UploadQueue
from modersmal.store.remote import Backoff, Remote, local_place
from modersmal.store.uploader import sending

IMPATIENT = Backoff(first_s=0.01, longest_s=0.02)
GB = 10**9

PARENT = """
import sys, time
from pathlib import Path
from modersmal.store.queue import UploadQueue
from modersmal.store.remote import Remote
from modersmal.store.uploader import sending
with sending(Remote.open(sys.argv[1])) as sender:
    queue = UploadQueue(sender, Path(sys.argv[2]), 10**9, print)
    queue.put(Path(sys.argv[3]), "step")
    time.sleep(100)
"""


@pytest.fixture
def said():
    return []


@pytest.fixture
def make_queue(tmp_path, said):
    with ExitStack() as stack:

        def make(url, spool="spool"):
            sender = stack.enter_context(sending(Remote.open(url)))
            queue = UploadQueue(sender, tmp_path / spool, GB, said.append, backoff=IMPATIENT)
            stack.callback(queue.close)
            return queue

        yield make


def until(condition, timeout_s=20):
    ends_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends_s, "it does not come"
        time.sleep(0.02)


def uploaders(of="self"):
    """The processes that upload for a process."""
    return children("modersmal.store.uploader", of)


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def started(queue, make_folder):
    """The process of a queue that has sent a folder."""
    queue.put(make_folder("first"), "first")
    assert queue.drain(20)
    [pid] = uploaders()
    return pid


@pytest.fixture
def in_the_process(tmp_path, monkeypatch):
    """Have the process run some code when it begins."""

    def change(code):
        (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(code))
        source = Path(modersmal.__file__).parents[1]
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{source}")

    return change


@pytest.mark.parametrize("kind", ["s3", "drive"])
def test_folders_arrive_in_order(kind, request, make_queue, make_folder, said, tmp_path):
    if kind == "s3":
        request.getfixturevalue("s3")
    url = "s3://bucket/runs" if kind == "s3" else f"drive://{tmp_path}/drive"
    queue = make_queue(url)
    names = [f"checkpoints/step-{number}" for number in range(3)]
    for name in names:
        queue.put(make_folder(name), name)
    assert queue.drain(20) is True
    assert (queue.confirmed, queue.handed_over)[kind == "drive"] == names
    assert (queue.confirmed, queue.handed_over)[kind == "s3"] == queue.waiting == said == []
    assert queue.waiting_bytes == 0
    for name in names:
        Remote.open(url).get_folder(name, tmp_path / "got" / name)
    assert len(uploaders()) == 1
    assert "bucket" not in command_line(uploaders()[0])  # addresses may hold secrets


def test_what_uploads_is_another_process_and_putting_waits_for_nothing(s3, make_queue, make_folder):
    queue = make_queue("s3://bucket")
    pid = started(queue, make_folder)
    os.kill(pid, signal.SIGSTOP)
    queue.put(make_folder("second"), "second")
    assert queue.drain(0.5) is False
    assert s3.count("second") == 0
    os.kill(pid, signal.SIGCONT)
    assert queue.drain(20)
    assert queue.confirmed == ["first", "second"]


def test_killed_it_comes_back_and_all_arrives_in_order(s3, make_queue, make_folder, said):
    queue = make_queue("s3://bucket")
    pid = started(queue, make_folder)
    os.kill(pid, signal.SIGSTOP)
    for name in ("second", "third"):
        queue.put(make_folder(name), name)
    os.kill(pid, signal.SIGKILL)
    assert queue.drain(20)
    assert queue.confirmed == ["first", "second", "third"]
    assert uploaders() != [pid]
    assert [line.split(":")[0] for line in said] == [
        "Uploads fail and are tried again, training goes on",
        "Uploads work again",
    ]
    assert "the process that uploads has ended (exit code -9)" in said[0]


def test_where_no_process_can_be_started_uploads_wait(
    make_queue, make_folder, said, tmp_path, monkeypatch
):
    with monkeypatch.context() as short:
        short.setattr(sys, "executable", "/nowhere/python")
        queue = make_queue(f"file://{tmp_path}/there")
        queue.put(make_folder("step"), "step")
        until(lambda: said)
        assert "no process can be started to upload" in said[0]
    assert queue.drain(20)


@pytest.mark.parametrize(
    "point",
    ["remote.before-files", "remote.after-file", "remote.before-manifest", "remote.after-manifest"],
)
def test_killed_at_a_point_it_loses_nothing(
    make_queue, make_folder, said, tmp_path, monkeypatch, point
):
    monkeypatch.setenv(VARIABLE, f"{point}:1")
    url = f"file://{tmp_path}/there"
    queue = make_queue(url)
    queue.put(make_folder("step"), "step")
    assert queue.drain(20)
    assert queue.confirmed == ["step"]
    assert len(said) == 2
    Remote.open(url).get_folder("step", tmp_path / "got")


def test_it_ends_with_a_training_that_is_killed(s3, make_queue, make_folder, tmp_path):
    s3.trouble("PUT", "hang", times=100)
    command = [sys.executable, "-c", PARENT, "s3://bucket", str(tmp_path / "spool")]
    parent = subprocess.Popen([*command, str(make_folder("step"))])
    until(lambda: s3.count("PUT"))
    [pid] = uploaders(parent.pid)
    parent.kill()
    parent.wait()
    until(lambda: is_gone(pid), timeout_s=5)
    s3.troubles.clear()
    queue = make_queue("s3://bucket")
    assert queue.waiting == ["step"]
    assert queue.drain(20)


def test_closing_does_not_wait_and_keeps_what_waits(s3, make_queue, make_folder, tmp_path):
    queue = make_queue("s3://bucket")
    pid = started(queue, make_folder)
    os.kill(pid, signal.SIGSTOP)
    for name in ("second", "third"):
        queue.put(make_folder(name), name)
    queue.close()
    assert is_gone(pid)
    assert queue.waiting == ["second", "third"]
    again = make_queue("s3://bucket")
    assert again.drain(20)
    assert again.confirmed == ["second", "third"]


def test_ended_in_the_middle_of_a_file_it_leaves_no_draft(
    in_the_process, make_queue, make_folder, tmp_path
):
    in_the_process("import modersmal.store.folder as folder; folder._CHUNK_BYTES = 256")

    def leaves_none(attempt):
        there = tmp_path / f"there-{attempt}"
        queue = make_queue(f"file://{there}", f"spool-{attempt}")
        queue.put(make_folder("large", 50 << 20), "large")
        until(lambda: list(there.rglob("*.tmp")))
        queue.close()
        assert queue.waiting == ["large"]
        return not list(there.rglob("*.tmp"))

    # It has half a second, which a busy machine may not give it every time.
    assert any(leaves_none(attempt) for attempt in range(5))


def test_how_many_bytes_are_through_is_known(in_the_process, s3, make_queue, make_folder):
    in_the_process("import modersmal.store.s3 as s3; s3.PART_BYTES = 5 << 20")
    s3.trouble("partNumber=3", "error", times=10_000)
    queue = make_queue("s3://bucket")
    queue.put(make_folder("large", 12 << 20), "large")
    whole = queue.waiting_bytes
    assert whole > 12 << 20
    until(lambda: queue.waiting_bytes < whole - (9 << 20))
    assert queue.confirmed == []
    s3.troubles.clear()
    assert queue.drain(30)
    assert queue.waiting_bytes == 0


def test_what_the_remote_raises_comes_through(s3, make_folder):
    with sending(Remote.open("s3://nowhere/secret")) as sender:
        with pytest.raises(StoreError, match=r"s3://nowhere/secret/step/.* cannot be sent"):
            sender.put_folder(make_folder("step"), "step", lambda count: None)
        damaged = make_folder("damaged")
        (damaged / "weights.bin").write_bytes(b"")
        with pytest.raises(StoreDamaged, match=r"weights\.bin"):
            sender.put_folder(damaged, "damaged", lambda count: None)
        assert len(uploaders()) == 1  # the same still
    assert uploaders() == []


def test_what_libraries_print_is_no_answer(
    in_the_process, make_queue, make_folder, capfd, tmp_path
):
    in_the_process("""
        from modersmal.store.remote import Remote
        send = Remote.put_folder
        Remote.put_folder = lambda *given: (print("Hello"), send(*given))
    """)
    queue = make_queue(f"file://{tmp_path}/there")
    queue.put(make_folder("step"), "step")
    assert queue.drain(20)
    assert queue.confirmed == ["step"]
    out, err = capfd.readouterr()
    assert (out, "Hello" in err) == ("", True)


def test_a_fault_of_ours_is_raised_with_its_traceback(in_the_process, make_queue, make_folder):
    in_the_process("""
        from modersmal.store.remote import Remote
        Remote.put_folder = lambda *given: given[9]
    """)
    queue = make_queue("file:///nowhere")
    queue.put(make_folder("step"), "step")
    with pytest.raises(RuntimeError, match="the process that uploads met a fault") as raised:
        queue.drain(20)
    assert "IndexError" in raised.value.__notes__[0]


@pytest.mark.parametrize(
    "url", ["s3://bucket/some", "drive:///drive", "file:///some", "/some/folder", "hf://ann/speech"]
)
def test_another_process_opens_the_same_place(url):
    place = Remote.open(url).at("runs/sv")
    assert place.address is not None
    again = Remote.open(place.address)
    assert (again.url, again.confirms) == (place.url, place.confirms)
    roots = [
        getattr(found._backend, "root", getattr(found._backend, "folder", None))
        for found in (again, place)
    ]
    assert str(roots[0]) == "/".join(filter(None, (str(roots[1]), "runs/sv")))


def test_a_place_that_only_this_process_has_is_sent_to_from_here(tmp_path):
    for place in (Remote.open("memory://here"), local_place(tmp_path)):
        with sending(place) as sender:
            assert sender is place


def test_a_folder_that_is_named_relatively_is_the_same_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Remote.open("there").address == str(tmp_path / "there")
