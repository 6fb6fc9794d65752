"""Take a few clips through every stage of a recipe, and say what the real run will need.

All that it makes lies in a folder of its own below `rehearsals/` in the store; what it found stays
there as NAME.json, for estimates.
"""

import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from modersmal.config import Recipe
from modersmal.corpus import Corpus
from modersmal.corpus.pool import available_cores
from modersmal.corpus.sample import Sample
from modersmal.errors import (
    CorpusError,
    HubError,
    ModelError,
    ModersmalError,
    RecipeError,
    Stopped,
)
from modersmal.hardware import hardware_name
from modersmal.rehearse import record
from modersmal.rehearse.forecast import most_checkpoints, saves, scoring_parts, training_parts
from modersmal.rehearse.measure import (
    Decoding,
    Scorer,
    Training,
    decoding_context,
    prepare_as,
    time_clip,
    time_training,
)
from modersmal.rehearse.record import FOLDER
from modersmal.rehearse.result import Part, Rehearsal, Stage
from modersmal.store.workspace import Workspace
from modersmal.train.finish import MODEL
from modersmal.train.keeping import CHECKPOINTS
from modersmal.train.precision import choose_device
from modersmal.whisper.decode import Context
from modersmal.whisper.load import BUNDLED, locate, read_card

CLIPS = 32
_TRAINED = "the trained model"
_MB = 1_000_000


def rehearse(recipe: Recipe, *, keep: bool = False, clips: int = CLIPS) -> Rehearsal:
    """Rehearse a recipe; what that makes is removed, unless it failed or is to be kept.

    Raises:
        RecipeError: the recipe names no sources.
        CorpusError, ModelError, HubError, TrainingError, StoreError: a stage failed; the message
            names it.
        Stopped: it was stopped, and removed.
    """
    if not recipe.data.sources:
        raise RecipeError("the recipe's data.sources is empty; write there what to train on")
    workspace = recipe.workspace
    name = f"{FOLDER}/{recipe.name}-{uuid.uuid4().hex[:8]}"
    folder = workspace.local / name
    try:
        rehearsal = _rehearse(recipe, workspace, name, Sample(clips))
    except Stopped as stop:
        _remove(workspace, name)
        raise Stopped("the rehearsal was stopped, and removed; start it again") from stop
    except KeyboardInterrupt:
        _remove(workspace, name)
        raise
    except BaseException:
        if folder.exists():
            _say(f"what the rehearsal made until it failed is in {folder}")
        raise
    record.keep(rehearsal, recipe)
    if keep:
        return replace(rehearsal, folder=folder)
    _remove(workspace, name)
    return rehearsal


