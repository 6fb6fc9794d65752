"""Being asked to stop: the first signal is a wish, a second interrupt an order.

Ctrl-C (SIGINT), a machine that is taken away (SIGTERM), a terminal that is closed (SIGHUP; on
Windows SIGBREAK), and the loss of the notebook that started the process all ask for the same: save,
and end with everything kept. A process that was told to outlive its terminal (nohup) outlives it.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_HANG_UP = getattr(signal, "SIGHUP", None)  # Windows has none
_BREAK = getattr(signal, "SIGBREAK", None)  # only Windows has one
_SIGNALS = tuple(filter(None, (signal.SIGINT, signal.SIGTERM, _HANG_UP, _BREAK)))
_WATCH_EVERY_S = 0.5
_ECHO_S = 1.0  # torchrun passes on the interrupt that its processes have had from the terminal
_OUTPUTS = (1, 2)


class StopNow(BaseException):
    """A stop was asked for where it need not wait; no `except Exception` takes it for a fault."""


@dataclass
class Wish:
    """Whether a stop was asked for."""

    asked: bool = False
    _raised: bool = False

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Around work that leaves nothing to save: there a stop comes as StopNow, and at once."""
        self._raised = True
        try:
            if self.asked:
                raise StopNow
            yield
        finally:
            self._raised = False

    def ask(self) -> None:
        """Ask for a stop. Raises StopNow where it need not wait."""
        self.asked = True
        if self._raised:
            self._raised = False
            raise StopNow


@contextmanager
def stop_signals(say: Callable[[str], None], env: Mapping[str, str] = os.environ) -> Iterator[Wish]:
    """Within it, the first signal sets the wish; what runs looks at it when it can stop well.

    Outside the main thread, where Python allows no handlers, nothing changes.
    """
    wish = Wish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    echo_s = _ECHO_S if "TORCHELASTIC_RUN_ID" in env else 0.0
    asked_s = 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked_s
        if number == _HANG_UP:
            _leave_dead_outputs()
        if wish.asked and number == signal.SIGINT and time.monotonic() - asked_s >= echo_s:
            raise KeyboardInterrupt
        if not wish.asked:
            asked_s = time.monotonic()
            say("Stopping: saving a checkpoint first (interrupt again to stop at once)")
            wish.ask()

    heard = [number for number in _SIGNALS if not _outlives(number)]
    before = {number: signal.signal(number, handle) for number in heard}
    try:
        with _watching_notebook(env):
            yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _outlives(number: int) -> bool:
    """Whether this process was started to go on when its terminal is gone, as nohup does it."""
    return number == _HANG_UP and signal.getsignal(number) == signal.SIG_IGN


@contextmanager
def _watching_notebook(env: Mapping[str, str]) -> Iterator[None]:
    """Where a notebook's kernel started this process, take its end for a closed terminal.

    A shell's end tells its processes; a kernel that is killed tells nobody.
    """
    started_there = "JPY_PARENT_PID" in env and env["JPY_PARENT_PID"] != str(os.getppid())
    if not started_there or _HANG_UP is None or _outlives(_HANG_UP):
        yield
        return
    parent, done = os.getppid(), threading.Event()

    def watch() -> None:
        while not done.wait(_WATCH_EVERY_S):
            if os.getppid() != parent:
                os.kill(os.getpid(), _HANG_UP)
                return

    threading.Thread(target=watch, name="notebook", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _leave_dead_outputs() -> None:
    """Write into the void where nobody reads any more: else the next line would be an error."""
    for descriptor in _OUTPUTS:
        try:
            os.write(descriptor, b"\n")
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
