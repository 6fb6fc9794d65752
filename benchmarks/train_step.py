"""One optimiser step against Seq2SeqTrainer with 30 s padding, on the lengths of Common Voice.

    MODERSMAL_BENCH_DATA=... python benchmarks/train_step.py            # whisper-small's size
    MODERSMAL_BENCH_DATA=... python benchmarks/train_step.py --size tiny --clips 8 --steps 1

Both sides train the same random weights on the same clips, in the same precision, with SDPA
attention and fused AdamW, without gradient checkpointing; each takes the device batch size that
is fastest for it. The trainer's features are computed before the clock starts (as the notebooks
do it); ours are decoded and computed within the step.

Each of our geometries is measured alone; steps hold the same audio whatever their geometry, so the
speed of shares is 1 / sum(share / speed). Prints seconds of audio per second for dynamic context
alone, for dynamic and packed steps in the default proportion, and for all default shares. Then the
peak memory of both sides at 8 clips a step, each in a process of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import (
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerCallback,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from measured import own_peak_bytes
from modersmal import audio
from modersmal.config import TrainConfig
from modersmal.corpus import Corpus, Split
from modersmal.corpus.prepare import prepare
from modersmal.language import Vocabulary, tokenizer
from modersmal.logmel import WINDOW_FRAMES, clip_features
from modersmal.train.labels import Labeller
from modersmal.train.learner import Learner
from modersmal.train.optim import freeze
from modersmal.train.plan import Clips, Plan
from modersmal.train.precision import choose_device, choose_precision
from modersmal.train.reading import Reader
from modersmal.train.shapes import GEOMETRIES, Geometry, Shapes
from modersmal.whisper.encoder import accept_variable_context
from modersmal.whisper.load import Whisper
from modersmal.whisper.tokens import label_ids, special_ids

RELEASE = "cv-corpus-0.1-synthetic/sv-SE"
SIZES = {  # width, encoder layers, decoder layers, heads
    "tiny": (384, 4, 4, 6),
    "base": (512, 6, 6, 8),
    "small": (768, 12, 12, 12),
}
# Of our steps for one of theirs: each dynamic one holds clips of like length.
SPREAD: dict[Geometry, int] = {"dynamic": 4, "packed": 2, "full": 1}
MEMORY_CLIPS, MEMORY_DEVICE_S = 8, 15.0
THEIRS = "Seq2SeqTrainer"
IDS = special_ids(Vocabulary.MULTILINGUAL)


@dataclass(frozen=True)
class Side:
    """How fast one side was at a device batch size: seconds of audio per second."""

    device_batch: str
    audio_s_per_s: float

    def __str__(self) -> str:
        return f"{self.audio_s_per_s:.2f} s of audio a second ({self.device_batch} at a time)"


def random_model(size: str) -> WhisperForConditionalGeneration:
    """A Whisper of that size, the same weights every time."""
    width, encoder_layers, decoder_layers, heads = SIZES[size]
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=Vocabulary.MULTILINGUAL.size, d_model=width, encoder_layers=encoder_layers,
        decoder_layers=decoder_layers, encoder_attention_heads=heads,
        decoder_attention_heads=heads, encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width,
        decoder_start_token_id=IDS.start, pad_token_id=IDS.end, bos_token_id=IDS.end,
        eos_token_id=IDS.end, attn_implementation="sdpa",
    )  # fmt: skip
    return WhisperForConditionalGeneration(config)


class Clock(TrainerCallback):
    """Times the steps of a Trainer."""

    def __init__(self) -> None:
        self.times_s: list[float] = []

    def on_step_begin(self, *_: object, **__: object) -> None:
        _finish_device_work()
        self._began_s = time.monotonic()

    def on_step_end(self, *_: object, **__: object) -> None:
        _finish_device_work()
        self.times_s.append(time.monotonic() - self._began_s)


def trainer(
    size: str,
    split: Split,
    rows: list[int],
    device_clips: int,
    steps: int,
    folder: str,
    callback: TrainerCallback,
    **arguments: object,
) -> Seq2SeqTrainer:
    """A Seq2SeqTrainer whose steps each hold the clips `rows`, features computed before."""
    device = choose_device("auto")
    clips = [audio.decode(data).samples for data in split.audio_bytes(rows)]
    labels = label_ids(
        tokenizer(Vocabulary.MULTILINGUAL),
        Vocabulary.MULTILINGUAL,
        [split.texts[row] for row in rows],
        "sv",
    )
    features = clip_features(clips, 80, WINDOW_FRAMES, "cpu")
    examples = [
        {"input_features": one, "labels": label[1:]}
        for one, label in zip(features, labels, strict=True)
    ]
    settings = Seq2SeqTrainingArguments(
        folder, per_device_train_batch_size=device_clips,
        gradient_accumulation_steps=-(-len(rows) // device_clips), max_steps=steps,
        learning_rate=1e-5, optim="adamw_torch_fused", bf16=device.type == "cuda",
        report_to=[], logging_strategy="no", disable_tqdm=True, use_cpu=device.type == "cpu",
        remove_unused_columns=False, **{"save_strategy": "no"} | arguments,
    )  # fmt: skip
    return Seq2SeqTrainer(
        random_model(size), settings, data_collator=collate, train_dataset=examples,
        callbacks=[callback],
    )  # fmt: skip


def collate(batch: list[dict]) -> dict[str, torch.Tensor]:
    """Pad labels as the notebooks do."""
    longest = max(len(one["labels"]) for one in batch)
    padded = [one["labels"] + [-100] * (longest - len(one["labels"])) for one in batch]
    return {
        "input_features": torch.stack([one["input_features"] for one in batch]),
        "labels": torch.tensor(padded),
    }


def trainer_speed(size: str, split: Split, rows: list[int], device_clips: int, steps: int) -> float:
    """Seconds of audio per second of Seq2SeqTrainer; its first step warms up."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer(size, split, rows, device_clips, steps + 1, folder, clock).train()
    return float(split.durations_s[rows].sum()) / float(np.mean(clock.times_s[1:]))


