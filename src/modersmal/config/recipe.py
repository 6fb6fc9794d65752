"""The recipe: one TOML file that describes a whole training; unknown keys are errors.

Every key carries its default, unit and effect here, and only here: `modersmal init` writes them as
comments and the guide's reference is generated from them.
"""

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from modersmal.config.improving import ImproveConfig
from modersmal.config.launching import LaunchConfig
from modersmal.config.section import Section
from modersmal.config.serving import ServeConfig

if TYPE_CHECKING:
    from modersmal.store.workspace import Workspace

Codec = Literal["original", "flac", "opus"]
_NAME = r"^\w[\w.-]*$"
_PASSWORD = re.compile(r"(://[^/@]*?):[^/@]+@")
Normaliser = Literal["none", "modersmal", "whisper-basic", "custom"]


def _shares_of_the_base(shares: list[float]) -> list[float]:
    if any(not 0 < share < 1 for share in shares):
        raise ValueError("a share of the base lies between 0 and 1, as in [0.25, 0.5]")
    return shares


def _called(model: str) -> str:
    """What a run is called after a model: the last part of its id or folder."""
    return model.rstrip("/").rpartition("/")[2]


class DataConfig(Section):
    """Where the clips come from, and how the corpus keeps them."""

    sources: list[str] = Field(
        default=[],
        description="What to train on: Common Voice releases (folder, .tar.gz, or mdc:ID from "
        "Mozilla Data Collective), datasets on the Hub (hf:OWNER/NAME, with :config and @revision "
        "where needed), CSV/TSV/JSONL manifests, folders of audio with same-named .txt files; long "
        "recordings with .srt or .vtt subtitles, or a .txt that `model` is aligned with; what "
        "people have corrected (corrections:DATABASE). Must be set; several are joined.",
    )
    codec: Codec = Field(
        default="original",
        description="How clips are kept: 'original' keeps the bytes as they came (smallest for "
        "MP3), 'flac' and 'opus' re-encode at 16 kHz mono. Choose 'opus' where WAV sources fill "
        "the disk.",
    )
    workers: int = Field(
        default=0,
        ge=0,
        description="Processes that decode and check; 0: one per core. The corpus is the "
        "same whatever the number; lower it to leave cores to others.",
    )
    align_with: str | None = Field(
        default=None,
        description="Model that finds the sentences of recordings whose .txt has no times; unset: "
        "`model`. Set it where several models are to learn from one corpus of such recordings.",
    )
    disjoint: bool = Field(
        default=False,
        description="Drop from train every clip whose speaker or sentence is in dev or test. Turn "
        "it on where `modersmal inspect` reports an overlap: scores are too good otherwise.",
    )
    dev_share: float = Field(
        default=0.05,
        ge=0,
        lt=0.5,
        description="Share of the speakers that become dev where the source has no splits. Raise "
        "it where the corpus is small, so that dev has some hundred clips.",
    )
    test_share: float = Field(
        default=0.05,
        ge=0,
        lt=0.5,
        description="Share of the speakers that become test where the source has no splits; as for "
        "dev_share. 0 where the test set is a corpus of its own.",
    )

    licence: str | None = Field(
        default=None,
        description="Licence of manifests and folders, by its SPDX name where it has one "
        "('CC-BY-4.0'); other sources say theirs themselves. Set it, so that whoever gets the "
        "corpus or the model knows.",
    )
    licence_url: str | None = Field(
        default=None,
        description="Where that licence can be read; unset: known for the usual ones. Set it for "
        "terms of your own.",
    )
    redistributable: bool | None = Field(
        default=None,
        description="Whether clips of manifests and folders may be passed on; unset: as the "
        "licence says, where it is a usual one. false for recordings given in confidence.",
    )


class TextConfig(Section):
    """The style in which the model learns to write."""

    case: Literal["keep", "lower"] = Field(
        default="keep",
        description="'lower' writes everything in lower case; for sources that differ in it.",
    )
    punctuation: Literal["keep", "strip"] = Field(
        default="keep",
        description="'strip' removes punctuation; letters and marks stay. For sources that differ "
        "in it, and for models whose text is only searched.",
    )
    replace: dict[str, str] = Field(
        default={},
        description='Literal replacements made first, as { "from" = "to" }, for house style and '
        "for misspellings that a source repeats.",
    )


