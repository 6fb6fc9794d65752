"""Measure what the stages cost, on stand-ins, through the same doors that the real run takes.

A cost is measured at two sizes, or step by step, so that what it takes to begin is told from what
each clip, batch or step takes.
"""

import json
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from modersmal.config import DataConfig, Recipe
from modersmal.corpus import Corpus
from modersmal.corpus.prepare import Prepared, prepare
from modersmal.corpus.sample import Sample
from modersmal.evaluate.evaluate import evaluate
from modersmal.rehearse.standin import Steps, padded_s, some_batches, spread, write_stand_in
from modersmal.store.remote import Remote
from modersmal.train.loop import StepReport
from modersmal.train.train import train
from modersmal.whisper.align import ModelAligner
from modersmal.whisper.decode import Context
from modersmal.whisper.decoders import open_decoder

_TIMES = 4  # that the sample is repeated to tell a clip's cost
_EPOCH_STEPS = 8
_SHORT_STEPS, _SHORT_WARM_UP = 10, 2
_FULL_STEPS, _FULL_WARM_UP = 4, 1
_FEW, _MANY = 1, 4  # decoded batches


def prepare_as(
    recipe: Recipe,
    sources: list[str],
    to: Path,
    data: DataConfig,
    sample: Sample | None = None,
) -> Prepared:
    """Prepare sources as the recipe says, but for `data`."""
    return prepare(
        sources,
        to,
        language=recipe.language,
        language_token=recipe.language_token,
        data=data,
        text=recipe.text,
        checks=recipe.checks,
        sample=sample,
        aligner=ModelAligner(recipe.aligner, recipe.language, recipe.language_token),
    )


def time_clip(recipe: Recipe, sample: Corpus, folder: Path) -> float:
    """Seconds that one process takes to prepare a clip."""
    clips = folder / "clips"
    clips.mkdir(parents=True)
    rows: list[str] = []
    for split in map(sample.split, sample.splits):
        for data, text in zip(split.audio_bytes(range(len(split))), split.texts, strict=True):
            name = f"{len(rows):03d}"
            (clips / name).write_bytes(data)
            rows.append(json.dumps({"audio": name, "text": text, "split": "test"}))
    took_s = []
    for number, times in enumerate((1, 1, _TIMES)):  # the first one warms up
        manifest = clips / f"{number}.jsonl"
        manifest.write_text("\n".join(rows * times) + "\n", encoding="utf-8")
        data_config = DataConfig(codec=recipe.data.codec, workers=1)
        began_s = time.monotonic()
        prepare_as(recipe, [str(manifest)], folder / f"prepared-{number}", data_config)
        took_s.append(time.monotonic() - began_s)
    return max(0.0, took_s[2] - took_s[1]) / ((_TIMES - 1) * len(rows))


def decoding_context(recipe: Recipe, learned: str) -> Context:
    """The context in which a model is scored that was trained on `learned`."""
    return "dynamic" if recipe.evaluate.context == learned == "dynamic" else "full"


@dataclass(frozen=True)
class Decoding:
    """What scoring with a model costs: once, and for each second of padded audio."""

    context: Context
    batch_s: float
    fixed_s: float
    s_per_padded_s: float

    @classmethod
    def from_two(
        cls,
        context: Context,
        batch_s: float,
        few: tuple[np.ndarray, float],
        many: tuple[np.ndarray, float],
    ) -> "Decoding":
        """From the lengths of few and of many clips, and the seconds that scoring them took."""
        few_padded_s, many_padded_s = (
            padded_s(lengths, context, batch_s) for lengths, _ in (few, many)
        )
        more_s = many[1] - few[1]
        if more_s > 0 and many_padded_s > few_padded_s:
            slope = more_s / (many_padded_s - few_padded_s)
            slope = min(slope, many[1] / many_padded_s)
            return cls(context, batch_s, many[1] - slope * many_padded_s, slope)
        return cls(context, batch_s, 0.0, many[1] / many_padded_s)

    def seconds(self, durations_s: np.ndarray) -> float:
        """How long decoding clips of these lengths takes, without what it costs to begin."""
        return self.s_per_padded_s * padded_s(durations_s, self.context, self.batch_s)


