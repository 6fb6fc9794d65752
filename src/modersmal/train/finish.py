"""The end of a run: the model that was best on dev, as a complete folder."""

import shutil
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from modersmal import store
from modersmal.errors import CheckpointError, StoreError
from modersmal.language import resolve
from modersmal.progress import duration
from modersmal.store.faults import fault
from modersmal.train import checkpoint
from modersmal.train.checkpoint import Checkpoints, State
from modersmal.train.parts import Parts
from modersmal.train.say import say
from modersmal.whisper.load import Whisper
from modersmal.whisper.save import save_complete

MODEL = "model"


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    `model` is the complete folder of the model that was best on dev (after `model_step` steps);
    `dev` is its rate as a share, `metric` what that is; both None where the corpus has no dev.
    `place` is the URL of the run's folder in a store far away, where the model is too.
    """

    run: Path
    model: Path
    steps: int
    model_step: int
    metric: str | None
    dev: float | None
    seconds: float
    place: str | None = None

    def __str__(self) -> str:
        score = ""
        if self.dev is not None and self.metric:
            score = f", dev {self.metric.upper()} {self.dev:.1%} after step {self.model_step}"
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


def finish(state: State, parts: Parts, checkpoints: Checkpoints, run: Path) -> TrainResult:
    """Write the best model as a complete folder, in one go."""
    whisper, corpus = parts.learner.whisper, parts.corpus
    chosen = _take_best(state, whisper, checkpoints)
    finished = replace(whisper, base=_base_name(parts.recipe.model, whisper))
    for left_by_a_killed_one in run.glob(f".draft-{MODEL}-*"):
        shutil.rmtree(left_by_a_killed_one, ignore_errors=True)
    draft = run / f".draft-{MODEL}-{uuid.uuid4().hex}"
    try:
        save_complete(finished, draft, resolve(corpus.language, corpus.language_token))
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
        model_step=chosen,
        metric=state.best.metric if state.best else None,
        dev=state.best.rate if state.best else None,
        seconds=state.seconds,
    )


def _take_best(state: State, whisper: Whisper, checkpoints: Checkpoints) -> int:
    """Load the weights that were best on dev; returns the step they are of."""
    if state.best is None or state.best.step == state.step:
        return state.step
    try:
        folder = checkpoints.bring(checkpoints.named(state.best.step))
    except (StoreError, CheckpointError) as error:
        say(f"The best checkpoint is damaged ({error}); taking the last step's weights instead")
        return state.step
    checkpoint.load_weights(folder, whisper.model)
    return state.best.step


def _base_name(model: str, whisper: Whisper) -> str:
    """What the card calls the base: a local folder's own base, or its name, not its path."""
    if whisper.base and whisper.base != model:
        return whisper.base
    return Path(model).name if Path(model).is_dir() else model