class ChecksConfig(Section):
    """What a clip must be like; see rejected.jsonl for what was not."""

    min_duration_s: float = Field(
        default=0.2,
        ge=0,
        description="Seconds. Shorter clips are rejected. Lower it for single words said fast.",
    )
    max_duration_s: float = Field(
        default=30.0,
        gt=0,
        le=30,
        description="Seconds, at most 30, Whisper's window. Longer clips are rejected. Lower it "
        "where a few long clips keep batches from fitting into memory.",
    )
    silence_db: float = Field(
        default=-65.0,
        le=0,
        description="dB of full scale. A clip whose loudest 0.1 s stays below it is silent. Lower "
        "it for very quiet recordings.",
    )
    clipped_share: float = Field(
        default=0.02,
        gt=0,
        le=1,
        description="Share of samples at full scale from which a clip counts as clipped. Raise it "
        "where loud but usable recordings are rejected.",
    )
    max_characters_per_s: float = Field(
        default=40.0,
        gt=0,
        description="Letters a second, above which the text cannot belong to the clip "
        "(a third of it for scripts that write syllables or words). Raise it for very fast speech.",
    )
    min_characters_per_s: float = Field(
        default=0.25,
        ge=0,
        description="Letters a second, below which the text cannot belong to the clip. Lower it "
        "where clips hold long pauses.",
    )


class SpecAugmentConfig(Section):
    """Masks over the log-mel, drawn anew for each clip and epoch."""

    time_masks: int = Field(
        default=2, ge=0, description="Spans masked per clip; 0: none. More for little data."
    )
    time_share: float = Field(
        default=0.05,
        ge=0,
        le=0.5,
        description="Longest span, as a share of the clip; the smaller the safer.",
    )
    frequency_masks: int = Field(
        default=2, ge=0, description="Bands masked per clip; 0: none. More for little data."
    )
    frequency_mels: int = Field(
        default=15, ge=0, le=64, description="Widest band, in mel bins (of 80 or 128)."
    )


class AugmentConfig(Section):
    """What is done to the sound of clips, drawn anew for each clip and epoch; all off at first."""

    speed_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the clips played faster or slower. 0.67 with the two factors below "
        "is the usual recipe; for little data.",
    )
    speed_factors: list[float] = Field(
        default=[0.9, 1.1],
        description="How fast: each clip of that share takes one of these. Pitch follows speed.",
    )
    noise_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the clips with noise, from white to brown. Raise it where clips are "
        "clean and the model will listen to noise.",
    )
    noise_snr_db: list[float] = Field(
        default=[10.0, 40.0],
        min_length=2,
        max_length=2,
        description="dB, lowest and highest, by which speech is louder than that noise.",
    )
    reverberation_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the clips heard as in a room. Raise it where clips are spoken close "
        "to the microphone and the model will listen from afar.",
    )
    reverberation_s: list[float] = Field(
        default=[0.1, 0.6],
        min_length=2,
        max_length=2,
        description="Seconds, shortest and longest, in which that room's echoes fade by 60 dB.",
    )
    gain_db: float = Field(
        default=0.0,
        ge=0,
        le=40,
        description="dB by which clips are made louder or quieter at most, never over full scale. "
        "6 where all clips are equally loud and what the model will hear is not.",
    )

    @field_validator("speed_factors")
    @classmethod
    def _speeds_are_near_1(cls, factors: list[float]) -> list[float]:
        if any(not 0.5 <= factor <= 2 for factor in factors):
            raise ValueError("a speed is a factor from 0.5 to 2, as in [0.9, 1.1]")
        return factors

    @field_validator("noise_snr_db", "reverberation_s")
    @classmethod
    def _from_low_to_high(cls, limits: list[float]) -> list[float]:
        if limits[0] > limits[1]:
            raise ValueError(f"the lower limit comes first, as in {sorted(limits)}")
        return limits

    @field_validator("reverberation_s")
    @classmethod
    def _rooms_are_real(cls, limits: list[float]) -> list[float]:
        if limits[0] < 0.02 or limits[1] > 5:
            raise ValueError("echoes fade in 0.02 to 5 seconds")
        return limits


