"""A Common Voice release straight from its .tar.gz: nothing is unpacked to the disk.

The archive is read twice from front to end: first for its tables and the order of its clips, then
for the clips. Rows come in the order of their clips, so that the second reading meets each clip
where the plan expects it.
"""

import gzip
import hashlib
import tarfile
import zlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from modersmal.corpus.sources.base import (
    MAX_CLIP_BYTES,
    Refused,
    Row,
    Source,
    Span,
    hash64,
)
from modersmal.corpus.sources.common_voice import (
    LICENCE,
    TABLES,
    Table,
    choose_language,
    release_name,
    tables_to_read,
)
from modersmal.errors import CorpusError

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar")
_BUFFER_BYTES = 1 << 18
_FINGERPRINT_BYTES = 1 << 20


class CommonVoiceArchive(Source):
    """A release in its archive; `language` chooses where the archive holds several."""

    kind = "common-voice"
    licence = LICENCE

    def __init__(self, path: Path, language: str) -> None:
        stem = next(path.name[: -len(end)] for end in ARCHIVE_SUFFIXES if path.name.endswith(end))
        super().__init__(stem, None)
        self.path, self.language = path.resolve(), language

    def fingerprint(self) -> str:
        """Of its size, its beginning and its end: telling, and read in no time."""
        with _damage_told(self.path), self.path.open("rb") as file:
            size = file.seek(0, 2)
            digest = hashlib.sha256(f"{size} {self.language}".encode())
            for start in (0, max(0, size - _FINGERPRINT_BYTES)):
                file.seek(start)
                digest.update(file.read(_FINGERPRINT_BYTES))
        return digest.hexdigest()

    def rows(self) -> Iterator[Row | Refused]:
        tables, clips = _read_index(self.path)
        folder = PurePosixPath(choose_language(tables, self.language, str(self.path)))
        self.name = release_name(folder) or self.name
        for table in tables_to_read(tables[folder], f"{self.path}: {folder}"):
            yield from self._in_archive_order(
                Table(table, f"{self.path}: {table}"),
                tables[folder][table],
                clips,
                folder / "clips",
            )

    def clips(self, spans: Sequence[Span]) -> Iterator[tuple[int, bytes]]:
        """Every file's position and bytes, in the order of the archive (none for a huge one)."""
        for position, member, tar in _members(self.path):
            if member.isfile() and not member.name.endswith(".tsv"):
                yield position, _content(tar, member) if member.size <= MAX_CLIP_BYTES else b""

    def _in_archive_order(
        self, table: Table, content: bytes, clips: "_ClipIndex", folder: PurePosixPath
    ) -> Iterator[Row | Refused]:
        """Two readings of the table: where each row's clip lies, then the rows by that."""
        lines = _Lines(content)
        positions, sizes, numbers = array("q"), array("q"), array("q")
        for number, row in table.numbered_rows(lines):
            if isinstance(row, Row):
                position, size = clips.find(str(folder / row.path))
                if position >= 0:
                    positions.append(position)
                    sizes.append(size)
                    numbers.append(number)
                    continue
                missing = f"the archive holds no clips/{row.path}"
                row = Refused(row.where, "unreadable", missing, row.path, row.split, row.text)
            yield row
        for place in np.argsort(np.asarray(positions), kind="stable"):
            row = table.row_of(lines[numbers[place] - 1], numbers[place])
            if isinstance(row, Row):
                yield replace(row, position=positions[place], size=sizes[place])


class _Lines:
    """The lines of a table in memory, found by index, for one int64 a line."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        ends = np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n")) + 1
        self._bounds = np.concatenate(([0], ends, [len(content)]))

    def __getitem__(self, index: int) -> bytes:
        return self._content[self._bounds[index] : self._bounds[index + 1]]

    def __iter__(self) -> Iterator[bytes]:
        return (self[index] for index in range(len(self._bounds) - 1))


class _ClipIndex:
    """Where each file of the archive lies, for 20 bytes a file: names are kept as hashes."""

    def __init__(self, names: array, positions: array, sizes: array) -> None:
        order = np.argsort(np.asarray(names), kind="stable")
        self._names = np.asarray(names)[order]
        self._positions = np.asarray(positions)[order]
        self._sizes = np.asarray(sizes)[order]

    def find(self, name: str) -> tuple[int, int]:
        """Position and size of a file, (-1, 0) where there is none."""
        hashed = np.uint64(hash64(name))
        place = int(np.searchsorted(self._names, hashed))
        if place == len(self._names) or self._names[place] != hashed:
            return -1, 0
        return int(self._positions[place]), int(self._sizes[place])


Tables = dict[PurePosixPath, dict[str, bytes]]


def _read_index(path: Path) -> tuple[Tables, _ClipIndex]:
    """Read an archive to its end for its tables, by language folder, and its other files."""
    tables: Tables = {}
    names, positions, sizes = array("Q"), array("q"), array("q")
    for position, member, tar in _members(path):
        name = PurePosixPath(member.name)
        if not member.isfile():
            continue
        if name.name in TABLES:
            tables.setdefault(name.parent, {})[name.name] = _content(tar, member)
        else:
            names.append(hash64(str(name)))
            positions.append(position)
            sizes.append(member.size)
    return tables, _ClipIndex(names, positions, sizes)


def _members(path: Path) -> Iterator[tuple[int, tarfile.TarInfo, tarfile.TarFile]]:
    """Stream through an archive, to its last byte: a gzip's checksum stands there."""
    with _damage_told(path), _decompressed(path) as stream:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_BUFFER_BYTES) as tar:
            position = 0
            while (member := tar.next()) is not None:
                yield position, member, tar
                tar.members = []  # type: ignore[attr-defined]  # tarfile would remember every one
                position += 1
        while stream.read(_BUFFER_BYTES):
            pass


def _decompressed(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if is_gzip else path.open("rb")  # type: ignore[return-value]


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(f"{path} is damaged or cut short ({error}); download it again") from error
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror or error}") from error
