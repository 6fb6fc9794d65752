"""The folder that is launched from: what was written there last time gives way, and nothing else.

`launch.json` lists what was written, by hash. A file that somebody has changed since is theirs.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modersmal.errors import StoreError
from modersmal.launch.target import File
from modersmal.store import sha256, write_bytes, write_json, writing

LISTING = "launch.json"


@dataclass(frozen=True)
class Former:
    """What an earlier launch wrote into a folder: files by name, with their SHA-256."""

    target: str | None
    files: dict[str, str]

    @classmethod
    def of(cls, folder: Path) -> "Former":
        """Raises StoreError where the listing cannot be read."""
        try:
            table = json.loads((folder / LISTING).read_text(encoding="utf-8"))
            return cls(str(table["target"]), dict(table["files"]))
        except (FileNotFoundError, NotADirectoryError):
            return cls(None, {})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{folder / LISTING} cannot be read; remove the folder") from error


def must_be_free(folder: Path, target: str, names: set[str]) -> None:
    """Raises StoreError where something of another's is in the way."""
    former = Former.of(folder)
    if former.target not in (None, target):
        raise StoreError(f"{folder} holds files for {former.target}; choose another folder")
    for name in sorted(names):
        path = folder / name
        if path.exists() and (not path.is_file() or former.files.get(name) != sha256(path)):
            raise StoreError(
                f"{path} is there, and not as `modersmal launch` wrote it; move it away, or choose "
                "another folder"
            )


def remove_former(folder: Path, names: set[str]) -> None:
    """Remove what was written before and is not written any more, if it is unchanged."""
    for name, digest in Former.of(folder).files.items():
        path = folder / name
        if name not in names and path.is_file() and sha256(path) == digest:
            path.unlink()


def write_files(folder: Path, files: Mapping[str, File]) -> None:
    for name, file in files.items():
        write_bytes(folder / name, file.text.encode())
        with writing(folder / name):
            (folder / name).chmod(0o755 if file.executable else 0o644)


def write_listing(folder: Path, target: str, version: str, names: set[str]) -> None:
    hashes = {name: sha256(folder / name) for name in sorted(names)}
    write_json(folder / LISTING, {"target": target, "modersmal": version, "files": hashes})