@dataclass
class _Clock:
    """Times the stages, and names the one that fails."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        _say(f"rehearsing: {name}")
        began_s = time.monotonic()
        try:
            yield
        except ModersmalError as error:
            error.args = (f"rehearsing {name!r}: {error}", *error.args[1:])
            raise
        except Exception as error:
            error.add_note(f"while rehearsing {name!r}")
            raise
        self.seconds[name] = time.monotonic() - began_s


@dataclass(frozen=True)
class _Upload:
    """What was sent to the store, where that is far away: bytes, and how long it took."""

    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _Prepared:
    """The corpus of the sample, the lengths of all clips, by split, and what preparing takes."""

    corpus: Corpus
    lengths_s: dict[str, np.ndarray]
    begin_s: float
    clip_s: float

    @property
    def whole_bytes(self) -> int:
        """What the corpus of all clips will weigh."""
        shards = [shard for name in self.corpus.splits for shard in self.corpus.split(name).shards]
        bytes_per_s = sum(shard.bytes for shard in shards) / sum(s.duration_s for s in shards)
        return round(bytes_per_s * sum(float(lengths.sum()) for lengths in self.lengths_s.values()))


@dataclass(frozen=True)
class _Measured:
    """All that the account at the end is made from.

    `models` are what scoring takes, by model, the trained one included; empty where the sources
    have neither dev nor test. `first_s` is what the first of them took more. `score_bytes` are
    those that a score keeps of a clip.
    """

    seconds: dict[str, float]
    download: dict[str, int]
    prepared: _Prepared
    models: dict[str, Decoding]
    first_s: float
    score_bytes: float
    training: Training
    upload: _Upload


def _rehearse(recipe: Recipe, workspace: Workspace, name: str, sample: Sample) -> Rehearsal:
    folder = workspace.local / name
    began_s = time.monotonic()
    clock, first_s = _Clock(), 0.0
    models: dict[str, Decoding] = {}
    with clock.stage("models"):
        contexts = _contexts(recipe)
        download = {model: _size(locate(model)) for model in contexts if _is_remote(model)}
    with clock.stage("prepare"):
        prepared = _prepare(recipe, sample, folder)
    with clock.stage("score the start"):
        scorer = _scorer(recipe, prepared, contexts, folder / "score")
        if scorer:
            base, *candidates = contexts
            models[base], first_s = scorer.measure_first(base, contexts[base])
            models |= {model: scorer.measure(model, contexts[model]) for model in candidates}
    with clock.stage("train"):
        place = workspace.place(f"{name}/run")
        training = time_training(
            recipe, prepared.corpus, prepared.lengths_s, folder / "train", place
        )
    with clock.stage("score the result"):
        if scorer:
            trained = str(training.run)
            models[_TRAINED] = scorer.measure(
                trained, decoding_context(recipe, recipe.train.context)
            )
    with clock.stage("upload"):
        upload = _upload(workspace, training.run / MODEL)
    measured = _Measured(
        clock.seconds,
        download | sample.download_bytes,
        prepared,
        models,
        first_s,
        scorer.bytes_per_clip() if scorer else 0.0,
        training,
        upload,
    )
    return _account(recipe, sample, measured, time.monotonic() - began_s, folder)


# --- The stages ----------------------------------------------------------------------------------


def _contexts(recipe: Recipe) -> dict[str, Context]:
    """The base and the candidates, in which context each decodes; who is away is left out."""
    contexts: dict[str, Context] = {}
    for model in (recipe.model, *recipe.evaluate.candidates):
        try:
            contexts[model] = decoding_context(recipe, read_card(locate(model)).context)
        except (HubError, ModelError) as error:
            if model == recipe.model:
                raise
            _say(f"the candidate {model} is left out: {error}")
    return contexts


def _prepare(recipe: Recipe, sample: Sample, folder: Path) -> _Prepared:
    began_s = time.monotonic()
    sources = recipe.data.sources
    corpus = prepare_as(recipe, sources, folder / "corpus", recipe.data, sample).corpus
    took_s = time.monotonic() - began_s
    lengths_s = sample.durations_s(corpus)
    if "train" not in lengths_s:
        raise CorpusError(
            f"of {sample.drawn} clips none is left to train on; {folder / 'corpus'} has a "
            "rejected.jsonl that says why, or the sources have no train split"
        )
    clip_s = time_clip(recipe, corpus, folder / "prepare")
    clip_s /= recipe.data.workers or available_cores()
    return _Prepared(corpus, lengths_s, max(0.0, took_s - sample.drawn * clip_s), clip_s)


def _scorer(
    recipe: Recipe, prepared: _Prepared, contexts: dict[str, Context], folder: Path
) -> Scorer | None:
    lengths_s = prepared.lengths_s
    scored = [lengths_s[name] for name in ("dev", "test") if name in lengths_s]
    if not scored:
        return None
    kinds = {*contexts.values(), decoding_context(recipe, recipe.train.context)}
    return Scorer(recipe, prepared.corpus, scored[0], kinds, folder)


def _upload(workspace: Workspace, model: Path) -> _Upload:
    """Send the trained model to where the store is, if that is not here."""
    if workspace.remote is None:
        return _Upload()
    began_s = time.monotonic()
    workspace.push(model)
    return _Upload(_size(model), time.monotonic() - began_s)


# --- The account ---------------------------------------------------------------------------------


def _account(
    recipe: Recipe, sample: Sample, measured: _Measured, seconds: float, folder: Path
) -> Rehearsal:
    """What the real run will need."""
    lengths_s = measured.prepared.lengths_s
    checkpoint_bytes = _newest_checkpoint_bytes(measured.training.run)
    expected, most = most_checkpoints(recipe.train, scored="dev" in lengths_s)
    kept = {
        "corpus": measured.prepared.whole_bytes,
        "model": _size(measured.training.run / MODEL),
        "scores and logs": _log_bytes(recipe, measured),
    }
    disk = kept | {f"{expected} checkpoints": expected * checkpoint_bytes}
    stages = _stages(recipe, sample, measured)
    upload = {}
    if measured.upload.bytes:
        written = len(saves(recipe.train, scored="dev" in lengths_s))
        upload = kept | {f"{written} checkpoints": written * checkpoint_bytes}
        # Checkpoints are sent while training goes on; its end, with the model, is part of it.
        awaited_mb = (kept["corpus"] + kept["scores and logs"]) / _MB
        mb_s = measured.upload.seconds * _MB / measured.upload.bytes
        part = Part("send a MB of corpus and scores", max(1, round(awaited_mb)), mb_s)
        stages.append(Stage("upload", measured.seconds["upload"], (part,)))
    return Rehearsal(
        name=recipe.name,
        clips=sample.drawn,
        total_clips=sample.total,
        seconds=seconds,
        stages=tuple(stages),
        disk=disk,
        disk_most_bytes=sum(disk.values()) + (most - expected) * checkpoint_bytes,
        free_bytes=shutil.disk_usage(folder).free,
        download=measured.download,
        upload=upload,
        hardware=hardware_name(choose_device(recipe.train.device)),
        splits={name: (len(one), float(one.sum())) for name, one in lengths_s.items()},
    )


def _stages(recipe: Recipe, sample: Sample, measured: _Measured) -> list[Stage]:
    prepared, models, seconds = measured.prepared, measured.models, measured.seconds
    lengths_s = prepared.lengths_s
    preparing = (
        Part("begin, and read the sources", 1, prepared.begin_s),
        Part("check a clip", sample.total, prepared.clip_s),
    )
    training = training_parts(recipe.train, lengths_s, measured.training, models.get(_TRAINED))
    stages = [
        Stage("prepare", seconds["prepare"], preparing),
        Stage("train", seconds["train"], tuple(training)),
    ]
    if models and "dev" in lengths_s:
        starts = [
            part
            for model, decoding in models.items()
            if model != _TRAINED
            for part in scoring_parts(
                model, lengths_s["dev"], decoding, measured.first_s if model == recipe.model else 0
            )
        ]
        stages.insert(1, Stage("score the start", seconds["score the start"], tuple(starts)))
    if models and "test" in lengths_s:
        results = [
            part
            for model in (recipe.model, _TRAINED)
            for part in scoring_parts(model, lengths_s["test"], models[model])
        ]
        stages.append(Stage("score the result", seconds["score the result"], tuple(results)))
    return stages


def _log_bytes(recipe: Recipe, measured: _Measured) -> int:
    """What the run writes beside checkpoints and model: a little of each clip and each step."""
    lengths_s, run = measured.prepared.lengths_s, measured.training.run
    starts = len(measured.models) - 1
    scored = starts * len(lengths_s.get("dev", ())) + 2 * len(lengths_s.get("test", ()))
    logged = _size(run) - _size(run / CHECKPOINTS) - _size(run / MODEL)
    per_step = logged / len(measured.training.chief.step_s)
    return round(scored * measured.score_bytes + recipe.train.max_steps * per_step)


def _newest_checkpoint_bytes(run: Path) -> int:
    return _size(max((run / CHECKPOINTS).glob("step-*")))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _is_remote(model: str) -> bool:
    return model != BUNDLED and not Path(model).expanduser().exists()


def _remove(workspace: Workspace, name: str) -> None:
    shutil.rmtree(workspace.local / name, ignore_errors=True)
    with suppress(OSError):  # others may be there
        (workspace.local / FOLDER).rmdir()
    if workspace.remote is not None:
        workspace.remote.delete(name)


def _say(sentence: str) -> None:
    print(f"modersmal: {sentence}", file=sys.stderr)
