"""Uploads behind training's back: in order, kept on disk until confirmed, tried for ever.

    spool/00000012~runs%2Fsv%2Fcheckpoints%2Fstep-00000500.t00000003/

A folder is put into the spool as hard links, so that it stays whatever happens to the original; a
new process goes on with what the last one left there.
"""

import os
import shutil
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote

from modersmal.errors import StoreDamaged, StoreError
from modersmal.store import files
from modersmal.store.backend import OnProgress
from modersmal.store.faults import fault
from modersmal.store.retry import Backoff

_DRAFT = ".draft-"
_ENDS_WITHIN_S = 1.0


class Sender(Protocol):
    """What brings a folder to its place: a `Remote`, or a process that opens the same one."""

    @property
    def confirms(self) -> bool: ...

    def put_folder(self, local: Path, name: str, on_progress: OnProgress) -> None: ...


@dataclass
class _Entry:
    number: int
    name: str
    path: Path
    size_bytes: int
    begun: bool = False
    through_bytes: int = 0


class UploadQueue:
    """Has `remote` send complete folders, one after the other, from a thread.

    Where more than `cap_bytes` wait, the oldest one not yet begun is dropped in favour of the
    newest, which always has its place. `report` is told, in a sentence each, when the remote begins
    to fail, when it works again, and what was dropped. One queue per `spool`.
    """

    def __init__(
        self,
        remote: Sender,
        spool: Path,
        cap_bytes: int,
        report: Callable[[str], object],
        *,
        backoff: Backoff | None = None,
    ) -> None:
        self._remote, self._spool, self._cap_bytes, self._report = remote, spool, cap_bytes, report
        self._backoff = backoff or Backoff(first_s=1.0, longest_s=60.0)
        self._changed = threading.Condition()
        self._closing = False
        self._confirmed: list[str] = []
        self._handed_over: list[str] = []
        self._fault: BaseException | None = None
        self._entries = self._left_over()
        self._next = max((entry.number for entry in self._entries), default=0) + 1
        self._thread = threading.Thread(target=self._run, name="uploads", daemon=True)
        self._thread.start()

    @property
    def confirmed(self) -> list[str]:
        """Names proven to be on the remote, in the order in which they arrived."""
        with self._changed:
            return list(self._confirmed)

    @property
    def handed_over(self) -> list[str]:
        """Names given to a mounted Drive, which does not tell what became of them."""
        with self._changed:
            return list(self._handed_over)

    @property
    def waiting(self) -> list[str]:
        """Names not there yet, the one under way first."""
        with self._changed:
            return [entry.name for entry in self._entries]

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are not through yet; a new attempt begins anew."""
        with self._changed:
            return sum(entry.size_bytes - entry.through_bytes for entry in self._entries)

    def put(self, folder: Path, name: str) -> None:
        """Queue a complete folder to become `name` on the remote; returns at once.

        Raises:
            StoreError: the spool cannot be written.
        """
        self._raise_fault()
        with self._changed:
            number, self._next = self._next, self._next + 1
        path = self._spool / f"{number:08d}~{quote(name, safe='')}"
        draft = self._spool / f"{_DRAFT}{uuid.uuid4().hex}"
        with files.writing(path):
            try:
                _link_all(folder, draft)
                fault("queue.before-rename")
                os.replace(draft, path)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
        fault("queue.after-rename")
        with self._changed:
            self._entries.append(_Entry(number, name, path, _size_bytes(path)))
            dropped = self._make_room()
            self._changed.notify_all()
        for entry in dropped:
            self._drop(entry, f"more than {self._cap_bytes / 1e9:.1f} GB wait, and {name} is newer")

    def drain(self, timeout_s: float) -> bool:
        """Wait until nothing waits any more. False where that takes longer."""
        with self._changed:
            done = self._changed.wait_for(
                lambda: not self._entries or self._fault is not None, timeout_s
            )
        self._raise_fault()
        return done

    def close(self) -> None:
        """Stop, in the middle of a file if need be; what waits stays in the spool for next time."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(_ENDS_WITHIN_S)

    def _run(self) -> None:
        try:
            while entry := self._first():
                if self._send(entry):
                    fault("queue.before-remove")
                    shutil.rmtree(entry.path, ignore_errors=True)
                    with self._changed:
                        self._entries.remove(entry)
                        done = self._confirmed if self._remote.confirms else self._handed_over
                        done.append(entry.name)
                        self._changed.notify_all()
        except _Closed:
            pass
        except BaseException as error:  # a fault of ours: the next call from outside raises it
            with self._changed:
                self._fault = error
                self._changed.notify_all()

    def _first(self) -> _Entry | None:
        """Wait for something to do; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._entries or self._closing)
            if self._closing:
                return None
            self._entries[0].begun = True
            return self._entries[0]

    def _send(self, entry: _Entry) -> bool:
        """Send one folder, however often it takes. False where the folder itself is damaged."""
        failures = 0
        while True:
            entry.through_bytes = 0
            try:
                self._remote.put_folder(entry.path, entry.name, partial(self._go_on, entry))
            except StoreDamaged as error:
                self._drop(entry, str(error))
                with self._changed:
                    self._entries.remove(entry)
                    self._changed.notify_all()
                return False
            except StoreError as error:
                if not failures:
                    self._report(f"Uploads fail and are tried again, training goes on: {error}")
            else:
                if failures:
                    self._report(f"Uploads work again: {entry.name} is there")
                return True
            with self._changed:
                self._changed.wait_for(lambda: self._closing, self._backoff.wait_s(failures))
            self._go_on(entry, 0)
            failures += 1

    def _go_on(self, entry: _Entry, more_bytes: int) -> None:
        if self._closing:
            raise _Closed
        entry.through_bytes += more_bytes

    def _make_room(self) -> list[_Entry]:
        """Take out what is over the cap, oldest first; neither what is under way nor the newest."""
        dropped = []
        for entry in list(self._entries[:-1]):
            if sum(other.size_bytes for other in self._entries) <= self._cap_bytes:
                break
            if not entry.begun:
                self._entries.remove(entry)
                dropped.append(entry)
        return dropped

    def _drop(self, entry: _Entry, why: str) -> None:
        shutil.rmtree(entry.path, ignore_errors=True)
        self._report(f"{entry.name} is not uploaded: {why}")

    def _left_over(self) -> list[_Entry]:
        """What an earlier process left in the spool, in its order."""
        with files.writing(self._spool):
            self._spool.mkdir(parents=True, exist_ok=True)
        for draft in self._spool.glob(f"{_DRAFT}*"):
            shutil.rmtree(draft, ignore_errors=True)
        entries = []
        for path in sorted(self._spool.iterdir()):
            number, tilde, name = path.name.partition("~")
            if tilde and number.isdigit():
                entries.append(_Entry(int(number), unquote(name), path, _size_bytes(path)))
        return entries

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault


class _Closed(Exception):
    """The queue is being closed."""


def _link_all(folder: Path, to: Path) -> None:
    """Hard links to every file of `folder`, or copies where the disk has none."""
    to.mkdir(parents=True)
    for path in sorted(folder.rglob("*")):
        target = to / path.relative_to(folder)
        if path.is_dir():
            target.mkdir(exist_ok=True)
            continue
        try:
            os.link(path, target)
        except OSError:
            shutil.copyfile(path, target)


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
