"""Processes that the training starts for itself: they hear no signals, and end when it ends."""

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from modersmal.corpus.pool import hidden_main
from modersmal.errors import ModersmalError

Serve = Callable[[Connection, int], None]

_LOOK_EVERY_S = 0.5


def start_child(serve: Serve, name: str) -> tuple[SpawnProcess, Connection]:
    """Start a process that runs `serve` with its end of a connection and the id of this process;
    returns it with this end. `serve` calls `end_with` first."""
    context = get_context("spawn")  # a fork would inherit the locks of torch's threads
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, os.getpid()), name=name, daemon=True)
    with hidden_main(), _signals_held():
        process.start()
    theirs.close()
    return process, ours


def end_with(parent: int) -> None:
    """From here on, end when the process `parent` has ended.

    Its end of the connection says so too, unless a process that it has forked holds that open.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def told(error: Exception, where: str) -> Exception:
    """An error, as it is told on the other side: with what is no longer seen there."""
    if not isinstance(error, ModersmalError):
        error.add_note(f"{where}:\n{traceback.format_exc()}")
    return error


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os._exit(1)


@contextmanager
def _signals_held() -> Iterator[None]:
    """A process that is started within it never hears of Ctrl-C: whether to stop is the training's
    to say, and a terminal tells all of them."""
    before = signal.pthread_sigmask(
        signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    )
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
