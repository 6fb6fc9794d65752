"""Releases in a store: numbered, immutable, complete or absent; latest moves last.

    releases/0007.json              who took the number: created by one alone
    releases/0007/                  the release, complete when its manifest is there
    releases/latest/                which one is deployed (latest.py)

No file is ever written over. Of two who release at once, each creates a number of its own. Where a
store cannot create exclusively (a mounted Drive), numbers are taken under a lease.
"""

import hashlib
import json
import os
import re
import socket
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from modersmal.errors import StoreDamaged, StoreError, StoreMissing
from modersmal.offline import is_offline
from modersmal.store import files
from modersmal.store.faults import fault
from modersmal.store.folder import must_be_mounted
from modersmal.store.latest import Latest, Move, now
from modersmal.store.lease import CLAIM_WINDOW_S, Lease
from modersmal.store.remote import Remote
from modersmal.store.tokens import to_json
from modersmal.store.workspace import at_hand, megabytes

FOLDER = "releases"
FACTS_FILE = "release.json"
FORGET = "forget"  # what moves latest to the same release, whose texts have changed
Entries = list["Entry"]  # `list` means listing below
Decide = Callable[[int | None], bool]

_CLAIM = re.compile(rf"{FOLDER}/(\d{{4,}})\.json")
_INSIDE = re.compile(rf"{FOLDER}/(\d{{4,}})/(.+)")
_OTHERS_CLAIM_S = 300.0  # how long to wait for another to take its number
_AT_ONCE = 8


@dataclass(frozen=True)
class Entry:
    """A release of a store. `facts` is its release.json, empty where there is none to read."""

    number: int
    state: Literal["latest", "complete", "half-written"]
    size_bytes: int
    facts: dict[str, Any] = field(default_factory=dict)


