"""Saves checkpoints behind the training's back: it waits for a copy in memory, and for no disk.

    training:  copy ──────────── goes on ──────────── copy …
    writer:         write, hash, sync, rename, prune
    uploads:                                 put, confirm

A second save waits for the first to be written, since both use the one buffer. What goes wrong in
the writer comes up at the next `poll`, `save` or `wait_written`.
"""

import json
import os
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal, Protocol, cast

import torch
from torch import nn

from modersmal.errors import StoreError
from modersmal.store.faults import fault
from modersmal.train import checkpoint
from modersmal.train.checkpoint import Checkpoints, Name, Retention, State
from modersmal.train.snapshot import Snapshot

_ENDING_S = 5.0
_TWO = Retention()


class Uploads(Protocol):
    """What takes finished checkpoints to a remote: `store.queue.UploadQueue`."""

    @property
    def confirmed(self) -> list[str]: ...

    @property
    def handed_over(self) -> list[str]: ...

    @property
    def waiting_bytes(self) -> int: ...

    def put(self, folder: Path, name: str) -> None: ...

    def drain(self, timeout_s: float) -> bool: ...


@dataclass(frozen=True)
class Event:
    """What became of a checkpoint: written here, confirmed by the remote, or handed over to one
    that does not tell.

    `seconds` is how long that took, behind the training's back; `needed` are the steps whose
    checkpoints were needed by then.
    """

    kind: Literal["saved", "confirmed", "handed over"]
    name: Name
    needed: frozenset[int] = frozenset()
    seconds: float = 0.0


class Saver:
    """Writes checkpoints of a run, named with `token`, and keeps those that `retention` says.

    `uploads` takes each to the remote of `checkpoints`; closing it is left to whoever made it.

    Raises:
        StoreError: from every method but `close`, where a checkpoint could not be written; the
            earlier ones are intact.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        *,
        retention: Retention = _TWO,
        token: int = 1,
        uploads: Uploads | None = None,
    ) -> None:
        self.checkpoints, self._retention, self._token = checkpoints, retention, token
        self._uploads = uploads
        self._uploading: dict[str, tuple[Name, frozenset[int], float]] = {}  # by their names there
        self._snapshot = Snapshot()
        self._writer = _Writer(checkpoints.folder, self._snapshot.descriptor)
        self._pending: State | None = None
        self._events: list[Event] = []

    def reserve(self, size: int) -> None:
        """Have the memory for a snapshot of `size` bytes made ready meanwhile."""
        self._writer.order({"reserve": size})

    def save(self, state: State, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Copy everything and have it written; blocks for the copy and for the save before."""
        self.wait_written()
        fault("snapshot.before")
        files = self._snapshot.take(checkpoint.contents(model, optimizer))
        fault("snapshot.after")
        self._pending = state
        name = Name(state.step, self._token)
        order = {
            "name": str(name),
            "files": [asdict(file) for file in files],
            "state": asdict(state),
        }
        self._writer.order({"write": order})

    def poll(self) -> list[Event]:
        """What has happened since the last call; does not wait."""
        self._hear(0)
        self._note_uploaded()
        events, self._events = self._events, []
        return events

    def wait_written(self, timeout_s: float | None = None) -> bool:
        """Wait until what was saved is on the disk and what is old is gone; False: not in time."""
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        while self._writer.busy:
            left_s = None if until_s is None else until_s - time.monotonic()
            if left_s is not None and left_s < 0:
                return False
            self._hear(left_s)
        return True

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until everything is written, and confirmed by the remote if there is one."""
        began_s = time.monotonic()
        if not self.wait_written(timeout_s):
            return False
        if self._uploads is None:
            return True
        timeout_s = threading.TIMEOUT_MAX if timeout_s is None else timeout_s
        return self._uploads.drain(max(0.0, timeout_s - (time.monotonic() - began_s)))

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the remote does not have yet, of what is written."""
        return self._uploads.waiting_bytes if self._uploads else 0

    def upload(self, name: Name, needed: frozenset[int]) -> None:
        """Have a checkpoint that is on the disk taken to the remote, if there is one."""
        if self._uploads:
            there = f"{self.checkpoints.prefix}/{name}"
            self._uploading[there] = name, needed, time.monotonic()
            self._uploads.put(self.checkpoints.folder / str(name), there)

    def prune(self, state: State) -> None:
        """Have what is superseded here removed, where the run stands at `state`."""
        here = self.checkpoints.local_names()
        if old := self._retention.superseded(here, state.needed):
            self._writer.order({"remove": [str(name) for name in old]})

    def close(self) -> None:
        """End the writer; what is not written yet is given up."""
        self._writer.close()
        self._snapshot.close()

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        try:
            if kind is None or issubclass(kind, Exception):
                self.wait_written()
        finally:
            self.close()

    def _hear(self, timeout_s: float | None) -> None:
        """Take the writer's answers, waiting for the first."""
        for answer in self._writer.answers(timeout_s):
            if "failed" in answer:
                self._pending = None
                raise StoreError(answer["failed"])
            if answer["done"] == "write" and self._pending:
                self._written(self._pending, answer["seconds"])

    def _written(self, state: State, seconds: float) -> None:
        self._pending = None
        name = Name(state.step, self._token)
        self._events.append(Event("saved", name, state.needed, seconds))
        self.upload(name, state.needed)
        self.prune(state)

    def _note_uploaded(self) -> None:
        if self._uploads and self._uploading:
            self._note("confirmed", self._uploads.confirmed)
            self._note("handed over", self._uploads.handed_over)

    def _note(self, kind: Literal["confirmed", "handed over"], there: list[str]) -> None:
        for found in there:
            if found in self._uploading:
                name, needed, began_s = self._uploading.pop(found)
                self._events.append(Event(kind, name, needed, time.monotonic() - began_s))


class _Writer:
    """The writer process, from the training's side."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self._folder = folder
        self._heard = b""
        self._waiting = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "modersmal.train.writer", str(folder), str(descriptor)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[descriptor],
            start_new_session=True,  # Ctrl-C is for the training
        )
        self._orders = cast(IO[bytes], self._process.stdin)
        self._answers = cast(IO[bytes], self._process.stdout)

    @property
    def busy(self) -> bool:
        """Whether it owes answers."""
        return self._waiting > 0

    def order(self, order: dict[str, Any]) -> None:
        try:
            self._orders.write((json.dumps(order) + "\n").encode())
            self._orders.flush()
        except BrokenPipeError:
            raise self._lost() from None
        self._waiting += 1

    def answers(self, timeout_s: float | None) -> list[dict[str, Any]]:
        """Answers that came, waiting at most so long (None: until one comes) for the first."""
        out = self._answers.fileno()
        if not self.busy or not select.select([out], [], [], timeout_s)[0]:
            return []
        received = os.read(out, 2**16)
        if not received:
            raise self._lost()
        *lines, self._heard = (self._heard + received).split(b"\n")
        self._waiting -= len(lines)
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """End it; what it has not done is given up."""
        with suppress(BrokenPipeError):
            self._orders.close()
        try:
            self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()

    def _lost(self) -> StoreError:
        code, self._waiting = self._process.wait(), 0
        return StoreError(
            f"the process that writes checkpoints into {self._folder} has ended (exit code "
            f"{code}), most likely for want of memory; start the same command again, everything "
            "saved so far stays"
        )