class LoraConfig(Section):
    """Small matrices learned beside the model's own, which stay; needs `modersmal[lora]`."""

    rank: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Rank of these matrices; unset: all weights learn instead. 32 where memory is "
        "too small for that, or the base must hardly be forgotten; more for much data.",
    )
    alpha: int = Field(
        default=64,
        ge=1,
        description="What they add is multiplied by alpha / rank. Twice the rank is usual.",
    )
    dropout: float = Field(
        default=0.05, ge=0, lt=1, description="Share of their inputs left out at random."
    )
    targets: list[Literal["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]] = Field(
        default=["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"],
        min_length=1,
        description="The matrices that get them, of every layer; fewer take less memory.",
    )


class TrainConfig(Section):
    """How the model learns."""

    max_steps: int = Field(
        default=2000,
        ge=1,
        description="Optimiser steps in all. Raise it while the dev score still falls at the end; "
        "a step is one batch of batch_s seconds.",
    )
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Peak learning rate; unset: by model size (tiny 4e-5, base 2e-5, small 1e-5, "
        "medium 6e-6, large 5e-6, turbo 1e-5; the bundled base 1e-3), ten times that with LoRA. "
        "Halve it where the loss jumps.",
    )
    schedule: Literal["linear", "cosine", "constant"] = Field(
        default="linear",
        description="Decay after the warm-up, to zero at max_steps ('constant': none, for runs "
        "that are to be prolonged).",
    )
    warmup_steps: int = Field(
        default=200,
        ge=0,
        description="Steps over which the learning rate rises from zero; about a tenth of "
        "max_steps, at most a fifth of them.",
    )
    batch_s: float = Field(
        default=240.0,
        gt=0,
        description="Seconds of audio per optimiser step, over all devices: the global batch. It "
        "changes the result, not the memory; larger is steadier and slower.",
    )
    device_batch_s: float | None = Field(
        default=None,
        gt=0,
        description="Seconds of padded audio that one device takes at a time; unset: found, by "
        "growing to what memory allows. What remains of batch_s is accumulated. Does not change "
        "the result. Set it to leave memory to others.",
    )
    packed_share: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of the steps whose clips, or a recording's consecutive segments, are "
        "joined to windows of 30 s with timestamps, so that long recordings and times are not "
        "forgotten. 0 where the model will only hear single sentences.",
    )
    full_share: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="Share of the steps whose clips are each padded to 30 s, so that runtimes "
        "which always pad stay right. Each percent costs about 6 % of the speed. All other steps "
        "are in dynamic context: as much as the step's longest clip. 1: only 30 s.",
    )
    same_speaker: bool = Field(
        default=False,
        description="Join only clips of the same speaker. Turn it on where the model will hear one "
        "speaker at a time, and speakers have many clips.",
    )
    timestamp_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Share of the clips, in dynamic and full steps, that are learned with "
        "timestamps; windows always are.",
    )
    prompt_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Share of the windows that are given what was said before, as runtimes may do. "
        "0 where none will. A base whose card says that it is not heard in windows is given none.",
    )
    silence_share: float = Field(
        default=0.01,
        ge=0,
        le=0.5,
        description="Silence and noise without a word, as a share of the samples, learned as such: "
        "against text that nobody said. Raise it where the model writes in pauses.",
    )
    context_floor_s: float = Field(
        default=2.0,
        gt=0,
        le=30,
        description="Seconds. Shortest context that the encoder sees. Raise it where very short "
        "clips are heard badly.",
    )
    context_step_s: float = Field(
        default=0.5,
        gt=0,
        le=30,
        description="Seconds. Contexts are rounded up to multiples, so that shapes repeat.",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="'auto': bfloat16 where the GPU has it natively, float16 with float32 master "
        "weights on older GPUs, float32 on CPU. 'float32' where a loss is not a number.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="Where to train; 'auto': a GPU where torch sees one."
    )
    freeze_encoder: bool = Field(
        default=False, description="Train the decoder only: faster, for very little data."
    )
    gradient_checkpointing: bool | None = Field(
        default=None,
        description="Trade time for memory; unset: only where the longest sample does not fit "
        "otherwise.",
    )
    compile: bool | Literal["auto"] = Field(
        default="auto",
        description="torch.compile the model's layers. 'auto': in runs of 1,000 steps and more, on "
        "GPUs from Ampere on. false where it makes trouble.",
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Weight of all tokens alike among what is to be written. 0.1 where little data "
        "makes the model too sure of itself.",
    )
    clip_norm: float = Field(
        default=1.0,
        gt=0,
        description="Gradients are clipped to this norm. Lower it where the loss jumps.",
    )
    weight_decay: float = Field(
        default=0.01, ge=0, description="AdamW's, on matrices only. Raise it for little data."
    )
    spec_augment: SpecAugmentConfig = Field(
        default=SpecAugmentConfig(), description="Masks over the log-mel."
    )
    augment: AugmentConfig = Field(
        default=AugmentConfig(), description="Speed, noise, rooms and loudness."
    )
    seed: int = Field(
        default=0,
        ge=0,
        description="Order, masks and initialisation follow it. Change it to see how much a score "
        "owes to luck.",
    )
    save_every: int = Field(
        default=500,
        ge=1,
        description="Steps between checkpoints: the most that an interruption costs. Lower it "
        "where sessions are short.",
    )
    keep: int = Field(
        default=2,
        ge=2,
        description="Checkpoints kept (the newest; the best stays too). One of whisper-small takes "
        "2.9 GB.",
    )
    lora: LoraConfig = Field(default=LoraConfig(), description="Learn small matrices only.")
    average_last: int = Field(
        default=0,
        ge=0,
        le=20,
        description="Average the weights of so many of the last checkpoints (those of every "
        "save_every steps and the last step), and keep the average where dev says it is better. "
        "They are kept till then; 2 are anyway. 0: no average.",
    )
    interpolate: list[float] = Field(
        default=[],
        description="Mix so much of the base's weights into the finished model, as in [0.25, 0.5], "
        "where dev says it is better. Against forgetting what the base knew; with little data.",
    )
    evaluate_every: int = Field(
        default=500,
        ge=0,
        description="Steps between dev scores, from which the best model is chosen; 0: only at the "
        "end.",
    )
    evaluate_beside: bool | Literal["auto"] = Field(
        default="auto",
        description="Score dev while training goes on, on this machine's cores, from a checkpoint "
        "of its step. 'auto': where training and its loader leave two cores or more, for models "
        "up to small. false where memory is short, since the process takes a model's more; true "
        "where a score may take as long as the steps to the next.",
    )
    dev_clips: int | None = Field(
        default=None,
        ge=1,
        description="Dev clips decoded for them, chosen once by hash; the same for every score. "
        "Unset: as many as make the 95 % interval about ± 2.5 points where the rate is 20 %, some "
        "300 of Common Voice's. More is slower and surer.",
    )
    show_clips: int = Field(
        default=0,
        ge=0,
        description="Dev clips of which every score shows what was read aloud and what was heard. "
        "5 where somebody is watching.",
    )
    budget: str | None = Field(
        default=None,
        description="How long one session may last, from its start, as in '2h50m'; unset: until "
        "the deadline, or the limit of the platform (Colab, Kaggle, Modal, Slurm). Saving and "
        "uploading are counted in. `--budget` sets it for one start.",
    )
    deadline: str | None = Field(
        default=None,
        description="When all must have ended, as in '2026-12-24T18:00+01:00'; without an offset, "
        "local time. The earliest of budget, deadline and platform's limit holds.",
    )
    on_deadline: Literal["pause", "finish"] = Field(
        default="pause",
        description="Before the session ends: 'pause' saves, and the same command goes on later; "
        "'finish' lets the learning rate fall to zero just then, so that the last step gives a "
        "finished model, of fewer than max_steps if need be.",
    )
    accept_changes: list[str] = Field(
        default=[],
        description="Keys that may differ from those the run was begun with, such as "
        '["train.batch_s", "corpus"]; all others that decide the result are refused. From where '
        "the run stands, it goes on with the new values. Name them as the refusal does.",
    )
    loader_workers: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        default="auto",
        description="Who reads and decodes clips ahead of training: 'auto' takes a thread on few "
        "cores, from four on processes on half of them. Raise it where loader_wait_share in "
        "metrics.jsonl passes 0.02; 0: none but the training itself.",
    )

    @property
    def mixtures(self) -> int:
        """How many mixtures of weights are scored on dev after the last step."""
        return (self.average_last > 1) + len(self.interpolate)

    _are_shares = field_validator("interpolate")(_shares_of_the_base)

    @field_validator("deadline", mode="before")
    @classmethod
    def _moment_as_text(cls, value: object) -> object:
        return value.isoformat() if isinstance(value, datetime) else value

    @property
    def context(self) -> Literal["dynamic", "full"]:
        """Whether the model learns to hear less than 30 s."""
        return "dynamic" if self.packed_share + self.full_share < 1 else "full"

    @property
    def windows(self) -> bool:
        """Whether the model learns windows of 30 s with timestamps."""
        return self.packed_share > 0

    @model_validator(mode="after")
    def _shares_leave_room(self) -> "TrainConfig":
        if self.packed_share + self.full_share > 1:
            raise ValueError("packed_share and full_share are more than 1 together")
        return self

    @model_validator(mode="after")
    def _what_finishes_decays(self) -> "TrainConfig":
        if self.on_deadline == "finish" and self.schedule == "constant":
            raise ValueError("on_deadline = 'finish' needs a schedule that decays")
        return self


