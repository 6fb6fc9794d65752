"""Rid several stores of corrections, and this machine's copies of them; say who learned."""

import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from modersmal import store
from modersmal.corpus.corrections.traces import ids_in, traces_of
from modersmal.errors import Held, ModersmalError, StoreError
from modersmal.store.releases import Releases
from modersmal.store.remote import Remote, local_place
from modersmal.store.workspace import Workspace, cache_folder, copies_folder

if TYPE_CHECKING:
    from modersmal.forget.erasers import StoreEraser

LEARNED_FROM = "learned_from"
_WORK = "forgetting"
_FAULTS = "fault-*.log"


@dataclass(frozen=True)
class Learned:
    """A release of the store at `store` that learned from something that was erased."""

    store: str
    number: int

    @property
    def name(self) -> str:
        return f"release-{self.number}"

    def __str__(self) -> str:
        return f"release {self.number} of {self.store}"


@dataclass
class Cleared:
    """What was changed, and what could not be, with the reason."""

    changed: list[str] = field(default_factory=list)
    left: list[ModersmalError] = field(default_factory=list)


class Forgetting:
    """Erases corrections from `stores`: what recipes have as `store`, and models are served from.

    A folder that is not there yet has nothing to be erased.
    """

    def __init__(self, stores: Iterable[str]) -> None:
        self._stores = tuple(dict.fromkeys(store.rstrip("/") or store for store in stores))

    @classmethod
    def of(cls, stores: Iterable[str]) -> "Forgetting":
        """As the constructor, but all of them have to be there. Raises StoreError."""
        for address in stores:
            if "://" not in address and not Path(address).expanduser().is_dir():
                raise StoreError(
                    f"there is no store at {address}; give what recipes have as `store`"
                )
        return cls(stores)

    def learned(self, ids: Collection[str]) -> list[str]:
        """The names of the releases that learned from any of these corrections.

        Raises StoreError where a store does not answer.
        """
        return list(dict.fromkeys(one.name for one in self.releases(ids)))

    def releases(self, ids: Collection[str]) -> list[Learned]:
        """As `learned`, with the stores that they are in."""
        wanted, found = set(traces_of(ids)), []
        for place in self._places():
            for entry in Releases(place).list():
                if wanted & set(entry.facts.get(LEARNED_FROM, ())):
                    found.append(Learned(place.url, entry.number))
        return found

    def forget(self, ids: Collection[str]) -> None:
        """Erase all that is left of these corrections.

        Raises:
            ModersmalError: what could not be erased now; the same call later goes on. All else is.
        """
        for error in self.clear(ids).left:
            raise error

    def clear(self, ids: Collection[str]) -> Cleared:
        """As `forget`; what could not be erased now is in the result.

        Raises:
            Held: another process does this on this machine.
            StoreError: a store does not answer.
        """
        cleared = Cleared()
        with _work_folder() as work:
            for eraser in self._erasers(ids, work):
                try:
                    eraser.run()
                except ModersmalError as error:
                    cleared.left.append(error)
                cleared.changed += eraser.changed
                cleared.left += eraser.left
        cleared.changed += _clear_faults(ids)
        return cleared

    def remarks(self) -> list[str]:
        """What no call of ours can erase, one sentence each."""
        return [sentence for place in self._places() if (sentence := _remark(place))]

    def _erasers(self, ids: Collection[str], work: Path) -> "Iterator[StoreEraser]":
        from modersmal.forget.erasers import StoreEraser  # loads pyarrow, which servers seldom need

        for workspace in self._workspaces():
            place = workspace.remote or local_place(workspace.local)
            yield StoreEraser(place, ids, work)
            if workspace.remote is not None and workspace.local.is_dir():
                yield StoreEraser(local_place(workspace.local), ids, work, keeper=place)
        if copies_folder().is_dir():
            yield StoreEraser(local_place(copies_folder()), ids, work)

    def _places(self) -> list[Remote]:
        return [one.remote or local_place(one.local) for one in self._workspaces()]

    def _workspaces(self) -> list[Workspace]:
        opened: dict[str, Workspace] = {}
        for address in self._stores:
            one = Workspace.open(address)
            if one.remote is not None:
                opened[one.remote.url] = one
            elif one.local.is_dir():
                opened[str(one.local.resolve())] = one
        return list(opened.values())


@contextmanager
def _work_folder() -> Iterator[Path]:
    """A folder for what has to be fetched, without what a killed process left in it."""
    folder = cache_folder() / _WORK
    with store.writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(folder.with_name(f"{_WORK}.lock"))
            lock.acquire(timeout=0)
        except Timeout:
            raise Held("another process on this machine erases; start again after it") from None
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()


def _clear_faults(ids: Collection[str]) -> list[str]:
    """Remove logs of faults that name one of them."""
    removed = []
    for path in sorted(cache_folder().glob(_FAULTS)):
        if ids_in(path.read_text(encoding="utf-8", errors="replace")) & set(ids):
            with store.writing(path):
                path.unlink(missing_ok=True)
            removed.append(str(path))
    return removed


def _remark(place: Remote) -> str:
    if not place.confirms:
        return (
            f"{place.url} is a mounted Drive, which keeps what is written over or deleted for some "
            "weeks: remove that on its page"
        )
    if place.url.startswith("hf://"):
        return (
            f"{place.url} is on the Hub, whose repositories keep earlier versions of their files: "
            "squash its history (HfApi.super_squash_history), or delete the repository"
        )
    if place.folder is None:
        return (
            f"{place.url}: where the storage is set to keep earlier versions of files, it keeps "
            "them: delete those there"
        )
    return ""
