"""A process that reads steps, so that neither decoding nor Python's lock holds up training.

It is told the numbers of steps over a pair of sockets, and answers one after the other. The clips
of a batch, some 15 MB, do not go that way: they lie in a file without a name, in memory where the
system has such files, and what is handed over is its descriptor. Both sides map the same pages,
which are gone with the last one to use them: a training that is killed leaves nothing behind.
"""

import io
import itertools
import mmap
import os
import tempfile
from contextlib import suppress
from multiprocessing import reduction
from multiprocessing.connection import Connection

import torch

from modersmal.errors import TrainingError
from modersmal.train.batch import StepBatch
from modersmal.train.child import end_with, start_child, told
from modersmal.train.reading import Reader

CAN_BE_USED = reduction.HAVE_SEND_HANDLE and hasattr(os, "fork")  # else nothing can be handed over
_ENDING_S = 2.0


class ReaderProcess:
    """Has a process of its own read steps; one thread at a time may ask it."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self._ready = reader, False
        self._process, self._connection = start_child(_serve, "loader")

    def load(self, step: int) -> StepBatch:
        """As `Reader.load`. While the process is still starting, the step is read here.

        Raises:
            TrainingError: the process was killed.
            Exception: what reading the step raised.
        """
        outcome = self._ask(step)
        if outcome is None:
            return self._reader.load(step)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _ask(self, step: int) -> StepBatch | Exception | None:
        """What became of a step in the process; None while it is still starting."""
        try:
            if not self._ready:
                if not self._connection.poll():
                    return None
                self._connection.recv()
                self._connection.send(self._reader)
                self._ready = True
            self._connection.send(step)
            return _receive(self._connection)
        except (EOFError, OSError):
            self._process.join(_ENDING_S)
            code = self._process.exitcode
            raise TrainingError(
                f"a process that reads clips ahead was killed (exit code {code}), most likely for "
                "want of memory; what was saved stays: start the same command again, with a "
                "smaller train.loader_workers if it happens again"
            ) from None

    def kill(self) -> None:
        """End it at once; whoever waits for a step gets an error."""
        self._process.kill()

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()
        self._process.close()


def _serve(connection: Connection, parent: int) -> None:
    """The other side: read what is asked for, until nobody is there to ask."""
    end_with(parent)
    torch.set_num_threads(1)
    with suppress(EOFError, ConnectionError):
        connection.send("ready")
        reader: Reader = connection.recv()
        while True:
            step = connection.recv()
            try:
                batch = reader.load(step)
            except Exception as error:
                connection.send(told(error, "in a process that reads clips ahead"))
            else:
                _send(connection, batch, parent)


def _send(connection: Connection, batch: StepBatch, receiver: int) -> None:
    """Arrays, which protocol 5 leaves out, go into a file; all else goes through the socket."""
    arrays: list[memoryview] = []
    rest = io.BytesIO()
    reduction.ForkingPickler(rest, 5, True, lambda one: arrays.append(one.raw())).dump(batch)
    connection.send((rest.getvalue(), [array.nbytes for array in arrays]))
    if arrays:
        file = _nameless_file()
        try:
            with open(file, "wb", closefd=False) as out:
                out.writelines(arrays)
            reduction.send_handle(connection, file, receiver)
        finally:
            os.close(file)


def _receive(connection: Connection) -> StepBatch | Exception:
    answer = connection.recv()
    if isinstance(answer, Exception):
        return answer
    rest, sizes = answer
    ends = list(itertools.accumulate(sizes))
    memory = _mapped(connection) if ends else memoryview(b"")  # lives while an array is in it
    arrays = [memory[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    received: StepBatch = reduction.ForkingPickler.loads(rest, buffers=arrays)
    return received


def _mapped(connection: Connection) -> memoryview:
    file = reduction.recv_handle(connection)
    try:
        return memoryview(mmap.mmap(file, 0))
    finally:
        os.close(file)


def _nameless_file() -> int:
    """The descriptor of an empty file that nobody else can open."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("modersmal-batch")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
