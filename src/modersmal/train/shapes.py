"""The three geometries of training, and how much of each sample is something to learn from.

`dynamic`: clips one by one, in the context of the step's longest. `packed`: clips, or a recording's
consecutive segments, joined to windows of 30 s. `full`: clips one by one, padded to 30 s.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from modersmal.config import TrainConfig
from modersmal.logmel import FRAMES_PER_S, WINDOW_FRAMES
from modersmal.train.streams import stream

Geometry = Literal["dynamic", "packed", "full"]
GEOMETRIES: tuple[Geometry, ...] = ("dynamic", "packed", "full")

_GOLDEN = (5**0.5 - 1) / 2  # its multiples spread evenly over 0 to 1, however many there are
_GEOMETRY = 2  # what a random stream is for


@dataclass(frozen=True)
class Shapes:
    """Which shares of the steps are of which geometry, and what their samples are like.

    Shares are of the steps, and as each holds about as much audio, of the audio; what is neither
    packed nor full is dynamic. `timestamp_share` is of the samples that are not packed,
    `prompt_share` of those that are; `silence_share` says how many silent samples come on top.
    """

    packed_share: float = 0.0
    full_share: float = 0.0
    floor_s: float = 2.0
    step_s: float = 0.5
    same_speaker: bool = False
    timestamp_share: float = 0.0
    prompt_share: float = 0.0
    silence_share: float = 0.0

    @classmethod
    def of(cls, config: TrainConfig) -> "Shapes":
        return cls(
            packed_share=config.packed_share,
            full_share=config.full_share,
            floor_s=config.context_floor_s,
            step_s=config.context_step_s,
            same_speaker=config.same_speaker,
            timestamp_share=config.timestamp_share,
            prompt_share=config.prompt_share,
            silence_share=config.silence_share,
        )

    @property
    def timestamps(self) -> bool:
        """Whether any label has some."""
        return self.packed_share > 0 or self.timestamp_share > 0

    def geometry(self, seed: int, step: int) -> Geometry:
        """The geometry of an optimiser step: any stretch of steps keeps the shares closely."""
        place = (stream(seed, _GEOMETRY).random() + step * _GOLDEN) % 1
        if place < self.full_share:
            return "full"
        return "packed" if place < self.full_share + self.packed_share else "dynamic"

    def frames(self, geometry: Geometry, longest_s: float) -> int:
        """The encoder's context for samples of at most `longest_s` seconds: even, at most 3,000."""
        if geometry != "dynamic":
            return WINDOW_FRAMES
        # A hair less than the clip, so that 3.0000001 s does not cost another step.
        steps = np.ceil(max(longest_s, self.floor_s) / self.step_s - 1e-4)
        frames = int(np.ceil(steps * self.step_s * FRAMES_PER_S / 2 - 1e-6)) * 2
        return min(WINDOW_FRAMES, frames)
