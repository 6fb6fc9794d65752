"""Do all that a recipe says, in order; the same call again skips what is done.

prepare → score the base model and the candidates on dev → train → score on test. A score is kept
with a key of all that it depends on, and its clips are not decoded again while that is the same.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modersmal import __version__, store
from modersmal.config import Recipe
from modersmal.corpus import Corpus
from modersmal.corpus.prepare import Prepared, prepare
from modersmal.errors import HubError, ModelError, ModersmalError, RecipeError, Stopped
from modersmal.estimate.estimate import estimate
from modersmal.evaluate.evaluate import Evaluation, evaluate
from modersmal.evaluate.results import CorpusScore
from modersmal.train.budget import Limit, now_s
from modersmal.train.finish import TrainResult
from modersmal.train.ranks import world_size
from modersmal.train.stopping import StopNow, stop_signals
from modersmal.train.train import session_end, train
from modersmal.whisper.align import ModelAligner
from modersmal.whisper.convert import model_hash
from modersmal.whisper.load import locate

_KEY_FILE = "key.json"


@dataclass(frozen=True)
class RunResult:
    """What a run made. `base_dev` and `test` are None where the corpus lacks the split.

    `advice` says that a candidate would be a better start, and is empty otherwise.
    """

    prepared: Prepared
    base_dev: Evaluation | None
    candidates: tuple[Evaluation, ...]
    advice: str
    trained: TrainResult
    test: Evaluation | None
    run: Path

    def __str__(self) -> str:
        parts = [str(self.trained)]
        if self.test:
            parts.append(str(self.test))
        if self.advice:
            parts.append(self.advice)
        parts.append(
            f"The model is {self.run / 'model'}. Try it:\n"
            f"  modersmal transcribe AUDIO --model {self.run}\n"
            f"The course of the training:\n"
            f"  tensorboard --logdir {self.run / 'tensorboard'}"
        )
        return "\n\n".join(parts)


def run(recipe: Recipe, limit: Limit | None = None) -> RunResult:
    """Prepare, score the base and the candidates on dev, train, and score on test.

    A candidate that cannot be loaded is reported and left out; it is only advice. `limit` is when
    this session ends, where that was found out before.

    Where the store is not this machine's, what is there is fetched before a stage, and what the
    stage makes is put there after it.

    Raises:
        RecipeError: the recipe names no sources.
        CorpusError, ModelError, HubError, TrainingError, StoreError: a stage cannot go on.
        Stopped: a stage was stopped with everything saved.
    """
    if not recipe.data.sources:
        raise RecipeError("the recipe's data.sources is empty; write there what to train on")
    if world_size() > 1:
        raise RecipeError("run is for one process; for several, give `modersmal train` to torchrun")
    limit = limit or session_end(recipe.train)
    locate(recipe.model)  # a base that is missing or unreachable shows now, not after hours
    _tell_hours(recipe)
    with stoppable("prepare"):
        prepared = prepare_here(recipe)
    for note in prepared.notes:
        _say(note)
    scores = _Scores(recipe)
    with stoppable("score the start"):
        base, candidates = _score_starts(recipe, scores)
    advice = wiser_start(candidates)
    if advice:
        _say(advice)
    _must_have_time(limit, "all before training is done")
    trained = train_here(recipe, limit, later_audio_s=2 * scores.audio_s("test"))
    _must_have_time(limit, "the model is trained, its scores on test are not taken yet")
    test = None
    if scores.has("test"):
        with stoppable("score the result"):
            before = scores.take("base-test", recipe.model, "test")
            test = scores.take("test", str(trained.run), "test", baseline=before.output)
    return RunResult(prepared, base, candidates, advice, trained, test, trained.run)


def _tell_hours(recipe: Recipe) -> None:
    """Before a run begins, say how long it takes, as far as that can be known."""
    if not recipe.workspace.run(recipe.name).exists():
        with suppress(ModersmalError):  # of a machine, or a model, that no table has
            _say(estimate(recipe).sentence)


def prepare_here(recipe: Recipe) -> Prepared:
    """The recipe's corpus on this machine: as the store has it, or else made now and put there."""
    workspace = recipe.workspace
    workspace.pull(f"corpora/{recipe.corpus_name}")
    prepared = prepare(
        recipe.data.sources,
        workspace.corpus(recipe.corpus_name),
        language=recipe.language,
        language_token=recipe.language_token,
        data=recipe.data,
        text=recipe.text,
        checks=recipe.checks,
        aligner=ModelAligner(recipe.aligner, recipe.language, recipe.language_token),
    )
    workspace.push(prepared.path)
    return prepared


def train_here(
    recipe: Recipe, limit: Limit | None = None, *, later_audio_s: float = 0.0
) -> TrainResult:
    """Train on this machine, on the corpus and from the checkpoints that the store has."""
    workspace = recipe.workspace
    workspace.pull(f"corpora/{recipe.corpus_name}")
    return train(
        recipe,
        workspace.corpus(recipe.corpus_name),
        workspace.run(recipe.name),
        place=workspace.place(f"runs/{recipe.name}"),
        limit=limit,
        later_audio_s=later_audio_s,
    )


