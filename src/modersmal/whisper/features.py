"""Log-mel of clips that are decoded again and again: computed once, and kept in memory."""

import threading

import numpy as np
import torch
from torch import Tensor

from modersmal.logmel import HOP_SAMPLES, clip_features
from modersmal.whisper.decode import Batch, Read

_MOST_BYTES = 256 << 20
_BEHIND_FRAMES = 4  # behind the end of a clip; the last of them hears none of it


class KeptFeatures:
    """What is heard of clips, by number; `read` is asked for samples the first time only.

    Kept are float32 frames up to each clip's end, 32 KB a second of 80 mels: what follows is
    silence, the same in every frame. Beyond 256 MiB, more than two hours, clips are read anew
    every time.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._kept: dict[tuple[int, int], np.ndarray] = {}  # by clip and frames
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """What is kept, in bytes."""
        return self._bytes

    def batch(self, batch: Batch, mels: int) -> Tensor:
        """Features (clips, mels, frames), equal bit for bit to those of `clip_features`."""
        found = torch.empty(len(batch.clips), mels, batch.frames)
        missing = []
        for row, clip in enumerate(batch.clips):
            known = self._kept.get((clip, batch.frames))
            if known is None:
                missing.append(row)
                continue
            frames = known.shape[1]
            found[row, :, :frames] = torch.from_numpy(known)
            found[row, :, frames:] = torch.from_numpy(known[:, -1:])
        if missing:
            clips = self._read([batch.clips[row] for row in missing])
            heard = clip_features(clips, mels, batch.frames, "cpu")
            found[missing] = heard
            for row, samples, features in zip(missing, clips, heard, strict=True):
                self._keep((batch.clips[row], batch.frames), len(samples), features)
        return found

    def _keep(self, key: tuple[int, int], samples: int, features: Tensor) -> None:
        kept = features[:, : samples // HOP_SAMPLES + _BEHIND_FRAMES].numpy()
        with self._lock:
            if self._bytes + kept.nbytes <= _MOST_BYTES:
                self._kept[key] = kept.copy()
                self._bytes += kept.nbytes
