"""Files that survive: written whole or not at all, hashed, and listed in a manifest written last.

A store is a folder. A file appears under its name only when all of its bytes are on the disk; a
folder counts as complete only when its manifest is there, and the manifest is written last.
"""

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from modersmal.errors import StoreDamaged, StoreError
from modersmal.store.faults import fault

MANIFEST = "manifest.json"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def replacing(path: Path | str) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when the block ends well, and never before.

    The bytes go to a unique name beside it, are forced to the disk and renamed. Where the block
    raises, nothing is left.

    Raises:
        StoreError: the disk is full or cannot be written.
    """
    path = Path(path)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("wb") as file:
                yield file
                file.flush()
                fault("file.before-sync")
                os.fsync(file.fileno())
            fault("file.before-rename")
            os.replace(draft, path)
            sync_folder(path.parent)
            fault("file.after-rename")
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn what goes wrong on the disk while `path` is written into one plain sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreError(
                f"the disk is full: {path} could not be written; free some space and start the "
                "same command again, everything saved so far stays"
            ) from error
        raise StoreError(f"{path} cannot be written: {error.strerror or error}") from error


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a file atomically. Raises StoreError."""
    with replacing(path) as file:
        file.write(data)


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, atomically. Raises StoreError."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """`value` as `write_json` writes it."""
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()


def remove_drafts(folder: Path | str) -> None:
    """Remove what killed writers left directly in `folder`; call it where nobody else writes."""
    for draft in Path(folder).glob(".*.tmp"):
        draft.unlink(missing_ok=True)


def sha256(path: Path | str) -> str:
    """The hexadecimal SHA-256 of a file's bytes. Raises StoreError."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error


def write_manifest(folder: Path | str, hashes: Mapping[str, str] | None = None) -> None:
    """List every file of `folder` with its size and SHA-256, which makes the folder complete.

    `hashes` are those that were taken while the files were written.
    """
    folder, hashes = Path(folder), hashes or {}
    files = {
        name: {
            "bytes": (folder / name).stat().st_size,
            "sha256": hashes.get(name) or sha256(folder / name),
        }
        for name in files_of(folder)
    }
    write_json(folder / MANIFEST, {"format": 1, "files": files})


def verify_manifest(folder: Path | str) -> None:
    """Check that `folder` holds what its manifest lists, byte for byte.

    Raises:
        StoreDamaged: the manifest is missing or unreadable, or a file is missing or differs.
        StoreError: the disk cannot be read.
    """
    folder = Path(folder)
    for name, expected in read_manifest(folder).items():
        path = folder / name
        if not path.is_file():
            raise StoreDamaged(f"{path} is missing, though the manifest beside it lists it")
        if path.stat().st_size != expected["bytes"] or sha256(path) != expected["sha256"]:
            raise StoreDamaged(f"{path} is damaged: its bytes are not those that were written")


def read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """What the manifest lists: by name, `bytes` and `sha256`. Raises StoreDamaged, StoreError."""
    path = folder / MANIFEST
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        if all({"bytes", "sha256"} <= listed.keys() for listed in files.values()):
            return files
    except FileNotFoundError:
        raise StoreDamaged(f"{folder} is incomplete: it has no {MANIFEST}") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise StoreDamaged(f"{path} is damaged: it is not a manifest")


def manifest_after(manifest: bytes, changed: Mapping[str, tuple[int, str] | None]) -> bytes:
    """A manifest when files of it have other (bytes, SHA-256), or, None, are there no more.

    Raises StoreDamaged where it is none.
    """
    try:
        table = json.loads(manifest)
        for name, new in changed.items():
            if new is None:
                table["files"].pop(name, None)
            elif name in table["files"]:
                table["files"][name] = {"bytes": new[0], "sha256": new[1]}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StoreDamaged("what should be a manifest is none") from None
    return json_bytes(table)


def files_of(folder: Path) -> list[str]:
    """Relative names of the files below `folder`, sorted, without the manifest and drafts."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
        and path != folder / MANIFEST
        and not (path.name.startswith(".") and path.suffix == ".tmp")
    )


def sync_folder(folder: Path) -> None:
    """Force the rename itself to the disk, where folders can be opened for that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # Windows, and some network disks: the rename is as durable as it gets
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EROFS, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
