"""Cut clips out of a recording in one pass over it, with no more of it in memory than one clip."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from modersmal.audio import FULL_SCALE, SAMPLE_RATE, Audio, stream
from modersmal.corpus.sources.base import clip_path
from modersmal.errors import AudioError

# A subtitle may stay on the screen for a moment after the recording has ended.
_TOLERATED_S = 0.5

Times = list[tuple[float, float, str]]


class PastEndError(AudioError):
    """A recording is over before a clip of it is."""


class Cutter:
    """The recording at `path` below `root`; its clips have to be cut in their order."""

    def __init__(self, root: Path | None, path: str) -> None:
        self._pieces = self._read(root, path)
        self._path = path
        self._held = np.empty(0, np.float32)
        self._position = 0  # of the first sample held
        self._error: AudioError | None = None

    def cut(self, wanted: dict[str, Any]) -> tuple[Audio, Times]:
        """A clip and the (start, end, text) of its segments in seconds.

        `wanted` holds `start` and `end` in samples, and `segments`. Of the last clip, the recording
        may lack a moment.

        Raises:
            PastEndError: the recording ends before the clip's speech does.
            AudioError: it cannot be read up to there.
        """
        start, end = wanted["start"], wanted["end"]
        samples = self._samples(start, end)
        duration_s = len(samples) / SAMPLE_RATE
        last_s = wanted["segments"][-1][1]
        if last_s > duration_s + _TOLERATED_S or wanted["segments"][-1][0] >= duration_s:
            over_s = (self._position + len(self._held)) / SAMPLE_RATE
            raise PastEndError(
                f"it is said until {start / SAMPLE_RATE + last_s:.3f} s, and {self._path} ends at "
                f"{over_s:.3f} s"
            )
        segments = [
            (start_s, min(end_s, duration_s), text) for start_s, end_s, text in wanted["segments"]
        ]
        peak = float(np.abs(samples).max())
        clipped = float(np.mean(np.abs(samples) >= FULL_SCALE))
        return Audio(samples, "flac", SAMPLE_RATE, 1, peak, clipped), segments

    def _samples(self, start: int, end: int) -> np.ndarray:
        """Samples from `start` on, up to `end` or to where the recording is over."""
        if self._error:
            raise self._error
        parts, have = [self._held], self._position + len(self._held)
        try:
            while have < end and (piece := next(self._pieces, None)) is not None:
                have += len(piece)
                parts.append(piece)
                if have <= start:
                    parts = []
        except AudioError as error:
            self._error = error
            raise
        held = np.concatenate(parts) if parts else np.empty(0, np.float32)
        first = have - len(held)
        clip = held[max(0, start - first) : max(0, end - first)]
        kept = min(len(held), max(0, end - first))
        self._held, self._position = held[kept:].copy(), first + kept
        return np.ascontiguousarray(clip)

    @staticmethod
    def _read(root: Path | None, path: str) -> Iterator[np.ndarray]:
        if root is None:
            raise AudioError(f"{path} did not come with its archive")
        yield from stream(clip_path(root, path), name=path)