class Releases:
    """The releases of one store. Every method raises StoreError where the store does not answer."""

    def __init__(self, remote: Remote, *, window_s: float = CLAIM_WINDOW_S) -> None:
        self._remote, self._window_s = remote, window_s
        self._latest = Latest(remote)

    @classmethod
    def open(cls, store: str) -> "Releases":
        """Open a folder, a mounted Drive, or any URL that `Remote` opens.

        Raises:
            StoreError: nobody knows such URLs, a package is missing, or Drive is not mounted.
        """
        must_be_mounted(store)
        return cls(Remote.open(store.rstrip("/") or store))

    @property
    def url(self) -> str:
        return self._remote.url

    def must_be_writable(self) -> None:
        """See now whether a release can be put here, not after the work. Raises StoreError."""
        probe = f"{FOLDER}/.probe-{uuid.uuid4().hex}"
        self._remote.write(probe, b"")
        self._remote.delete(probe)

    def list(self) -> Entries:
        """All releases by number, half-written ones too."""
        sizes, taken = self._sizes()
        latest = self.latest()
        numbers = sorted({*sizes, *taken})
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            facts = dict(zip(sizes, pool.map(self._facts, sizes), strict=True))
        return [
            Entry(
                number,
                _state(number, sizes.get(number, {}), latest),
                sum(sizes.get(number, {}).values()),
                facts.get(number, {}),
            )
            for number in numbers
        ]

    def latest(self) -> int | None:
        """The number of the deployed release."""
        deployed = self.deployed()
        return deployed.release if deployed else None

    def deployed(self) -> Move | None:
        """How latest came to be where it is."""
        return self._latest.newest()[1]

    def folder(self, number: int | None = None) -> Path:
        """The folder of a release (None: of the latest) on this machine, fetched and verified
        where the store is far away.

        Raises:
            StoreMissing: there is no such release.
            StoreDamaged: it is half-written, or not what it was.
        """
        deployed = self.deployed() if number is None else None
        if number is None:
            if deployed is None:
                raise StoreMissing(f"{self.url} has no release yet; make one: `modersmal release`")
            number = deployed.release
        folder = self._brought(number)
        if deployed and files.sha256(folder / files.MANIFEST) != deployed.manifest:
            raise StoreDamaged(
                f"{self.url}/{_name(number)} is not what was released: its manifest has changed; "
                "deploy another release with `modersmal rollback`"
            )
        return folder

    def add(
        self,
        draft: Path,
        decide: Decide,
        *,
        numbered: Callable[[int], object] = lambda number: None,
    ) -> int:
        """Put the folder `draft` here as a release, and move latest to it. Returns its number.

        `draft` has a release.json, whose `content` stands for the model: content that a complete
        release here has already keeps that one's number. Otherwise the next number is taken,
        `numbered` is called with it, to write what names it, and draft's release.json and manifest
        are written. `decide` is called with the release that is deployed then (None: none is), and
        again with each that another deploys meanwhile; where it returns False or raises, latest
        stays. Started again after a stop, the same draft goes on under its number.

        Raises:
            StoreError: the store cannot be written; latest stays.
        """
        facts = _read_facts(draft)
        number = self._with_content(facts["content"])
        if number is None:
            number = self._take_number(_draft_id(draft, facts["content"]), facts["content"])
            numbered(number)
            files.write_json(draft / FACTS_FILE, _read_facts(draft) | {"number": number})
            files.write_manifest(draft)
            self._put(draft, number)
        while True:
            newest = self._latest.newest()
            deployed = newest[1]
            if deployed and deployed.release == number:
                return number
            if not decide(deployed.release if deployed else None):
                return number
            if self._moved(number, newest, "release"):
                return number

    def has(self, folder: Path) -> bool:
        """Whether the complete release `folder`, of any store, is here under its number.

        Raises:
            StoreDamaged: `folder` is no complete release.
        """
        return self._remote.holds(folder, _name(_number_of(folder)))

    def receive(self, folder: Path) -> int:
        """Put a complete release of another store here, under the number that it has there, and
        move latest to it. Returns the number.

        Raises:
            StoreDamaged: `folder` is no complete release.
            StoreError: this store has another release of that number, or cannot be written.
        """
        number = _number_of(folder)
        if not self.has(folder):
            manifest = files.sha256(folder / files.MANIFEST)
            taken_by = self._take(number, manifest, _read_facts(folder)["content"])
            if taken_by != manifest or self._is_complete(number):
                raise StoreError(
                    f"{self.url} has another release {number} already, which is never written "
                    "over; publish to another address"
                )
            self._put(folder, number)
        self.move_latest(number, "publish")
        return number

    def move_latest(self, number: int, by: str) -> Move:
        """Let the complete release `number` be latest. `by` says what moved it.

        Raises:
            StoreMissing, StoreDamaged: there is no such release, or it is half-written.
            StoreError: another moved latest at the same time, or the store cannot be written.
        """
        newest = self._latest.newest()
        if newest[1] and newest[1].release == number:
            return newest[1]
        self._must_be_complete(number)
        if move := self._moved(number, newest, by):
            return move
        raise StoreError(
            f"another process moved latest of {self.url} at this moment, to release "
            f"{self.latest()}; see `modersmal releases` and start again if need be"
        )

    def expect(self, number: int, manifest: bytes) -> None:
        """Where release `number` is latest, let it be so with this manifest, which it is to have.

        Raises:
            StoreError: another moved latest at the same time, or the store cannot be written.
        """
        newest = self._latest.newest()
        deployed, digest = newest[1], hashlib.sha256(manifest).hexdigest()
        if deployed is None or deployed.release != number or deployed.manifest == digest:
            return
        if self._latest.move(number, manifest, newest, FORGET) is None:
            raise StoreError(
                f"another process moved latest of {self.url} at this moment; start again"
            )

    def _with_content(self, content: str) -> int | None:
        same = [e.number for e in self.list() if e.state != "half-written"
                and e.facts.get("content") == content]  # fmt: skip
        return max(same, default=None)

    def _take_number(self, draft_id: str, content: str) -> int:
        with self._alone():
            sizes, taken = self._sizes()
            for number in taken:
                unfinished = files.MANIFEST not in sizes.get(number, {})
                if unfinished and self._claim_of(number) == draft_id:
                    return number
            number = max((0, *sizes, *taken)) + 1
            while self._take(number, draft_id, content) != draft_id:
                number += 1
            return number

    def _take(self, number: int, draft_id: str, content: str) -> str:
        """Claim a number unless it is claimed. Returns by which draft it is claimed now."""
        claim = {
            "number": number,
            "draft": draft_id,
            "content": content,
            "by": f"{socket.gethostname()}, process {os.getpid()}",
            "taken": now(),
        }
        fault("release.before-claim")
        won = self._remote.create(_claim_file(number), to_json(claim))
        fault("release.after-claim")
        return draft_id if won else self._claim_of(number)

    def _put(self, folder: Path, number: int) -> None:
        size_bytes = sum((folder / name).stat().st_size for name in files.files_of(folder))
        with megabytes(f"Storing release {number}", size_bytes) as on_progress:
            self._remote.put_folder(folder, _name(number), on_progress)

    def _moved(self, number: int, after: tuple[int, Move | None], by: str) -> Move | None:
        manifest = self._remote.read(f"{_name(number)}/{files.MANIFEST}")
        return self._latest.move(number, manifest, after, by)

    def _sizes(self) -> tuple[dict[int, dict[str, int]], set[int]]:
        """The sizes of every release's files, and the numbers that were taken."""
        sizes: dict[int, dict[str, int]] = {}
        taken = set()
        for name, size in self._remote.sizes(FOLDER).items():
            if inside := _INSIDE.fullmatch(name):
                sizes.setdefault(int(inside[1]), {})[inside[2]] = size
            elif claim := _CLAIM.fullmatch(name):
                taken.add(int(claim[1]))
        return sizes, taken

    def _brought(self, number: int) -> Path:
        address = self._remote.address or self.url
        if "://" in address:
            if not is_offline():
                self._must_be_complete(number)
            return at_hand(f"{address}/{_name(number)}")
        self._must_be_complete(number)
        folder = Path(address) / _name(number)
        for name, listed in files.read_manifest(folder).items():
            if not (folder / name).is_file() or (folder / name).stat().st_size != listed["bytes"]:
                raise StoreDamaged(f"{folder / name} is damaged or missing; release it again")
        return folder

    def _must_be_complete(self, number: int) -> None:
        if self._is_complete(number):
            return
        sizes, taken = self._sizes()
        if number in sizes or number in taken:
            raise StoreDamaged(
                f"release {number} of {self.url} is half-written: what wrote it was stopped or "
                "is at work still; start the same `modersmal release` again, or take another"
            )
        there = ", ".join(map(str, sorted({*sizes, *taken})))
        raise StoreMissing(
            f"{self.url} has no release {number}; "
            + (f"it has {there}" if there else "it has none yet: `modersmal release` makes one")
        )

    def _is_complete(self, number: int) -> bool:
        return f"{_name(number)}/{files.MANIFEST}" in self._remote.sizes(_name(number))

    def _facts(self, number: int) -> dict[str, Any]:
        return self._table(f"{_name(number)}/{FACTS_FILE}")

    def _claim_of(self, number: int) -> str:
        return str(self._table(_claim_file(number)).get("draft", ""))

    def _table(self, name: str) -> dict[str, Any]:
        """A JSON object; empty where there is none, or half of one."""
        try:
            table = json.loads(self._remote.read(name))
        except (StoreMissing, ValueError):
            return {}
        return table if isinstance(table, dict) else {}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold a lease where names cannot be created exclusively."""
        if self._remote.exclusive:
            yield
            return
        place = self._remote.at(FOLDER)
        lease = Lease.take(place, wait_s=_OTHERS_CLAIM_S, window_s=self._window_s)
        try:
            with lease.kept():
                yield
        finally:
            lease.release()


def _state(
    number: int, sizes: dict[str, int], latest: int | None
) -> Literal["latest", "complete", "half-written"]:
    if files.MANIFEST not in sizes:
        return "half-written"
    return "latest" if number == latest else "complete"


def _read_facts(folder: Path) -> dict[str, Any]:
    path = folder / FACTS_FILE
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(facts, dict) and isinstance(facts["content"], str):
            return facts
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError):
        pass
    raise StoreDamaged(f"{path} is damaged: it does not say what the release holds")


def _number_of(folder: Path) -> int:
    number = _read_facts(folder).get("number")
    if not isinstance(number, int) or not (folder / files.MANIFEST).is_file():
        raise StoreDamaged(f"{folder} is a half-written release: start `modersmal release` again")
    return number


def _draft_id(draft: Path, content: str) -> str:
    """The same for one draft of one content, whichever process works on it, and no other."""
    where = f"{socket.gethostname()} {draft.absolute()} {content}"
    return hashlib.sha256(where.encode()).hexdigest()


def _name(number: int) -> str:
    return f"{FOLDER}/{number:04d}"


def _claim_file(number: int) -> str:
    return f"{_name(number)}.json"
