"""A runtime in a process of its own, so that what ends there does not end here.

whisper.cpp ends the process that it cannot go on in, and a model that does not fit can make others
do so.
"""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from modersmal.allocator import give_back_memory, keep_little_freed
from modersmal.corpus.pool import hidden_main
from modersmal.errors import ModelError
from modersmal.release.exports import Runtime as Name
from modersmal.release.runtimes import Device, Runtime, open_runtime
from modersmal.transcribe.formats import Segment

_ENDING_S = 5.0


@contextmanager
def open_apart(name: Name, place: Path, device: Device = "cpu") -> Iterator[Runtime]:
    """As `open_runtime`, in a process that is gone afterwards.

    Raises:
        ModelError: also from each of its methods, where the runtime fails or its process ends.
    """
    context = _context()
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory(prefix="modersmal-") as folder:
        said = Path(folder) / "said.txt"
        process = context.Process(
            target=_serve, args=(theirs, name, place, device, said), daemon=True
        )
        with hidden_main():
            process.start()
        theirs.close()
        try:
            yield _Apart(name, ours, process, said)
        except BaseException:  # whoever is interrupted does not wait for it
            process.kill()
            raise
        finally:
            ours.close()
            process.join(_ENDING_S)
            process.kill()
            process.join()


def _context() -> ForkServerContext | SpawnContext:
    """Runtimes take seconds to import: where that is safe, one process does so, and is forked."""
    if sys.platform != "linux":
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


class _Apart:
    """The side that asks."""

    def __init__(self, name: Name, there: Connection, process: BaseProcess, said: Path) -> None:
        self.name = name
        self._there, self._process, self._said = there, process, said
        self.arithmetic = str(self._answer())

    def transcribe(self, clips: Sequence[np.ndarray], language_token: str) -> list[str]:
        return list(self._ask("transcribe", list(clips), language_token))

    def long(self, samples: np.ndarray, language_token: str) -> list[Segment]:
        return list(self._ask("long", samples, language_token))

    def _ask(self, *question: Any) -> Any:
        try:
            self._there.send(question)
        except OSError as error:
            raise self._ended() from error
        return self._answer()

    def _answer(self) -> Any:
        try:
            # Its end alone would do, if no other child could ever have inherited the pipe.
            wait([self._there, self._process.sentinel])
            if not self._there.poll():
                raise EOFError
            fine, answer = self._there.recv()
        except (EOFError, OSError) as error:
            raise self._ended() from error
        if not fine:
            raise ModelError(answer)
        return answer

    def _ended(self) -> ModelError:
        self._process.join(_ENDING_S)
        code = self._process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        lines = self._said.read_text("utf-8", "replace").split("\n") if self._said.exists() else []
        last = next((f": {line.strip()}" for line in reversed(lines) if line.strip()), "")
        return ModelError(f"{self.name} ended its process ({how}){last}")


def _serve(here: Connection, name: Name, place: Path, device: Device, said: Path) -> None:
    """The side that answers, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks
    with said.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    keep_little_freed()
    try:
        runtime = open_runtime(name, place, device)
    except ModelError as error:
        here.send((False, str(error)))
        return
    here.send((True, runtime.arithmetic))
    while True:
        try:
            method, *arguments = here.recv()
        except EOFError:
            return
        try:
            here.send((True, getattr(runtime, method)(*arguments)))
        except Exception as error:  # whatever a runtime raises of a model that does not fit
            reason = " ".join(str(error).split())
            here.send((False, f"{name} cannot decode: {type(error).__name__}: {reason}"))
        give_back_memory()  # what was kept of one batch would stand beside what the next one takes
