"""What a training is put together from: all of it follows from the recipe and the machine."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from modersmal.config import Recipe, TrainConfig
from modersmal.corpus import Corpus
from modersmal.train.dev import DevSet
from modersmal.train.examples import find_examples
from modersmal.train.identity import identity
from modersmal.train.labels import Labeller
from modersmal.train.learner import Learner
from modersmal.train.loader import Loader, Workers
from modersmal.train.lora import adapt, fingerprint
from modersmal.train.optim import freeze, peak_learning_rate
from modersmal.train.plan import STRETCH_STEPS, Clips, Plan
from modersmal.train.precision import choose_precision
from modersmal.train.preflight import check_batch, check_loss, check_model
from modersmal.train.ranks import Ranks
from modersmal.train.reading import Reader
from modersmal.train.rows import find_equal_rows
from modersmal.train.say import say
from modersmal.train.shapes import Geometry
from modersmal.train.sizing import Sizing
from modersmal.whisper.load import Whisper, load


@dataclass(frozen=True)
class Parts:
    """What a training is put together from; all of it follows from the recipe and the machine."""

    recipe: Recipe
    corpus: Corpus
    plan: Plan
    loader: Loader
    learner: Learner
    rate: float
    identity: dict[str, Any]
    sizing: Sizing


def set_up(recipe: Recipe, corpus: Corpus, device: torch.device, ranks: Ranks) -> Parts:
    config, token = recipe.train, corpus.language_token
    split = corpus.split("train")
    whisper = as_it_learns(load(recipe.model, device=device), config)
    if config.prompt_share and not whisper.windows:
        # Nothing is said before an utterance: text before windows would only be in the way.
        config = config.model_copy(update={"prompt_share": 0.0})
    check_model(whisper)
    freeze(whisper.model, encoder=config.freeze_encoder)
    examples = find_examples(split, whisper, token)
    same = identity(recipe, corpus)
    if config.lora.rank:
        same["model_weights"] = fingerprint(whisper.model)
        adapt(whisper.model, config.lora, seed=config.seed, encoder=not config.freeze_encoder)
    rate, rate_reason = peak_learning_rate(
        whisper.model.config, config.learning_rate, lora=bool(config.lora.rank)
    )
    same["train.learning_rate"] = rate
    clips = Clips.of(split, examples.takes_part, speakers=config.same_speaker)
    plan = Plan.of(config, clips)
    for why, count in examples.left_out.items():
        say(f"{count:,} clips are left out: {why}")
    say(
        f"{plan.clip_count:,} clips, {plan.audio_s / 3600:.1f} h, "
        f"{plan.batches_per_epoch:,} steps an epoch; peak learning rate {rate:g} ({rate_reason})"
    )
    labeller = Labeller(whisper.tokenizer, whisper.vocabulary, token)
    reader = Reader(split, plan, labeller, ranks.share)
    used = examples.used | labeller.special
    learner = _learner(recipe, whisper, device, used, ranks)
    return Parts(
        recipe=recipe,
        corpus=corpus,
        plan=plan,
        loader=Loader(reader, Workers.choose(config.loader_workers), learner.make_ahead),
        learner=learner,
        rate=rate,
        identity=same,
        sizing=Sizing.of(config, whisper.model, device, learner.precision, plan.longest_s),
    )


def as_it_learns(base: Whisper, config: TrainConfig) -> Whisper:
    """A base as a model for the context that `config` teaches it, as which it is scored and saved.

    Windows are kept, not learned anew: a base that is not heard in them takes longer to learn them
    than a run lasts.
    """
    return replace(
        base,
        context=config.context,
        context_floor_s=config.context_floor_s,
        windows=config.windows and (base.windows or base.context == "full"),
    )


def preflight(parts: Parts, device_batch_s: float) -> None:
    """Check the first batch of each geometry, and show one clip of the very first as the model is
    taught it."""
    reader, learner, plan = parts.loader.reader, parts.learner, parts.plan
    first: dict[Geometry, int] = {}
    for step in range(min(STRETCH_STEPS, parts.recipe.train.max_steps)):
        first.setdefault(plan.shapes.geometry(plan.seed, step), step)
    for step in sorted(first.values(), reverse=True):
        batch = reader.load(step, whole=True)
        texts = reader.texts(batch)
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
    dev = dev_set(recipe, corpus)
    say(str(dev))
    return dev


def dev_set(recipe: Recipe, corpus: Corpus) -> DevSet:
    """The dev clips of a run, the same in every process that asks for them."""
    return DevSet.choose(
        corpus.split("dev"),
        recipe.train.dev_clips,
        language=corpus.language,
        language_token=corpus.language_token,
        config=recipe.evaluate,
        shown=recipe.train.show_clips,
    )


def _learner(
    recipe: Recipe, whisper: Whisper, device: torch.device, used: torch.Tensor, ranks: Ranks
) -> Learner:
    config, model = recipe.train, whisper.model
    precision = choose_precision(device, config.precision)
    several = f" and {ranks.world - 1} more like it" if ranks.world > 1 else ""
    say(f"Training on {device}{several} in {precision.name}: {precision.reason}")
    return Learner(
        whisper,
        config,
        device=device,
        precision=precision,
        checkpointing=False,
        equal_rows=find_equal_rows(model.proj_out.weight, used),
        ranks=ranks,
    )
