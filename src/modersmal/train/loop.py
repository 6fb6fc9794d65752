"""The loop of a run: learn, score on dev, save, stop when asked."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from modersmal.config import TrainConfig
from modersmal.errors import Stopped, TrainingError
from modersmal.progress import Advance, progress
from modersmal.store.faults import fault
from modersmal.train.batch import Loader, StepBatch
from modersmal.train.checkpoint import Best, State
from modersmal.train.dev import DevScore, DevSet
from modersmal.train.heartbeat import HeartbeatWriter
from modersmal.train.journal import Journal
from modersmal.train.learner import Learner, StepResult
from modersmal.train.log import MetricsLog
from modersmal.train.optim import learning_rate
from modersmal.train.saver import Event, Saver
from modersmal.train.stopping import StopNow, Wish

_MOST_SKIPPED = 50  # float16's loss scale halves at each, from 65,536: by then it is hopeless
_SMOOTHING = 0.95
_UPLOAD_S = 2.0  # what a signal leaves time for; the local checkpoint is what it must have
DEVICE_BATCH_S = "device_batch_s"


@dataclass(frozen=True)
class StepReport:
    """One optimiser step, as metrics.jsonl has it. `step` counts from 1."""

    step: int
    epoch: float
    loss: float
    learning_rate: float
    gradient_norm: float
    audio_s_per_s: float


class Loop:
    """Takes a learner from `state` to the last step of its recipe."""

    def __init__(
        self,
        learner: Learner,
        loader: Loader,
        dev: DevSet | None,
        state: State,
        saver: Saver,
        journal: Journal,
        heartbeat: HeartbeatWriter,
        *,
        run: Path,
        batches_per_epoch: int,
        peak_learning_rate: float,
        say: Callable[[str], None],
        on_step: Callable[[StepReport], None] | None,
        on_saved: Callable[[Event], None],
        still_ours: Callable[[], None],
    ) -> None:
        self.learner, self.loader, self.dev, self.state = learner, loader, dev, state
        self.saver, self.journal, self.heartbeat = saver, journal, heartbeat
        self.config: TrainConfig = learner.config
        self._run, self._say, self._on_step = run, say, on_step
        self._on_saved, self._still_ours = on_saved, still_ours
        self._batches_per_epoch = batches_per_epoch
        self._peak = peak_learning_rate
        self._saved_step = state.step  # nothing to save before the first step
        self._skipped = 0
        self._smooth: float | None = None

    def run(self, wish: Wish) -> State:
        """Train to the end; everything is saved when it returns.

        Raises:
            Stopped: `wish` asked for it; everything is saved.
            Held: another machine has taken the lease.
            TrainingError: the loss became something that is not a number, or memory is too small.
            StoreError: a checkpoint could not be written; the earlier ones are intact.
        """
        first, last = self.state.step, self.config.max_steps
        scored = self.state.evaluated_step == first
        with (
            MetricsLog(self._run, first, scored=scored) as log,
            progress("Training", total=last, unit="steps", done=first) as advance,
        ):
            if first:
                self._milestone(log, wish, advance)
            steps = self.loader.steps(first, last)
            began_s = time.monotonic()
            try:
                for batch in steps:
                    if wish.asked:
                        raise self._stopped()
                    self._advance_to(batch, began_s, log, advance)
                    fault("train.after-step")
                    self._milestone(log, wish, advance)
                    self._attend()
                    began_s = time.monotonic()
            finally:
                steps.close()
        self._upload_last(wish)
        return self.state

    def _attend(self) -> None:
        """Hear what became of checkpoints, and whether the lease is still ours."""
        self._still_ours()
        for event in self.saver.poll():
            self._on_saved(event)
            tell = self.heartbeat.saved if event.kind == "saved" else self.heartbeat.confirmed
            tell(event.name.step)

    def _upload_last(self, wish: Wish) -> None:
        """Wait until everything is where it counts; a stop is heeded, since all is on the disk."""
        self.saver.wait_written()
        self._attend()
        try:
            with wish.at_once():
                if not self.saver.drain(0):
                    self._say("Uploading the last checkpoint")
                    self.saver.drain()
        except StopNow:
            raise self._stopped() from None
        self._attend()

    def _advance_to(
        self, batch: StepBatch, began_s: float, log: MetricsLog, advance: Advance
    ) -> None:
        """Learn from one batch, that was waited for since `began_s`, and say how it went."""
        rate = learning_rate(self.state.step, self._peak, self.config)
        result = self._learn(batch, rate)
        took_s = time.monotonic() - began_s
        self._must_be_sound(result)
        self.state = replace(
            self.state, step=self.state.step + 1, seconds=self.state.seconds + took_s
        )
        report = StepReport(
            step=self.state.step,
            epoch=self.state.step / self._batches_per_epoch,
            loss=result.loss,
            learning_rate=rate,
            gradient_norm=result.gradient_norm,
            audio_s_per_s=batch.audio_s / took_s,
        )
        log.write(**vars(report))
        self.heartbeat.step(
            report.step,
            took_s=took_s,
            audio_s=batch.audio_s,
            epoch=report.epoch,
            loss=report.loss,
        )
        if self._on_step:
            self._on_step(report)
        before = result.loss if self._smooth is None else self._smooth
        self._smooth = _SMOOTHING * before + (1 - _SMOOTHING) * result.loss
        advance(1, note=self._note())

    def _learn(self, batch: StepBatch, rate: float) -> StepResult:
        """One step; where memory is too small, in smaller parts, which does not change it."""
        step, padded_s = self.state.step, batch.planned.frames / 100
        while True:
            decision = self.journal.latest(step, DEVICE_BATCH_S)
            if decision is None:
                raise TrainingError(f"the journal of {self._run} does not say {DEVICE_BATCH_S}")
            try:
                return self.learner.step(batch, rate, decision.value)
            except torch.OutOfMemoryError as error:
                if decision.value < 2 * padded_s:
                    raise TrainingError(
                        f"one clip of {padded_s:g} s does not fit the device's memory; set "
                        "train.gradient_checkpointing = true, or take a smaller model"
                    ) from error
            halved = max(padded_s, decision.value / 2)
            self.journal.record(step, DEVICE_BATCH_S, halved, decision.basis)
            self._say(
                f"The device's memory is too small; going on with device_batch_s = {halved:g}"
            )
            torch.cuda.empty_cache()

    def _must_be_sound(self, result: StepResult) -> None:
        self._skipped = self._skipped + 1 if result.skipped else 0
        sound = result.loss == result.loss and abs(result.loss) != float("inf")
        if sound and self._skipped < _MOST_SKIPPED:
            return
        self.saver.wait_written()
        saved = [name.step for name in self.saver.checkpoints.local_names()]
        kept = f"the checkpoint of step {saved[-1]} is intact" if saved else "nothing was saved yet"
        raise TrainingError(
            f"the loss is not a number at step {self.state.step + 1} ({kept}); lower "
            "train.learning_rate, or set train.precision = 'float32', under another name"
        )

    def _milestone(self, log: MetricsLog, wish: Wish, advance: Advance) -> None:
        """Score and save where this step is due for it."""
        if self.dev and self._is_unscored(self.state.step):
            try:
                with wish.at_once():
                    found = self._decode_dev(self.dev, advance)
            except StopNow:
                raise self._stopped() from None
            self._note_score(found, log)
        step = self.state.step
        best = self.state.best is not None and self.state.best.step == step
        if step % self.config.save_every == 0 or step == self.config.max_steps or best:
            self._save()

    def _is_unscored(self, step: int) -> bool:
        """Whether this step is due for a dev score, and has none yet."""
        every = self.config.evaluate_every
        due = step == self.config.max_steps or (every > 0 and step % every == 0)
        return due and self.state.evaluated_step != step

    def _decode_dev(self, dev: DevSet, advance: Advance) -> DevScore:
        done = 0

        def on_progress(clips: int) -> None:
            nonlocal done
            done += clips
            advance(0, note=f"scoring dev, clip {done} of {len(dev.rows)}")
            self.heartbeat.scoring()

        with self.learner.precision.context(self.learner.device):
            return dev.score(self.learner.whisper, on_progress)

    def _note_score(self, found: DevScore, log: MetricsLog) -> None:
        step, best = self.state.step, self.state.best
        log.write(step, dev_wer=found.wer, dev_cer=found.cer, dev_clips=found.clips)
        self.heartbeat.scored(step, found.metric, found.rate)
        if best is None or found.rate <= best.rate:
            best = Best(step, found.rate, found.metric)
        self.state = replace(self.state, evaluated_step=step, best=best)
        mark = ", the best so far" if best.step == step else ""
        self._say(
            f"Step {step}: dev {found.metric.upper()} {found.rate:.1%} on {found.clips} clips{mark}"
        )

    def _save(self) -> None:
        if self._saved_step == self.state.step:
            return
        self.state = replace(
            self.state,
            scaler=self.learner.scaler_state(),
            decisions=tuple(self.journal.decisions),
        )
        self.saver.save(self.state, self.learner.model, self.learner.optimizer)
        self._saved_step = self.state.step

    def _stopped(self) -> Stopped:
        """Save everything, and return what to raise."""
        self._save()
        self.saver.wait_written()
        self._attend()
        if not self.saver.drain(_UPLOAD_S):
            self._say(
                "The last checkpoint is on this machine's disk and not yet in the store; it is "
                "uploaded when the same command is started here again"
            )
        return Stopped(
            f"stopped at step {self.state.step} of {self.config.max_steps} with everything "
            "saved; the same command goes on from there"
        )

    def _note(self) -> str:
        best = self.state.best
        score = f", best dev {best.metric.upper()} {best.rate:.1%}" if best else ""
        return f"loss {self._smooth:.2f}{score}"
