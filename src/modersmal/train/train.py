"""Fine-tune a Whisper on a corpus: put the parts together, start or go on, keep the best."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from modersmal import store
from modersmal.config import Recipe, TrainConfig
from modersmal.corpus import Corpus, Split
from modersmal.errors import CheckpointError, Stopped, StoreError, TrainingError
from modersmal.language import resolve
from modersmal.progress import duration
from modersmal.store.faults import fault
from modersmal.store.remote import Remote
from modersmal.train import checkpoint
from modersmal.train.batch import Loader
from modersmal.train.budget import Budget, Limit, session_age_s, session_limit
from modersmal.train.checkpoint import Checkpoints, State
from modersmal.train.dev import DevSet
from modersmal.train.examples import find_examples
from modersmal.train.follow import follow, lead_from
from modersmal.train.heartbeat import HeartbeatWriter, scores_in
from modersmal.train.identity import identity, must_be_same, versions
from modersmal.train.journal import JOURNAL, Journal
from modersmal.train.keeping import RECIPE, Errands, Keeping, hold
from modersmal.train.learner import Learner
from modersmal.train.log import read_metrics
from modersmal.train.loop import DEVICE_BATCH_S, Loop, StepReport
from modersmal.train.memory import default_device_batch_s, describe_memory
from modersmal.train.optim import freeze, peak_learning_rate
from modersmal.train.pace import Pace
from modersmal.train.plan import ContextRule, Plan
from modersmal.train.precision import choose_device, choose_precision
from modersmal.train.preflight import check_batch, check_loss, check_model
from modersmal.train.ranks import End, Ranks, own_device, speaks
from modersmal.train.rows import find_equal_rows
from modersmal.train.saver import Saver
from modersmal.train.schedule import Schedule
from modersmal.train.stopping import StopNow, Wish, stop_signals
from modersmal.whisper.load import Whisper, load
from modersmal.whisper.save import save_complete

MODEL = "model"
_LARGE_WIDTH = 1024  # medium: from here on a GPU trades time for memory


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


def train(
    recipe: Recipe,
    corpus: Path,
    run: Path,
    on_step: Callable[[StepReport], None] | None = None,
    *,
    place: Remote | None = None,
    limit: Limit | None = None,
    later_audio_s: float = 0.0,
) -> TrainResult:
    """Train as `recipe` says on the prepared `corpus`; everything of it is kept in `run`.

    `place` is the run's folder in a remote, where what counts is kept too. Started again, here or
    on another machine, it goes on from the newest whole checkpoint. `on_step` sees every step.
    `limit` is when it must have ended (else as `session_end` says), and `later_audio_s` how much
    audio will be decoded afterwards, before that. Of several processes (torchrun), each calls it.

    Raises:
        CorpusError: the corpus is missing, unfinished or has no train split.
        ModelError, HubError: the model cannot be loaded.
        TrainingError: a check before the first step fails, the loss is no number, or the run was
            begun with another recipe or corpus.
        CheckpointError: all checkpoints are damaged.
        StoreError: the disk is full or cannot be written; earlier checkpoints are intact.
        Stopped: a signal asked for it, or the time is over; everything is saved.
        Held: another machine trains this run.
    """
    opened = Corpus.open(corpus)
    _same_language(recipe, opened)
    device = own_device(choose_device(recipe.train.device))
    limit = limit or session_end(recipe.train)
    with (
        _reproducible(device),
        stop_signals(say) as wish,
        Ranks.joined(device, wish) as ranks,
        ExitStack() as ending,
    ):

        def get_ready() -> tuple[_Parts, Keeping | None]:
            try:
                with wish.at_once():
                    keeping = ending.enter_context(hold(run, place, say)) if ranks.leads else None
                    return _set_up(recipe, opened, device, ranks), keeping
            except StopNow:
                before = "stopped before training began; start the same command again"
                raise Stopped(before) from None

        parts, keeping = ranks.together(get_ready)
        if keeping is None:
            return TrainResult.from_json(
                follow(ranks, parts.learner, parts.loader, recipe.train.max_steps)
            )
        with ranks.leading(), keeping.heartbeat(recipe.train.max_steps, say) as heartbeat:
            end = _End(limit, later_audio_s)
            result = _train(parts, keeping, heartbeat, wish, on_step, end)
        ranks.tell(End(result=result.to_json()))
    if wish.asked:
        raise Stopped(
            f"stopped when all {result.steps} steps were done: {result.model} is complete"
        )
    return result


def session_end(config: TrainConfig) -> Limit | None:
    """When a session that begins now must end, as the recipe and the platform have it.

    Raises:
        RecipeError: the budget or the deadline cannot be read, or has passed.
    """
    return session_limit(
        config.budget,
        config.deadline,
        os.environ,
        gpu=choose_device(config.device).type == "cuda",
        age_s=session_age_s(),
    )


@dataclass(frozen=True)
class _End:
    """When the session ends, if it does, and how much will be decoded before that."""

    limit: Limit | None
    later_audio_s: float


@dataclass(frozen=True)
class _Parts:
    """What a training is put together from; all of it follows from the recipe and the machine.

    `device_batch_s` is what fits this machine, on the grounds of `basis`, for `reason`.
    """

    recipe: Recipe
    corpus: Corpus
    plan: Plan
    loader: Loader
    learner: Learner
    rate: float
    identity: dict[str, Any]
    device_batch_s: float
    basis: str
    reason: str


def _set_up(recipe: Recipe, corpus: Corpus, device: torch.device, ranks: Ranks) -> _Parts:
    config, token = recipe.train, corpus.language_token
    split = corpus.split("train")
    # From here on it is scored, and at last saved, as a model for the context it learns.
    whisper = replace(load(recipe.model, device=device), context=config.context)
    check_model(whisper)
    freeze(whisper.model, encoder=config.freeze_encoder)
    examples = find_examples(split, whisper, token)
    rate, rate_reason = peak_learning_rate(whisper.model.config, config.learning_rate)
    plan = _plan(config, split, examples.rows)
    for why, count in examples.left_out.items():
        say(f"{count:,} clips are left out: {why}")
    say(
        f"{len(plan.rows):,} clips, {plan.durations_s.sum() / 3600:.1f} h, "
        f"{plan.batches_per_epoch:,} steps an epoch; peak learning rate {rate:g} ({rate_reason})"
    )
    learner, device_batch_s, basis, reason = _learner(recipe, whisper, device, examples.used, ranks)
    return _Parts(
        recipe=recipe,
        corpus=corpus,
        plan=plan,
        loader=Loader(split, plan, whisper, token, config.loader_workers, ranks.share),
        learner=learner,
        rate=rate,
        identity=identity(recipe, corpus, rate),
        device_batch_s=device_batch_s,
        basis=basis,
        reason=reason,
    )


def _train(
    parts: _Parts,
    keeping: Keeping,
    heartbeat: HeartbeatWriter,
    wish: Wish,
    on_step: Callable[[StepReport], None] | None,
    end: _End,
) -> TrainResult:
    run, checkpoints, keep = keeping.run, keeping.checkpoints, parts.recipe.train.keep
    token, size = keeping.lease.token, checkpoint.full_bytes(parts.learner.model)
    keeping.check_room(size, keep)
    journal, errands = Journal(run / JOURNAL, token), Errands(keeping, keep, say)
    with (
        closing(errands),
        keeping.uploading(size, say) as uploads,
        Saver(checkpoints, keep=keep, token=token, uploads=uploads) as saver,
    ):
        saver.reserve(size)
        state = _resume(parts, keeping, journal, saver)
        metric = state.best.metric if state.best else "wer"
        heartbeat.begin(state.step, metric=metric, earlier=scores_in(read_metrics(run), metric))
        lead_from(parts.learner.ranks, parts.learner, state.step)
        dev = _dev(parts.recipe, parts.corpus)
        loop = Loop(
            parts.learner,
            parts.loader,
            dev,
            state,
            saver,
            journal,
            heartbeat,
            _pace(parts, state, journal, dev, end, size, uploads is not None),
            run=run,
            batches_per_epoch=parts.plan.batches_per_epoch,
            say=say,
            on_step=on_step,
            on_saved=errands.attend,
            still_ours=keeping.lease.check,
        )
        state = loop.run(wish)
    keeping.lease.renew()  # nothing is overwritten by one who has lost it
    result = _finish(state, parts, checkpoints, run)
    keeping.send_logs()
    if keeping.place is not None:
        keeping.place.put_folder(result.model, MODEL)
        result = replace(result, place=keeping.place.url)
    return result


def _resume(parts: _Parts, keeping: Keeping, journal: Journal, saver: Saver) -> State:
    """Where the run stands: at its newest whole checkpoint, or at its beginning."""
    recipe, learner, run = parts.recipe, parts.learner, keeping.run
    checkpoints = keeping.checkpoints
    here, accepted = checkpoints.local_names(), list[str]()

    def check(found: State) -> None:
        accepted.extend(
            must_be_same(found.identity, parts.identity, str(run), recipe.train.accept_changes)
        )

    loaded = checkpoint.load_newest(
        checkpoints, learner.model, learner.optimizer, check=check, say=say
    )
    state = State(step=0)
    if loaded:
        name, state = loaded
        learner.load_scaler_state(state.scaler)
        journal.restore(state.decisions, name.step, name.token)
        if name not in here:
            keeping.fetch_logs()
        elif name not in checkpoints.remote_names():
            saver.upload(name, state.best)
    device_batch_s = _decide_device_batch_s(parts, journal, state.step)
    if loaded:
        say(f"Going on from step {state.step}")
    else:
        _preflight(parts, device_batch_s)
    for change in accepted:
        say(f"From here on, as the recipe accepts: {change}")
    if accepted or not (run / RECIPE).is_file():
        _begin(run, parts)
    return replace(
        state,
        identity=parts.identity,
        recipe=recipe.model_dump(mode="json"),
        versions=versions(),
    )


def _pace(
    parts: _Parts,
    state: State,
    journal: Journal,
    dev: DevSet | None,
    end: _End,
    size: int,
    uploads: bool,
) -> Pace:
    """How the run meets the end of the session; `size` is that of a checkpoint in bytes."""
    config, budget = parts.recipe.train, None
    if end.limit is not None:
        budget = Budget(end.limit.at_s, uploads=uploads)
        budget.assume_checkpoint(size)
        if state.step:
            budget.assume("step", state.seconds / state.step)
        then = "be saved, to be continued" if config.on_deadline == "pause" else "be finished"
        say(f"In {duration(budget.left_s)} it will {then}: {end.limit.reason}")
    return Pace(
        Schedule(config, parts.rate),
        journal,
        budget,
        config.on_deadline,
        dev_audio_s=float(dev.split.durations_s[dev.rows].sum()) if dev else 0.0,
        later_audio_s=end.later_audio_s,
    )


def _decide_device_batch_s(parts: _Parts, journal: Journal, step: int) -> float:
    """Take what fits from the journal, where it was found out on a machine like this one."""
    holding = journal.latest(step, DEVICE_BATCH_S)
    value, reason = parts.device_batch_s, parts.reason
    if holding is None or holding.basis != parts.basis:
        journal.record(step, DEVICE_BATCH_S, value, parts.basis)
    elif holding.value != value:
        value, reason = holding.value, f"as was decided at step {holding.step}"
    checkpointing = parts.learner.checkpointing
    say(
        f"{parts.recipe.train.batch_s:g} s of audio a step, at most {value:g} s of padded audio "
        f"at a time ({reason})" + (", with gradient checkpointing" if checkpointing else "")
    )
    return value


def _plan(config: TrainConfig, split: Split, rows: np.ndarray) -> Plan:
    return Plan(
        rows=rows,
        durations_s=split.durations_s[rows],
        row_groups=split.row_group_of[rows],
        seed=config.seed,
        batch_s=config.batch_s,
        context=ContextRule(
            dynamic=config.context == "dynamic",
            floor_s=config.context_floor_s,
            step_s=config.context_step_s,
            full_share=config.full_share,
        ),
    )


def say(line: str) -> None:
    """Say one line on standard error, above a live bar if there is one; of several processes, the
    first one speaks."""
    if not speaks():
        return
    Console(stderr=True).print(line, soft_wrap=True, markup=False, highlight=False)


def _learner(
    recipe: Recipe, whisper: Whisper, device: torch.device, used: torch.Tensor, ranks: Ranks
) -> tuple[Learner, float, str, str]:
    """The learner, and how much its device takes at a time: on what grounds, and why."""
    config, model = recipe.train, whisper.model
    precision = choose_precision(device, config.precision)
    several = f" and {ranks.world - 1} more like it" if ranks.world > 1 else ""
    say(f"Training on {device}{several} in {precision.name}: {precision.reason}")
    checkpointing = config.gradient_checkpointing
    if checkpointing is None:
        checkpointing = device.type == "cuda" and model.config.d_model >= _LARGE_WIDTH
    device_batch_s, reason = config.device_batch_s, "set by the recipe"
    basis = f"{device_batch_s} s, {reason}"
    if device_batch_s is None:
        basis = describe_memory(device)
        device_batch_s, reason = default_device_batch_s(
            model.config,
            sum(value.numel() for value in model.parameters()),
            device,
            value_bytes=precision.autocast.itemsize if precision.autocast else 4,
            checkpointing=checkpointing,
        )
    learner = Learner(
        whisper,
        config,
        device=device,
        precision=precision,
        checkpointing=checkpointing,
        equal_rows=find_equal_rows(model.proj_out.weight, used),
        ranks=ranks,
    )
    return learner, device_batch_s, basis, reason


def _preflight(parts: _Parts, device_batch_s: float) -> None:
    """Check the first batch, and show one clip of it as the model is taught it."""
    loader, learner = parts.loader, parts.learner
    batch = loader.load(0, whole=True)
    texts = [loader.split.texts[row] for row in batch.planned.rows]
    sample = check_batch(batch, texts, learner.whisper, parts.corpus.language_token)
    loss = learner.first_loss(batch, device_batch_s)
    warning = check_loss(loss, learner.whisper.vocabulary)
    say(f"First clip: {sample}; first loss {loss:.2f}")
    if warning:
        say(f"Warning: {warning}")


def _begin(run: Path, parts: _Parts) -> None:
    recipe = parts.recipe.model_dump(mode="json")
    store.write_json(run / RECIPE, {"recipe": recipe, "identity": parts.identity} | versions())


def _dev(recipe: Recipe, corpus: Corpus) -> DevSet | None:
    if "dev" not in corpus.splits or not len(corpus.split("dev")):
        say("The corpus has no dev split: the last step's model is kept, unscored")
        return None
    return DevSet.choose(
        corpus.split("dev"),
        recipe.train.dev_clips,
        language=corpus.language,
        language_token=corpus.language_token,
        config=recipe.evaluate,
    )


def _finish(state: State, parts: _Parts, checkpoints: Checkpoints, run: Path) -> TrainResult:
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


def _same_language(recipe: Recipe, corpus: Corpus) -> None:
    if resolve(recipe.language, recipe.language_token).token != corpus.language_token:
        raise TrainingError(
            f"the recipe's language is {recipe.language!r} (token {recipe.language_token!r}), the "
            f"corpus {corpus.path} was prepared for {corpus.language!r} (token "
            f"{corpus.language_token!r}); prepare it for the language that the recipe names"
        )


@contextmanager
def _reproducible(device: torch.device) -> Iterator[None]:
    """On a CPU, let the same steps give the same bits; leave torch as it was."""
    before = torch.are_deterministic_algorithms_enabled()
    state = torch.get_rng_state()
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.set_rng_state(state)
