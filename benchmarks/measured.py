"""Measure memory and time: of a command with all of its processes, and of this process."""

import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_PERIOD_S = 0.1


@dataclass(frozen=True)
class Measured:
    """A finished command; `peak_bytes` is the summed proportional set size (PSS)."""

    output: str
    wall_s: float
    peak_bytes: int


def run(command: list[str]) -> Measured:
    """Run `command` to its end; its standard error passes through.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(_PERIOD_S):
            peak = max(peak, sum(pss_bytes(pid) for pid in family(process.pid)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    over.set()
    watcher.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Measured(output, time.monotonic() - began, peak)


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [one for child in children.read_text().split() for one in family(int(child))]
        except OSError:
            continue  # it has just ended
    return found


def pss_bytes(pid: int) -> int:
    """Memory of a process, shared pages divided among those that share them."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has just ended
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def own_peak_bytes() -> int:
    """The most resident memory that this process ever had.

    Linux hands `ru_maxrss` on to a process from the one that started it, so it is not asked.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("this system does not tell how much memory a process ever had")
