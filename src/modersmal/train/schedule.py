"""Learning rates: a warm-up and a decay, which may be planned anew while the run goes on.

The recipe gives the schedule. Where a run must be finished at a deadline, decisions change it: each
is a `Turn`, and the learning rate is a function of the recipe and the turns alone.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from modersmal.config import TrainConfig
from modersmal.train.optim import learning_rate, warmup_steps

_LATE_WARMUP_SHARE = 0.1
_LEARNING_FACTOR = 0.05


@dataclass(frozen=True)
class Turn:
    """From `step` on, the share of the peak rises from `factor` to 1 at step `top`; then, or at
    once where `top` is not ahead, it falls, and is zero at `last_step`, the last one taken."""

    step: int
    factor: float
    top: int
    last_step: int

    def to_json(self) -> dict[str, Any]:
        """All but the step, which the journal has."""
        return {key: value for key, value in asdict(self).items() if key != "step"}


@dataclass(frozen=True)
class Schedule:
    """The learning rates of a run."""

    config: TrainConfig
    peak: float

    def rate(self, step: int, turn: Turn | None = None) -> float:
        """The learning rate of optimiser step `step`, counted from 0, where `turn` holds."""
        if turn is None:
            return learning_rate(step, self.peak, self.config)
        return self.peak * self.factor(step, turn)

    def factor(self, step: int, turn: Turn | None = None) -> float:
        """The share of the peak."""
        if turn is None:
            return learning_rate(step, 1.0, self.config)
        if step >= turn.last_step:
            return 0.0
        if step < turn.top:
            done = (step - turn.step) / (turn.top - turn.step)
            return turn.factor + (1 - turn.factor) * done
        first = max(turn.top, turn.step)
        begin = 1.0 if turn.top > turn.step else turn.factor
        return self._fall(begin, (step - first) / (turn.last_step - first))

    def is_learning(self, step: int, turn: Turn | None) -> bool:
        """Whether more steps at about this learning rate would still teach much."""
        return step < self._top(turn) or self.factor(step, turn) >= _LEARNING_FACTOR

    def turn(self, step: int, before: Turn | None, last_step: int) -> Turn:
        """Plan anew from `step` on, where `before` held: to zero at `last_step`.

        The factor goes on from where it is. Once it falls, it rises no more; a warm-up that the
        new plan has no time for is shortened.
        """
        top = self._top(before)
        if step < top:
            late = step + int((last_step - step) * _LATE_WARMUP_SHARE)
            top = min(self._top(None), max(warmup_steps(self.config, last_step + 1), late))
        return Turn(step, self.factor(step, before), top, last_step)

    def _top(self, turn: Turn | None) -> int:
        """Where the warm-up ends."""
        return warmup_steps(self.config, self.config.max_steps) if turn is None else turn.top

    def _fall(self, begin: float, done: float) -> float:
        """The decay from `begin`; `done` is how much of the way to zero lies behind."""
        if self.config.schedule == "cosine":
            phase = math.acos(2 * begin - 1) / math.pi
            phase += (1 - phase) * done
            return min(begin, 0.5 * (1 + math.cos(math.pi * phase)))
        return begin * (1 - done)
