"""inspect: what a corpus holds, how long its clips are, and what its texts are written with."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from modersmal.corpus.describe import describe, describe_durations
from modersmal.corpus.shards import Corpus, Split
from modersmal.language import Vocabulary, count_label_tokens

DURATION_EDGES_S = (0, 1, 2, 3, 5, 7, 10, 15, 20, 30)
_TEXTS_AT_ONCE = 10_000
_CHARACTERS_SHOWN = 150


@dataclass(frozen=True)
class SplitSummary:
    """One split. `durations` counts clips by seconds: "3-5" holds 3 s ≤ duration < 5 s.

    `recordings` is the number of long recordings that clips are cut from, `recorded_s` what these
    clips last together.
    """

    clips: int
    duration_s: float
    speakers: int
    durations: dict[str, int]
    mean_label_tokens: float
    longest_label_tokens: int
    recordings: int = 0
    recorded_s: float = 0.0


@dataclass(frozen=True)
class Summary:
    """What `inspect` found; printed, it is a few plain tables.

    `characters` maps each character of the texts to how often it occurs, the most frequent first.
    `rejected` and `flagged` count clips by split and reason.
    """

    path: Path
    hash: str
    language: str
    language_token: str
    codec: str
    splits: dict[str, SplitSummary]
    characters: dict[str, int]
    rejected: dict[str, dict[str, int]]
    flagged: dict[str, dict[str, int]]
    overlap: list[dict[str, Any]]
    sources: list[dict[str, Any]]
    verified: bool
    _info: dict[str, Any] = field(repr=False)

    def __str__(self) -> str:
        borrowed = f" (under {self.language_token})" * (self.language_token != self.language)
        shown = "".join(list(self.characters)[:_CHARACTERS_SHOWN])
        more = len(self.characters) - min(len(self.characters), _CHARACTERS_SHOWN)
        lines = [
            f"{self.path}: {self.language}{borrowed}, codec {self.codec}, hash {self.hash[:12]}",
            "",
            describe(self._info),
            "",
            describe_durations({name: split.durations for name, split in self.splits.items()}),
            "",
            f"{len(self.characters)} characters, most frequent first: {shown}"
            + (f" and {more} more" if more else ""),
        ]
        if self.verified:
            lines.append("Every shard is as it was written.")
        return "\n".join(lines)


def inspect(corpus: Path, *, verify: bool = False) -> Summary:
    """Describe a corpus; `verify` compares every shard with its hash first.

    Raises:
        CorpusError: there is no finished corpus, or a shard is damaged.
    """
    opened = Corpus.open(corpus)
    if verify:
        opened.verify()
    characters: Counter[str] = Counter()
    splits = {}
    for name in opened.splits:
        split = opened.split(name)
        splits[name] = _summarise(split, opened.info["splits"][name])
        for text in split.texts:
            characters.update(text)
    info = opened.info
    return Summary(
        path=opened.path,
        hash=opened.hash,
        language=opened.language,
        language_token=opened.language_token,
        codec=info["codec"],
        splits=splits,
        characters=dict(sorted(characters.items(), key=lambda item: (-item[1], item[0]))),
        rejected=info["rejected"],
        flagged=info["flagged"],
        overlap=info["overlap"],
        sources=info["sources"],
        verified=verify,
        _info=info,
    )


def _summarise(split: Split, listed: dict[str, Any]) -> SplitSummary:
    tokens = [
        count
        for start in range(0, len(split), _TEXTS_AT_ONCE)
        for count in count_label_tokens(
            [f" {text}" for text in split.texts[start : start + _TEXTS_AT_ONCE]],
            Vocabulary.MULTILINGUAL,
        )
    ]
    return SplitSummary(
        clips=len(split),
        duration_s=split.duration_s,
        speakers=listed["speakers"],
        durations=_histogram(split.durations_s),
        mean_label_tokens=round(float(np.mean(tokens)), 1) if tokens else 0.0,
        longest_label_tokens=max(tokens, default=0),
        recordings=listed.get("recordings", 0),
        recorded_s=listed.get("recorded_s", 0.0),
    )


def _histogram(durations_s: np.ndarray) -> dict[str, int]:
    places = np.searchsorted(DURATION_EDGES_S, durations_s, side="right") - 1
    counts = np.bincount(places, minlength=len(DURATION_EDGES_S))
    names = [f"{low}-{high}" for low, high in pairwise(DURATION_EDGES_S)]
    names.append(f"{DURATION_EDGES_S[-1]}-")
    return dict(zip(names, map(int, counts), strict=True))