class EvaluateConfig(Section):
    """How scores are taken."""

    normaliser: Normaliser = Field(
        default="modersmal",
        description="What is ironed out before the normalised score: 'modersmal' (case and "
        "punctuation; å, ä, ö and every letter stay), 'whisper-basic' (Whisper's own, which strips "
        "marks), 'none', or 'custom' (rules below). Scores of different normalisers do not "
        "compare.",
    )
    rules: dict[str, str] = Field(
        default={},
        description="With normaliser = 'custom': regular expressions and their replacements, in "
        'order, after lower-casing, as { "pattern" = "replacement" }.',
    )
    context: Literal["dynamic", "full"] = Field(
        default="dynamic",
        description="As in training: 'dynamic' is faster, 'full' (always 30 s) is what other "
        "runtimes do.",
    )
    engine: Literal["auto", "ctranslate2", "transformers"] = Field(
        default="auto",
        description="What decodes. 'auto': CTranslate2, and transformers where it cannot, which is "
        "then said. Both write the same texts in float32; 'transformers' rules CTranslate2 out.",
    )
    batch_s: float = Field(
        default=240.0,
        gt=0,
        description="Seconds of padded audio decoded at once, on each core of a CPU. Lower it when "
        "memory runs out.",
    )
    beams: int = Field(
        default=1,
        ge=1,
        le=10,
        description="Beams of the search; 1: greedy. 5 is a little better and much slower.",
    )
    candidates: list[str] = Field(
        default=[],
        description="Other models to score on dev before training; `run` says if one is a better "
        "start.",
    )

    @model_validator(mode="after")
    def _rules_are_used_and_sound(self) -> "EvaluateConfig":
        if (self.normaliser == "custom") != bool(self.rules):
            raise ValueError("rules and normaliser = 'custom' go together")
        for pattern, replacement in self.rules.items():
            try:
                re.sub(pattern, replacement, "")
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        return self


