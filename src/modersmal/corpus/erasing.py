"""Erase clips from a finished corpus, wherever it is kept: shards, rejections, counts, hash.

    corpus.json     says, before anything else is touched, what is being erased
    shards          one after the other, each written whole
    rejected.jsonl
    corpus.json     with counts and hash of what is left
    manifest.json   of a corpus that was put into a store

Cut short anywhere, the same call ends it: what a shard holds is read from the shard, and a corpus
whose files are not those that it lists is put in order.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from modersmal import store
from modersmal.corpus.corrections.traces import ids_in, traces_of, without
from modersmal.corpus.schema import CORPUS_FILE, REJECTED_FILE, SHARD_FILE
from modersmal.corpus.shards import Shard, ShardWriter, with_hash
from modersmal.errors import CorpusError
from modersmal.store.faults import fault
from modersmal.store.files import json_bytes, manifest_after
from modersmal.store.remote import Remote

ERASED = "(erased)"
_SOURCE = "corrections"
_FETCHED = "fetched-"
_UNREAD = ("audio", "text", "segments", "flags", "duration")


def may_hold_corrections(info: Mapping[str, Any]) -> bool:
    """Whether a corpus was made from corrections, or does not say what from."""
    sources = info.get("sources")
    return not sources or any(map(is_of_corrections, sources))


def is_of_corrections(source: Mapping[str, Any]) -> bool:
    """Whether a source, as a corpus lists it, is what people have corrected."""
    return any(_SOURCE in str(source.get(key)) for key in ("name", "kind", "address"))


def holds(shard: Path, ids: Collection[str]) -> bool:
    """Whether any of the corrections is in a shard, of whatever corpus. Raises CorpusError."""
    return bool(_told(shard, None, ids).hit)


class Erasing:
    """What of the corrections `ids` is in the corpus at `place`, and their erasing.

    What is far away is fetched a shard at a time into the folder `work`.

    Raises:
        CorpusError: a file of it is damaged.
        StoreError: it cannot be read.
    """

    def __init__(self, place: Remote, ids: Collection[str], work: Path) -> None:
        self._place, self._ids, self._work = place, ids, work
        self._names = place.sizes()
        self._info = self._table(CORPUS_FILE)
        listed = _listed(self._info)
        self._shards = {
            name: self._look(name, listed.get(name))
            for name in sorted(self._names)
            if SHARD_FILE.fullmatch(name)
        }
        there = {name: one.shard for name, one in self._shards.items() if name in listed}
        self._unfinished = there != listed or not self._is_sealed()

    @property
    def needed(self) -> bool:
        """Whether there is anything to be done."""
        return bool(self._hit) or self._unfinished or self._without_rejected() is not None

    def erase(self) -> bool:
        """Erase them; False where there was nothing to be done.

        Raises StoreError where it cannot be written.
        """
        if not self.needed:
            return False
        rejected = self._without_rejected()
        info = dict(self._info)
        if self._hit:
            info["forgotten"] = self._forgotten()
            info["was"] = [*info.get("was", ()), info["hash"]]
            self._place.write(CORPUS_FILE, json_bytes(with_hash(info)))
            fault("forget.after-note")
        for name in self._hit:
            self._rewrite(name)
            fault("forget.after-shard")
        if rejected is not None:
            self._place.write(REJECTED_FILE, rejected)
        fault("forget.before-corpus")
        content = json_bytes(with_hash(info | self._counted(info)))
        self._place.write(CORPUS_FILE, content)
        fault("forget.before-manifest")
        self._seal(content)
        return True

    @property
    def _hit(self) -> list[str]:
        return [name for name, one in self._shards.items() if one.hit]

    def _look(self, name: str, listed: Shard | None) -> "_Told":
        with brought(self._place, name, self._work) as path:
            return _told(path, listed, self._ids)

    def _rewrite(self, name: str) -> None:
        told, new_path = self._shards[name], self._work / name
        with (
            brought(self._place, name, self._work) as path,
            pq.ParquetFile(path) as old,
            ShardWriter(new_path, old.schema_arrow) as new,
        ):
            for number, row in enumerate(_rows(old)):
                if number not in told.hit:
                    new.add(row)
        if new.shard is None:
            self._place.delete(name)
            del self._shards[name]
            return
        try:
            self._place.put(new_path, name)
        finally:
            new_path.unlink()
        self._shards[name] = replace(told.left, shard=new.shard)

    def _without_rejected(self) -> bytes | None:
        """The list of rejected clips without them; None where none of them is in it."""
        lines, changed = [], False
        for line in self._lines():
            if not ids_in(line) & set(self._ids):
                lines.append(line)
                continue
            changed = True
            entry = json.loads(line)
            if not ids_in(f"{entry['path']} {entry['where']}") & set(self._ids):
                told = {key: _redacted(value, self._ids) for key, value in entry.items()}
                lines.append(json.dumps(told, ensure_ascii=False))
        return "".join(f"{line}\n" for line in lines).encode() if changed else None

    def _lines(self) -> list[str]:
        if REJECTED_FILE not in self._names:
            return []
        lines = self._place.read(REJECTED_FILE).decode("utf-8").split("\n")
        return [line for line in lines if line]

    def _forgotten(self) -> dict[str, list[str]]:
        """All that was ever erased from it, and what is to be."""
        found = {name: set(traces) for name, traces in self._info.get("forgotten", {}).items()}
        for one in self._shards.values():
            if one.ids:
                found.setdefault(one.split, set()).update(traces_of(one.ids))
        return {name: sorted(found[name]) for name in sorted(found)}

    def _counted(self, info: dict[str, Any]) -> dict[str, Any]:
        """What `corpus.json` counts, as it is now. Of what splits have in common, nothing is
        counted again."""
        told = [one for name, one in self._shards.items() if one.is_listed]
        entries = [json.loads(line) for line in self._lines()]
        rejected: dict[str, Counter[str]] = defaultdict(Counter)
        rows = Counter[str](entry["source"] for entry in entries)
        for entry in entries:
            rejected[entry["split"] or "unknown"][entry["reasons"][0]] += 1
        flagged: dict[str, Counter[str]] = defaultdict(Counter)
        for one in told:
            rows.update(one.sources)
            if one.flags:
                flagged[one.split].update(one.flags)
        new: dict[str, Any] = {
            "splits": {
                name: _counted(split, [one for one in told if one.split == name])
                for name, split in info["splits"].items()
            },
            "flagged": _in_order(info.get("flagged", {}), flagged),
            "rejected": _in_order(info.get("rejected", {}), rejected),
            "sources": [
                source | {"rows": rows[source["name"]]} for source in info.get("sources", ())
            ],
        }
        if REJECTED_FILE in self._names:
            new["rejected_sha256"] = hashlib.sha256(self._place.read(REJECTED_FILE)).hexdigest()
        return {name: value for name, value in new.items() if name in info}

    def _is_sealed(self) -> bool:
        """Whether its manifest, if it has one, knows this `corpus.json`."""
        if store.MANIFEST not in self._names:
            return True
        known = self._table(store.MANIFEST).get("files", {}).get(CORPUS_FILE, {})
        content = self._place.read(CORPUS_FILE)
        return known.get("sha256") == hashlib.sha256(content).hexdigest()

    def _seal(self, corpus_file: bytes) -> None:
        if store.MANIFEST not in self._names:
            return
        listed = _listed(json.loads(corpus_file))
        changed: dict[str, tuple[int, str] | None] = {
            name: (listed[name].bytes, listed[name].sha256) if name in listed else None
            for name in {*listed, *_listed(self._info)}
        }
        changed[CORPUS_FILE] = _weighed(corpus_file)
        if REJECTED_FILE in self._names:
            changed[REJECTED_FILE] = _weighed(self._place.read(REJECTED_FILE))
        manifest = manifest_after(self._place.read(store.MANIFEST), changed)
        self._place.write(store.MANIFEST, manifest)

    def _table(self, name: str) -> dict[str, Any]:
        try:
            table = json.loads(self._place.read(name))
            return dict(table.items())
        except (ValueError, AttributeError) as error:
            raise CorpusError(f"{self._place.url}/{name} cannot be read: {error}") from error


@contextmanager
def brought(place: Remote, name: str, work: Path) -> Iterator[Path]:
    """A file on this machine; of a place far away, a copy in `work` that goes again."""
    if place.folder is not None:
        yield place.folder / name
        return
    path = work / f"{_FETCHED}{name.rpartition('/')[2]}"
    place.get(name, path)
    try:
        yield path
    finally:
        path.unlink()


@dataclass(frozen=True)
class _Told:
    """What a shard holds: the rows in `hit` are to go, which are clips of `ids`.

    `recordings` are seconds of each; sources, speakers, recordings and flags are of what is left.
    """

    shard: Shard
    is_listed: bool
    split: str
    hit: frozenset[int]
    ids: frozenset[str]
    sources: Counter[str]
    speakers: frozenset[str]
    recordings: Counter[str]
    flags: Counter[str]

    @property
    def left(self) -> "_Told":
        return replace(self, hit=frozenset(), ids=frozenset())


def _told(path: Path, listed: Shard | None, ids: Collection[str]) -> _Told:
    try:
        with pq.ParquetFile(path) as file:
            rows = _without_audio(file)
            groups = tuple(
                file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)
            )
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    wanted, hit, found = set(ids), set[int](), set[str]()
    for number, row in enumerate(rows):
        named = [value for key, value in row.items() if key not in _UNREAD]
        if mine := ids_in(" ".join(map(str, named))) & wanted:
            hit.add(number)
            found |= mine
    left = [row for number, row in enumerate(rows) if number not in hit]
    recordings: Counter[str] = Counter()
    for row in left:
        if row.get("recording") is not None:
            recordings[row["recording"]] += row["duration"]
    return _Told(
        shard=_measured(path, listed, groups, rows),
        is_listed=listed is not None,
        split=path.name.removeprefix(_FETCHED).rpartition("-")[0],
        hit=frozenset(hit),
        ids=frozenset(found),
        sources=Counter(row["source"] for row in left),
        speakers=frozenset(row["speaker"] for row in left if row["speaker"]),
        recordings=recordings,
        flags=Counter(flag for row in left for flag in row["flags"] or ()),
    )


def _measured(
    path: Path, listed: Shard | None, groups: tuple[int, ...], rows: list[dict[str, Any]]
) -> Shard:
    """The shard as it is; where it has the size and rows that are listed, it is what is listed."""
    size_bytes = path.stat().st_size
    if listed and (listed.bytes, listed.row_groups) == (size_bytes, groups):
        return listed
    duration_s = round(sum(row["duration"] for row in rows), 3)
    name = path.name.removeprefix(_FETCHED)
    return Shard(name, sum(groups), groups, size_bytes, store.sha256(path), duration_s)


def _without_audio(file: pq.ParquetFile) -> list[dict[str, Any]]:
    names = [name for name in file.schema_arrow.names if name not in ("audio", "text", "segments")]
    table = file.read(columns=[*names, "audio.path"], use_threads=False)
    paths = [audio["path"] for audio in table["audio"].to_pylist()]
    rows = table.drop_columns("audio").to_pylist()
    return [row | {"path": path} for row, path in zip(rows, paths, strict=True)]


def _rows(file: pq.ParquetFile) -> Iterator[dict[str, Any]]:
    for group in range(file.num_row_groups):
        yield from file.read_row_group(group, use_threads=False).to_pylist()


def _counted(split: dict[str, Any], told: list[_Told]) -> dict[str, Any]:
    recordings: Counter[str] = Counter()
    for one in told:
        recordings.update(one.recordings)
    new = {
        "clips": sum(one.shard.rows for one in told),
        "duration_s": round(sum(one.shard.duration_s for one in told), 3),
        "speakers": len(frozenset().union(*(one.speakers for one in told))),
        "shards": [asdict(one.shard) for one in told],
        "recordings": len(recordings),
        "recorded_s": round(sum(recordings.values()), 3),
    }
    return split | {name: value for name, value in new.items() if name in split}


def _in_order(
    before: Mapping[str, Mapping[str, int]], now: Mapping[str, Counter[str]]
) -> dict[str, dict[str, int]]:
    """Counts by split and reason, both in the order in which they were."""
    return {
        split: {reason: now[split][reason] for reason in reasons if now[split][reason]}
        for split, reasons in before.items()
        if now.get(split)
    }


def _listed(info: Mapping[str, Any]) -> dict[str, Shard]:
    shards = [shard for split in info["splits"].values() for shard in split["shards"]]
    return {
        shard["file"]: Shard(**shard | {"row_groups": tuple(shard["row_groups"])})
        for shard in shards
    }


def _redacted(value: Any, ids: Collection[str]) -> Any:
    if isinstance(value, list):
        return [_redacted(one, ids) for one in value]
    return without(value, ids, ERASED) if isinstance(value, str) else value


def _weighed(data: bytes) -> tuple[int, str]:
    return len(data), hashlib.sha256(data).hexdigest()
