"""Sends folders from a process of its own: `python -m modersmal.store.uploader`.

A thread that hashes gigabytes and speaks TLS would share Python's lock with the training. So the
queue (queue.py) stays with the training, and what it does with a folder is done here. An order is a
JSON line on standard input, since an address may hold secrets and others can read command lines:

    {"remote": "s3://…/runs/sv", "folder": "…/00000012~…", "name": "checkpoints/step-…"}

and JSON lines on standard output answer it:

    ["bytes", 16777216] …                   so many more are through
    ["sent", ""]                            it is there
    ["failed", "s3://… cannot be …"]        or ["damaged", …]: what `Remote.put_folder` raised
    ["fault", "Traceback …"]                or a fault of ours

When the training ends, however it does, standard input closes and this process ends, in the middle
of a file if need be; the training's spool has the folder still.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, cast

from modersmal.errors import StoreDamaged, StoreError
from modersmal.store import faults
from modersmal.store.backend import OnProgress
from modersmal.store.queue import Sender
from modersmal.store.remote import Remote
from modersmal.store.trouble import plain

_ENDING_S = 0.5
_LISTENING_S = 0.2
_NICER = 5  # training goes first


@contextmanager
def sending(remote: Remote) -> Iterator[Sender]:
    """What sends to `remote`: a process of its own where that can open it, else `remote` itself."""
    if remote.address is None:
        yield remote
        return
    uploader = Uploader(remote.address, confirms=remote.confirms)
    try:
        yield uploader
    finally:
        uploader.close()


class Uploader:
    """Has a process send folders to the remote at `address`, one at a time.

    The process is started with the first folder, and anew with the next one after it has ended.
    """

    def __init__(self, address: str, *, confirms: bool) -> None:
        self.confirms = confirms
        self._address = address
        self._process: subprocess.Popen[bytes] | None = None
        self._lost = False

    def put_folder(self, local: Path, name: str, on_progress: OnProgress) -> None:
        """As `Remote.put_folder`; `on_progress` is also told of 0 bytes, ever again.

        Raises:
            StoreError: also where the process has ended, or none can be started.
        """
        process = self._process = self._process or self._start()
        try:
            _order(process, {"remote": self._address, "folder": str(local), "name": name})
            kind, text = _answer(process, on_progress)
        except (EOFError, BrokenPipeError):
            self.close()
            self._lost = True
            raise StoreError(
                f"the process that uploads has ended (exit code {process.returncode}), most likely "
                "for want of memory, and is started again"
            ) from None
        except BaseException:
            self.close()
            raise
        if kind == "damaged":
            raise StoreDamaged(text)
        if kind == "failed":
            raise StoreError(text)
        if kind == "fault":
            fault = RuntimeError("the process that uploads met a fault")
            fault.add_note(text)
            raise fault

    def close(self) -> None:
        """End the process, in the middle of a file if need be."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(BrokenPipeError):
            cast(IO[bytes], process.stdin).close()
        try:
            process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        cast(IO[bytes], process.stdout).close()

    def _start(self) -> "subprocess.Popen[bytes]":
        try:
            return subprocess.Popen(
                [sys.executable, "-m", "modersmal.store.uploader"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=faults.environment_after() if self._lost else None,
                start_new_session=True,  # Ctrl-C is for the training
            )
        except OSError as error:
            raise StoreError(f"no process can be started to upload: {plain(error)}") from error


def _order(process: "subprocess.Popen[bytes]", order: dict[str, str]) -> None:
    orders = cast(IO[bytes], process.stdin)
    orders.write((json.dumps(order) + "\n").encode())
    orders.flush()


def _answer(process: "subprocess.Popen[bytes]", on_progress: OnProgress) -> tuple[str, str]:
    """Wait for what became of the order. Raises EOFError where the process has ended."""
    out, heard = cast(IO[bytes], process.stdout).fileno(), b""
    while True:
        if not select.select([out], [], [], _LISTENING_S)[0]:
            on_progress(0)  # it may raise: whoever waits may be ended
            continue
        received = os.read(out, 2**16)
        if not received:
            raise EOFError
        *lines, heard = (heard + received).split(b"\n")
        for line in lines:
            kind, value = json.loads(line)
            if kind != "bytes":
                return kind, value
            on_progress(value)


class _Service:
    """The other side: does what it is told, until the orders end."""

    def __init__(self, answers: int) -> None:
        self._answers = answers
        self._orders: SimpleQueue[dict[str, str] | None] = SimpleQueue()
        self._ended = False
        self._remotes: dict[str, Remote] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def run(self) -> None:
        with suppress(_Ended):
            while order := self._orders.get():
                self._answer(*self._send(**order))

    def _send(self, remote: str, folder: str, name: str) -> tuple[str, str]:
        try:
            if remote not in self._remotes:
                self._remotes[remote] = Remote.open(remote)
            self._remotes[remote].put_folder(Path(folder), name, self._on_progress)
        except StoreDamaged as error:
            return "damaged", str(error)
        except StoreError as error:
            return "failed", str(error)
        except Exception:
            return "fault", traceback.format_exc()
        return "sent", ""

    def _on_progress(self, more_bytes: int) -> None:
        if self._ended:
            raise _Ended
        self._answer("bytes", more_bytes)

    def _answer(self, kind: str, value: Any) -> None:
        try:
            os.write(self._answers, (json.dumps([kind, value]) + "\n").encode())
        except BrokenPipeError:
            raise _Ended from None

    def _read(self) -> None:
        """Pass orders on as they come, and end this process with the training's."""
        for line in sys.stdin:
            self._orders.put(json.loads(line))
        self._ended = True
        self._orders.put(None)
        time.sleep(_ENDING_S / 2)
        os._exit(0)  # a server does not answer


class _Ended(BaseException):
    """Nobody is there any more to send for."""


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # whether to stop is the training's to say
    os.nice(_NICER)
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    _Service(answers).run()


if __name__ == "__main__":
    main()
