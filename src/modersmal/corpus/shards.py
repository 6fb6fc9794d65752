"""Write shards, and read a finished corpus: lengths and texts without its audio, clips by index.

Row groups are small (≤ 100 clips, ≤ 16 MiB), so that one random clip costs the reading of few.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from modersmal import store
from modersmal.audio import SAMPLE_RATE
from modersmal.corpus.schema import (
    COLUMNS,
    CORPUS_FILE,
    FORMAT,
    MAX_ROW_GROUP_BYTES,
    MAX_ROW_GROUP_ROWS,
)
from modersmal.errors import CorpusError, StoreError, nearest

_CACHED_BYTES = 192 * 1024**2  # a step's clips come from some 40 row groups of 3 MB
_JOINT_S = 0.5 / SAMPLE_RATE


@dataclass(frozen=True)
class Shard:
    """A shard as `corpus.json` lists it; `row_groups` are their numbers of rows."""

    file: str
    rows: int
    row_groups: tuple[int, ...]
    bytes: int
    sha256: str
    duration_s: float


class ShardWriter:
    """Writes one shard, atomically: `with ShardWriter(path, schema) as shard: shard.add(row)`.

    The same rows give the same bytes. Without rows no file is made, and `shard` stays None.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.shard: Shard | None = None
        self._path, self._schema = path, schema
        self._rows: list[dict[str, Any]] = []
        self._pending_bytes = 0
        self._row_groups: list[int] = []
        self._duration_s = 0.0
        self._stack = ExitStack()
        self._parquet: pq.ParquetWriter | None = None

    def __enter__(self) -> "ShardWriter":
        return self

    def add(self, row: dict[str, Any]) -> None:
        """Add a row; columns that it lacks are null."""
        size = len(row["audio"]["bytes"])
        if self._rows and self._pending_bytes + size > MAX_ROW_GROUP_BYTES:
            self._flush()
        self._rows.append(row)
        self._pending_bytes += size
        self._duration_s += row["duration"]
        if len(self._rows) == MAX_ROW_GROUP_ROWS:
            self._flush()

    def __exit__(self, kind: type[BaseException] | None, *raised: Any) -> None:
        if kind is not None:
            self._stack.__exit__(kind, *raised)
            return
        with self._stack:
            self._flush()
        if self._parquet:
            self.shard = Shard(
                file=self._path.name,
                rows=sum(self._row_groups),
                row_groups=tuple(self._row_groups),
                bytes=self._path.stat().st_size,
                sha256=store.sha256(self._path),
                duration_s=round(self._duration_s, 3),
            )

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._parquet is None:
            file = self._stack.enter_context(store.replacing(self._path))
            self._parquet = self._stack.enter_context(_parquet_writer(file, self._schema))
        self._parquet.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self._row_groups.append(len(self._rows))
        self._rows, self._pending_bytes = [], 0


def _parquet_writer(file: Any, schema: pa.Schema) -> pq.ParquetWriter:
    """Audio is compressed already; what repeats (speakers, sources) is kept in dictionaries."""
    unique = {"id", "audio", "text", "duration"}
    if _tells_segments(schema):
        unique |= {"offset", "segments"}
    small = [name for name in schema.names if name not in unique]
    return pq.ParquetWriter(
        file,
        schema,
        compression={"audio.bytes": "NONE"} | dict.fromkeys(_leaves(schema), "ZSTD"),
        use_dictionary=[leaf for leaf in _leaves(schema) if leaf.split(".")[0] in small],
        write_statistics=["duration"],
    )


def _leaves(schema: pa.Schema) -> list[str]:
    """Parquet's names of the columns that are compressed."""
    nested, parts = {"audio", "flags"}, ["audio.path", "flags.list.element"]
    if _tells_segments(schema):
        nested.add("segments")
        parts += [f"segments.list.element.{part}" for part in ("start", "end", "text")]
    return [*(name for name in schema.names if name not in nested), *parts]


def _tells_segments(schema: pa.Schema) -> bool:
    """Whether clips are cut from recordings; a manifest may have a column of texts so named."""
    return "segments" in schema.names and pa.types.is_list(schema.field("segments").type)


@dataclass(frozen=True)
class StoredClip:
    """A clip as its shard has it: `data` is the encoded audio."""

    id: str
    text: str
    data: bytes


@dataclass(frozen=True)
class _RowGroup:
    """What is read of a row group: `id`, `text`, `audio`."""

    table: pa.Table

    @property
    def bytes(self) -> int:
        return int(self.table.nbytes)

    def clip(self, row: int) -> StoredClip:
        audio = self.table["audio"][row].as_py()["bytes"]
        return StoredClip(self.table["id"][row].as_py(), self.table["text"][row].as_py(), audio)


