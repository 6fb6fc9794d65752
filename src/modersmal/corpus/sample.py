"""A few clips of a corpus that is not prepared yet, and from them what the whole will be like.

The clips are drawn evenly over all sources, by hash. Of the others, the sizes in bytes are noted,
which tell their lengths: within most sources, a second takes about the same number of bytes.
"""

import heapq
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from modersmal.config import DataConfig
from modersmal.corpus.shards import Corpus
from modersmal.corpus.sources.archive import CommonVoiceArchive
from modersmal.corpus.sources.base import PART, LongRow, Refused, Row, Source, hash64
from modersmal.corpus.splits import EVALUATION_SPLITS, assign_split

_HEAD_CLIPS = 200  # of each part of a dataset on the Hub: to draw others, more has to come
_TELLING_SCATTER = 0.1  # of the lengths, from what sizes say; beyond it, they do not tell
_SHORTEST_S = 0.1
_SENTENCE_S = 5.0  # about, of recordings that are not aligned yet
_HEAD_S = 60.0  # of such a recording: to listen to all of it would take hours


class Sample:
    """Draws `clips` clips; once that is done, it knows how many there are and where from.

    A quarter of them is of dev and a quarter of test, where there are such splits.
    """

    def __init__(self, clips: int) -> None:
        self.clips = clips
        self.drawn = 0
        self.download_bytes: dict[str, int] = {}  # of sources from afar
        self._sizes: dict[tuple[int, str], Any] = defaultdict(lambda: array("q"))
        self._origin: dict[str, tuple[int, int]] = {}  # of the drawn: source and bytes, by id

    @property
    def total(self) -> int:
        """Clips that the sources have, as far as their files are there."""
        return sum(map(len, self._sizes.values()))

    def draw(self, sources: Sequence[Source], data: DataConfig, language: str) -> list[Source]:
        """Read all rows of all sources; the same sources, with the drawn rows alone."""
        best: dict[str, list[tuple[int, int, int, Row]]] = defaultdict(list)
        for number, source in enumerate(sources):
            read_bytes = 0
            for place, row in enumerate(source.rows()):
                if isinstance(row, Refused) or not row.size:
                    continue
                split = row.split or assign_split(row, data, language)
                if isinstance(row, LongRow):
                    sentences = round(row.duration_s / _SENTENCE_S)
                    self._sizes[number, split].extend([round(row.size / sentences)] * sentences)
                    row = replace(row, head_s=_HEAD_S)
                else:
                    self._sizes[number, split].append(row.size)
                read_bytes += row.size
                drawn = (-_rank(source, row), number, place, row)
                if len(best[split]) < self.clips:
                    heapq.heappush(best[split], drawn)
                else:
                    heapq.heappushpop(best[split], drawn)
            if source.address:
                self.download_bytes[source.address] = _download_bytes(source, read_bytes)
        chosen = self._choose(best)
        self.drawn = sum(_clips_of(row) for _, _, _, row in chosen)
        for _, number, _, row in chosen:
            self._origin[f"{sources[number].name}/{row.name}"] = (number, row.size)
        return [
            _Drawn(source, [row for _, origin, _, row in chosen if origin == number])
            for number, source in enumerate(sources)
        ]

    def durations_s(self, prepared: Corpus) -> dict[str, np.ndarray]:
        """The length of every clip that the whole corpus will have, by split: (clips,) float64.

        `prepared` is the corpus of the drawn clips; as large a share of the others is taken to be
        rejected as of those.
        """
        lengths: dict[int, list[tuple[int, float]]] = defaultdict(list)
        for name in prepared.splits:
            split = prepared.split(name)
            for clip, duration_s in zip(split.ids, split.durations_s, strict=True):
                number, size = self._origin.get(clip, (-1, 0))
                lengths[number].append((size, float(duration_s)))
        everything = [pair for pairs in lengths.values() for pair in pairs]
        kept_share = len(everything) / max(1, self.drawn)
        found: dict[str, list[np.ndarray]] = defaultdict(list)
        for (number, split_name), sizes in self._sizes.items():
            known = np.array(lengths.get(number) or everything).reshape(-1, 2)
            kept = round(len(sizes) * kept_share)
            taken = np.asarray(sizes)[np.arange(kept) * len(sizes) // max(1, kept)]
            found[split_name].append(_lengths(taken, known))
        return {
            name: np.concatenate(parts) for name, parts in found.items() if any(map(len, parts))
        }

    def _choose(
        self, best: dict[str, list[tuple[int, int, int, Row]]]
    ) -> list[tuple[int, int, int, Row]]:
        """Of the lowest hashes of every split, as many as the split gets, in the sources' order."""
        counts = {split: self.clips // 4 for split in EVALUATION_SPLITS if best.get(split)}
        counts["train"] = self.clips - sum(counts.values())
        chosen = [
            drawn
            for split, count in counts.items()
            for drawn in heapq.nlargest(count, best.get(split, []))
        ]
        return sorted(chosen, key=lambda drawn: drawn[1:3])


class _Drawn(Source):
    """A source of which only some rows are left."""

    def __init__(self, source: Source, rows: list[Row]) -> None:
        super().__init__(source.name, source.root)
        self._source, self._rows = source, rows

    def rows(self) -> Iterator[Row | Refused]:
        return iter(self._rows)

    def described(self) -> dict[str, Any]:
        return self._source.described()


def _rank(source: Source, row: Row) -> int:
    """The lowest are drawn: by hash; of a dataset on the Hub first what comes at little cost."""
    rank = hash64(f"{source.name}/{row.name}")
    at_hand = not _is_streamed(source) or row.position % PART < _HEAD_CLIPS
    return rank if at_hand else rank + 2**64


def _clips_of(row: Row) -> int:
    """How many clips a drawn row is likely to become."""
    if not isinstance(row, LongRow):
        return 1
    return round(min(row.head_s or row.duration_s, row.duration_s) / _SENTENCE_S)


def _is_streamed(source: Source) -> bool:
    return source.address is not None and not isinstance(source, CommonVoiceArchive)


def _lengths(sizes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Lengths in seconds of clips of `sizes`; `known` are (size, seconds) of the drawn ones."""
    if not len(known):
        return np.zeros(0)
    known_sizes, known_s = known.T
    if len(known) > 2 and np.ptp(known_sizes) > 0:
        line = np.polyfit(known_sizes, known_s, 1)
        scatter_s = np.std(np.polyval(line, known_sizes) - known_s)
        if scatter_s <= _TELLING_SCATTER * np.mean(known_s):
            return np.maximum(np.polyval(line, sizes), _SHORTEST_S)
    return np.resize(known_s, len(sizes))


def _download_bytes(source: Source, read_bytes: int) -> int:
    """What comes of a source: an archive whole, of a dataset about what its clips weigh."""
    if isinstance(source, CommonVoiceArchive) and source.path.is_file():
        return source.path.stat().st_size
    return read_bytes
