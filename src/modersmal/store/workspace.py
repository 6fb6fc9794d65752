"""Where a recipe's `store` is: the folder in which this machine works, and the place that keeps it.

An ordinary folder is both. Of a URL or a mounted Drive, only finished things go there and back; the
work itself happens in a folder on this machine's disk.
"""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from modersmal.errors import StoreError, StoreMissing
from modersmal.store import files
from modersmal.store.backend import OnProgress
from modersmal.store.folder import is_synced
from modersmal.store.remote import Remote, local_place

WORK_VARIABLE = "MODERSMAL_WORK"


@dataclass(frozen=True)
class Workspace:
    """`local` is where this machine works; `remote`, where there is one, is what is kept."""

    local: Path
    remote: Remote | None

    @classmethod
    def open(cls, store: str) -> "Workspace":
        """Open a recipe's `store`: a folder, a mounted Drive, or any URL that `Remote` opens.

        Raises:
            StoreError: nobody knows such URLs, or a package is missing.
        """
        url = store.rstrip("/") or store
        if "://" not in url and not is_synced(Path(url)):
            return cls(Path(url).expanduser(), None)
        remote = Remote.open(url)
        return cls(_work_folder() / hashlib.sha256(remote.url.encode()).hexdigest()[:16], remote)

    def corpus(self, name: str) -> Path:
        return self.local / "corpora" / name

    def run(self, name: str) -> Path:
        return self.local / "runs" / name

    def place(self, name: str) -> Remote:
        """The folder `name` (say "runs/sv") where what counts is: remote, or else local."""
        return self.remote.at(name) if self.remote else local_place(self.local / name)

    def push(self, folder: Path, on_progress: OnProgress | None = None) -> None:
        """Put a small finished folder below `local` (a corpus, a model, scores) into the remote.

        Its manifest is written anew, from what is in it now. Raises StoreError.
        """
        if self.remote is not None:
            name = self._name(folder)
            files.write_manifest(folder)
            self.remote.put_folder(folder, name, on_progress)

    def pull(self, name: str, on_progress: OnProgress | None = None) -> bool:
        """Fetch a folder ("corpora/sv") that `push` put there, unless it is complete here.

        Returns whether it is here now, complete.

        Raises:
            StoreError: the remote cannot be reached, or what is there is damaged.
        """
        folder = self.local / name
        if (folder / files.MANIFEST).is_file():
            return True
        if self.remote is None:
            return False
        try:
            self.remote.get_folder(name, folder, on_progress)
        except StoreMissing:
            return False
        return True

    def _name(self, folder: Path) -> str:
        try:
            return folder.absolute().relative_to(self.local.absolute()).as_posix()
        except ValueError:
            raise StoreError(f"{folder} is not below {self.local}") from None


def _work_folder() -> Path:
    """Where the folders for remote stores are, on this machine's disk."""
    if chosen := os.environ.get(WORK_VARIABLE):
        return Path(chosen).expanduser()
    return cache_folder() / "workspaces"


def cache_folder() -> Path:
    """What is modersmal's in the platform's folder for things that can be had again."""
    home = Path.home()
    if sys.platform == "darwin":
        cache = home / "Library" / "Caches"
    elif sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return cache / "modersmal"
