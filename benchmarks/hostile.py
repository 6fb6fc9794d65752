"""Files that mean harm, sent to a server: how it answers, how long it takes, and what memory.

    python benchmarks/hostile.py

The files are those of the tests. The server is `modersmal serve` in a process of its own, with the
small bundled model and its settings as they come; its memory is the proportional set size (PSS) of
it and all its processes together, sampled while it answers.
"""

import argparse
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from measured import family, pss_bytes
from served import served

_TESTS = Path(__file__).parents[1] / "tests"
sys.path += [str(_TESTS), str(_TESTS / "serve")]

from hostile_uploads import Bait, Hostile, hostile_files  # noqa: E402

GOAL_S, GOAL_MIB = 5.0, 300
_CLIP = _TESTS / "data" / "speech" / "03.ogg"
_PERIOD_S = 0.02
_SERVE = ["-m", "modersmal", "serve", "--model", "bundled", "--port", "0"]
_MIB = 1 << 20


@dataclass(frozen=True)
class Answered:
    """How one file was answered; `over_mib` is the most memory over that of the idle server."""

    file: Hostile
    status: int | None
    took_s: float
    over_mib: float
    harm: tuple[str, ...]


class Memory:
    """The most memory that a process and its children had since it was asked last."""

    def __init__(self, pid: int) -> None:
        self._pid, self._most, self._over = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def now(self) -> int:
        return sum(pss_bytes(pid) for pid in family(self._pid))

    def most(self) -> int:
        found, self._most = max(self._most, self.now()), 0
        return found

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_PERIOD_S):
            self._most = max(self._most, self.now())


def send(client: httpx.Client, name: str, data: bytes) -> int | None:
    try:
        return client.post("/v1/audio/transcriptions", files={"file": (name, data)}).status_code
    except httpx.HTTPError:
        return None


def answered(
    client: httpx.Client, bait: Bait, memory: Memory, idle: int, file: Hostile
) -> Answered:
    memory.most()
    began_s = time.monotonic()
    status = send(client, file.filename, file.data)
    took_s = time.monotonic() - began_s
    harm = []
    if status not in file.statuses:
        harm.append(f"answered with {status}, not {file.statuses}")
    if bait.opened():
        harm.append("opened another file")
    if bait.called():
        harm.append("called another address")
    if send(client, "fine.ogg", _CLIP.read_bytes()) != 200:
        harm.append("the next request was not served")
    return Answered(file, status, took_s, (memory.most() - idle) / _MIB, tuple(harm))


def main() -> None:
    parser = argparse.ArgumentParser(description="Send hostile files to a server.")
    parser.add_argument("--without-hours", action="store_true", help="leave the slowest out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(_SERVE, Path(folder)) as server:
        bait = Bait(Path(folder) / "somebody", _CLIP.read_bytes())
        files = list(hostile_files(bait, hours=not options.without_hours))
        with httpx.Client(base_url=server.address, timeout=600) as client:
            for _ in range(8):
                send(client, "fine.ogg", _CLIP.read_bytes())
            server.until_idle()
            children = set(family(server.process.pid))
            memory = Memory(server.process.pid)
            idle = memory.now()
            found = [answered(client, bait, memory, idle, file) for file in files]
            memory.close()
        ended = children - set(family(server.process.pid))
        bait.close()
    harm = [(one.file.name, said) for one in found for said in one.harm]
    slowest = max(found, key=lambda one: one.took_s)
    largest = max(found, key=lambda one: one.over_mib)
    print(f"{len(found)} files to a server of {idle / _MIB:.0f} MiB")
    print(f"  harm: {len(harm)} (goal 0)")
    for name, said in harm:
        print(f"    {name}: {said}")
    print(f"  processes that a file has ended: {len(ended)} (goal 0)")
    print(f"  slowest: {slowest.took_s:.1f} s, {slowest.file.name} (goal {GOAL_S:g} s)")
    over = [one for one in found if one.took_s > GOAL_S]
    print(f"  over the goal: {', '.join(one.file.name for one in over) or 'none'}")
    print(f"  memory over idle: {largest.over_mib:.0f} MiB, {largest.file.name} "
          f"(goal {GOAL_MIB})")  # fmt: skip


if __name__ == "__main__":
    main()
