"""Make one corpus of the prepared shards: settle duplicates and overlap, list what was rejected.

Every step can be repeated: a `prepare` that is killed here comes here again and ends the same.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from modersmal import store
from modersmal.corpus.checks import Finding
from modersmal.corpus.overlap import (
    TRAIN,
    Clips,
    collect,
    find_duplicates,
    overlaps,
    shares_with_evaluation,
)
from modersmal.corpus.plan import Plan, PlannedRow, PlannedShard
from modersmal.corpus.schema import REJECTED_FILE
from modersmal.corpus.shards import Corpus, Shard, ShardWriter, write_corpus_file
from modersmal.corpus.worker import Job, Outcome, read_outcome

Changes = dict[int, dict[int, Finding]]  # shard number → row → why it is dropped or flagged


def finish(job: Job, settings: dict[str, Any], *, disjoint: bool) -> Corpus:
    """Write `rejected.jsonl` and, last, `corpus.json`; `settings` go into the latter."""
    plan = job.plan
    clips = collect((shard, read_outcome(job.outcome_path(shard))) for shard in plan.shards)
    original = find_duplicates(clips)
    drops, flags, kept = _settle(plan, clips, original, disjoint)
    splits: dict[str, dict[str, Any]] = {}
    rejected: dict[str, Counter[str]] = defaultdict(Counter)
    flagged: dict[str, Counter[str]] = defaultdict(Counter)
    with store.replacing(job.to / REJECTED_FILE) as file:
        for entry in _rejections(job, drops):
            rejected[entry["split"] or "unknown"][entry["reasons"][0]] += 1
            file.write((json.dumps(entry, ensure_ascii=False) + "\n").encode("utf-8"))
    for shard in plan.shards:
        outcome = read_outcome(job.outcome_path(shard))
        drop, flag = drops.get(shard.number, {}), flags.get(shard.number, {})
        written = _rewrite(job, shard, drop, flag) if drop or flag else outcome.shard
        splits.setdefault(shard.split, {"clips": 0, "duration_s": 0.0, "speakers": 0, "shards": []})
        if written:
            splits[shard.split]["shards"].append(asdict(written))
        for row_flags in _flags(outcome, flag):
            flagged[shard.split].update(row_flags)
    _count(splits, clips, kept)
    if plan.recordings:
        _count_recordings(job.to, splits)
    return write_corpus_file(
        job.to,
        settings
        | {
            "sources": plan.sources,
            "splits": {name: splits[name] for name in sorted(splits, key=_order)},
            "rejected": {name: dict(rejected[name]) for name in sorted(rejected, key=_order)},
            "flagged": {name: dict(flagged[name]) for name in sorted(flagged, key=_order)},
            "overlap": overlaps(clips, original, kept),
            "rejected_sha256": store.sha256(job.to / REJECTED_FILE),
        },
    )


def _settle(
    plan: Plan, clips: Clips, original: np.ndarray, disjoint: bool
) -> tuple[Changes, Changes, np.ndarray]:
    """Decide over duplicates and overlap: what is dropped, what is flagged, a mask of what stays.

    Train loses its clips that are elsewhere; every other split keeps its own, with a flag.
    """
    rows_of = lru_cache(maxsize=8)(lambda number: plan.rows_of(plan.shards[number]))
    drops: Changes = defaultdict(dict)
    flags: Changes = defaultdict(dict)
    train = clips.in_split(TRAIN)
    dropped = train & (original >= 0)
    for index in np.flatnonzero(original >= 0):
        first = original[index]
        identity = rows_of(int(clips.shard[first]))[clips.row[first]].id
        changes = drops if train[index] else flags
        changes[int(clips.shard[index])][int(clips.row[index])] = Finding(
            "duplicate", f"the same audio as {identity}"
        )
    if disjoint:
        by_speaker, by_sentence = shares_with_evaluation(clips)
        for mask, reason, what in (
            (by_speaker, "speaker-overlap", "speaker"),
            (by_sentence & ~by_speaker, "sentence-overlap", "sentence"),
        ):
            for index in np.flatnonzero(mask & ~dropped):
                drops[int(clips.shard[index])][int(clips.row[index])] = Finding(
                    reason, f"its {what} is in dev or test too"
                )
        dropped = dropped | by_speaker | by_sentence
    return drops, flags, ~dropped


def _rejections(job: Job, drops: Changes) -> Iterator[dict[str, Any]]:
    """Every row that is not in the corpus, in the order of the plan."""
    yield from job.plan.refused()
    for shard in job.plan.shards:
        findings = {
            **read_outcome(job.outcome_path(shard)).rejected,
            **{row: [finding] for row, finding in drops.get(shard.number, {}).items()},
        }
        if findings:
            rows = job.plan.rows_of(shard)
            source = job.plan.sources[shard.source]["name"]
            for number in sorted(findings):
                yield _entry(rows[number], source, shard.split, findings[number])


def _entry(row: PlannedRow, source: str, split: str, findings: list[Finding]) -> dict[str, Any]:
    return {
        "source": source,
        "where": row.where,
        "path": row.path,
        "split": split,
        "reasons": [finding.reason for finding in findings],
        "detail": "; ".join(finding.detail for finding in findings),
        "text": row.text,
    }


def _rewrite(
    job: Job, shard: PlannedShard, drop: dict[int, Finding], flag: dict[int, Finding]
) -> Shard | None:
    """Write a shard anew without some rows, or with more flags; doing so twice changes nothing."""
    path = job.shard_path(shard)
    rows = job.plan.rows_of(shard)
    dropped = {rows[number].id for number in drop}
    flags = {rows[number].id: finding.reason for number, finding in flag.items()}
    if not path.exists():
        return None
    with pq.ParquetFile(path) as old, ShardWriter(path, job.schema) as new:
        for group in range(old.num_row_groups):
            for row in old.read_row_group(group, use_threads=False).to_pylist():
                if row["id"] in dropped:
                    continue
                reason = flags.get(row["id"])
                if reason and reason not in row["flags"]:
                    row["flags"].append(reason)
                new.add(row)
    if new.shard is None:
        path.unlink()
    return new.shard


def _flags(outcome: Outcome, added: dict[int, Finding]) -> Iterator[list[str]]:
    yield from outcome.flagged.values()
    yield from ([finding.reason] for finding in added.values())


def _count(splits: dict[str, dict[str, Any]], clips: Clips, kept: np.ndarray) -> None:
    for name, split in splits.items():
        split["clips"] = sum(shard["rows"] for shard in split["shards"])
        split["duration_s"] = round(sum(shard["duration_s"] for shard in split["shards"]), 3)
        speakers = clips.speaker[clips.in_split(name) & kept & (clips.speaker != 0)]
        split["speakers"] = len(np.unique(speakers))


def _count_recordings(to: Path, splits: dict[str, dict[str, Any]]) -> None:
    """Of how many recordings each split has clips, and how long these are."""
    for split in splits.values():
        duration_s: Counter[str] = Counter()
        for shard in split["shards"]:
            with pq.ParquetFile(to / shard["file"]) as file:
                table = file.read(columns=["recording", "duration"], use_threads=False)
            for row in table.to_pylist():
                if row["recording"] is not None:
                    duration_s[row["recording"]] += row["duration"]
        split["recordings"] = len(duration_s)
        split["recorded_s"] = round(sum(duration_s.values()), 3)


def _order(split: str) -> tuple[int, str]:
    """train, dev, test, then the others by name."""
    known = ("train", "dev", "test")
    return (known.index(split) if split in known else len(known), split)