class Split:
    """One split of a corpus: its columns as a whole, its audio by index."""

    def __init__(self, folder: Path, name: str, shards: Sequence[Shard]) -> None:
        self.folder, self.name, self.shards = folder, name, tuple(shards)
        groups = [
            (number, group, rows)
            for number, shard in enumerate(self.shards)
            for group, rows in enumerate(shard.row_groups)
        ]
        self._groups = [(number, group) for number, group, _ in groups]
        self._starts = np.cumsum([0, *(rows for _, _, rows in groups)], dtype=np.int64)
        self._cached: OrderedDict[int, _RowGroup] = OrderedDict()

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def duration_s(self) -> float:
        """Seconds of audio in the split."""
        return sum(shard.duration_s for shard in self.shards)

    @cached_property
    def durations_s(self) -> np.ndarray:
        """Seconds of each clip: (n,) float32."""
        column = pa.chunked_array(self._read("duration"), pa.float32())
        return np.asarray(column.combine_chunks(), dtype=np.float32)

    @cached_property
    def ids(self) -> list[str]:
        return self.column("id")

    @cached_property
    def texts(self) -> list[str]:
        return self.column("text")

    @cached_property
    def speakers(self) -> list[str | None]:
        """Speaker of each clip, None where the source does not say."""
        return self.column("speaker")

    @cached_property
    def flags(self) -> list[list[str]]:
        """What the checks held against each clip; only dev and test keep such clips."""
        return self.column("flags")

    @cached_property
    def continues(self) -> np.ndarray:
        """Whether a clip goes on where the one before it ends, in the same recording: (n,) bool."""
        if not self.has_recordings:
            return np.zeros(len(self), bool)
        begins_s = np.array([s if s is not None else np.nan for s in self.column("offset")], float)
        ends_s = begins_s + self.durations_s
        recordings = np.array(self.column("recording"), object)
        follows = np.zeros(len(self), bool)
        follows[1:] = (recordings[1:] == recordings[:-1]) & (
            np.abs(begins_s[1:] - ends_s[:-1]) < _JOINT_S
        )
        return follows

    @cached_property
    def speech_s(self) -> np.ndarray:
        """When the speech of each clip begins and ends within it, in seconds: (n, 2) float32.

        0 and the clip's duration where nothing is known of that.
        """
        spans_s = np.stack([np.zeros(len(self), np.float32), self.durations_s], axis=1)
        if self.has_recordings:
            for row, segments in enumerate(self.column("segments")):
                if segments:
                    spans_s[row] = segments[0]["start"], segments[-1]["end"]
        return spans_s

    @cached_property
    def has_recordings(self) -> bool:
        """Whether clips may be cut out of recordings, so that some follow each other."""
        if not self.shards:
            return False
        with self._open(0) as file:
            return _tells_segments(file.schema_arrow)

    @property
    def columns(self) -> list[str]:
        """Names of the columns beside the audio, those that the sources added included."""
        if not self.shards:
            return [name for name in COLUMNS if name != "audio"]
        with self._open(0) as file:
            return [name for name in file.schema_arrow.names if name != "audio"]

    def column(self, name: str) -> list[Any]:
        """All values of one column, in order, without reading audio."""
        return [value for chunk in self._read(name) for value in chunk.to_pylist()]

    @property
    def row_group_starts(self) -> np.ndarray:
        """The first row of each row group, and behind the last the number of rows: int64."""
        return self._starts

    def values(self, name: str) -> Iterator[list[Any]]:
        """One column in order, a shard's part at a time: for splits that memory should not hold."""
        for number in range(len(self.shards)):
            yield [value for chunk in self._read_shard(number, name) for value in chunk.to_pylist()]

    def clips(self, indices: Iterable[int]) -> list[StoredClip]:
        """The clips at `indices`, in their order; each row group is read once, and kept a while.

        Raises:
            IndexError: an index is not in the split.
            CorpusError: a shard cannot be read.
        """
        wanted = np.fromiter(indices, dtype=np.int64)
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < len(self)):
            raise IndexError(f"the split {self.name!r} has {len(self)} clips, not {wanted.max()}")
        groups = np.searchsorted(self._starts, wanted, side="right") - 1
        found: dict[int, StoredClip] = {}
        for group in np.unique(groups):
            rows = self._row_group(int(group))
            for place in np.flatnonzero(groups == group):
                found[int(place)] = rows.clip(int(wanted[place] - self._starts[group]))
        return [found[place] for place in range(len(wanted))]

    def audio_bytes(self, indices: Iterable[int]) -> list[bytes]:
        """The encoded clips at `indices`, as `clips`."""
        return [clip.data for clip in self.clips(indices)]

    def _row_group(self, group: int) -> "_RowGroup":
        if group in self._cached:
            self._cached.move_to_end(group)
            return self._cached[group]
        number, inner = self._groups[group]
        columns = ["id", "text", "audio.bytes"]
        with self._open(number) as file:
            table = file.read_row_group(inner, columns=columns, use_threads=False)
        read = _RowGroup(table.combine_chunks())
        self._cached[group] = read
        while sum(one.bytes for one in self._cached.values()) > _CACHED_BYTES:
            if len(self._cached) == 1:
                break
            self._cached.popitem(last=False)
        return read

    def _read(self, column: str) -> list[pa.Array]:
        return [
            chunk
            for number in range(len(self.shards))
            for chunk in self._read_shard(number, column)
        ]

    def _read_shard(self, number: int, column: str) -> list[pa.Array]:
        with self._open(number) as file:
            names = file.schema_arrow.names
            if column not in names or column == "audio":
                raise CorpusError(
                    f"{self.folder} has no column {column!r}{nearest(column, names)}; "
                    f"it has {', '.join(name for name in names if name != 'audio')}"
                )
            return file.read(columns=[column], use_threads=False)[column].chunks

    @contextmanager
    def _open(self, number: int) -> Iterator[pq.ParquetFile]:
        path = self.folder / self.shards[number].file
        try:
            with pq.ParquetFile(path) as file:
                yield file
        except (OSError, pa.ArrowException) as error:
            raise CorpusError(
                f"{path} cannot be read ({str(error).splitlines()[0]}); "
                "check the disk, or delete the corpus and prepare it again"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        """Only what describes the split goes to another process, not what was read from it."""
        kept = ("folder", "name", "shards", "_groups", "_starts")
        return {name: self.__dict__[name] for name in kept} | {"_cached": OrderedDict()}


@dataclass(frozen=True)
class Corpus:
    """A finished corpus; `info` is its `corpus.json`."""

    path: Path
    info: dict[str, Any]

    @classmethod
    def open(cls, path: Path | str) -> "Corpus":
        """Open a prepared corpus.

        Raises:
            CorpusError: there is none, it is unfinished, of another format, or lacks a shard.
        """
        path = Path(path)
        corpus = cls(path, _read_info(path))
        for name in corpus.splits:
            for shard in corpus.split(name).shards:
                file = path / shard.file
                if not file.is_file() or file.stat().st_size != shard.bytes:
                    raise CorpusError(f"{file} is missing or cut short; prepare {path} again")
        return corpus

    @property
    def language(self) -> str:
        """The language that is spoken and written (BCP 47)."""
        return self.info["language"]

    @property
    def language_token(self) -> str:
        """Whisper's code that the language is written under: its own or a borrowed one."""
        return self.info["language_token"]

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.info["splits"])

    @property
    def hash(self) -> str:
        """SHA-256 over everything in the corpus: the same hash, the same clips and texts."""
        return self.info["hash"]

    @property
    def was(self) -> tuple[str, ...]:
        """Its hashes before clips were erased from it."""
        return tuple(self.info.get("was", ()))

    @property
    def forgotten(self) -> dict[str, list[str]]:
        """Traces of the corrections that were erased from it, by split."""
        return self.info.get("forgotten", {})

    def split(self, name: str) -> Split:
        """Raises CorpusError for a split that is not there, naming those that are."""
        if name not in self.info["splits"]:
            there = ", ".join(self.splits) or "none"
            raise CorpusError(
                f"{self.path} has no split {name!r}{nearest(name, self.splits)}; it has {there}"
            )
        shards = self.info["splits"][name]["shards"]
        return Split(
            self.path,
            name,
            [Shard(**shard | {"row_groups": tuple(shard["row_groups"])}) for shard in shards],
        )

    def verify(self) -> None:
        """Compare every shard with its hash. Raises CorpusError for the first that differs."""
        for name in self.splits:
            for shard in self.split(name).shards:
                file = self.path / shard.file
                try:
                    same = store.sha256(file) == shard.sha256
                except StoreError as error:
                    raise CorpusError(str(error)) from error
                if not same:
                    raise CorpusError(
                        f"{file} is damaged: its bytes are not those that were written; delete "
                        f"{self.path} and prepare it again"
                    )