def make_whisper(size: str) -> Whisper:
    """A Whisper of that size with random weights, on the device."""
    model = random_model(size).to(choose_device("auto"))
    accept_variable_context(model)
    return Whisper(
        model=model,
        tokenizer=tokenizer(Vocabulary.MULTILINGUAL),
        vocabulary=Vocabulary.MULTILINGUAL,
        mels=80,
        name=size,
        generation=model.generation_config,
        folder=Path(),
    )


def make_learner(size: str) -> Learner:
    whisper, device = make_whisper(size), choose_device("auto")
    freeze(whisper.model, encoder=False)
    return Learner(
        whisper, TrainConfig(), device=device, precision=choose_precision(device, "auto"),
        checkpointing=False,
    )  # fmt: skip


def make_reader(learner: Learner, split: Split, plan: Plan) -> Reader:
    whisper = learner.whisper
    return Reader(split, plan, Labeller(whisper.tokenizer, whisper.vocabulary, "sv"))


def make_plan(split: Split, clips: int, geometry: Geometry = "dynamic") -> Plan:
    """Steps of about `clips` clips, all of one geometry."""
    shapes = Shapes(
        packed_share=float(geometry == "packed"), full_share=float(geometry == "full"),
        timestamp_share=TrainConfig().timestamp_share, prompt_share=TrainConfig().prompt_share,
    )  # fmt: skip
    everything = Clips.of(split, np.ones(len(split), dtype=bool))
    return Plan(everything, seed=0, batch_s=clips * float(split.durations_s.mean()), shapes=shapes)


def modersmal_speed(
    size: str, split: Split, clips: int, device_batch_s: float, steps: int, geometry: Geometry
) -> float:
    """Seconds of audio per second of modersmal, reading and decoding included.

    The steps are taken from a planned epoch, evenly from the shortest clips to the longest.
    """
    plan, learner = make_plan(split, clips, geometry), make_learner(size)
    reader = make_reader(learner, split, plan)
    planned = [plan.batch(step) for step in range(plan.batches_per_epoch)]
    by_length = [one.step for one in sorted(planned, key=lambda one: (one.frames, one.audio_s))]
    learner.step(reader.load(by_length[0]), 1e-5, device_batch_s)  # warms up
    _finish_device_work()
    seconds, began_s = 0.0, time.monotonic()
    for step in evenly(by_length, steps):
        batch = reader.load(step)
        learner.step(batch, 1e-5, device_batch_s)
        seconds += batch.planned.audio_s
    _finish_device_work()
    return seconds / (time.monotonic() - began_s)


def evenly(ordered: list[int], count: int) -> list[int]:
    """`count` items from the middles of equal parts of a sorted list."""
    return [ordered[int((place + 0.5) * len(ordered) / count)] for place in range(count)]


def best(name: str, sizes: dict[str, Callable[[int], float]], steps: int) -> Side:
    """Try every device batch size for one step, then measure the fastest."""
    tried = {}
    for size, measure in sizes.items() if len(sizes) > 1 else ():
        tried[size] = measure(1)
        print(f"  {name}, {size} at a time: {tried[size]:.2f} s of audio a second", flush=True)
    fastest = max(tried or sizes, key=lambda size: tried.get(size, 0.0))
    return Side(fastest, sizes[fastest](steps))


