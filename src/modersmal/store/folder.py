"""Folders as storage: an ordinary disk, and a mounted Drive, whose answers prove nothing."""

import errno
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from modersmal.errors import StoreError
from modersmal.store import files
from modersmal.store.backend import OnProgress, Stat
from modersmal.store.trouble import Damaged

_CHUNK_BYTES = 8 << 20
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_MOUNT_TYPES = ("fuse.drive", "fuse.rclone", "fuse.gcsfuse", "fuse.s3fs", "fuse.onedrive",
                "fuse.google-drive-ocamlfuse", "fuse.dropbox", "fuse.goofys")  # fmt: skip
_COLAB_DRIVE = Path("/content/drive")
_SYNCED_PARTS = {"CloudStorage", "Mobile Documents"}  # where macOS keeps Drive, Dropbox, iCloud


class Folder:
    """A folder on a disk: a file appears whole, and an exclusive name goes to one writer."""

    confirms = True
    one_commit = False
    lease_ttl_s = 30.0

    def __init__(self, root: Path) -> None:
        self.root = root

    def exclusive(self) -> bool:
        return True

    def put_all(self, files: Mapping[str, Path], on_bytes: OnProgress) -> None:
        for name, local in files.items():
            self._put(local, self.root / name, on_bytes)

    def _put(self, local: Path, path: Path, on_bytes: OnProgress) -> None:
        with files.replacing(path) as target:
            size_bytes = _copy(local, target, on_bytes)
        if path.stat().st_size != size_bytes:
            raise Damaged(f"{path} has {path.stat().st_size} bytes, {size_bytes} were written")

    def write(self, name: str, data: bytes) -> None:
        files.write_bytes(self.root / name, data)

    def create(self, name: str, data: bytes) -> bool:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        files.write_bytes(draft, data)
        try:
            os.link(draft, path)  # fails where the name is taken, and shows the whole content
            return True
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create_without_links(path, data)
        finally:
            draft.unlink(missing_ok=True)

    def read(self, name: str, begin: int = 0, end: int | None = None) -> bytes:
        with (self.root / name).open("rb") as file:
            file.seek(begin)
            return file.read() if end is None else file.read(end - begin)

    def stat(self, name: str) -> Stat:
        status = (self.root / name).stat()
        return Stat(status.st_size, f"{status.st_size}-{status.st_mtime_ns}")

    def list(self, prefix: str) -> dict[str, int]:
        found = {}
        for path in (self.root / prefix).rglob("*"):
            if not (path.name.startswith(".") and path.suffix in (".tmp", ".part")):
                try:
                    if path.is_file():
                        found[path.relative_to(self.root).as_posix()] = path.stat().st_size
                except FileNotFoundError:
                    continue  # deleted by another while we looked
        return found

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            (self.root / name).unlink(missing_ok=True)
        folders = {parent for name in names for parent in PurePosixPath(name).parents}
        for folder in sorted(folders - {PurePosixPath(".")}, reverse=True):
            try:
                (self.root / folder).rmdir()
            except OSError:
                continue  # others have files in it

    def free_bytes(self) -> int | None:
        there = next(path for path in (self.root, *self.root.parents) if path.exists())
        return shutil.disk_usage(there).free


class SyncedFolder(Folder):
    """A mounted Drive: writes go to this machine's disk first, and reads see them there.

    A file may show 0 bytes for half an hour, and a rename proves nothing, so files go straight to
    their names, which are unique, and nothing is read back: they are handed over, not confirmed.
    """

    confirms = False
    lease_ttl_s = 300.0

    def exclusive(self) -> bool:
        return False  # two machines with the same Drive do not see each other's names at once

    def _put(self, local: Path, path: Path, on_bytes: OnProgress) -> None:
        with files.writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as target:
                _copy(local, target, on_bytes)
                target.flush()
                os.fsync(target.fileno())

    def write(self, name: str, data: bytes) -> None:
        path = self.root / name
        with files.writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def create(self, name: str, data: bytes) -> bool:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        return _create_without_links(self.root / name, data)

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            with suppress(FileNotFoundError):
                os.truncate(self.root / name, 0)  # the bin that it goes to counts as its quota
        super().delete(names)


def is_synced(path: Path, mounts: Path = Path("/proc/mounts")) -> bool:
    """Whether a folder is a mounted Drive or the like, which sends files away later."""
    path = path.expanduser().absolute()
    if path.is_relative_to(_COLAB_DRIVE) or _SYNCED_PARTS & set(path.parts):
        return True
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False  # not Linux
    here: list[tuple[int, str]] = []
    for line in lines:
        _, point, kind, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if path.is_relative_to(point):
            here.append((len(point), kind))
    return bool(here) and max(here)[1].startswith(_MOUNT_TYPES)


def must_be_mounted(url: str, drive: Path = _COLAB_DRIVE) -> None:
    """Raises StoreError where a folder of Colab's Drive is meant and Drive is not there.

    What is written to that path then stays on a machine that will be taken away.
    """
    if Path(url).is_relative_to(_COLAB_DRIVE) and not drive.is_mount():
        raise StoreError(
            f"Drive is not mounted, so {url} would be lost with this machine; run `from "
            "google.colab import drive; drive.mount('/content/drive')` and start again"
        )


def _copy(local: Path, target: BinaryIO, on_bytes: OnProgress) -> int:
    size_bytes = 0
    with local.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            target.write(chunk)
            size_bytes += len(chunk)
            on_bytes(len(chunk))
    return size_bytes


def _create_without_links(path: Path, data: bytes) -> bool:
    try:
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True
