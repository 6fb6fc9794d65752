"""What a step learns from, as tensors.

What a step holds depends on the plan alone. How much of it a device takes at a time does not
change the result: the context is that of the whole step, and losses are sums over tokens.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modersmal.logmel import FRAMES_PER_S, HOP_SAMPLES, log_mel, pad_clips
from modersmal.train.labels import NOT_LEARNED, Label
from modersmal.train.plan import PlannedBatch

Stretch = tuple[int, int]


@dataclass(frozen=True)
class HeardSample:
    """What the model hears at once, (n,) float32 at 16 kHz, and what it learns to write.

    `key` names it to random streams. `speech` are the first and last frames of its clips. From
    frame `zeros_from` on, features are 0, which is how some runtimes pad.
    """

    samples: np.ndarray
    label: Label
    key: int
    speech: list[Stretch]
    zeros_from: int | None = None


@dataclass(frozen=True)
class StepBatch:
    """All that one optimiser step learns from.

    `samples` are those that this process learns from; `learned` is the number of tokens that all
    processes learn.
    """

    planned: PlannedBatch
    samples: list[HeardSample]
    learned: int
    made: "Made | None" = None

    def micro_batches(self, device_batch_s: float) -> Iterator["MicroBatch"]:
        """Split what is here into parts of at most `device_batch_s` seconds of padded audio, at
        least a sample."""
        if self.made and self.made.device_batch_s == device_batch_s:
            yield from self.made.parts
            return
        for part in self.cut(device_batch_s):
            yield collate([self.samples[place] for place in part], self.planned.frames)

    def cut(self, device_batch_s: float) -> list[range]:
        """Which samples each of these parts holds."""
        size = max(1, int(device_batch_s * FRAMES_PER_S / self.planned.frames + 1e-6))
        count = len(self.samples)
        parts = -(-count // size)
        edges = [-(-count * part // parts) for part in range(parts + 1)] if parts else []
        return [range(first, last) for first, last in itertools.pairwise(edges)]

    def made_ahead(self, device_batch_s: float, *, pinned: bool) -> "StepBatch":
        """The same with its parts already made, in memory that a GPU fetches from by itself if
        `pinned`; asked for another size, they are made anew."""
        parts = tuple(self.micro_batches(device_batch_s))
        if pinned:
            parts = tuple(part.pinned() for part in parts)
        return replace(self, made=Made(device_batch_s, parts))


@dataclass(frozen=True)
class MicroBatch:
    """What one forward and backward pass sees, on the host.

    `audio` (samples, n) float32 with silence behind each; `inputs` and `targets` (samples,
    longest) int64, NOT_LEARNED where nothing is learned; `places` (n,) are the others, as flat
    indices, and `learned` (n,) what stands there; `frames` is the encoder's context,
    `zeros_from` (samples,) int64 where zero features begin, None where there are none.
    """

    audio: Tensor
    inputs: Tensor
    targets: Tensor
    places: Tensor
    learned: Tensor
    frames: int
    keys: list[int]
    speech: list[list[Stretch]]
    zeros_from: Tensor | None = None

    def features(self, mels: int, device: torch.device) -> Tensor:
        """Log-mel, computed on `device`: (samples, mels, frames) float32."""
        audio = self.audio.to(device, non_blocking=True)
        features = log_mel(audio, mels)[..., : self.frames]
        if self.zeros_from is None:
            return features
        ends = self.zeros_from.to(device, non_blocking=True)[:, None, None]
        return features.masked_fill(torch.arange(self.frames, device=device) >= ends, 0.0)

    def pinned(self) -> "MicroBatch":
        """The same in memory that does not move, which a GPU copies while the host goes on."""
        tensors: dict[str, Any] = {
            name: value.pin_memory() for name, value in vars(self).items() if torch.is_tensor(value)
        }
        return replace(self, **tensors)


@dataclass(frozen=True)
class Made:
    """The parts of a step that a device takes `device_batch_s` seconds of at a time."""

    device_batch_s: float
    parts: tuple[MicroBatch, ...]


def collate(samples: Sequence[HeardSample], frames: int) -> MicroBatch:
    """Stack samples and labels. Behind an input stands its last token; nothing is learned there."""
    labels = [sample.label for sample in samples]
    longest = max(len(label.inputs) for label in labels)
    inputs = torch.tensor(
        [label.inputs + label.inputs[-1:] * (longest - len(label.inputs)) for label in labels]
    )
    targets = torch.tensor(
        [label.targets + [NOT_LEARNED] * (longest - len(label.targets)) for label in labels]
    )
    flat = targets.flatten()
    places = (flat != NOT_LEARNED).nonzero().squeeze(1)  # on the host: a device would be waited for
    zeros_from = None
    if any(sample.zeros_from is not None for sample in samples):
        starts = [frames if one.zeros_from is None else one.zeros_from for one in samples]
        zeros_from = torch.tensor(starts)
    return MicroBatch(
        audio=pad_clips([sample.samples[: frames * HOP_SAMPLES] for sample in samples], frames),
        inputs=inputs,
        targets=targets,
        places=places,
        learned=flat[places],
        frames=frames,
        keys=[sample.key for sample in samples],
        speech=[sample.speech for sample in samples],
        zeros_from=zeros_from,
    )
