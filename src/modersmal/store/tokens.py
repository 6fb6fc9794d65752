"""The files of a lease: whose token it is, and which checkpoints count under it."""

import json
import os
import re
import socket
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from modersmal.errors import StoreMissing

FOLDER = "leases"
Names = list[str]  # `list` means listing in a place
_TOKEN_FILE = re.compile(r"t(\d{8,})\.json")
_NAME_TOKEN = re.compile(r"\.t(\d{8,})$")


class Place(Protocol):
    """Where leases are kept: the run's folder, as a `Remote` or `local_place`."""

    @property
    def exclusive(self) -> bool: ...

    @property
    def lease_ttl_s(self) -> float: ...

    def read(self, name: str) -> bytes: ...

    def write(self, name: str, data: bytes) -> None: ...

    def create(self, name: str, data: bytes) -> bool: ...

    def list(self, prefix: str = "") -> Names: ...

    def delete(self, name: str) -> None: ...


@dataclass(frozen=True)
class Holder:
    """What a token's file says. `machine` and `pid_began` tell whether the process still runs."""

    token: int
    holder: str
    began: str
    ttl_s: float
    nonce: str = field(default_factory=lambda: uuid.uuid4().hex)
    machine: str = field(default_factory=lambda: _machine())
    pid: int = field(default_factory=os.getpid)
    pid_began: str = field(default_factory=lambda: _pid_began(os.getpid()))

    def data(self) -> bytes:
        return to_json(asdict(self))

    def is_gone(self) -> bool:
        """Whether it is known to have ended: it ran on this machine, and does not any more."""
        return bool(self.machine) and self.machine == _machine() and (
            _pid_began(self.pid) != self.pid_began
        )  # fmt: skip


def token_of(name: str) -> int:
    """The token in a checkpoint's name; 0 where it bears none."""
    found = _NAME_TOKEN.search(name)
    return int(found[1]) if found else 0


def counted(place: Place, names: Iterable[str]) -> list[str]:
    """Of checkpoints' names, those that count, for readers who hold no lease."""
    view = View.of(place)
    return [name for name in names if view.counts(name)]


def holder(place: Place) -> tuple[Holder, dict[str, Any]] | None:
    """The newest token's holder and its `.alive` (renewals, at, released), for people to see."""
    newest = max(tokens(place), default=0)
    if not newest:
        return None
    try:
        alive = json.loads(place.read(alive_file(newest)))
    except (StoreMissing, ValueError):
        alive = {}
    return read_holder(place, newest), alive if isinstance(alive, dict) else {}


@dataclass(frozen=True)
class View:
    """What counts under the newest token that has adopted: its list, and all of it or newer."""

    token: int
    adopted: frozenset[str]

    @classmethod
    def of(cls, place: Place, below: int | None = None) -> "View":
        for token in sorted(tokens(place), reverse=True):
            if below is None or token < below:
                try:
                    names = json.loads(place.read(adopted_file(token)))["checkpoints"]
                except (StoreMissing, ValueError, KeyError, TypeError):
                    continue  # it ended before it had written anything
                return cls.with_names(token, names)
        return cls(0, frozenset())

    @classmethod
    def with_names(cls, token: int, names: Iterable[str]) -> "View":
        return cls(token, frozenset(map(_last, names)))

    def counts(self, name: str) -> bool:
        return token_of(_last(name)) >= self.token or _last(name) in self.adopted


def tokens(place: Place) -> list[int]:
    found = (_TOKEN_FILE.fullmatch(_last(name)) for name in place.list(FOLDER))
    return [int(match[1]) for match in found if match]


def read_holder(place: Place, token: int) -> Holder:
    try:
        return Holder(**json.loads(place.read(token_file(token))))
    except (StoreMissing, ValueError, TypeError):
        # Half written, or by another version: somebody has it, and the usual time must pass.
        return Holder(token, "someone", "", place.lease_ttl_s, nonce="", machine="")


def token_file(token: int) -> str:
    return f"{FOLDER}/t{token:08d}.json"


def alive_file(token: int) -> str:
    return f"{FOLDER}/t{token:08d}.alive"


def adopted_file(token: int) -> str:
    return f"{FOLDER}/t{token:08d}.adopted.json"


def _last(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]


def to_json(table: dict[str, Any]) -> bytes:
    return (json.dumps(table, ensure_ascii=False) + "\n").encode()


def _machine() -> str:
    """What is the same for processes that see each other's ids; empty where nobody can tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')} {socket.gethostname()}"
    except OSError:
        return ""


def _pid_began(pid: int) -> str:
    """When a process began, in the kernel's ticks; empty where there is none."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else rest[18]