class ReleaseConfig(Section):
    """What a release is made of, and what it has to prove."""

    formats: list[str] = Field(
        default=["hf", "ct2", "ggml"],
        description="What to write: families ('hf' for transformers, 'ct2' for CTranslate2 and "
        "faster-whisper, 'ggml' for whisper.cpp), or single formats such as 'ct2-int8' and "
        "'ggml-q5_0'. 'hf' is always among them. `--formats` sets it for one release.",
    )
    average_last: int = Field(
        default=3,
        ge=0,
        le=20,
        description="Try the average of so many of the last checkpoints that are still there. 0: "
        "no average.",
    )
    interpolate: list[float] = Field(
        default=[0.1, 0.25, 0.5],
        description="Try the best of them with so much of the base's weights mixed in. Each is "
        "scored on dev; [] saves the time.",
    )
    golden_clips: int = Field(
        default=200,
        ge=1,
        description="Clips that every format is proven on, in the runtimes that will read it. "
        "Fewer are faster, and prove less.",
    )
    max_quantised_loss: float = Field(
        default=1.0,
        ge=0,
        description="Points of the error rate that quantised formats may lose on them. A format "
        "that loses more is not released.",
    )

    _are_shares = field_validator("interpolate")(_shares_of_the_base)


class Recipe(Section):
    """The whole recipe."""

    language: str = Field(
        default="sv",
        description="The language that is spoken and written, as BCP 47 ('sv', 'se', 'pt-BR').",
    )
    language_token: str | None = Field(
        default=None,
        description="For a language that Whisper lacks: the Whisper language whose token it "
        "borrows ('fi' for Northern Sámi).",
    )
    model: str = Field(
        default="openai/whisper-small",
        description="Where training starts: a Hub id, a folder, or 'bundled' (the small synthetic "
        "base that ships with modersmal). Smaller Whispers are faster and err more; `modersmal "
        "doctor` says which fit this machine.",
    )
    store: str = Field(
        default="modersmal-store",
        description="Where corpora and runs are kept: a folder (relative to the recipe), a mounted "
        "Drive, or a URL (s3://BUCKET/…, gs://BUCKET/…, hf://USER/REPO). Choose one that outlives "
        "the machine; work for a Drive or a URL is done on this machine's disk.",
    )
    name: str = Field(
        default="run",
        pattern=_NAME,
        description="Name of the corpus and run inside the store; a new name is a new run.",
    )
    corpus: str | None = Field(
        default=None,
        pattern=_NAME,
        description="Name of the corpus inside the store; unset: as `name`. Set it to let several "
        "runs learn from one corpus, which is prepared once.",
    )
    sizes: list[str] = Field(
        default=[],
        description="Models that `modersmal run` takes through this recipe in place of `model`, "
        "one after the other, and compares: each is a run of its own, called after it "
        "(NAME-whisper-base), on one corpus. Other commands take one at a time.",
    )
    data: DataConfig = Field(default=DataConfig(), description="Where the clips come from.")
    text: TextConfig = Field(default=TextConfig(), description="The style the model writes.")
    checks: ChecksConfig = Field(default=ChecksConfig(), description="What a clip must be like.")
    train: TrainConfig = Field(default=TrainConfig(), description="How the model learns.")
    evaluate: EvaluateConfig = Field(default=EvaluateConfig(), description="How scores are taken.")
    release: ReleaseConfig = Field(
        default=ReleaseConfig(), description="What a release is made of, and has to prove."
    )
    serve: ServeConfig = Field(
        default=ServeConfig(), description="The page and the API of `modersmal serve --recipe`."
    )
    improve: ImproveConfig = Field(
        default=ImproveConfig(), description="How corrections become the next release."
    )
    launch: LaunchConfig = Field(
        default=LaunchConfig(), description="What `modersmal launch` writes for each target."
    )

    @model_validator(mode="after")
    def _sizes_have_names_of_their_own(self) -> "Recipe":
        names = [_called(model) for model in self.sizes]
        for name in names:
            if not re.fullmatch(_NAME, name):
                raise ValueError(f"sizes: {name!r} cannot name a run; give a folder or a Hub id")
            if names.count(name) > 1:
                raise ValueError(f"sizes: two are called {name!r}; each needs a name of its own")
        return self

    @property
    def corpus_name(self) -> str:
        """What its corpus is called in the store."""
        return self.corpus or self.name

    @property
    def aligner(self) -> str:
        """The model that finds sentences in recordings without times."""
        return self.data.align_with or self.model

    def of_run(self) -> dict[str, Any]:
        """As a run tells of it, for JSON: others may read that, so nothing is said of a server,
        whose database has a password, and no source's address says one."""
        table = self.model_dump(mode="json", exclude={"serve"})
        sources = [_PASSWORD.sub(r"\1:***@", source) for source in self.data.sources]
        table["data"]["sources"] = sources
        return table

    def each(self) -> "list[Recipe]":
        """A recipe for each of the sizes, on the same corpus; itself where it names none."""
        data = self.data.model_copy(update={"align_with": self.aligner})
        common = {"corpus": self.corpus_name, "sizes": [], "data": data}
        return [
            self.model_copy(
                update=common | {"model": model, "name": f"{self.name}-{_called(model)}"}
            )
            for model in self.sizes
        ] or [self]

    @property
    def workspace(self) -> "Workspace":
        """Where corpora and runs are. Raises StoreError where nobody knows such a store."""
        from modersmal.store.workspace import Workspace  # workers that prepare clips need none

        return Workspace.open(self.store)