@contextmanager
def stoppable(stage: str) -> Iterator[None]:
    """Around a stage that has nothing to save when it is asked to stop. Raises Stopped then."""
    with stop_signals(lambda sentence: None) as wish:
        try:
            with wish.at_once():
                yield
        except StopNow:
            raise Stopped(
                f"stopped at the stage {stage!r}; the same command goes on, with what is done kept"
            ) from None


def _must_have_time(limit: Limit | None, where: str) -> None:
    if limit is not None and limit.at_s <= now_s():
        raise Stopped(f"the time is over ({limit.reason}): {where}; the same command goes on")


def wiser_start(candidates: tuple[Evaluation, ...]) -> str:
    """Name the candidate that is better on dev than the base, beyond chance, by the most."""
    best: CorpusScore | None = None
    for score in (evaluation.scores[0] for evaluation in candidates):
        found = _gain(score)
        if found < 0 and (best is None or found < _gain(best)):
            best = score
    if best is None or best.comparison is None or best.comparison.difference.interval is None:
        return ""
    comparison, interval = best.comparison, best.comparison.difference.interval
    name = best.result.system.name
    return (
        f"{name} would be a wiser start: on dev its {comparison.metric.upper()} is "
        f"{-100 * comparison.difference.difference:.1f} points better than that of "
        f"{comparison.baseline.system.name} (95 %: {-100 * interval.high:.1f} to "
        f'{-100 * interval.low:.1f}); to begin there, set model = "{name}" and a new name.'
    )


def _gain(score: CorpusScore) -> float:
    """The difference to the base where it is surely below zero, else 0."""
    if score.comparison is None or score.comparison.difference.interval is None:
        return 0.0
    sure = score.comparison.difference.interval.high < 0
    return score.comparison.difference.difference if sure else 0.0


def _score_starts(
    recipe: Recipe, scores: "_Scores"
) -> tuple[Evaluation | None, tuple[Evaluation, ...]]:
    if not scores.has("dev"):
        _say("the corpus has no dev split, so the base model is not scored before training")
        return None, ()
    base = scores.take("base-dev", recipe.model, "dev")
    candidates = []
    for place, candidate in enumerate(recipe.evaluate.candidates):
        try:
            taken = scores.take(f"candidate-{place}-dev", candidate, "dev", baseline=base.output)
            candidates.append(taken)
        except (HubError, ModelError) as error:
            _say(f"the candidate {candidate} is left out: {error}")
    return base, tuple(candidates)


class _Scores:
    """Scores of a run, each in a folder of `scores/` with the key of what it depends on."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.workspace = recipe, recipe.workspace
        self.corpus = Corpus.open(self.workspace.corpus(recipe.corpus_name))

    def has(self, split: str) -> bool:
        return split in self.corpus.splits and len(self.corpus.split(split)) > 0

    def audio_s(self, split: str) -> float:
        return float(self.corpus.split(split).durations_s.sum()) if self.has(split) else 0.0

    def take(
        self, name: str, model: str, split: str, *, baseline: Path | None = None
    ) -> Evaluation:
        """Score `model` on a split, or find the score that was taken before."""
        stored = f"runs/{self.recipe.name}/scores/{name}"
        folder, key = self.workspace.local / stored, self._key(model, split)
        self.workspace.pull(stored)
        done = _read_key(folder) == key
        evaluation = evaluate(
            model,
            [self.corpus.path],
            split=split,
            baseline=None if baseline is None else str(baseline),
            hypotheses=_hypotheses(folder) if done else None,
            config=self.recipe.evaluate,
            language=self.recipe.language,
            language_token=self.recipe.language_token,
            output=None if done else folder,
        )
        if not done:
            (folder / store.MANIFEST).unlink(missing_ok=True)
            store.write_json(folder / _KEY_FILE, key)
        self.workspace.push(folder)
        return Evaluation(evaluation.scores, folder)

    def _key(self, model: str, split: str) -> dict[str, Any]:
        return {
            "model": model_hash(locate(model)),
            "corpus": self.corpus.hash,
            "split": split,
            "language": [self.recipe.language, self.recipe.language_token],
            "evaluate": self.recipe.evaluate.model_dump(exclude={"candidates", "batch_s"}),
            "modersmal": __version__,
        }


def _read_key(folder: Path) -> object:
    try:
        return json.loads((folder / _KEY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _hypotheses(folder: Path) -> Path:
    """What was decoded in an evaluation that is done, which was of one corpus."""
    (clips,) = folder.glob("*.jsonl")
    return clips


def _say(sentence: str) -> None:
    print(f"modersmal: {sentence}", file=sys.stderr)
