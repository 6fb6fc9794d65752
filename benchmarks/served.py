"""A server in a process of its own, for what is measured from outside."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from measured import family, pss_bytes

_TICKS_PER_S = 100
_IDLE_SHARE, _IDLE_S = 0.05, 3.0


@dataclass(frozen=True)
class Served:
    """A process that answers at `address`; it took `started_s` until it did."""

    process: subprocess.Popen[str]
    address: str
    started_s: float

    def memory_bytes(self) -> int:
        """Of it and all its processes (PSS)."""
        return sum(pss_bytes(pid) for pid in family(self.process.pid))

    def until_idle(self) -> None:
        """Wait until it computes nothing: a server measures its batches while nobody asks."""
        quiet_s = 0.0
        while quiet_s < _IDLE_S:
            before_s = self._cpu_s()
            time.sleep(1)
            quiet_s = quiet_s + 1 if self._cpu_s() - before_s < _IDLE_SHARE else 0.0

    def children(self, module: str) -> list[int]:
        """Its processes that run a module, the one that has worked most first."""
        running = [pid for pid in family(self.process.pid) if module in _command(pid)]
        return sorted(running, key=_worked_s, reverse=True)

    def _cpu_s(self) -> float:
        return sum(_worked_s(pid) for pid in family(self.process.pid))


@contextmanager
def served(command: Sequence[str], folder: Path) -> Iterator[Served]:
    """Run `command` in `folder` until the end; it says "served at ADDRESS" when it answers."""
    began_s = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *command], cwd=folder, stderr=subprocess.PIPE, text=True
    )
    said = []
    try:
        for line in process.stderr or ():
            said.append(line)
            if found := re.search(r"served at (http://\S+)", line):
                break
        else:
            raise RuntimeError("".join(said))
        drain = threading.Thread(target=lambda: list(process.stderr or ()), daemon=True)
        drain.start()
        yield Served(process, found[1], time.monotonic() - began_s)
    finally:
        process.terminate()
        process.wait(60)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""  # it has just ended


def _worked_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
