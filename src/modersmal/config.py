"""The recipe: one TOML file that describes a whole training; unknown keys are errors.

Every key carries its default, unit and effect here, and only here: `modersmal init` writes them as
comments and the guide's reference is generated from them.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modersmal.errors import RecipeError, nearest

Codec = Literal["original", "flac", "opus"]
Normaliser = Literal["none", "modersmal", "whisper-basic", "custom"]


class Section(BaseModel):
    """A table of the recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(Section):
    """Where the clips come from, and how the corpus keeps them."""

    sources: list[str] = Field(
        default=[],
        description="What to train on: Common Voice releases (folder or .tar.gz), CSV/TSV/JSONL "
        "manifests, folders of audio with same-named .txt files.",
    )
    codec: Codec = Field(
        default="original",
        description="How clips are kept: 'original' keeps the bytes as they came (smallest for "
        "MP3), 'flac' and 'opus' re-encode at 16 kHz mono.",
    )
    workers: int = Field(
        default=0, ge=0, description="Processes that decode and check; 0: one per core."
    )
    disjoint: bool = Field(
        default=False,
        description="Drop from train every clip whose speaker or sentence is in dev or test.",
    )
    dev_share: float = Field(
        default=0.05,
        ge=0,
        lt=0.5,
        description="Share of the speakers that become dev where the source has no splits.",
    )
    test_share: float = Field(
        default=0.05,
        ge=0,
        lt=0.5,
        description="Share of the speakers that become test where the source has no splits.",
    )


class TextConfig(Section):
    """The style in which the model learns to write."""

    case: Literal["keep", "lower"] = Field(
        default="keep", description="'lower' writes everything in lower case."
    )
    punctuation: Literal["keep", "strip"] = Field(
        default="keep", description="'strip' removes punctuation; letters and marks stay."
    )
    replace: dict[str, str] = Field(
        default={},
        description="Literal replacements made first, as { \"from\" = \"to\" }, for house style.",
    )


class ChecksConfig(Section):
    """What a clip must be like; see rejected.jsonl for what was not."""

    min_duration_s: float = Field(
        default=0.2, ge=0, description="Seconds. Shorter clips are rejected."
    )
    max_duration_s: float = Field(
        default=30.0,
        gt=0,
        le=30,
        description="Seconds, at most 30, Whisper's window. Longer clips are rejected.",
    )
    silence_db: float = Field(
        default=-65.0,
        le=0,
        description="dB of full scale. A clip whose loudest 0.1 s stays below it is silent.",
    )
    clipped_share: float = Field(
        default=0.02,
        gt=0,
        le=1,
        description="Share of samples at full scale from which a clip counts as clipped.",
    )
    max_characters_per_s: float = Field(
        default=40.0,
        gt=0,
        description="Letters a second, above which the text cannot belong to the clip "
        "(a third of it for scripts that write syllables or words).",
    )
    min_characters_per_s: float = Field(
        default=0.25,
        ge=0,
        description="Letters a second, below which the text cannot belong to the clip.",
    )


class SpecAugmentConfig(Section):
    """Masks over the log-mel, drawn anew for each clip and epoch."""

    time_masks: int = Field(default=2, ge=0, description="Spans masked per clip; 0 turns it off.")
    time_share: float = Field(
        default=0.05, ge=0, le=0.5, description="Longest span, as a share of the clip."
    )
    frequency_masks: int = Field(
        default=2, ge=0, description="Bands masked per clip; 0 turns it off."
    )
    frequency_mels: int = Field(default=15, ge=0, le=64, description="Widest band, in mel bins.")


class TrainConfig(Section):
    """How the model learns."""

    max_steps: int = Field(default=2000, ge=1, description="Optimiser steps in all.")
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Peak learning rate; unset: by model size (tiny 4e-5, base 2e-5, small 1e-5, "
        "medium 6e-6, large 5e-6, turbo 1e-5; the bundled base 1e-3).",
    )
    schedule: Literal["linear", "cosine", "constant"] = Field(
        default="linear", description="Decay after the warm-up, to zero at max_steps."
    )
    warmup_steps: int = Field(
        default=200, ge=0, description="Steps over which the learning rate rises from zero."
    )
    batch_s: float = Field(
        default=240.0,
        gt=0,
        description="Seconds of audio per optimiser step, over all devices: the global batch.",
    )
    device_batch_s: float | None = Field(
        default=None,
        gt=0,
        description="Seconds of padded audio that one device takes at a time; unset: by memory. "
        "What remains of batch_s is accumulated. Does not change the result.",
    )
    context: Literal["dynamic", "full"] = Field(
        default="dynamic",
        description="'dynamic': the encoder sees as much as the batch's longest clip; "
        "'full': always 30 s.",
    )
    full_share: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of the batches padded to 30 s in dynamic context, so that runtimes "
        "which always pad stay right.",
    )
    context_floor_s: float = Field(
        default=2.0, gt=0, le=30, description="Seconds. Shortest context that the encoder sees."
    )
    context_step_s: float = Field(
        default=1.0,
        gt=0,
        le=30,
        description="Seconds. Contexts are rounded up to multiples, so that shapes repeat.",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="'auto': bfloat16 where the GPU has it natively, float16 with float32 master "
        "weights on older GPUs, float32 on CPU.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="Where to train."
    )
    freeze_encoder: bool = Field(
        default=False, description="Train the decoder only: faster, for very little data."
    )
    gradient_checkpointing: bool | None = Field(
        default=None,
        description="Trade time for memory; unset: only for medium and larger on a GPU.",
    )
    compile: bool = Field(
        default=False, description="torch.compile the model; pays on long runs on a GPU."
    )
    clip_norm: float = Field(default=1.0, gt=0, description="Gradients are clipped to this norm.")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW's, on matrices only.")
    spec_augment: SpecAugmentConfig = Field(
        default=SpecAugmentConfig(), description="Masks over the log-mel."
    )
    seed: int = Field(default=0, ge=0, description="Order, masks and initialisation follow it.")
    save_every: int = Field(default=500, ge=1, description="Steps between checkpoints.")
    keep: int = Field(
        default=2, ge=2, description="Checkpoints kept (the newest; the best stays too)."
    )
    evaluate_every: int = Field(
        default=500, ge=0, description="Steps between dev scores; 0: only at the end."
    )
    dev_clips: int = Field(
        default=300,
        ge=1,
        description="Dev clips decoded for them, chosen once by hash; the same for every score.",
    )
    loader_workers: int = Field(
        default=1, ge=0, description="Processes that read and decode clips ahead of training."
    )


