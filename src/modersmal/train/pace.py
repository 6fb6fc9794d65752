"""The pace of a run: which learning rate comes next, how many steps there are, when to pause.

Two ways to meet the end of a session, `on_deadline` of the recipe: `pause` saves in time, to be
continued; `finish` plans the decay so that the last step that fits has learning rate zero. Such a
plan is made from measured durations, so it is a decision of the journal, and is made again when the
speed changes or time was lost. A run that goes back to a checkpoint follows the decisions that lie
ahead, as long as they still lead to the end in time.
"""

from collections.abc import Callable
from typing import Literal

from modersmal.errors import TrainingError
from modersmal.progress import duration
from modersmal.train.budget import Budget, Work, now_s
from modersmal.train.journal import Journal
from modersmal.train.schedule import Schedule, Turn

DECAY = "decay"
_MEASURED_STEPS = 4  # from here on a plan is made
_SHORTER, _LONGER = 0.05, 0.1  # share of the steps left by which a plan may be wrong
_LONGER_STEPS = 3
_MODEL_TOO = 2  # saves: the last checkpoint, and the finished model
_DECODING = 3.0  # how much slower than learning it is assumed to be, until it was measured

Mode = Literal["pause", "finish"]


class Pace:
    """What the training asks before each step, and tells of all that takes time.

    The journal is read once, so it must stand at the step that the run goes on from. A dev score
    decodes `dev_audio_s` seconds; `later_audio_s` more are to be decoded after training, which must
    fit in too where the run is to be finished. Where dev `scores_beside` the steps, only the last
    score takes time of its own.
    """

    def __init__(
        self,
        schedule: Schedule,
        journal: Journal,
        budget: Budget | None = None,
        mode: Mode = "pause",
        *,
        dev_audio_s: float = 0.0,
        later_audio_s: float = 0.0,
        scores_beside: bool = False,
        clock: Callable[[], float] = now_s,
    ) -> None:
        self._schedule, self._journal, self._clock = schedule, journal, clock
        self._budget, self._mode, self._dev_audio_s = budget, mode, dev_audio_s
        self._evaluate_every = 0 if scores_beside else schedule.config.evaluate_every
        scores = 1 + schedule.config.mixtures
        self._evaluations = scores + later_audio_s / dev_audio_s if dev_audio_s else 0.0
        self._saving: dict[int, float] = {}  # when it began, by step
        self._uploading: dict[int, float] = {}
        self._turns = [Turn(made.step, **made.value) for made in journal.holding(DECAY)]

    def rate(self, step: int) -> float:
        """The learning rate of optimiser step `step`, counted from 0."""
        return self._schedule.rate(step, self._turn(step))

    def end(self, step: int) -> int:
        """How many steps the run has in all, as is planned when `step` are done."""
        turn = self._turn(step)
        return self._schedule.config.max_steps if turn is None else turn.last_step + 1

    def plan(self, step: int) -> Turn | None:
        """Before a step: plan the decay anew where it would not end when the time does."""
        if self._budget is None or self._mode != "finish" or step >= self.end(step):
            return None
        before = self._turn(step)
        planned = self._turns[-1].last_step if self._turns else self.end(step) - 1
        wanted = self._last_step_that_fits(self._budget, step, planned)
        left = planned - step
        shorter = planned - wanted > _SHORTER * left
        longer = wanted - planned > max(_LONGER_STEPS, _LONGER * left)
        if not (shorter or (longer and self._schedule.is_learning(step, before))):
            return None
        turn = self._schedule.turn(step, before, wanted)
        basis = (
            f"{duration(self._budget.left_s)} left, {self._budget.usual_s('step'):.3g} s a step, "
            f"{duration(self._budget.closing_s(_MODEL_TOO, self._evaluations))} to close"
        )
        self._journal.record(step, DECAY, turn.to_json(), basis)
        self._turns = [*(made for made in self._turns if made.step < step), turn]
        return turn

    def must_pause(self, step: int) -> bool:
        """Whether there is no time for another step.

        Raises:
            TrainingError: there is no time for a single one in this session.
        """
        saves = _MODEL_TOO if step + 1 == self.end(step) else 1
        if self._budget is None or self._budget.fits("step", saves=saves):
            return False
        if self._budget.steps == 0:
            raise TrainingError(
                f"{duration(self._budget.left_s)} are too short for a step and for saving "
                f"(about {duration(self._budget.closing_s())}); the run stays at step {step}, give "
                "it more time"
            )
        return True

    def may_evaluate(self, step: int) -> bool:
        """Whether a dev score after `step` steps fits in, with what must follow it."""
        if self._budget is None:
            return True
        if step == self.end(step):
            return self._budget.fits("evaluation", saves=_MODEL_TOO)
        if self._mode == "pause":
            return self._budget.fits("evaluation")
        return self._budget.fits(
            "evaluation", "step", saves=_MODEL_TOO, evaluations=self._evaluations
        )

    def is_over(self) -> bool:
        """Whether work that can be given up must be given up, so that closing fits in."""
        return self._budget is not None and not self._budget.fits()

    def may_skip_evaluation(self, step: int) -> bool:
        """Whether a dev score that does not fit in is better left out than waited for."""
        return self._mode == "finish" and step < self.end(step)

    @property
    def left_s(self) -> float | None:
        """Time left in this session; None where it has no end."""
        return None if self._budget is None else max(0.0, self._budget.left_s)

    def step_took(self, seconds: float, audio_s: float) -> None:
        """A step on `audio_s` of audio is done, with all that belongs to it but dev scores."""
        if self._budget is not None:
            self._budget.took("step", seconds)
            self._budget.assume("evaluation", _DECODING * self._dev_audio_s * seconds / audio_s)

    def evaluation_took(self, seconds: float) -> None:
        if self._budget is not None:
            self._budget.took("evaluation", seconds)

    def saving(self, step: int) -> None:
        """A checkpoint begins to be saved."""
        self._saving[step] = self._clock()
        self._count()

    def heard(self, kind: Literal["saved", "confirmed", "handed over"], step: int) -> None:
        """A checkpoint is written here, or has arrived in the remote; earlier ones are settled."""
        work: Work = "save" if kind == "saved" else "upload"
        waiting = self._saving if kind == "saved" else self._uploading
        began_s = waiting.get(step)
        if self._budget is None or began_s is None:
            return
        self._budget.took(work, self._clock() - began_s)
        for earlier in [other for other in waiting if other <= step]:
            del waiting[earlier]
        if kind == "saved":
            self._uploading[step] = self._clock()
        self._count()

    def _count(self) -> None:
        if self._budget is not None:
            self._budget.unwritten = len(self._saving)
            self._budget.unconfirmed = len(self._uploading)

    def _turn(self, step: int) -> Turn | None:
        """The plan that holds at a step; None: the recipe's."""
        return next((turn for turn in reversed(self._turns) if turn.step <= step), None)

    def _last_step_that_fits(self, budget: Budget, step: int, planned: int) -> int:
        """The best last step to aim for; this one, where only one more is sure to fit."""
        if not budget.fits("step", "step", saves=_MODEL_TOO, evaluations=self._evaluations):
            return step
        if budget.steps <= _MEASURED_STEPS:
            return planned
        config = self._schedule.config
        fitting = budget.steps_that_fit(self._evaluate_every, _MODEL_TOO, self._evaluations)
        return min(step + max(1, fitting) - 1, config.max_steps - 1)
