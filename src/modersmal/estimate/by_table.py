"""How long the stages take by the arithmetic in them, and what the table says of a machine."""

import json
from contextlib import suppress

import numpy as np

from modersmal.config import Recipe, TrainConfig
from modersmal.corpus.schema import MAX_ROW_GROUP_ROWS
from modersmal.errors import ModersmalError, RecipeError
from modersmal.estimate.data import MEAN_S, Amount
from modersmal.estimate.hardware import Hardware
from modersmal.estimate.result import Span, Stage
from modersmal.logmel import FRAMES_PER_S
from modersmal.rehearse.forecast import dev_scores
from modersmal.train.dev import TYPICAL_CLIPS
from modersmal.train.plan import Clips, Plan
from modersmal.whisper.decode import WINDOW_S
from modersmal.whisper.load import locate, read_card
from modersmal.whisper.shape import Shape, shape_named

_PLANNED_STEPS = 100  # that stand for all of them
_TOKENS_PER_S, _TOKENS = 5.0, 5.0
_PREPARED_PER_S = 200.0  # clips, on a core; docs/benchmarks.md, "prepare"
_PREPARE_FACTOR = 2.5
_DECODING = 0.5  # of what training does, where one token follows the other
_FED_PER_S = 1300.0  # of audio, by one reader; docs/benchmarks.md, "Waiting for clips"
_BEGIN_S = 30.0  # to load a model, and convert or compile it
_NO_DATA = "since how much data there is is not; give --audio-hours, or prepare or rehearse first"


def stages_by_table(recipe: Recipe, hardware: Hardware, data: Amount) -> list[Stage]:
    """Hours of each stage; None where they depend on how much data there is, and that is not known.

    Raises RecipeError where the size of the model cannot be told.
    """
    shape = _shape(recipe.model)
    splits, config = data.splits, recipe.train
    models = [recipe.model, *recipe.evaluate.candidates]
    base_context = _context_of(recipe.model)
    per_s = _PREPARED_PER_S * (recipe.data.workers or hardware.cores)
    prepare = Span.within(data.clips / per_s, _PREPARE_FACTOR) if splits else None
    stages = [Stage("prepare", prepare, _NO_DATA)]
    if not splits or "dev" in splits:
        stages.append(
            Stage(
                "score the start",
                _scoring(shape, hardware, splits.get("dev"), recipe, len(models) * [base_context]),
                _NO_DATA,
            )
        )
    stages.append(Stage("train", _training(shape, hardware, data, recipe)))
    if not splits or "test" in splits:
        both = [base_context, config.context]
        stages.append(
            Stage(
                "score the result",
                _scoring(shape, hardware, splits.get("test"), recipe, both),
                _NO_DATA,
            )
        )
    return stages


def _training(shape: Shape, hardware: Hardware, data: Amount, recipe: Recipe) -> Span:
    config = recipe.train
    flops = _flops_per_step(shape, config, data.train_s) * config.max_steps
    if config.gradient_checkpointing:
        flops *= 4 / 3
    dev_clips, dev_s = data.splits.get("dev", (TYPICAL_CLIPS, TYPICAL_CLIPS * MEAN_S))
    scored = min(dev_clips, config.dev_clips or TYPICAL_CLIPS)
    score = _decoding_flops(shape, scored, dev_s / max(1, dev_clips), recipe, config.context)
    scores = len(dev_scores(config)) + config.mixtures if dev_clips else 0
    rate = hardware.flops(shape.width)
    learning_s = max(flops / rate, config.max_steps * config.batch_s / _fed_per_s(hardware))
    seconds = _BEGIN_S + learning_s + scores * score / (_DECODING * rate)
    return Span.within(seconds, hardware.factor)


def _fed_per_s(hardware: Hardware) -> float:
    """Seconds of audio that are read for it in one."""
    return _FED_PER_S * max(1, hardware.cores // 2)


def _flops_per_step(shape: Shape, config: TrainConfig, lengths_s: np.ndarray) -> float:
    """What a step of the recipe takes on average, with the geometry that its plan gives it."""
    few = config.model_copy(update={"max_steps": min(config.max_steps, _PLANNED_STEPS)})
    groups = np.append(np.arange(0, len(lengths_s), MAX_ROW_GROUP_ROWS), len(lengths_s))
    plan = Plan.of(few, Clips(lengths_s.astype(np.float32), groups))
    total = 0.0
    for step in range(few.max_steps):
        batch = plan.batch(step)
        sample_s = batch.frames / FRAMES_PER_S
        samples = batch.padded_s / sample_s
        speech_s = batch.audio_s / max(1.0, samples)
        total += samples * shape.training_flops(sample_s, _tokens(speech_s))
    return total / few.max_steps


def _scoring(
    shape: Shape,
    hardware: Hardware,
    split: tuple[int, float] | None,
    recipe: Recipe,
    contexts: list[str],
) -> Span | None:
    """Models, each in its context, on a split; a candidate counts as large as the base."""
    if split is None:
        return None
    clips, seconds = split
    flops = sum(
        _decoding_flops(shape, clips, seconds / max(1, clips), recipe, context)
        for context in contexts
    )
    taken_s = flops / (_DECODING * hardware.flops(shape.width))
    return Span.within(len(contexts) * _BEGIN_S + taken_s, hardware.factor)


def _decoding_flops(shape: Shape, clips: int, mean_s: float, recipe: Recipe, context: str) -> float:
    short = recipe.evaluate.context == context == "dynamic"
    heard_s = min(WINDOW_S, mean_s + 0.5) if short else WINDOW_S
    tokens = _tokens(mean_s) * recipe.evaluate.beams
    return clips * shape.training_flops(heard_s, tokens) / 3


def _tokens(seconds: float) -> float:
    return _TOKENS + _TOKENS_PER_S * seconds


def _context_of(model: str) -> str:
    """What a model has learned to hear; a stock Whisper, 30 s."""
    with suppress(ModersmalError):
        return read_card(locate(model, offline=True)).context
    return "full"


def _shape(model: str) -> Shape:
    """A model's shape by its files where they are here, else by its name."""
    with suppress(ModersmalError, OSError, ValueError, KeyError, TypeError):
        config = locate(model, offline=True) / "config.json"
        return Shape.of(json.loads(config.read_text(encoding="utf-8")))
    if found := shape_named(model):
        return found
    raise RecipeError(
        f"how large {model} is cannot be told from its name, and it is not on this machine; "
        "`modersmal fetch RECIPE` brings it"
    )
