"""Machines as Colab and Kaggle lend them, and notebooks that are run on them from top to bottom.

A machine has a clean environment with the packages of the platform's image, a home and a disk of
its own; its kernel has a mount namespace, where /content and /kaggle are the machine's. It can be
taken away at any moment.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from platforms import write_colab

from children import children, command_line

IMAGE = Path(__file__).with_name("image.txt")
_MOUNTS = {  # a Drive is then mounted below it from another disk, as on Colab
    "content": "mount -t tmpfs none /content",
    "kaggle": 'mount --bind "$HOME/disk" /kaggle',
}


def can_borrow() -> bool:
    """Whether this machine lets us mount in a namespace of our own."""
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True)
    return done.returncode == 0


def image(folder: Path) -> Path:
    """The environment of the image, made in `folder` once; nothing is installed in it later."""
    pins = IMAGE.read_bytes()
    made = folder / f"image-{hashlib.sha256(pins).hexdigest()[:12]}"
    ready = made / "ready"
    if not ready.exists():
        shutil.rmtree(made, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", made], check=True)
        pip = [made / "bin" / "python", "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "-r", IMAGE], check=True)
        ready.touch()
    return made


@dataclass(frozen=True)
class Machine:
    """A borrowed machine. `root` is "content" or "kaggle", which its `disk` is mounted as."""

    folder: Path
    root: str
    env: Mapping[str, str]

    @classmethod
    def lent(cls, folder: Path, image: Path, root: str, env: Mapping[str, str]) -> "Machine":
        """A new one: nothing of an earlier one is on it."""
        folder.mkdir(parents=True)
        subprocess.run(["cp", "-al", image, folder / "environment"], check=True)
        for name in ("disk", "scratch"):
            (folder / name).mkdir()
        write_colab(folder / "platform")
        passed = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        cache = subprocess.run(
            [sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True
        )
        given = {
            "PATH": f"{folder / 'environment' / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "TMPDIR": str(folder / "scratch"),
            "PIP_CACHE_DIR": cache.stdout.strip(),
            "PYTHONPATH": str(folder / "platform"),
            "OMP_NUM_THREADS": "1",
        }
        return cls(folder, root, passed | given | env)

    @property
    def disk(self) -> Path:
        return self.folder / "disk"

    @property
    def works_in(self) -> Path:
        return self.disk / "working" if self.root == "kaggle" else self.disk


@dataclass
class Session:
    """A notebook that is run on a machine, each cell after the other, by "Run all"."""

    machine: Machine
    notebook: nbformat.NotebookNode
    client: NotebookClient
    thread: threading.Thread = field(default_factory=threading.Thread)
    failure: Exception | None = None

    @property
    def said(self) -> str:
        """What all cells have printed so far."""
        outputs = [one for cell in self.notebook.cells for one in cell.get("outputs", [])]
        return "".join(one.get("text", "") for one in outputs if one.output_type == "stream")

    @property
    def stopped_by(self) -> str:
        """The sentence that it was ended with; empty where it came to its end."""
        return str(getattr(self.failure, "evalue", "") or "")

    def take_away(self) -> None:
        """The machine is gone: every process on it is killed."""
        kernel = self.client.km.provisioner.pid
        for pid in [kernel, *_below(kernel)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def running(machine: Machine, path: Path, changes: Mapping[str, str]) -> Iterator[Session]:
    """Run all of a notebook; within it, it is under way, and at its end it has ended.

    `changes` are made in its cells before, as a person would make them.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for old, new in changes.items():
            cell.source = cell.source.replace(old, new)
    session = Session(machine, notebook, _client(machine, notebook))

    def run_all() -> None:
        try:
            session.client.execute(env=dict(machine.env))
        except (CellExecutionError, DeadKernelError) as error:
            session.failure = error

    session.thread = threading.Thread(target=run_all)
    session.thread.start()
    try:
        yield session
    finally:
        session.thread.join()
        session.take_away()


def _client(machine: Machine, notebook: nbformat.NotebookNode) -> NotebookClient:
    specs = machine.folder / "kernels" / "borrowed"
    specs.mkdir(parents=True, exist_ok=True)
    python = str(machine.folder / "environment" / "bin" / "python")
    begin = f'mkdir -p /{machine.root} && {_MOUNTS[machine.root]} && exec "$@"'
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", begin, "sh", python]
    words += ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": words, "display_name": "borrowed", "language": "python"}
    (specs / "kernel.json").write_text(json.dumps(spec))
    manager = AsyncKernelManager(
        kernel_name="borrowed",
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(specs.parent)]),
    )
    return NotebookClient(
        notebook, km=manager, timeout=None, resources={"metadata": {"path": str(machine.works_in)}}
    )


def _below(pid: int) -> list[int]:
    """All that a process has started, and what that has started."""
    try:
        started = children("", pid)
    except FileNotFoundError:  # it has just ended
        return []
    return [*started, *(below for child in started for below in _below(child))]


def training_on(session: Session) -> list[int]:
    """The process of `modersmal run` that a session has started, if there is one."""
    kernel = session.client.km.provisioner.pid
    return [pid for pid in children("modersmal", kernel) if "run" in command_line(pid)]
