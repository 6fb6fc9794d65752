"""Join a few new clips to a corpus: a third one, which shares the shards of the first.

What a store holds already is neither decoded again nor kept twice. Test stays what it was, so that
scores before and after are of the same clips.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from modersmal import store
from modersmal.corpus.overlap import TRAIN, Clips, overlaps
from modersmal.corpus.schema import CORPUS_FILE, REJECTED_FILE, shard_name
from modersmal.corpus.shards import Corpus, Shard, ShardWriter, write_corpus_file
from modersmal.corpus.sources.base import hash64
from modersmal.corpus.unfinished import alone
from modersmal.errors import CorpusError
from modersmal.text import sentence_key

_TEST = "test"
_SHARD_CLIPS = 200
_REASON = "sentence-overlap"
_OF_ONE = ("was", "forgotten")  # what was erased from a corpus never was in one that is made of it


def join(old: Corpus, new: Corpus, to: Path) -> Corpus:
    """Write the corpus `to`: all of `old`, and of `new` what its train and dev can be extended by.

    No clip comes into train whose sentence `old` has in another split. Columns are those of `old`.
    Test is that of `old`, where it has one. What was begun in `to` before is begun anew.

    Raises:
        CorpusError: they are of different languages, or `to` is a finished corpus.
        Held: another process joins, prepares or changes `to`.
        StoreError: the disk is full or cannot be written.
    """
    if old.language_token != new.language_token:
        raise CorpusError(
            f"{new.path} is in {new.language!r}, {old.path} in {old.language!r}; they cannot be "
            "joined"
        )
    with alone(to):
        if (to / CORPUS_FILE).exists():
            raise CorpusError(f"{to} is a corpus already; name an empty folder")
        with store.writing(to):
            if to.exists():
                shutil.rmtree(to)
            to.mkdir(parents=True)
        return _Join(old, new, to).write()


@dataclass(frozen=True)
class _Join:
    old: Corpus
    new: Corpus
    to: Path

    def write(self) -> Corpus:
        splits = {name: self._kept(name) for name in self.old.splits}
        evaluated = {
            sentence
            for name in self.old.splits
            if name != TRAIN
            for sentence in self._sentences(self.old, name)
        }
        dropped: list[dict[str, Any]] = []
        for name in self.new.splits:
            if name == _TEST and _TEST in splits:
                continue
            split = splits.setdefault(name, {"shards": []})
            rows = self._rows(name, evaluated if name == TRAIN else set(), dropped)
            while chosen := list(islice(rows, _SHARD_CLIPS)):
                split["shards"].append(asdict(self._write(name, len(split["shards"]), chosen)))
        return self._finish(splits, dropped)

    def _kept(self, name: str) -> dict[str, Any]:
        """A split of the old corpus, whose shards appear here too, on the same place of the disk
        where that can be."""
        told = self.old.info["splits"][name]
        for shard in self.old.split(name).shards:
            _link(self.old.path / shard.file, self.to / shard.file)
        return {**told, "shards": list(told["shards"])}

    def _rows(
        self, name: str, evaluated: set[int], dropped: list[dict[str, Any]]
    ) -> Iterator[dict[str, Any]]:
        for shard in self.new.split(name).shards:
            for row in pq.read_table(self.new.path / shard.file).to_pylist():
                if hash64(sentence_key(row["text"], self.old.language)) in evaluated:
                    dropped.append(_dropped(row))
                else:
                    yield {key: row.get(key) for key in self._schema.names}

    @property
    def _schema(self) -> pa.Schema:
        corpus, name = next(
            (corpus, name)
            for corpus in (self.old, self.new)
            for name in corpus.splits
            if corpus.split(name).shards
        )
        return pq.read_schema(corpus.path / corpus.split(name).shards[0].file)

    def _write(self, split: str, index: int, rows: list[dict[str, Any]]) -> Shard:
        with ShardWriter(self.to / shard_name(split, index), self._schema) as writer:
            for row in rows:
                writer.add(row)
        if writer.shard is None:
            raise CorpusError(f"no clip of {split} of {self.new.path} could be written")
        return writer.shard

    def _finish(self, splits: dict[str, Any], dropped: list[dict[str, Any]]) -> Corpus:
        with store.replacing(self.to / REJECTED_FILE) as file:
            file.write((self.old.path / REJECTED_FILE).read_bytes())
            for entry in dropped:
                file.write((json.dumps(entry, ensure_ascii=False) + "\n").encode())
        rejected = {name: dict(counts) for name, counts in self.old.info["rejected"].items()}
        if dropped:
            counts = rejected.setdefault(TRAIN, {})
            counts[_REASON] = counts.get(_REASON, 0) + len(dropped)
        own = {key: value for key, value in self.old.info.items() if key not in _OF_ONE}
        info = {
            **own,
            "key": hashlib.sha256(f"{self.old.hash} {self.new.hash}".encode()).hexdigest(),
            "sources": [*self.old.info["sources"], *self.new.info["sources"]],
            "splits": splits,
            "rejected": rejected,
            "rejected_sha256": store.sha256(self.to / REJECTED_FILE),
        }
        draft = Corpus(self.to, info)
        clips = self._clips(draft)
        for name, split in splits.items():
            speakers = clips.speaker[clips.in_split(name) & (clips.speaker != 0)]
            split["clips"] = sum(shard["rows"] for shard in split["shards"])
            split["duration_s"] = round(sum(shard["duration_s"] for shard in split["shards"]), 3)
            split["speakers"] = len(np.unique(speakers))
        nothing, all_ = np.full(len(clips), -1), np.ones(len(clips), bool)
        found = {tuple(entry["splits"]): entry for entry in overlaps(clips, nothing, all_)}
        for entry in self.old.info["overlap"]:  # what is the same audio was settled there
            common = {"splits": entry["splits"], "speakers": 0, "sentences": 0}
            found.setdefault(tuple(entry["splits"]), common)["duplicates"] = entry["duplicates"]
        info["overlap"] = [found[pair] for pair in sorted(found)]
        return write_corpus_file(self.to, info)

    def _clips(self, corpus: Corpus) -> Clips:
        """Who is heard and what is said in each clip; not the audio."""
        splits, sentences, speakers = [], [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
        for number, name in enumerate(corpus.splits):
            known = corpus.split(name).speakers
            splits += [np.full(len(known), number, np.uint8)]
            sentences.append(np.array(self._sentences(corpus, name), np.uint64))
            speakers.append(np.array([hash64(one) if one else 0 for one in known], np.uint64))
        split = np.concatenate([np.empty(0, np.uint8), *splits])
        zeros = np.zeros(len(split), np.int32)
        return Clips(
            corpus.splits, split, zeros, zeros, zeros, np.concatenate(sentences),
            np.concatenate(speakers),
        )  # fmt: skip

    def _sentences(self, corpus: Corpus, split: str) -> list[int]:
        texts = corpus.split(split).texts
        return [hash64(sentence_key(text, self.old.language)) for text in texts]


def _dropped(row: dict[str, Any]) -> dict[str, Any]:
    """As `rejected.jsonl` lists it, without its text."""
    return {
        "source": row["source"],
        "where": row["id"],
        "path": row["audio"]["path"],
        "split": row["split"],
        "reasons": [_REASON],
        "detail": "its sentence is in dev or test too",
        "text": None,
    }


def _link(path: Path, to: Path) -> None:
    """Let a file be at `to` as well. Raises StoreError."""
    with store.writing(to):
        try:
            os.link(path, to)
        except OSError:  # another disk, or one that knows no links
            shutil.copyfile(path, to)
