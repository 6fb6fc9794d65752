"""What a source is: rows of (audio, text), in an order of its own, and a way to their bytes."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from modersmal.errors import AudioError

MAX_CLIP_BYTES = 256 * 1024**2


@dataclass(frozen=True, slots=True)
class Row:
    """One clip as its source describes it.

    `path` is relative to the source; `where` is the place a person would look at ("train.tsv line
    17"); `size` are bytes, 0 where there is no such file; `position` is the clip's place in an
    archive, -1 elsewhere; `extras` is what else the source knows.
    """

    path: str
    text: str
    where: str
    speaker: str | None = None
    split: str | None = None
    size: int = 0
    position: int = -1
    extras: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that cannot become a clip, told while the source is read."""

    where: str
    reason: str
    detail: str
    path: str | None = None
    split: str | None = None
    text: str | None = None


class Source(ABC):
    """A place that clips come from.

    `root` is the folder that the rows' paths are relative to, and that they must not leave; it is
    None for an archive, whose clips come in one stream instead.
    """

    kind: str
    licence: str | None = None
    redistributable: bool | None = None  # whether its clips may be passed on; None: not known

    def __init__(self, name: str, root: Path | None) -> None:
        self.name, self.root = name, root

    @abstractmethod
    def rows(self) -> Iterator[Row | Refused]:
        """Read every row, in the same order each time.

        Raises:
            CorpusError: the source as a whole cannot be read: no such file, a missing column.
        """

    def fingerprint(self) -> str:
        """A hash that changes when the rows, or the sizes of their clips, do."""
        digest = hashlib.sha256()
        for row in self.rows():
            digest.update(repr(row).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


class LeavingError(AudioError):
    """A row points out of its source."""


def hash64(text: str) -> int:
    """A hash that is the same in every process, of 64 bits: what is kept of long strings."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def clip_path(root: Path, path: str) -> Path:
    """Where a row's clip lies, links followed; `root` has to be resolved.

    Raises:
        LeavingError: the path is absolute, or leads out of `root`, by `..` or by a link.
    """
    if "\0" in path:
        raise LeavingError(f"{path!r} cannot be a path")
    if path.startswith(("/", "\\")) or Path(path).is_absolute():
        raise LeavingError(f"{path} is absolute; write it relative to the source")
    folder, name = os.path.split(path)
    found = _resolved(root, folder) / name
    if name in ("", ".", "..") or found.is_symlink():
        found = found.resolve()
    if not found.is_relative_to(root):
        raise LeavingError(f"{path} leads out of the source")
    return found


@lru_cache(maxsize=1024)
def _resolved(root: Path, folder: str) -> Path:
    return (root / folder).resolve()


def clip_size(root: Path, path: str) -> int:
    """Bytes of a clip, 0 where there is none or its path looks as if it left `root`."""
    if path.startswith("/") or ".." in path.split("/") or "\0" in path:
        return 0
    try:
        return os.stat(os.path.join(root, path)).st_size
    except OSError:
        return 0
