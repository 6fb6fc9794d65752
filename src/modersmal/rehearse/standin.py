"""Stand-ins: corpora small enough to rehearse on, whose batches are like those of the real run.

What a step or a decoded batch costs depends on how many clips of which lengths are in it. So the
sampled clips are repeated until they fill batches like those that all clips would make.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modersmal.config import TrainConfig
from modersmal.corpus import Corpus
from modersmal.corpus.schema import MAX_ROW_GROUP_ROWS, shard_name, shard_schema
from modersmal.corpus.shards import ShardWriter, write_corpus_file
from modersmal.logmel import FRAMES_PER_S, WINDOW_FRAMES
from modersmal.train.plan import Clips, Plan
from modersmal.whisper.decode import WINDOW_S, Context, plan_batches


@dataclass(frozen=True)
class Steps:
    """The geometry of a training's steps, in order.

    `padded_s` is the audio of each with its padding, in seconds, and `full` whether the encoder
    sees 30 s; both (steps,).
    """

    padded_s: np.ndarray
    full: np.ndarray

    @classmethod
    def of(cls, config: TrainConfig, durations_s: np.ndarray) -> "Steps":
        """Those of a recipe, on clips of these lengths."""
        groups = np.append(np.arange(0, len(durations_s), MAX_ROW_GROUP_ROWS), len(durations_s))
        plan = Plan.of(config, Clips(durations_s.astype(np.float32), groups))
        batches = [plan.batch(step) for step in range(config.max_steps)]
        full = np.array([batch.frames == WINDOW_FRAMES for batch in batches])
        return cls(np.array([batch.padded_s for batch in batches]), full)


def write_stand_in(sample: Corpus, to: Path, wanted: Mapping[str, np.ndarray]) -> Corpus:
    """Write a corpus of sampled clips that are nearest to the lengths `wanted` in each split."""
    pool: list[dict[str, Any]] = [
        {"audio": {"bytes": data, "path": clip}, "text": text, "duration": float(duration_s),
         "speaker": speaker, "source": "rehearsal", "flags": []}
        for split in map(sample.split, sample.splits)
        for data, clip, text, duration_s, speaker in zip(
            split.audio_bytes(range(len(split))), split.ids, split.texts, split.durations_s,
            split.speakers, strict=True,
        )
    ]  # fmt: skip
    pool.sort(key=lambda clip: clip["duration"])
    lengths_s = np.array([clip["duration"] for clip in pool])
    to.mkdir(parents=True)
    listed = {}
    for name, durations_s in wanted.items():
        with ShardWriter(to / shard_name(name, 0), shard_schema([])) as writer:
            for number, place in enumerate(_nearest(lengths_s, durations_s)):
                writer.add(pool[place] | {"id": f"{name}-{number}", "split": name})
        if writer.shard:
            listed[name] = {"shards": [asdict(writer.shard)]}
    spoken = {name: sample.info[name] for name in ("language", "language_token")}
    return write_corpus_file(to, spoken | {"splits": listed})


def spread(durations_s: np.ndarray, seconds: float) -> np.ndarray:
    """Lengths of about `seconds` in all that are distributed as `durations_s`."""
    return evenly(durations_s, max(1, round(seconds / float(np.mean(durations_s)))))


def evenly(durations_s: np.ndarray, count: int) -> np.ndarray:
    """So many lengths that are distributed as `durations_s`."""
    return np.quantile(durations_s, (np.arange(count) + 0.5) / count)


def some_batches(
    durations_s: np.ndarray, context: Context, batch_s: float, count: int
) -> np.ndarray:
    """Lengths of the clips in `count` of the batches in which a split is decoded, evenly taken."""
    windows_s = windows(durations_s)
    batches = plan_batches(windows_s.tolist(), context, batch_s)
    taken = range(len(batches)) if len(batches) <= count else _places(len(batches), count)
    return np.concatenate([windows_s[batches[place].clips] for place in taken])


def padded_s(durations_s: np.ndarray, context: Context, batch_s: float) -> float:
    """Seconds of audio, padding included, that decoding a split puts through the encoder."""
    batches = plan_batches(windows(durations_s).tolist(), context, batch_s)
    return sum(len(batch.clips) * batch.frames for batch in batches) / FRAMES_PER_S


def windows(durations_s: np.ndarray) -> np.ndarray:
    """Lengths of what is decoded at a time: clips over 30 s come in equal parts."""
    parts = np.maximum(1, np.ceil(durations_s / WINDOW_S)).astype(int)
    return np.repeat(durations_s / parts, parts)


def _places(there: int, count: int) -> list[int]:
    return [int((place + 0.5) * there / count) for place in range(count)]


def _nearest(rising: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Of each of `wanted`, the place of the nearest value."""
    above = np.searchsorted(rising, wanted).clip(1, max(1, len(rising) - 1))
    below = above - 1
    above = np.minimum(above, len(rising) - 1)
    return np.where(wanted - rising[below] <= rising[above] - wanted, below, above)
