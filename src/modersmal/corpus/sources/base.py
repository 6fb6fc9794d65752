"""What a source is: rows of (audio, text), in an order of its own, and a way to their bytes."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from modersmal.audio import SAMPLE_RATE
from modersmal.corpus.licences import UNKNOWN, Licence
from modersmal.errors import AudioError

MAX_CLIP_BYTES = 256 * 1024**2

PART = 1 << 32  # positions of one part, where a source comes in parts
Span = tuple[int, int]


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

    @property
    def name(self) -> str:
        """What tells it from the other rows of its source."""
        return self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece(Row):
    """A clip to be cut out of a recording, which is at `path`.

    It is samples `start` to `end` at 16 kHz; `segments` are (start, end, text) of what is said in
    it, in seconds from its own beginning. `size` is what it weighs as FLAC, about.
    """

    start: int
    end: int
    segments: tuple[tuple[float, float, str], ...]

    @property
    def name(self) -> str:
        return f"{self.path}#{self.start / SAMPLE_RATE:.3f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LongRow(Row):
    """A recording of `duration_s` whose text has no times; `head_s` limits what is taken of it."""

    duration_s: float
    head_s: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that cannot become a clip, told while the source is read.

    Of a part of the recording at `path`, `of_recording` is set.
    """

    where: str
    reason: str
    detail: str
    path: str | None = None
    split: str | None = None
    text: str | None = None
    of_recording: bool = field(default=False, repr=False)  # fingerprints stay as they were


class Source(ABC):
    """A place that clips come from.

    `root` is the folder that the rows' paths are relative to, and that they must not leave; it is
    None for an archive or a remote dataset, whose clips come in one stream instead. `address` is
    how a source from afar is written in a recipe, and `revision` the state of it that is read,
    once that is known; so is `unaligned`, the number of its recordings without times. Of one whose
    clips `can_be_erased`, none goes into a corpus that was erased while that was prepared.
    """

    kind: str
    licence: Licence = UNKNOWN
    address: str | None = None
    revision: str | None = None
    unaligned: int = 0
    can_be_erased: bool = False

    def __init__(self, name: str, root: Path | None) -> None:
        self.name, self.root = name, root

    def check(self) -> None:  # noqa: B027  what is on this machine needs no such look
        """Find out, in seconds, what would keep a source from afar from coming.

        Raises:
            CorpusError, HubError: it says which page to visit, or what to install.
        """

    def fetch(self) -> bool:
        """Bring the source to this machine; False where it comes only while it is prepared.

        Raises:
            CorpusError, HubError, StoreError: it cannot come; what came is kept.
        """
        return True

    @abstractmethod
    def rows(self) -> Iterator[Row | Refused]:
        """Read every row, in the same order each time.

        Raises:
            CorpusError: the source as a whole cannot be read: no such file, a missing column.
        """

    def clips(self, spans: Sequence[Span]) -> Iterator[tuple[int, bytes]]:
        """Positions and bytes of clips, in the order of their rows, where `root` is None.

        At least those within `spans` come, the first and last positions of what is needed.
        """
        raise NotImplementedError(f"{self.name} has files")

    def described(self) -> dict[str, Any]:
        """What a corpus says of the source, once its rows are read."""
        return {
            "name": self.name,
            "kind": self.kind,
            "address": self.address,
            "revision": self.revision,
            "licence": self.licence.name,
            "licence_url": self.licence.url,
            "redistributable": self.licence.redistributable,
        }

    def settle(self, described: dict[str, Any]) -> bool:
        """Go back to the revision that was described in a run before; False where it is gone."""
        return True

    def fingerprint(self) -> str:
        """A hash that changes when the rows, or the sizes of their clips, do.

        That of a source from afar is of its address alone, so that neither a restart nor a finished
        corpus needs the network, or minds that the source has grown since.
        """
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