class Scorer:
    """Scores models on few and on many clips, in batches like those of the real dev and test."""

    def __init__(
        self,
        recipe: Recipe,
        sample: Corpus,
        durations_s: np.ndarray,
        contexts: set[Context],
        folder: Path,
    ) -> None:
        self._recipe, self._folder = recipe, folder
        wanted = {
            f"{context}_{name}": some_batches(durations_s, context, recipe.evaluate.batch_s, count)
            for context in contexts
            for name, count in (("few", _FEW), ("many", _MANY))
        }
        self.corpus = write_stand_in(sample, folder / "corpus", wanted)

    def measure(self, model: str, context: Context) -> Decoding:
        """What scoring with a model costs."""
        open_decoder(model, engine=self._recipe.evaluate.engine)  # converts it, once for all
        few, many = (self.corpus.split(f"{context}_{name}") for name in ("few", "many"))
        return Decoding.from_two(
            context,
            self._recipe.evaluate.batch_s,
            (few.durations_s, self.score(model, few.name)),
            (many.durations_s, self.score(model, many.name)),
        )

    def measure_first(self, model: str, context: Context) -> tuple[Decoding, float]:
        """The same, for the first model of a process, and how much more the first time takes."""
        few = self.corpus.split(f"{context}_few")
        first_s = self.score(model, few.name)
        decoding = self.measure(model, context)
        return decoding, max(0.0, first_s - decoding.fixed_s - decoding.seconds(few.durations_s))

    def score(self, model: str, split: str) -> float:
        """Seconds that scoring took, all of it."""
        began_s = time.monotonic()
        evaluate(
            model,
            [self.corpus.path],
            split=split,
            config=self._recipe.evaluate,
            language=self._recipe.language,
            language_token=self._recipe.language_token,
            output=self._folder / "scores",
        )
        return time.monotonic() - began_s

    def bytes_per_clip(self) -> float:
        """What a score keeps of each clip."""
        kept = list((self._folder / "scores").glob("*.jsonl"))
        lines = sum(len(file.read_bytes().splitlines()) for file in kept)
        return sum(file.stat().st_size for file in kept) / max(1, lines)


@dataclass(frozen=True)
class Pass:
    """A few steps of training: what all of it took, and each step from the end of the one before.

    A checkpoint was written before the last step; the steps from `warm_up` to it are alike.
    """

    seconds: float
    step_s: np.ndarray
    steps: Steps
    warm_up: int

    @property
    def s_per_padded_s(self) -> float:
        alike = slice(self.warm_up, -1)
        return float(self.step_s[alike].sum() / self.steps.padded_s[alike].sum())

    @property
    def save_s(self) -> float:
        """How long writing a checkpoint held up the training."""
        return max(0.0, float(self.step_s[-1] - self.s_per_padded_s * self.steps.padded_s[-1]))

    @property
    def outside_s(self) -> float:
        """What it took beside its steps and its checkpoint, beginning and end included."""
        steps_s = self.s_per_padded_s * float(self.steps.padded_s.sum())
        return max(0.0, self.seconds - steps_s - self.save_s)


@dataclass(frozen=True)
class Training:
    """What was measured of training: with short contexts and with 30 s, where the recipe has them.

    `run` is a finished run, `dev_s` are the lengths of what it scored at its end.
    """

    short: Pass | None
    full: Pass | None
    run: Path
    dev_s: np.ndarray

    @property
    def chief(self) -> Pass:
        chief = self.short or self.full
        if chief is None:
            raise ValueError("a training has steps")
        return chief

    def s_per_padded_s(self, *, full: bool) -> float:
        one, other = (self.full, self.short) if full else (self.short, self.full)
        return (one or other or self.chief).s_per_padded_s


def time_training(
    recipe: Recipe,
    sample: Corpus,
    lengths_s: dict[str, np.ndarray],
    folder: Path,
    place: Remote | None,
) -> Training:
    """Train a few steps of either geometry, save (to `place`, too), score dev, write the model."""
    config = recipe.train
    wanted = {"train": spread(lengths_s["train"], _EPOCH_STEPS * config.batch_s)}
    if "dev" in lengths_s:
        context: Context = (
            "dynamic" if recipe.evaluate.context == config.context == "dynamic" else "full"
        )
        wanted["dev"] = some_batches(lengths_s["dev"], context, recipe.evaluate.batch_s, _FEW)
    corpus = write_stand_in(sample, folder / "corpus", wanted)
    dynamic = config.context == "dynamic"
    long_share = config.packed_share + config.full_share
    short = full = None
    if dynamic:
        run = folder / "short"
        short = _time_pass(recipe, corpus, run, (0.0, 0.0), _SHORT_STEPS, _SHORT_WARM_UP, place)
    if long_share:
        run = folder / "full"
        there = None if dynamic else place
        shares = (config.packed_share / long_share, config.full_share / long_share)
        full = _time_pass(recipe, corpus, run, shares, _FULL_STEPS, _FULL_WARM_UP, there)
    dev_s = corpus.split("dev").durations_s if "dev" in corpus.splits else np.zeros(0)
    return Training(short, full, folder / ("short" if dynamic else "full"), dev_s)


def _time_pass(
    recipe: Recipe,
    corpus: Corpus,
    run: Path,
    shares: tuple[float, float],
    steps: int,
    warm_up: int,
    place: Remote | None,
) -> Pass:
    changed = {
        "packed_share": shares[0],
        "full_share": shares[1],
        "max_steps": steps,
        "save_every": steps - 1,
        "evaluate_every": 0,
        "accept_changes": [],
        "budget": None,
        "deadline": None,
    }
    config = recipe.train.model_copy(update=changed)
    ends_s: list[float] = []

    def on_step(report: StepReport) -> None:
        ends_s.append(time.monotonic())

    began_s = time.monotonic()
    changed_recipe = recipe.model_copy(update={"train": config})
    train(changed_recipe, corpus.path, run, on_step, place=place)
    seconds = time.monotonic() - began_s
    step_s = np.array([later - earlier for earlier, later in pairwise([began_s, *ends_s])])
    return Pass(seconds, step_s, Steps.of(config, corpus.split("train").durations_s), warm_up)
