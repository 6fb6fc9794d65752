"""How a run begins with its memory: whether activations are computed twice, and how much the device
takes at a time. Both are decisions of the journal, since they are made from what memory there is.
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import WhisperConfig

from modersmal.config import TrainConfig
from modersmal.train.grow import DEVICE_BATCH_S, Growth
from modersmal.train.journal import Journal
from modersmal.train.learner import Learner
from modersmal.train.memory import Gauge, Room, describe_memory, find_room, gauge_of
from modersmal.train.optim import trained
from modersmal.train.precision import Precision
from modersmal.train.say import say

CHECKPOINTING = "gradient_checkpointing"
_SET = "set by the recipe"


@dataclass(frozen=True)
class Sizing:
    """What a device has room for; `basis` is the ground on which it was found, `gauge` measures
    it while training, if anything can."""

    config: TrainConfig
    room: Room
    basis: str
    gauge: Gauge | None

    @classmethod
    def of(
        cls,
        config: TrainConfig,
        model: nn.Module,
        device: torch.device,
        precision: Precision,
        longest_s: float,
    ) -> "Sizing":
        """For a model that has its weights on the device, and nothing else yet; the longest sample
        is `longest_s`."""
        shape = model.config
        if not isinstance(shape, WhisperConfig):
            raise TypeError(f"{type(shape).__name__} is no Whisper's")
        room = find_room(
            shape,
            sum(value.numel() for value in model.parameters()),
            sum(value.numel() for _, value in trained(model)),
            device,
            value_bytes=precision.autocast.itemsize if precision.autocast else 4,
            longest_s=longest_s,
        )
        gauge = gauge_of(device, sum(value.numel() for _, value in trained(model)))
        return cls(config, room, describe_memory(device), gauge)

    def begin(self, journal: Journal, step: int, learner: Learner) -> float:
        """Decide for a run that goes on from `step`, and have the learner heed it.

        Returns the seconds of padded audio that the device takes at a time at first. What was found
        out on a machine like this one holds.
        """
        if self._checkpoints(journal, step):
            learner.use_checkpointing()
        set_s = self.config.device_batch_s
        basis = self.basis if set_s is None else f"{set_s} s, {_SET}"
        value = set_s or self.room.first_s(learner.checkpointing)
        reason = self.room.reason if set_s is None else _SET
        holding = journal.latest(step, DEVICE_BATCH_S)
        if holding is None or holding.basis != basis:
            journal.record(step, DEVICE_BATCH_S, value, basis)
        elif holding.value != value:
            value, reason = holding.value, f"as was decided at step {holding.step}"
        say(
            f"{self.config.batch_s:g} s of audio a step, at most {value:g} s of padded audio at a "
            f"time ({reason})" + (", with gradient checkpointing" * learner.checkpointing)
        )
        return float(value)

    def growth(self, journal: Journal) -> Growth:
        """What lets it take more, unless the recipe says how much."""
        found = self.config.device_batch_s is None
        return Growth(journal, self.gauge if found else None, self.room.most_s)

    def _checkpoints(self, journal: Journal, step: int) -> bool:
        wanted = self.config.gradient_checkpointing
        if wanted is not None:
            return wanted
        holding = journal.latest(step, CHECKPOINTING)
        if holding is not None and holding.basis == self.basis:
            return bool(holding.value)
        needed = self.room.needs_checkpointing
        return bool(journal.record(step, CHECKPOINTING, needed, self.basis))
