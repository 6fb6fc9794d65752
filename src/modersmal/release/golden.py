"""What every format of a release is proven on: clips, one long recording, and silence.

The same corpus gives the same clips, whoever asks: they are drawn by the hash of their ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import overload

import numpy as np

from modersmal.audio import SAMPLE_RATE, decode
from modersmal.config import EvaluateConfig
from modersmal.corpus import Corpus, Split
from modersmal.corpus.sources.base import hash64
from modersmal.errors import CorpusError
from modersmal.evaluate.metrics import Score, score
from modersmal.logmel import HOP_SAMPLES, WINDOW_FRAMES
from modersmal.train.bounds import room_tone

CLIPS = 200
_SPLITS = ("test", "dev")
_WINDOW_SAMPLES = WINDOW_FRAMES * HOP_SAMPLES
_LONG_S = 100.0
_SHORTEST_RECORDING_S = 45.0  # more than one window, with some room
_PAUSES_S = (0.3, 5.0)
_FAINT = 10 ** (-60 / 20)


class Clips(Sequence[np.ndarray]):
    """Clips, each (n,) float32 at 16 kHz, that are decoded when they are asked for."""

    def __init__(self, names: Sequence[str], encoded: Sequence[bytes]) -> None:
        self._names, self._encoded = names, encoded

    def __len__(self) -> int:
        return len(self._encoded)

    @overload
    def __getitem__(self, place: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, place: slice) -> "Clips": ...
    def __getitem__(self, place: int | slice) -> "np.ndarray | Clips":
        if isinstance(place, slice):
            return Clips(self._names[place], self._encoded[place])
        samples = decode(self._encoded[place], name=self._names[place]).samples
        return samples[:_WINDOW_SAMPLES]  # a codec may add a moment to what its shard says


@dataclass(frozen=True)
class Golden:
    """What is decoded by every format, with what was really said.

    `recording` and `silences` are (n,) float32 at 16 kHz; `recording_texts` are said one after the
    other in the recording. `language` is the one that is spoken, for scores.
    """

    names: tuple[str, ...]
    clips: Clips
    texts: tuple[str, ...]
    speakers: tuple[str | None, ...]
    recording: np.ndarray
    recording_texts: tuple[str, ...]
    silences: tuple[np.ndarray, ...]
    language: str

    @property
    def windows(self) -> list[np.ndarray]:
        """The recording in pieces of 30 s."""
        starts = range(0, len(self.recording), _WINDOW_SAMPLES)
        return [self.recording[start : start + _WINDOW_SAMPLES] for start in starts]

    def score(self, texts: Sequence[str], config: EvaluateConfig) -> Score:
        """Score what was written for the clips. Raises CorpusError where none holds a word."""
        return score(self.texts, texts, self.speakers, language=self.language, config=config)

    def recording_rate(self, text: str, config: EvaluateConfig) -> float:
        """The deciding error rate of what was written for the recording."""
        said = " ".join(self.recording_texts)
        scored = score([said], [text], [None], language=self.language, config=config)
        return scored.deciding.rate


def golden_set(corpus: Corpus, clips: int = CLIPS) -> Golden:
    """Draw `clips` clips of test, and where those are too few, of dev; or all that there are.

    Of clips that the checks held something against, and of those longer than 30 s, none is taken.
    The recording is one of the corpus's own, where clips of test or dev join to one; else some of
    the clips with pauses between them.

    Raises:
        CorpusError: neither split holds such clips, or a shard cannot be read.
    """
    splits = [corpus.split(name) for name in _SPLITS if name in corpus.splits]
    chosen: list[tuple[Split, list[int]]] = []
    for split in splits:
        missing = clips - sum(len(rows) for _, rows in chosen)
        chosen.append((split, _drawn(split, missing)))
    names = tuple(split.ids[row] for split, rows in chosen for row in rows)
    if not names:
        raise CorpusError(
            f"{corpus.path} has no clips in test or dev to prove a release on; prepare it with a "
            "test_share above 0"
        )
    texts = tuple(split.texts[row] for split, rows in chosen for row in rows)
    encoded = [data for split, rows in chosen for data in split.audio_bytes(rows)]
    heard = Clips(names, encoded)
    recording, said = _own_recording(splits) or _joined(heard, texts)
    return Golden(
        names=names,
        clips=heard,
        texts=texts,
        speakers=tuple(split.speakers[row] for split, rows in chosen for row in rows),
        recording=recording,
        recording_texts=said,
        silences=_silences(),
        language=corpus.language,
    )


def _drawn(split: Split, most: int) -> list[int]:
    """At most `most` rows, in the order in which they are taken."""
    fit = split.durations_s * SAMPLE_RATE <= _WINDOW_SAMPLES
    rows = [row for row in range(len(split)) if fit[row] and not split.flags[row]]
    return sorted(rows, key=lambda row: hash64(f"golden {split.ids[row]}"))[:most]


def _own_recording(splits: Sequence[Split]) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """The beginning of the longest recording that clips join to, and what is said in it."""
    for split in splits:
        rows = _longest_run(split)
        if split.durations_s[rows].sum() >= _SHORTEST_RECORDING_S:
            samples = [decode(data).samples for data in split.audio_bytes(rows)]
            return np.concatenate(samples), tuple(split.texts[row] for row in rows)
    return None


def _longest_run(split: Split) -> list[int]:
    """Rows of clips that follow each other without a gap, of at most some `_LONG_S` in all."""
    runs: list[list[int]] = []
    lasts_s = 0.0
    for row, continues in enumerate(split.continues.tolist()):
        if not continues or lasts_s >= _LONG_S:
            runs.append([])
            lasts_s = 0.0
        runs[-1].append(row)
        lasts_s += float(split.durations_s[row])
    return max(runs, key=lambda rows: float(split.durations_s[rows].sum()), default=[])


def _joined(clips: Clips, texts: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Clips with pauses as quiet as they are, over and over where there are few."""
    random = np.random.default_rng(0)
    parts: list[np.ndarray] = []
    said: list[str] = []
    for place in cycle(range(len(clips))):
        clip = clips[place]
        pause = room_tone(clip, round(random.uniform(*_PAUSES_S) * SAMPLE_RATE), random)
        parts += [clip, pause]
        said.append(texts[place])
        if sum(map(len, parts)) >= _LONG_S * SAMPLE_RATE:
            break
    return np.concatenate(parts), tuple(said)


def _silences() -> tuple[np.ndarray, ...]:
    """Digital silence and faint noise, from a moment to more than a window."""
    random = np.random.default_rng(0)
    lengths = [round(duration_s * SAMPLE_RATE) for duration_s in (1, 6, 30)]
    digital = [np.zeros(length, np.float32) for length in lengths]
    noise = [random.standard_normal(length, np.float32) * np.float32(_FAINT) for length in lengths]
    return (*digital, *noise)
