"""Faults on purpose, so that tests can stop a process at any named write point.

`MODERSMAL_FAULT=NAME:COUNT[:ACTION]` acts when the point NAME is passed for the COUNT-th time in
this process: `kill` (the default) ends it as the loss of the machine would, `stop` freezes it as
the sleep of the machine would, `enospc` and `eio` raise what a full and a broken disk raise.
"""

import errno
import os
import signal
from collections import Counter
from threading import Lock

VARIABLE = "MODERSMAL_FAULT"
_passed: Counter[str] = Counter()
_lock = Lock()


def fault(name: str) -> None:
    """Mark a write point; costs one dictionary lookup unless a fault is wanted.

    Raises:
        OSError: the fault that was asked for.
    """
    if wanted := os.environ.get(VARIABLE):
        _perhaps(name, wanted)


def environment_after() -> dict[str, str]:
    """The environment of a process that follows on one which ended: a fault is met once."""
    return {name: value for name, value in os.environ.items() if name != VARIABLE}


def _perhaps(name: str, wanted: str) -> None:
    point, count, action = (*wanted.split(":"), "kill")[:3]
    if name != point:
        return
    with _lock:
        _passed[name] += 1
        if _passed[name] != int(count):
            return
    if action in ("kill", "stop"):
        os.kill(os.getpid(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)
    elif action in ("enospc", "eio"):
        number = errno.ENOSPC if action == "enospc" else errno.EIO
        raise OSError(number, os.strerror(number))
    else:
        raise ValueError(f"{VARIABLE}={wanted}: {action!r} is not kill, stop, enospc or eio")
