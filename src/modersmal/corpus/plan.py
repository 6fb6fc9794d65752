"""The plan of a corpus: every row that its sources have, dealt to shards before work begins.

Shards depend on the rows alone, never on workers, so that any number of them makes the same corpus
and a restart finds what is done. The plan lies in the work folder as one Arrow record batch a
shard; a worker reads the one it is given.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from modersmal import store
from modersmal.config import DataConfig
from modersmal.corpus.schema import COLUMNS, RECORDING_COLUMNS
from modersmal.corpus.sources.base import (
    PART,
    LongRow,
    Piece,
    Refused,
    Row,
    Source,
    Span,
    hash64,
)
from modersmal.corpus.splits import assign_split, recording_split

SHARD_ROWS = 500
SHARD_BYTES = 16 * 1024**2

_PLAN_FILE = "plan.json"
_ROWS_FILE = "plan.arrow"
_REFUSED_FILE = "refused.jsonl"
_ROW_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "path", "text", "where", "speaker", "extras", "cut")]
    + [("position", pa.int64())]
)


@dataclass(frozen=True)
class PlannedRow:
    """A row as a worker needs it; `id` is unique in the corpus."""

    id: str
    path: str
    text: str
    where: str
    speaker: str | None
    extras: str  # a JSON object
    position: int
    cut: str | None = None  # of a piece of a recording, a JSON object: start, end, segments


@dataclass(frozen=True)
class PlannedShard:
    """`number` counts all shards, `index` those of the split; `source` is an index."""

    number: int
    split: str
    index: int
    source: int
    rows: int


@dataclass(frozen=True)
class Plan:
    """What is to be done. `sources` are as `corpus.json` lists them."""

    work: Path
    key: str
    shards: list[PlannedShard]
    sources: list[dict[str, Any]]
    extras: list[str]
    recordings: bool = False

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)

    def rows_of(self, shard: PlannedShard) -> list[PlannedRow]:
        """Read one shard's rows from the work folder."""
        with pa.memory_map(str(self.work / _ROWS_FILE)) as file:
            batch = pa.ipc.open_file(file).get_batch(shard.number)
            return [PlannedRow(**row) for row in batch.to_pylist()]

    def spans_of(self, shard: PlannedShard) -> list[Span]:
        """First and last positions of the runs in which one shard's clips lie.

        A run ends where a part of the source does.
        """
        positions = self.positions_of(shard)
        ends = [place for place, (a, b) in enumerate(pairwise(positions), 1) if b - a > PART // 2]
        return [
            (positions[first], positions[end - 1])
            for first, end in pairwise([0, *ends, len(positions)])
        ]

    def positions_of(self, shard: PlannedShard) -> list[int]:
        """Places in the stream of one shard's clips, rising."""
        with pa.memory_map(str(self.work / _ROWS_FILE)) as file:
            return pa.ipc.open_file(file).get_batch(shard.number)["position"].to_pylist()

    def refused(self) -> Iterator[dict[str, Any]]:
        """Rows that never became work, as `rejected.jsonl` lists them."""
        with (self.work / _REFUSED_FILE).open(encoding="utf-8") as file:
            yield from map(json.loads, file)


def load_plan(work: Path, key: str) -> Plan | None:
    """The plan in the work folder, if it was made from the same sources and settings."""
    try:
        written = json.loads((work / _PLAN_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if written["key"] != key:
        return None
    shards = [PlannedShard(**shard) for shard in written["shards"]]
    recordings = written.get("recordings", False)
    return Plan(work, key, shards, written["sources"], written["extras"], recordings)


def planned_names(work: Path) -> Iterator[str]:
    """What all rows of the plan in a work folder are called, those that were refused included."""
    if (work / _ROWS_FILE).is_file():
        with pa.memory_map(str(work / _ROWS_FILE)) as file:
            batches = pa.ipc.open_file(file)
            for number in range(batches.num_record_batches):
                batch = batches.get_batch(number)
                for name in ("id", "path", "extras"):
                    yield from batch[name].to_pylist()
    if (work / _REFUSED_FILE).is_file():
        with (work / _REFUSED_FILE).open(encoding="utf-8") as lines:
            yield from lines


class Align(Protocol):
    """Cuts a recording whose text has no times into rows."""

    def __call__(self, row: LongRow, source: Source) -> Iterator[Row | Refused]: ...


def make_plan(
    sources: list[Source],
    work: Path,
    key: str,
    data: DataConfig,
    language: str,
    align: Align | None = None,
) -> Plan:
    """Read all sources once and write the plan; only one shard's rows a split are in memory.

    Without `align`, recordings without times are taken for clips, and rejected for their length.
    """
    with (
        store.replacing(work / _ROWS_FILE) as rows_file,
        store.replacing(work / _REFUSED_FILE) as refused_file,
        pa.ipc.new_file(rows_file, _ROW_SCHEMA) as batches,
    ):
        planner = _Planner(data, language, align, batches, refused_file)
        for number, source in enumerate(sources):
            planner.add(source, number)
    reserved = RECORDING_COLUMNS if planner.recordings else {}
    extras = [name for name in planner.extras if name not in reserved]
    written = {
        "key": key,
        "shards": [asdict(shard) for shard in planner.shards],
        "sources": planner.sources,
        "extras": extras,
        "recordings": planner.recordings,
    }
    store.write_json(work / _PLAN_FILE, written)
    return Plan(work, key, planner.shards, planner.sources, extras, planner.recordings)


class _Planner:
    """Deals rows to shards as they come."""

    def __init__(
        self, data: DataConfig, language: str, align: Align | None, batches: Any, refused: Any
    ) -> None:
        self.shards: list[PlannedShard] = []
        self.sources: list[dict[str, Any]] = []
        self.extras: list[str] = []
        self.recordings = False
        self._data, self._language, self._align = data, language, align
        self._batches, self._refused = batches, refused
        self._indices: dict[str, int] = {}

    def add(self, source: Source, number: int) -> None:
        """Take all rows of one source; shards do not run over to the next."""
        open_shards: dict[str, _OpenShard] = {}
        seen: set[int] = set()
        count = 0
        for row in self._rows(source):
            count += 1
            name = self._unique_name(source.name)
            if isinstance(row, Refused):
                self._refuse(row, name)
                continue
            split = row.split or assign_split(row, self._data, self._language)
            shard = open_shards.setdefault(split, _OpenShard())
            if shard.is_full(row.size):
                self._close(shard, split, number)
                shard = open_shards[split] = _OpenShard()
            shard.add(self._planned(row, name, seen), row.size)
        for split, shard in open_shards.items():
            self._close(shard, split, number)
        described = source.described() | {"name": self._unique_name(source.name), "rows": count}
        self.sources.append(described)

    def _rows(self, source: Source) -> Iterator[Row | Refused]:
        for row in source.rows():
            if self._align and isinstance(row, LongRow):
                yield from self._align(row, source)
            else:
                yield row

    def _unique_name(self, name: str) -> str:
        taken = [source["name"] for source in self.sources]
        unique, number = name, 1
        while unique in taken:
            number += 1
            unique = f"{name}-{number}"
        return unique

    def _planned(self, row: Row, source: str, seen: set[int]) -> PlannedRow:
        identity, number = f"{source}/{row.name}", 1
        unique = identity
        while hash64(unique) in seen:
            number += 1
            unique = f"{identity}#{number}"
        seen.add(hash64(unique))
        for name in row.extras:
            if name not in self.extras and name not in COLUMNS:
                self.extras.append(name)
        extras, cut = json.dumps(row.extras, ensure_ascii=False), None
        if isinstance(row, Piece):
            self.recordings = True
            parts = {"start": row.start, "end": row.end, "segments": row.segments}
            cut = json.dumps(parts, ensure_ascii=False)
        return PlannedRow(
            unique, row.path, row.text, row.where, row.speaker, extras, row.position, cut
        )

    def _close(self, shard: "_OpenShard", split: str, source: int) -> None:
        columns = [[getattr(row, name) for row in shard.rows] for name in _ROW_SCHEMA.names]
        self._batches.write_batch(pa.record_batch(columns, schema=_ROW_SCHEMA))
        index = self._indices.get(split, 0)
        self._indices[split] = index + 1
        self.shards.append(PlannedShard(len(self.shards), split, index, source, len(shard.rows)))

    def _refuse(self, refused: Refused, source: str) -> None:
        split = refused.split
        if split is None and refused.of_recording and refused.path:
            split = recording_split(refused.path, self._data)
        entry = {
            "source": source,
            "where": refused.where,
            "path": refused.path,
            "split": split,
            "reasons": [refused.reason],
            "detail": refused.detail,
            "text": refused.text,
        }
        self._refused.write((json.dumps(entry, ensure_ascii=False) + "\n").encode("utf-8"))


class _OpenShard:
    def __init__(self) -> None:
        self.rows: list[PlannedRow] = []
        self._bytes = 0

    def is_full(self, more_bytes: int) -> bool:
        return bool(self.rows) and (
            len(self.rows) >= SHARD_ROWS or self._bytes + more_bytes > SHARD_BYTES
        )

    def add(self, row: PlannedRow, size: int) -> None:
        self.rows.append(row)
        self._bytes += size