def write_corpus_file(folder: Path, info: dict[str, Any]) -> Corpus:
    """Write `corpus.json`, which finishes the corpus."""
    store.write_json(folder / CORPUS_FILE, with_hash(info))
    return Corpus(folder, _read_info(folder))


def with_hash(info: dict[str, Any]) -> dict[str, Any]:
    """What `corpus.json` says, with its hash, which is over all of it but `key`, the hash of what
    the corpus was made from."""
    content = {"format": FORMAT} | {name: info[name] for name in info if name != "hash"}
    hashed = {name: content[name] for name in content if name != "key"}
    canonical = json.dumps(hashed, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return content | {"hash": hashlib.sha256(canonical.encode()).hexdigest()}


def _read_info(path: Path) -> dict[str, Any]:
    try:
        info = json.loads((path / CORPUS_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not path.exists():
            raise CorpusError(f"there is no corpus at {path}; make it with prepare") from None
        raise CorpusError(
            f"{path} is not a finished corpus (it has no {CORPUS_FILE}); "
            "start its prepare again, it goes on where it was"
        ) from None
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path / CORPUS_FILE} cannot be read: {error}") from error
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise CorpusError(
            f"{path / CORPUS_FILE} is not of corpus format {FORMAT}; prepare the corpus again"
        )
    return info
