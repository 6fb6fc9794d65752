"""What is told of each step: metrics, the heartbeat, the line on the terminal.

A GPU is given the next step before the numbers of the last one are read, so that it never waits
for them to be looked at. They are settled one step late then, and before anything is scored or
saved in any case.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from modersmal.train.batch import StepBatch
from modersmal.train.energy import Meter
from modersmal.train.heartbeat import HeartbeatWriter
from modersmal.train.learner import StepResult
from modersmal.train.log import MetricsLog

_SMOOTHING = 0.95


@dataclass(frozen=True)
class StepReport:
    """One optimiser step, as metrics.jsonl has it. `step` counts from 1.

    `padding_share` is that of what the encoder saw in which no clip was; in windows, where pauses
    are meant, `packing_efficiency` is the rest. Tokens are those that are learned.
    `loader_wait_share` is how much of the step training waited for its clips to be read, `seconds`
    what all steps have taken since the start of this session. `energy_j` is what was taken since it
    was last told, scoring included; `hardware` and `energy_source` are told once a session.
    """

    step: int
    epoch: float
    seconds: float
    loss: float
    learning_rate: float
    gradient_norm: float
    audio_s_per_s: float
    tokens_per_s: float
    padding_share: float
    packing_efficiency: float | None
    loader_wait_share: float
    energy_j: float | None = None
    hardware: str | None = None
    energy_source: str | None = None


@dataclass(frozen=True)
class Taken:
    """A step that the device has been given: the `step`-th, begun at `began_s` by waiting
    `waited_s` for its batch."""

    step: int
    learning_rate: float
    batch: StepBatch
    result: StepResult
    began_s: float
    waited_s: float


class Account:
    """Tells of the steps of a run as they are settled."""

    def __init__(
        self,
        heartbeat: HeartbeatWriter,
        batches_per_epoch: int,
        on_step: Callable[[StepReport], None] | None,
        meter: Meter,
    ) -> None:
        self._heartbeat, self._on_step, self._meter = heartbeat, on_step, meter
        self._batches_per_epoch = batches_per_epoch
        self._settled_s, self._seconds = float("-inf"), 0.0
        self._is_first = True
        self.smooth_loss: float | None = None

    def settle(self, taken: Taken, log: MetricsLog) -> float:
        """Tell of a step, whose numbers are waited for. Returns the seconds that it took."""
        loss = taken.result.loss
        now_s = time.monotonic()
        took_s = now_s - max(taken.began_s, self._settled_s)
        self._settled_s, self._seconds = now_s, self._seconds + took_s
        report = self._report(taken, took_s)
        log.write(**{name: value for name, value in vars(report).items() if value is not None})
        self._heartbeat.step(
            report.step,
            took_s=took_s,
            audio_s=taken.batch.planned.audio_s,
            epoch=report.epoch,
            loss=loss,
        )
        if self._on_step:
            self._on_step(report)
        before = loss if self.smooth_loss is None else self.smooth_loss
        self.smooth_loss = _SMOOTHING * before + (1 - _SMOOTHING) * loss
        return took_s

    def _report(self, taken: Taken, took_s: float) -> StepReport:
        planned = taken.batch.planned
        speech_share = min(1.0, planned.audio_s / planned.padded_s)
        first, self._is_first = self._is_first, False
        return StepReport(
            step=taken.step,
            epoch=taken.step / self._batches_per_epoch,
            seconds=self._seconds,
            loss=taken.result.loss,
            learning_rate=taken.learning_rate,
            gradient_norm=taken.result.gradient_norm,
            audio_s_per_s=planned.audio_s / took_s,
            tokens_per_s=taken.batch.learned / took_s,
            padding_share=1 - speech_share,
            packing_efficiency=speech_share if planned.geometry == "packed" else None,
            loader_wait_share=min(1.0, taken.waited_s / took_s),
            energy_j=self._meter.taken_j(),
            hardware=self._meter.hardware if first else None,
            energy_source=self._meter.source if first else None,
        )