def mixed(speeds: dict[Geometry, float], shares: dict[Geometry, float]) -> float:
    """The speed of steps of several geometries, by the share that each has."""
    return sum(shares.values()) / sum(share / speeds[one] for one, share in shares.items())


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare one optimiser step.")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--clips", type=int, default=16, help="clips of an optimiser step")
    parser.add_argument("--steps", type=int, default=2, help="steps measured at the best size")
    parser.add_argument("--their-clips", type=int, nargs="+", default=[2, 4, 8, 16],
                        help="device batch sizes to try")  # fmt: skip
    parser.add_argument("--our-seconds", type=int, nargs="+", default=[30, 60, 120],
                        help="device batch sizes to try")  # fmt: skip
    parser.add_argument("--memory-of", choices=[THEIRS, *GEOMETRIES], help="only that")
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--skip-speed", action="store_true")
    options = parser.parse_args()
    release = Path(os.environ["MODERSMAL_BENCH_DATA"]) / RELEASE
    with tempfile.TemporaryDirectory() as folder:
        prepare([str(release)], Path(folder) / "corpus", language="sv")
        split = Corpus.open(Path(folder) / "corpus").split("train")
        if options.memory_of:
            print(take_memory(split, options.size, options.memory_of))
            return
        if not options.skip_speed:
            compare(split, options)
    if not options.skip_memory:
        compare_memory(options.size)


def compare(split: Split, options: argparse.Namespace) -> None:
    size, clips, steps = options.size, options.clips, options.steps
    rows = evenly(np.argsort(split.durations_s).tolist(), clips)
    mean_s = float(split.durations_s.mean())
    print(f"{size}, {clips} clips a step, mean {mean_s:.1f} s, {torch.get_num_threads()} threads")
    theirs = best(
        "Seq2SeqTrainer",
        {
            f"{count} clips": lambda steps, count=count: trainer_speed(
                size, split, rows, count, steps
            )
            for count in options.their_clips
            if count <= clips
        },
        steps,
    )
    ours = {
        geometry: best(
            geometry,
            {
                f"{seconds} s": lambda steps, seconds=seconds, geometry=geometry: modersmal_speed(
                    size, split, clips, seconds, steps * SPREAD[geometry], geometry
                )
                for seconds in options.our_seconds
                if seconds <= clips * 30
            },
            steps,
        )
        for geometry in GEOMETRIES
    }
    config = TrainConfig()
    speeds = {geometry: side.audio_s_per_s for geometry, side in ours.items()}
    dynamic = 1 - config.packed_share - config.full_share
    without_full: dict[Geometry, float] = {"dynamic": dynamic, "packed": config.packed_share}
    shares = without_full | {"full": config.full_share}
    print(f"Seq2SeqTrainer, padded to 30 s: {theirs}")
    for geometry, side in ours.items():
        print(f"modersmal, {geometry} alone: {side}, {_ratio(side.audio_s_per_s, theirs)}")
    for name, parts in (("dynamic and packed", without_full), ("default shares", shares)):
        speed = mixed(speeds, parts)
        said = ", ".join(f"{share:.0%} {one}" for one, share in parts.items())
        print(f"modersmal, {name} ({said}): {speed:.2f} s of audio a second, "
              f"{_ratio(speed, theirs)}")  # fmt: skip


def compare_memory(size: str) -> None:
    """The peak of the other side and of each of our geometries at 8 clips a step."""
    peaks = {}
    for side in (THEIRS, *GEOMETRIES):
        command = [sys.executable, __file__, "--size", size, "--memory-of", side]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        peaks[side] = int(done.stdout.split()[-1])
        print(f"{side}, {MEMORY_CLIPS} clips a step: {peaks[side] / 2**20:,.0f} MiB at most")
    print(f"share: {max(peaks[one] for one in GEOMETRIES) / peaks[THEIRS]:.2f}")


def take_memory(split: Split, size: str, side: str) -> int:
    """The most memory that steps of 8 clips took: of the GPU, or of this process.

    The trainer takes all clips at once, we a quarter of a minute of padded audio, or one window.
    """
    if side == THEIRS:
        rows = evenly(np.argsort(split.durations_s).tolist(), MEMORY_CLIPS)
        trainer_speed(size, split, rows, MEMORY_CLIPS, 1)
    for geometry in GEOMETRIES:
        if geometry == side:
            modersmal_speed(size, split, MEMORY_CLIPS, MEMORY_DEVICE_S, 1, geometry)
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return own_peak_bytes()


def _ratio(speed: float, theirs: Side) -> str:
    return f"{speed / theirs.audio_s_per_s:.1f} x"


def _finish_device_work() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
