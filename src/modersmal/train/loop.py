"""The loop of a run: learn, score on dev, save, stop when asked."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from modersmal.config import TrainConfig
from modersmal.errors import Stopped, TrainingError
from modersmal.logmel import FRAMES_PER_S
from modersmal.progress import Advance, progress
from modersmal.store.faults import fault
from modersmal.train.account import Account, StepReport, Taken
from modersmal.train.batch import StepBatch
from modersmal.train.beside import Beside
from modersmal.train.candidates import GONE
from modersmal.train.checkpoint import Best, Name, State
from modersmal.train.dev import DevScore, DevSet
from modersmal.train.energy import Meter
from modersmal.train.grow import DEVICE_BATCH_S, Growth
from modersmal.train.heartbeat import HeartbeatWriter
from modersmal.train.journal import Journal
from modersmal.train.learner import Learner, StepResult
from modersmal.train.loader import Loader
from modersmal.train.log import MetricsLog
from modersmal.train.lora import merged
from modersmal.train.pace import Pace
from modersmal.train.ranks import Step
from modersmal.train.saver import Event, Saver
from modersmal.train.stopping import StopNow, Wish

_MOST_SKIPPED = 50  # float16's loss scale halves at each, from 65,536: by then it is hopeless
_UPLOAD_S = 2.0  # what a signal leaves time for; the local checkpoint is what it must have
_LOOK_EVERY_S = 0.5


class Loop:
    """Takes a learner from `state` to the last step of its recipe."""

    def __init__(
        self,
        learner: Learner,
        loader: Loader,
        dev: DevSet | None,
        beside: Beside,
        state: State,
        saver: Saver,
        journal: Journal,
        heartbeat: HeartbeatWriter,
        pace: Pace,
        growth: Growth,
        meter: Meter,
        *,
        run: Path,
        batches_per_epoch: int,
        say: Callable[[str], None],
        on_step: Callable[[StepReport], None] | None,
        on_saved: Callable[[Event], None],
        still_ours: Callable[[], None],
    ) -> None:
        self.learner, self.loader, self.dev, self.state = learner, loader, dev, state
        self.beside = beside
        self.saver, self.journal, self.heartbeat, self.pace = saver, journal, heartbeat, pace
        self.growth = growth
        self.config: TrainConfig = learner.config
        self._run, self._say = run, say
        self._on_saved, self._still_ours = on_saved, still_ours
        self._saved_step = state.step  # nothing to save before the first step
        self._written: Name | None = None  # the checkpoint that is to be scored beside the steps
        self._skipped = 0
        self._taken: Taken | None = None  # and not settled yet
        self._account = Account(heartbeat, batches_per_epoch, on_step, meter)
        self._scoring_s = 0.0  # within the step that is going on

    @property
    def end(self) -> int:
        """Steps in all, as is planned now."""
        return self.pace.end(self.state.step)

    def run(self, wish: Wish) -> State:
        """Train to the end; everything is saved when it returns.

        Raises:
            Stopped: `wish` asked for it, or the session ends; everything is saved.
            Held: another machine has taken the lease.
            TrainingError: the loss became something that is not a number, or memory is too small.
            StoreError: a checkpoint could not be written; the earlier ones are intact.
        """
        first = self.state.step
        open_steps = {self.state.pending, first} - {self.state.evaluated_step, None}
        with (
            MetricsLog(self._run, first, unscored=open_steps) as log,
            progress("Training", total=self.end, unit="steps", done=first) as advance,
        ):
            if first:
                self._go_on_scoring()
                self._milestone(log, wish, advance)
            steps = self.loader.steps(first, self.config.max_steps)
            try:
                while self.state.step < self.end:
                    self._take_step(steps, log, wish, advance)
                self._settle(log, advance)
            finally:
                steps.close()
        self._upload_last(wish)
        return self.state

    def _take_step(
        self, steps: Iterator[StepBatch], log: MetricsLog, wish: Wish, advance: Advance
    ) -> None:
        """One step and all that follows it, if there is time and nobody asks for a stop."""
        began_s, self._scoring_s = time.monotonic(), 0.0
        if self.pace.plan(self.state.step):
            self.heartbeat.planned(self.end)
            advance(0, note=f"to end at step {self.end}")
        if self.pace.must_pause(self.state.step):
            self._settle(log, advance)
            raise self._stopped("the time is over: ")
        asked_s = time.monotonic()
        batch = next(steps)
        waited_s = time.monotonic() - asked_s
        if wish.asked:
            self._settle(log, advance)
            raise self._stopped()
        self._advance_to(batch, began_s, waited_s, log, advance)
        fault("train.after-step")
        self._milestone(log, wish, advance)
        self._attend()
        self._hear_score(log)
        self.pace.step_took(time.monotonic() - began_s - self._scoring_s, batch.planned.audio_s)

    def _attend(self) -> None:
        """Hear what became of checkpoints, and whether the lease is still ours."""
        self._still_ours()
        for event in self.saver.poll():
            self._on_saved(event)
            self.pace.heard(event.kind, event.name.step)
            tell = self.heartbeat.saved if event.kind == "saved" else self.heartbeat.confirmed
            tell(event.name.step)
            if event.kind == "saved" and event.name.step == self.state.pending:
                self._written = event.name

    def _upload_last(self, wish: Wish) -> None:
        """Wait until everything is where it counts; a stop is heeded, since all is on the disk."""
        self.saver.wait_written()
        self._attend()
        try:
            with wish.at_once():
                drained = self.saver.drain(0) or self._drain_showing_bytes()
        except StopNow:
            raise self._stopped() from None
        self._attend()
        if not drained:
            raise self._stopped("the time is over: ")

    def _drain_showing_bytes(self) -> bool:
        """Wait for the uploads; False where the time is over before."""
        total = least = self.saver.waiting_bytes
        drained, left_s = False, self.pace.left_s
        with progress("Uploading the last checkpoint", total=total / 1e6, unit="MB") as advance:
            while not drained and left_s != 0:
                wait_s = _LOOK_EVERY_S if left_s is None else min(_LOOK_EVERY_S, left_s)
                drained = self.saver.drain(wait_s)
                now = min(least, self.saver.waiting_bytes)  # what is sent again is not shown
                advance((least - now) / 1e6)
                least, left_s = now, self.pace.left_s
        return drained

    def _advance_to(
        self,
        batch: StepBatch,
        began_s: float,
        waited_s: float,
        log: MetricsLog,
        advance: Advance,
    ) -> None:
        """Learn from one batch, that was asked for at `began_s`, and say how it went, or, where
        the device is behind, how the one before it went."""
        rate = self.pace.rate(self.state.step)
        result = self._learn(batch, rate)
        self._settle(log, advance)
        self.state = replace(self.state, step=self.state.step + 1)
        self._taken = Taken(self.state.step, rate, batch, result, began_s, waited_s)
        if not self.learner.runs_ahead:
            self._settle(log, advance)
        self._grow(batch)

    def _settle(self, log: MetricsLog, advance: Advance) -> None:
        """See that the step which the device was given last has gone well, and tell of it."""
        taken, self._taken = self._taken, None
        if taken is None:
            return
        self._must_be_sound(taken)
        took_s = self._account.settle(taken, log)
        self.state = replace(self.state, seconds=self.state.seconds + took_s)
        advance(1, note=self._note())

    def _learn(self, batch: StepBatch, rate: float) -> StepResult:
        """One step; where memory is too small, in smaller parts, which does not change it."""
        step, padded_s = self.state.step, batch.planned.frames / FRAMES_PER_S
        while True:
            device_batch_s = self._device_batch_s(step)
            self.learner.ranks.tell(Step(step, rate, device_batch_s))
            self.growth.watch()
            try:
                return self.learner.step(batch, rate, device_batch_s)
            except torch.OutOfMemoryError as error:
                if device_batch_s < 2 * padded_s:
                    raise TrainingError(
                        f"one sample of {padded_s:g} s does not fit the device's memory; set "
                        "train.gradient_checkpointing = true, or take a smaller model"
                    ) from error
            halved = max(padded_s, device_batch_s / 2)
            self.growth.shrink(step, halved)
            self._say(
                f"The device's memory is too small; going on with device_batch_s = {halved:g}"
            )
            torch.cuda.empty_cache()

    def _device_batch_s(self, step: int) -> float:
        decision = self.journal.latest(step, DEVICE_BATCH_S)
        if decision is None:
            raise TrainingError(f"the journal of {self._run} does not say {DEVICE_BATCH_S}")
        return float(decision.value)

    def _grow(self, batch: StepBatch) -> None:
        """Have the next step take more at a time where the last one has shown that it fits."""
        parts = batch.cut(self._device_batch_s(self.state.step - 1))
        largest_s = max(map(len, parts), default=0) * batch.planned.frames / FRAMES_PER_S
        grown_s = self.growth.after(self.state.step, largest_s, len(parts))
        if grown_s is not None:
            self._say(f"Memory allows more: {grown_s:g} s of padded audio at a time from now on")

    def _must_be_sound(self, taken: Taken) -> None:
        result = taken.result
        self._skipped = self._skipped + 1 if result.skipped else 0
        sound = result.loss == result.loss and abs(result.loss) != float("inf")
        if sound and self._skipped < _MOST_SKIPPED:
            return
        self.saver.wait_written()
        saved = [name.step for name in self.saver.checkpoints.local_names()]
        kept = f"the checkpoint of step {saved[-1]} is intact" if saved else "nothing was saved yet"
        raise TrainingError(
            f"the loss is not a number at step {taken.step} ({kept}); lower "
            "train.learning_rate, or set train.precision = 'float32', under another name"
        )

    def _milestone(self, log: MetricsLog, wish: Wish, advance: Advance) -> None:
        """Score and save where this step is due for it."""
        step = self.state.step
        saving = step % self.config.save_every == 0 or step == self.end
        if saving or self._is_due(step):
            self._settle(log, advance)
        if self.dev and self._is_due(step):
            self._await_score(log, wish, advance)  # an earlier one: scores come in their order
            if self.beside.chosen and (step < self.end or self._may_evaluate(step)):
                self.state, saving = replace(self.state, pending=step), True
            elif not self.beside.chosen and self._may_evaluate(step):
                self._score(self.dev, log, wish, advance)
        best = self.state.best is not None and self.state.best.step == step
        if saving or best:
            self._save()
        if step == self.end:
            self._await_score(log, wish, advance)

    def _may_evaluate(self, step: int) -> bool:
        """Whether there is time for a dev score. Raises Stopped where it is to be taken later."""
        if self.pace.may_evaluate(step):
            return True
        if self.pace.may_skip_evaluation(step):
            return False
        raise self._stopped("no time is left for a dev score: ")

    def _is_due(self, step: int) -> bool:
        """Whether this step is due for a dev score, and has none yet and none on its way."""
        every = self.config.evaluate_every
        due = step == self.end or (every > 0 and step % every == 0)
        return due and self.state.pending != step and not self._is_scored(step)

    def _is_scored(self, step: int) -> bool:
        return self.state.evaluated_step == step

    def _score(self, dev: DevSet, log: MetricsLog, wish: Wish, advance: Advance) -> None:
        """Score on dev, unless a stop is asked for meanwhile, or the time is over."""
        began_s = time.monotonic()
        try:
            with wish.at_once():
                found = self._decode_dev(dev, advance)
        except StopNow:
            raise self._stopped() from None
        took_s = time.monotonic() - began_s
        self._scoring_s += took_s
        self.pace.evaluation_took(took_s)
        self._note_score(self.state.step, found, log)

    def _go_on_scoring(self) -> None:
        """See to the score that the run was stopped, or killed, before it came to hear of."""
        pending, checkpoints = self.state.pending, self.saver.checkpoints
        if pending is None:
            return
        try:
            self._written = checkpoints.named(pending)
            if pending < self.state.step:  # else it was looked at just now
                checkpoints.bring(self._written)
        except GONE as error:
            self._say(f"Step {pending} stays without a dev score: {error}")
            self.state, self._written = replace(self.state, pending=None), None

    def _hear_score(self, log: MetricsLog, wait_s: float = 0.0) -> None:
        """Have the checkpoint that is due scored as soon as it is written, and hear what it has."""
        written = self._written
        if written and written.step == self.state.pending and self.beside.asked is None:
            self.beside.begin(written, self.saver.checkpoints.folder / str(written))
        if found := self.beside.hear(self.state.step, wait_s):
            self.pace.evaluation_took(found.seconds)
            self.state = replace(self.state, pending=None)
            self._note_score(found.name.step, found.score, log)

    def _await_score(self, log: MetricsLog, wish: Wish, advance: Advance) -> None:
        """Wait for the score that is on its way, if one is, unless a stop is asked for meanwhile,
        or the time is over."""
        began_s, awaited = time.monotonic(), self.state.pending
        while self.state.pending is not None:
            if wish.asked or self.pace.is_over():
                raise self._stopped()
            advance(0, note=f"waiting for the dev score of step {awaited}")
            self.heartbeat.scoring()
            self.saver.wait_written(_LOOK_EVERY_S)
            self._attend()
            self._hear_score(log, _LOOK_EVERY_S)
        if awaited is not None:
            self._scoring_s += time.monotonic() - began_s
            self.saver.prune(self.state)

    def _decode_dev(self, dev: DevSet, advance: Advance) -> DevScore:
        done = 0

        def on_progress(clips: int) -> None:
            nonlocal done
            done += clips
            advance(0, note=f"scoring dev, clip {done} of {len(dev.rows)}")
            self.heartbeat.scoring()
            if self.pace.is_over():
                raise StopNow

        learner = self.learner
        with merged(learner.model), learner.decoding():
            return dev.score(learner.whisper, on_progress)

    def _note_score(self, step: int, found: DevScore, log: MetricsLog) -> None:
        best = self.state.best
        log.write(step, dev_wer=found.wer, dev_cer=found.cer, dev_clips=found.clips, **_sure(found))
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
        self.pace.saving(self.state.step)
        self.saver.save(self.state, self.learner.model, self.learner.optimizer)
        self._saved_step = self.state.step

    def _stopped(self, why: str = "") -> Stopped:
        """Save everything, and return what to raise; `why` is for when nobody asked for it."""
        self._save()
        self.saver.wait_written()
        self._attend()
        if not self.saver.drain(self.pace.left_s if why else _UPLOAD_S):
            self._say(
                "The last checkpoint is on this machine's disk and not yet in the store; it is "
                "uploaded when the same command is started here again"
            )
        return Stopped(
            f"{why}stopped at step {self.state.step} of {self.end} with everything saved; the same "
            "command goes on from there"
        )

    def _note(self) -> str:
        best = self.state.best
        score = f", best dev {best.metric.upper()} {best.rate:.1%}" if best else ""
        return f"loss {self._account.smooth_loss:.2f}{score}"


def _sure(found: DevScore) -> dict[str, float | str]:
    """How sure a dev score is, and after which normaliser it was taken, as far as that is known."""
    told = {"dev_low": found.low, "dev_high": found.high, "dev_normaliser": found.normaliser}
    return {name: value for name, value in told.items() if value is not None}
