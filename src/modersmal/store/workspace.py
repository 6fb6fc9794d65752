"""Where a recipe's `store` is: the folder in which this machine works, and the place that keeps it.

An ordinary folder is both. Of a URL or a mounted Drive, only finished things go there and back; the
work itself happens in a folder on this machine's disk.
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from modersmal.errors import StoreError, StoreMissing
from modersmal.offline import is_offline
from modersmal.progress import progress
from modersmal.store.backend import OnProgress
from modersmal.store.files import MANIFEST, files_of, write_manifest
from modersmal.store.folder import is_synced, must_be_mounted
from modersmal.store.remote import Remote

WORK_VARIABLE = "MODERSMAL_WORK"
CACHE_VARIABLE = "MODERSMAL_CACHE"


@dataclass(frozen=True)
class Workspace:
    """`local` is where this machine works; `remote`, where there is one, is what is kept."""

    local: Path
    remote: Remote | None

    @classmethod
    def open(cls, store: str) -> "Workspace":
        """Open a recipe's `store`: a folder, a mounted Drive, or any URL that `Remote` opens.

        Raises:
            StoreError: nobody knows such URLs, a package is missing, or Drive is not mounted.
        """
        url = store.rstrip("/") or store
        if "://" not in url and not is_synced(Path(url)):
            return cls(Path(url).expanduser(), None)
        must_be_mounted(url)
        remote = Remote.open(url)
        return cls(_work_folder() / hashlib.sha256(remote.url.encode()).hexdigest()[:16], remote)

    def corpus(self, name: str) -> Path:
        return self.local / "corpora" / name

    def run(self, name: str) -> Path:
        return self.local / "runs" / name

    def place(self, name: str) -> Remote | None:
        """The folder `name` (say "runs/sv") of the remote, if there is one."""
        return self.remote.at(name) if self.remote else None

    def push(self, folder: Path) -> None:
        """Put a finished folder below `local` (a corpus, a model, scores) into the remote.

        Its manifest is what it is finished by, and written here where it has none yet. Raises
        StoreError.
        """
        if self.remote is not None:
            name = self._name(folder)
            if not (folder / MANIFEST).is_file():
                write_manifest(folder)
            if not self.remote.holds(folder, name):
                size_bytes = sum((folder / inside).stat().st_size for inside in files_of(folder))
                with megabytes(f"Sending {name}", size_bytes) as on_progress:
                    self.remote.put_folder(folder, name, on_progress)

    def pull(self, name: str) -> bool:
        """Fetch a folder ("corpora/sv") that `push` put there, unless it is complete here.

        Several processes may ask for one folder at once. Returns whether it is here now, complete.

        Raises:
            StoreError: the remote cannot be reached, or what is there is damaged.
        """
        return self.remote is not None and _fetched(self.remote, name, self.local / name)

    def _name(self, folder: Path) -> str:
        try:
            return folder.absolute().relative_to(self.local.absolute()).as_posix()
        except ValueError:
            raise StoreError(f"{folder} is not below {self.local}") from None


def at_hand(address: str | Path) -> Path:
    """A folder as it is; of a complete folder behind a URL, an up-to-date copy on this machine.

    Raises:
        StoreMissing: there is no complete folder behind the URL.
        StoreError: it cannot be reached, or is damaged.
    """
    url, _, name = str(address).rstrip("/").rpartition("/")
    if "://" not in url:
        return Path(address)
    copy = copies_folder() / hashlib.sha256(str(address).encode()).hexdigest()[:16] / name
    remote = Remote.open(url)
    if (copy / MANIFEST).is_file() and not is_offline():
        mark = remote.read(f"{name}/{MANIFEST}")
        if mark != (copy / MANIFEST).read_bytes():
            (copy / MANIFEST).unlink()
    if not _fetched(remote, name, copy):
        raise StoreMissing(f"there is no complete folder at {remote.url}/{name}")
    return copy


def _fetched(remote: Remote, name: str, folder: Path) -> bool:
    """Fetch a folder unless it is complete here; False where it is not there either."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if (folder / MANIFEST).is_file():
            return True
        sizes = remote.sizes(name)
        if f"{name}/{MANIFEST}" not in sizes:
            return False
        with megabytes(f"Fetching {name}", sum(sizes.values())) as on_progress:
            remote.get_folder(name, folder, on_progress)
    return True


@contextmanager
def megabytes(title: str, size_bytes: int) -> Iterator[OnProgress]:
    """Show how many of so many bytes are through."""
    with progress(title, total=size_bytes / 1e6, unit="MB") as advance:
        yield lambda count: advance(count / 1e6)


def copies_folder() -> Path:
    """Where `at_hand` keeps what is behind URLs."""
    return _work_folder() / "copies"


def _work_folder() -> Path:
    """Where the folders for remote stores are, on this machine's disk."""
    if chosen := os.environ.get(WORK_VARIABLE):
        return Path(chosen).expanduser()
    return cache_folder() / "workspaces"


def cache_folder() -> Path:
    """For things that can be had again: MODERSMAL_CACHE, else the platform's folder for that."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = home / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return cache / "modersmal"
