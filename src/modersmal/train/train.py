"""Fine-tune a Whisper on a corpus: put the parts together, start or go on, keep the best."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from modersmal import store
from modersmal.config import Recipe, TrainConfig
from modersmal.corpus import Corpus
from modersmal.corpus.lineage import learned_from
from modersmal.errors import Stopped, TrainingError
from modersmal.language import resolve
from modersmal.progress import duration
from modersmal.store.remote import Remote
from modersmal.train import checkpoint
from modersmal.train.account import StepReport
from modersmal.train.beside import Aside, Beside
from modersmal.train.budget import Budget, Limit, session_age_s, session_limit
from modersmal.train.checkpoint import Retention, State
from modersmal.train.dev import DevSet
from modersmal.train.energy import open_meter
from modersmal.train.finish import MODEL, Ending, TrainResult, finish
from modersmal.train.follow import follow, lead_from
from modersmal.train.heartbeat import HeartbeatWriter, scores_in
from modersmal.train.identity import must_be_same, versions
from modersmal.train.journal import JOURNAL, Journal
from modersmal.train.keeping import RECIPE, Errands, Keeping, hold, lineage_of
from modersmal.train.log import read_metrics
from modersmal.train.loop import Loop
from modersmal.train.pace import Pace
from modersmal.train.parts import Parts, choose_dev, preflight, set_up
from modersmal.train.precision import choose_device
from modersmal.train.ranks import End, Ranks, local_world_size, own_device
from modersmal.train.saver import Saver
from modersmal.train.say import say
from modersmal.train.schedule import Schedule
from modersmal.train.stopping import StopNow, Wish, stop_signals
from modersmal.whisper.load import LEARNED_FROM, read_card


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

        def get_ready() -> tuple[Parts, Keeping | None]:
            try:
                with wish.at_once():
                    keeping = ending.enter_context(hold(run, place, say)) if ranks.leads else None
                    return set_up(recipe, opened, device, ranks), keeping
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
        age_s=session_age_s(),
    )


@dataclass(frozen=True)
class _End:
    """When the session ends, if it does, and how much will be decoded before that."""

    limit: Limit | None
    later_audio_s: float


def _train(
    parts: Parts,
    keeping: Keeping,
    heartbeat: HeartbeatWriter,
    wish: Wish,
    on_step: Callable[[StepReport], None] | None,
    end: _End,
) -> TrainResult:
    run, checkpoints = keeping.run, keeping.checkpoints
    retention = Retention.of(parts.recipe.train)
    token, size = keeping.lease.token, checkpoint.full_bytes(parts.learner.model)
    aside = _aside(parts)
    keeping.check_room(size, retention.most + aside.chosen)
    journal, errands = Journal(run / JOURNAL, token), Errands(keeping, retention, say)
    beside = Beside(parts.recipe, parts.corpus.path, journal, aside)
    with (
        closing(errands),
        closing(beside),
        keeping.uploading(size, say) as uploads,
        Saver(checkpoints, retention=retention, token=token, uploads=uploads) as saver,
    ):
        saver.reserve(size)
        state = _resume(parts, keeping, journal, saver)
        metric = state.best.metric if state.best else "wer"
        heartbeat.begin(state.step, metric=metric, earlier=scores_in(read_metrics(run), metric))
        lead_from(parts.learner.ranks, parts.learner, state.step)
        dev = choose_dev(parts.recipe, parts.corpus)
        pace = _pace(parts, state, journal, dev, end, size, uploads is not None, aside)
        loop = Loop(
            parts.learner,
            parts.loader,
            dev,
            beside,
            state,
            saver,
            journal,
            heartbeat,
            pace,
            parts.sizing.growth(journal),
            open_meter(
                parts.learner.device, parts.learner.ranks.world, clock=time.monotonic, say=say
            ),
            run=run,
            batches_per_epoch=parts.plan.batches_per_epoch,
            say=say,
            on_step=on_step,
            on_saved=errands.attend,
            still_ours=keeping.lease.check,
        )
        state = loop.run(wish)
    keeping.lease.renew()  # nothing is overwritten by one who has lost it
    result = finish(state, checkpoints, run, Ending(parts, dev, heartbeat, pace, wish))
    if keeping.place is not None:
        keeping.lease.renew()
        keeping.send_logs()
        keeping.place.put_folder(result.model, MODEL)
        result = replace(result, place=keeping.place.url)
    keeping.lease.renew()  # if it slept meanwhile, the run is another's, which has the last word
    return result


def _resume(parts: Parts, keeping: Keeping, journal: Journal, saver: Saver) -> State:
    """Where the run stands: at its newest whole checkpoint, or at its beginning."""
    recipe, learner, run = parts.recipe, parts.learner, keeping.run
    checkpoints = keeping.checkpoints
    here, accepted = checkpoints.local_names(), list[str]()

    def check(found: State) -> None:
        before = found.identity
        if before.get("corpus") in parts.corpus.was:
            say("Clips were erased from the corpus since; the run goes on with the others")
            before = before | {"corpus": parts.corpus.hash}
        accepted.extend(must_be_same(before, parts.identity, str(run), recipe.train.accept_changes))

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
            saver.upload(name, state.needed)
    device_batch_s = parts.sizing.begin(journal, state.step, learner)
    if loaded:
        say(f"Going on from step {state.step}")
    else:
        preflight(parts, device_batch_s)
    for change in accepted:
        say(f"From here on, as the recipe accepts: {change}")
    if accepted or not (run / RECIPE).is_file():
        _begin(run, parts)
    return replace(
        state,
        identity=parts.identity,
        recipe=recipe.of_run(),
        versions=versions(),
    )


def _pace(
    parts: Parts,
    state: State,
    journal: Journal,
    dev: DevSet | None,
    end: _End,
    size: int,
    uploads: bool,
    aside: Aside,
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
        scores_beside=aside.chosen,
    )


def _aside(parts: Parts) -> Aside:
    """Whether dev is scored beside the steps here, which is then said."""
    learner = parts.learner
    aside = Aside.choose(
        parts.recipe.train.evaluate_beside,
        learner.device,
        parts.loader.workers,
        sum(value.numel() for value in learner.model.parameters()),
        world=local_world_size(),
    )
    if aside.chosen and "dev" in parts.corpus.splits:
        say(f"Dev is scored beside the next steps (cores for it: {aside.cores})")
    return aside


def _begin(run: Path, parts: Parts) -> None:
    told = {"recipe": parts.recipe.of_run(), "identity": parts.identity, **versions()}
    base = read_card(parts.learner.whisper.folder).learned_from
    if traces := sorted({*base, *learned_from(parts.corpus), *lineage_of(run)}):
        told[LEARNED_FROM] = traces
    store.write_json(run / RECIPE, told)


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