class EvaluateConfig(Section):
    """How scores are taken."""

    normaliser: Normaliser = Field(
        default="modersmal",
        description="What is ironed out before the normalised score: 'modersmal' (case and "
        "punctuation; å, ä, ö and every letter stay), 'whisper-basic' (Whisper's own, which strips "
        "marks), 'none', or 'custom' ([evaluate] rules).",
    )
    rules: dict[str, str] = Field(
        default={},
        description="With normaliser = 'custom': regular expressions and their replacements, in "
        "order, after lower-casing.",
    )
    context: Literal["dynamic", "full"] = Field(
        default="dynamic", description="As in training; 'full' is what other runtimes do."
    )
    batch_s: float = Field(
        default=120.0, gt=0, description="Seconds of padded audio decoded at once."
    )
    beams: int = Field(default=1, ge=1, le=10, description="1: greedy.")
    candidates: list[str] = Field(
        default=[],
        description="Other models to score on dev before training; `run` says if one is a better "
        "start.",
    )


class Recipe(Section):
    """The whole recipe."""

    language: str = Field(
        default="sv", description="The language that is spoken and written, as BCP 47."
    )
    language_token: str | None = Field(
        default=None,
        description="For a language that Whisper lacks: the Whisper language whose token it "
        "borrows.",
    )
    model: str = Field(
        default="openai/whisper-small",
        description="Where training starts: a Hub id, a folder, or 'bundled' (the small synthetic "
        "base that ships with modersmal).",
    )
    store: str = Field(
        default="modersmal-store",
        description="Folder for corpora and runs. Relative paths are relative to the recipe.",
    )
    name: str = Field(default="run", description="Name of the corpus and run inside the store.")
    data: DataConfig = Field(default=DataConfig(), description="Where the clips come from.")
    text: TextConfig = Field(default=TextConfig(), description="The style the model writes.")
    checks: ChecksConfig = Field(default=ChecksConfig(), description="What a clip must be like.")
    train: TrainConfig = Field(default=TrainConfig(), description="How the model learns.")
    evaluate: EvaluateConfig = Field(default=EvaluateConfig(), description="How scores are taken.")


def load_recipe(path: Path | str, overrides: Annotated[list[str], "KEY=VALUE"] = ()) -> Recipe:
    """Read a recipe, with `train.max_steps=100`-like overrides, paths resolved against its folder.

    Raises:
        RecipeError: missing, not TOML, an unknown key, or a value that does not fit.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(
            f"there is no recipe at {path}; `modersmal init {path}` writes one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not TOML: {error}") from error
    for override in overrides:
        _override(table, override)
    recipe = parse_recipe(table, where=str(path))
    return _resolved(recipe, path.resolve().parent)


def parse_recipe(table: dict[str, Any], where: str = "the recipe") -> Recipe:
    """Check a recipe's table. Raises RecipeError naming the key, and the nearest right one."""
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        raise RecipeError(f"{where}: {_plain(error.errors()[0])}") from None


def _override(table: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals:
        raise RecipeError(f"--set {override!r} is not KEY=VALUE, as in train.max_steps=500")
    *sections, last = key.strip().split(".")
    for section in sections:
        inner = table.setdefault(section, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"--set {override!r}: {section} is not a table")
        table = inner
    try:
        table[last] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        table[last] = value.strip()


def _resolved(recipe: Recipe, folder: Path) -> Recipe:
    """Make relative paths absolute; ids of models and URLs stay."""

    def at_home(path: str) -> str:
        return path if "://" in path else str(folder / Path(path).expanduser())

    model = recipe.model
    if model.startswith((".", "~")) or (folder / model).is_dir():
        model = at_home(model)
    data = recipe.data.model_copy(update={"sources": [at_home(s) for s in recipe.data.sources]})
    return recipe.model_copy(update={"store": at_home(recipe.store), "data": data, "model": model})


def _plain(error: dict[str, Any]) -> str:
    """One sentence for one pydantic error."""
    location = [str(part) for part in error["loc"]]
    key = ".".join(location)
    if error["type"] == "extra_forbidden":
        known = _keys_beside(location)
        return f"unknown key {key!r}{nearest(location[-1], known)}"
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"{key}: {message}, not {error['input']!r}"


def _keys_beside(location: list[str]) -> list[str]:
    section: type[BaseModel] = Recipe
    for part in location[:-1]:
        inner = section.model_fields[part].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            section = inner
    return list(section.model_fields)
