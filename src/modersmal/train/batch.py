"""What a step learns from, as tensors.

What a step holds depends on the plan alone. How much of it a device takes at a time does not
change the result: the context is that of the whole step, and losses are sums over tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from modersmal import audio
from modersmal.logmel import FRAMES_PER_S, HOP_SAMPLES, log_mel, pad_clips
from modersmal.train.plan import PlannedBatch


@dataclass(frozen=True)
class StepBatch:
    """All that one optimiser step learns from.

    `clips` are (n,) float32 at 16 kHz, `labels` token ids from start-of-transcript to end-of-text.
    Labels are those of the whole step. Of clips, those in `share` are here, and the others, which
    last `others_s`, in other processes.
    """

    planned: PlannedBatch
    clips: list[np.ndarray]
    labels: list[list[int]]
    share: slice = field(default_factory=lambda: slice(None))
    others_s: float = 0.0

    @property
    def audio_s(self) -> float:
        return sum(map(len, self.clips)) / audio.SAMPLE_RATE + self.others_s

    def micro_batches(self, device_batch_s: float) -> Iterator["MicroBatch"]:
        """Split what is here into parts of at most `device_batch_s` seconds of padded audio, at
        least a clip."""
        labels, rows = self.labels[self.share], self.planned.rows[self.share]
        size = max(1, int(device_batch_s * FRAMES_PER_S / self.planned.frames + 1e-6))
        parts = -(-len(self.clips) // size)
        for part in np.array_split(np.arange(len(self.clips)), parts) if parts else ():
            yield collate(
                [self.clips[place] for place in part],
                [labels[place] for place in part],
                [int(rows[place]) for place in part],
                self.planned.frames,
            )


@dataclass(frozen=True)
class MicroBatch:
    """What one forward and backward pass sees, on the host.

    `samples` (clips, n) float32 with silence behind each clip; `tokens` (clips, longest) int64
    with end-of-text behind each label; `counts` (clips,) int64, the length of each label;
    `frames` is the encoder's context and `speech_frames` how much of it is each clip.
    """

    samples: Tensor
    tokens: Tensor
    counts: Tensor
    rows: list[int]
    frames: int
    speech_frames: list[int]

    def features(self, mels: int, device: torch.device) -> Tensor:
        """Log-mel, computed on `device`: (clips, mels, frames) float32."""
        samples = self.samples
        if device.type == "cuda":
            samples = samples.pin_memory()
        return log_mel(samples.to(device, non_blocking=True), mels)[..., : self.frames]


def collate(
    clips: list[np.ndarray], labels: list[list[int]], rows: list[int], frames: int
) -> MicroBatch:
    """Stack clips and labels. A label is told from its padding by its length alone."""
    tokens = torch.tensor([label[-1] for label in labels])[:, None].repeat(1, max(map(len, labels)))
    for place, label in enumerate(labels):
        tokens[place, : len(label)] = torch.tensor(label)
    fitting = [clip[: frames * HOP_SAMPLES] for clip in clips]
    return MicroBatch(
        samples=pad_clips(fitting, frames),
        tokens=tokens,
        counts=torch.tensor([len(label) for label in labels]),
        rows=rows,
        frames=frames,
        speech_frames=[-(-len(clip) // HOP_SAMPLES) for clip in fitting],
    )
