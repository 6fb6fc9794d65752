"""The end of a run: the weights that are best on dev, as a complete folder."""

import json
import shutil
import uuid
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from modersmal import store
from modersmal.errors import Stopped
from modersmal.language import resolve
from modersmal.progress import duration, progress
from modersmal.store.faults import fault
from modersmal.train.candidates import CANDIDATES, Candidates, Choice, Scores, Sources
from modersmal.train.checkpoint import Checkpoints, Retention, State
from modersmal.train.dev import DevScore, DevSet
from modersmal.train.heartbeat import HeartbeatWriter
from modersmal.train.keeping import lineage_of
from modersmal.train.learner import Learner
from modersmal.train.pace import Pace
from modersmal.train.parts import Parts
from modersmal.train.say import say
from modersmal.train.stopping import StopNow, Wish
from modersmal.whisper.load import CARD_FILE, LEARNED_FROM, Whisper
from modersmal.whisper.save import save_complete

MODEL = "model"


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    `model` is the complete folder of the model that was best on dev. `weights` says what it is
    made of ("step 1500", "the average of steps 1000, 1500 and 2000"), up to `model_step` steps;
    `dev` is its rate as a share, `metric` what that is; both None where the corpus has no dev.
    `rates` are those of all that it might have been made of at the end. `place` is the URL of the
    run's folder in a store far away, where the model is too.
    """

    run: Path
    model: Path
    steps: int
    model_step: int
    metric: str | None
    dev: float | None
    seconds: float
    weights: str = ""
    rates: dict[str, float] = field(default_factory=dict)
    place: str | None = None

    def __str__(self) -> str:
        score = ""
        if self.dev is not None and self.metric:
            made = self.weights or f"step {self.model_step}"
            score = f", dev {self.metric.upper()} {self.dev:.1%}, of {made}"
        there = f" and in {self.place}/{MODEL}" if self.place else ""
        return (
            f"Trained {self.steps} steps in {duration(self.seconds)}{score}.\n"
            f"The model is in {self.model}{there}"
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"run": str(self.run), "model": str(self.model)}

    @classmethod
    def from_json(cls, table: dict[str, Any]) -> "TrainResult":
        paths = {"run": Path(table["run"]), "model": Path(table["model"])}
        return cls(**(table | paths))


@dataclass(frozen=True)
class Ending:
    """What the end of a run needs beside its state: how to score on dev, and for how long."""

    parts: Parts
    dev: DevSet | None
    heartbeat: HeartbeatWriter
    pace: Pace
    wish: Wish

    def score(self, step: int, name: str) -> DevScore | None:
        """After the last step, decode dev with what the model holds, which `name` names; None:
        there is no time for it, and the run is to end with what it has.

        Raises:
            Stopped: a signal asked for it, or there is no time, and the run may go on later.
        """
        config, learner = self.parts.recipe.train, self.parts.learner
        if self.dev is None:
            return None
        try:
            if not self.pace.may_evaluate(step):
                raise StopNow
            with (
                progress(f"Scoring {name}", total=len(self.dev.rows), unit="clips") as advance,
                self.wish.at_once(),
                learner.decoding(),
            ):

                def on_progress(clips: int) -> None:
                    advance(clips)
                    self.heartbeat.scoring()
                    if self.pace.is_over():
                        raise StopNow

                return self.dev.score(learner.whisper, on_progress)
        except StopNow:
            if self.wish.asked or config.on_deadline == "pause":
                raise Stopped(
                    "stopped when all steps were done, before the model was written; everything is "
                    "saved, and the same command goes on from there"
                ) from None
        say(f"There is no time to score {name}, which is left aside")
        return None


def finish(state: State, checkpoints: Checkpoints, run: Path, ending: Ending) -> TrainResult:
    """Write the best weights as a complete folder, in one go.

    Raises:
        Stopped: before it was written; everything is saved.
        StoreError: a checkpoint is out of reach, or the disk is full.
    """
    parts = ending.parts
    whisper, corpus = parts.learner.whisper, parts.corpus
    scores = Scores(run / CANDIDATES, parts.identity)
    _forget_how_to_learn(parts.learner)
    score = partial(ending.score, state.step)
    config = parts.recipe.train
    sources = Sources(
        state,
        checkpoints,
        base=parts.recipe.model,
        averaged=Retention.of(config).to_average(state.step),
        interpolated=config.interpolate,
        lora=config.lora,
    )
    choice = Candidates(sources, parts.learner.model, scores, score, trained=True).choose()
    _say_why(choice)
    finished = replace(whisper, base=base_name(parts.recipe.model, whisper))
    for left_by_a_killed_one in run.glob(f".draft-{MODEL}-*"):
        shutil.rmtree(left_by_a_killed_one, ignore_errors=True)
    draft = run / f".draft-{MODEL}-{uuid.uuid4().hex}"
    try:
        save_complete(finished, draft, resolve(corpus.language, corpus.language_token))
        card = json.loads((draft / CARD_FILE).read_text(encoding="utf-8"))
        card["weights"] = choice.weights
        if traces := lineage_of(run):
            card[LEARNED_FROM] = traces
        store.write_json(draft / CARD_FILE, card)
        store.write_manifest(draft)
        fault("model.after-manifest")
        with store.writing(run / MODEL):
            shutil.rmtree(run / MODEL, ignore_errors=True)
            fault("model.before-rename")
            draft.rename(run / MODEL)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return TrainResult(
        run=run,
        model=run / MODEL,
        steps=state.step,
        model_step=choice.step,
        metric=state.best.metric if state.best else None,
        dev=choice.rate,
        seconds=state.seconds,
        weights=choice.weights,
        rates=choice.rates,
    )


def _forget_how_to_learn(learner: Learner) -> None:
    """Free gradients and moments: other weights, to be mixed, take their room."""
    learner.optimizer.zero_grad(set_to_none=True)
    learner.optimizer.state.clear()


def _say_why(choice: Choice) -> None:
    found = choice.rates.items()
    others = [f"{rate:.1%} of {name}" for name, rate in found if name != choice.weights]
    if others and choice.rate is not None:
        say(f"The model is {choice.weights}: {choice.rate:.1%} on dev, against {', '.join(others)}")


def base_name(model: str, whisper: Whisper) -> str:
    """What the card calls the base: a local folder's own base, or its name, not its path."""
    if whisper.base and whisper.base != model:
        return whisper.base
    return Path(model).name if Path(model).is_dir() else model
