"""Compare all clips of a corpus with one another: the same audio, speakers and sentences.

Works on a few numbers a clip (~60 bytes), whatever the size of the corpus.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from modersmal.corpus.plan import PlannedShard
from modersmal.corpus.worker import DIGEST_BYTES, Outcome

TRAIN = "train"

_DIGEST = np.dtype(f"V{DIGEST_BYTES}")
_KINDS: tuple[Any, ...] = (np.uint8, np.int32, np.int32, _DIGEST, np.uint64, np.uint64)


@dataclass(frozen=True)
class Clips:
    """One entry a clip, in the order of the plan.

    `splits` names them; `split` indexes it. `speaker` is 0 where none is known.
    """

    splits: tuple[str, ...]
    split: np.ndarray
    shard: np.ndarray
    row: np.ndarray
    digest: np.ndarray
    sentence: np.ndarray
    speaker: np.ndarray

    def __len__(self) -> int:
        return len(self.split)

    def in_split(self, name: str) -> np.ndarray:
        """Mask of a split's clips; none for a split that is not there."""
        code = self.splits.index(name) if name in self.splits else -1
        return self.split == code


def collect(outcomes: Iterable[tuple[PlannedShard, Outcome]]) -> Clips:
    """Put the outcomes' numbers into one array each."""
    splits: list[str] = []
    parts = [[np.empty(0, kind) for kind in _KINDS]]
    for shard, outcome in outcomes:
        if shard.split not in splits:
            splits.append(shard.split)
        kept = outcome.kept
        count = len(kept["row"])
        columns = (
            [splits.index(shard.split)] * count,
            [shard.number] * count,
            kept["row"],
            np.frombuffer(b"".join(map(bytes.fromhex, kept["digest"])), _DIGEST),
            kept["sentence"],
            [speaker or 0 for speaker in kept["speaker"]],
        )
        parts.append([np.array(one, kind) for one, kind in zip(columns, _KINDS, strict=True)])
    return Clips(tuple(splits), *(np.concatenate(column) for column in zip(*parts, strict=True)))


def find_duplicates(clips: Clips) -> np.ndarray:
    """For each clip, the index of the clip whose audio it repeats, or -1: (n,) int64.

    The copy that counts as the original is in test, else in another evaluation split, else in
    train; among those the first. So a clip of train never outlives its copy in test.
    """
    rank = np.array([_precedence(name) for name in clips.splits], np.int64)
    order = np.lexsort((np.arange(len(clips)), rank[clips.split]))
    _, first, inverse = np.unique(clips.digest[order], return_index=True, return_inverse=True)
    original = np.empty(len(clips), np.int64)
    original[order] = order[first][inverse]
    original[original == np.arange(len(clips))] = -1
    return original


def shares_with_evaluation(clips: Clips) -> tuple[np.ndarray, np.ndarray]:
    """Masks of train's clips whose speaker, and whose sentence, an evaluation split has too."""
    train = clips.in_split(TRAIN)
    speakers = clips.speaker[~train & (clips.speaker != 0)]
    return (
        train & np.isin(clips.speaker, speakers),
        train & np.isin(clips.sentence, clips.sentence[~train]),
    )


def overlaps(clips: Clips, original: np.ndarray, kept: np.ndarray) -> list[dict[str, Any]]:
    """What each two splits have in common; pairs without anything in common are left out.

    `original` is that of `find_duplicates`. Speakers and sentences are those of the clips `kept`
    (a mask); duplicates are counted among all, so that those dropped from train are reported too.
    """
    found = []
    for one, other in combinations(sorted(clips.splits), 2):
        here, there = clips.in_split(one), clips.in_split(other)
        crossing = (here & there[original]) | (there & here[original])
        entry = {
            "splits": [one, other],
            "speakers": _common(clips.speaker, here & kept & (clips.speaker != 0), there & kept),
            "sentences": _common(clips.sentence, here & kept, there & kept),
            "duplicates": int(np.count_nonzero(crossing & (original >= 0))),
        }
        if entry["speakers"] or entry["sentences"] or entry["duplicates"]:
            found.append(entry)
    return found


def _common(values: np.ndarray, here: np.ndarray, there: np.ndarray) -> int:
    return len(np.intersect1d(values[here], values[there]))


def _precedence(split: str) -> int:
    return {"test": 0, TRAIN: 2}.get(split, 1)
