"""What a training is put together from: all of it follows from the recipe and the machine."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from modersmal.config import Recipe, TrainConfig
from modersmal.corpus import Corpus, Split
from modersmal.train.dev import DevSet
from modersmal.train.examples import find_examples
from modersmal.train.identity import identity
from modersmal.train.learner import Learner
from modersmal.train.loader import Loader, Workers
from modersmal.train.memory import default_device_batch_s, describe_memory
from modersmal.train.optim import freeze, peak_learning_rate
from modersmal.train.plan import ContextRule, Plan
from modersmal.train.precision import choose_precision
from modersmal.train.preflight import check_batch, check_loss, check_model
from modersmal.train.ranks import Ranks
from modersmal.train.reading import Reader
from modersmal.train.rows import find_equal_rows
from modersmal.train.say import say
from modersmal.whisper.load import Whisper, load

_LARGE_WIDTH = 1024  # medium: from here on a GPU trades time for memory


@dataclass(frozen=True)
class Parts:
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


def set_up(recipe: Recipe, corpus: Corpus, device: torch.device, ranks: Ranks) -> Parts:
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
    reader = Reader(split, plan, whisper.tokenizer, whisper.vocabulary, token, ranks.share)
    learner, device_batch_s, basis, reason = _learner(recipe, whisper, device, examples.used, ranks)
    return Parts(
        recipe=recipe,
        corpus=corpus,
        plan=plan,
        loader=Loader(reader, Workers.choose(config.loader_workers)),
        learner=learner,
        rate=rate,
        identity=identity(recipe, corpus, rate),
        device_batch_s=device_batch_s,
        basis=basis,
        reason=reason,
    )


def preflight(parts: Parts, device_batch_s: float) -> None:
    """Check the first batch, and show one clip of it as the model is taught it."""
    reader, learner = parts.loader.reader, parts.learner
    batch = reader.load(0, whole=True)
    texts = [reader.split.texts[row] for row in batch.planned.rows]
    sample = check_batch(batch, texts, learner.whisper, parts.corpus.language_token)
    loss = learner.first_loss(batch, device_batch_s)
    warning = check_loss(loss, learner.whisper.vocabulary)
    say(f"First clip: {sample}; first loss {loss:.2f}")
    if warning:
        say(f"Warning: {warning}")


def choose_dev(recipe: Recipe, corpus: Corpus) -> DevSet | None:
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
