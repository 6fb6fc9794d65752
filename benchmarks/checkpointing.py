"""What checkpoints cost while training: modersmal, and Seq2SeqTrainer saving at the same steps.

    MODERSMAL_BENCH_DATA=... python benchmarks/checkpointing.py --size small

A Whisper of that size with random weights and full AdamW state; needs accelerate. Two figures: how
long training stands still for a save (the copy into a buffer that is used again), and what a save
costs in all, with what its writing takes from the steps beside it: the same steps are timed with a
save at their beginning and without, in turn. Seq2SeqTrainer saves while training waits; it neither
hashes its files nor forces them to the disk.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from transformers import TrainerCallback

from modersmal.corpus import Corpus, Split
from modersmal.corpus.prepare import prepare
from modersmal.train import checkpoint
from modersmal.train.checkpoint import Checkpoints, State
from modersmal.train.learner import Learner
from modersmal.train.reading import Reader
from modersmal.train.saver import Saver
from train_step import RELEASE, SIZES, evenly, make_learner, make_plan, make_reader, trainer


@dataclass(frozen=True)
class Cost:
    """Seconds of one step without a save, and what one save adds to those after it."""

    step_s: float
    save_s: list[float]

    def __str__(self) -> str:
        mean = statistics.mean(self.save_s)
        return (
            f"a save costs {mean:.2f} s ({min(self.save_s):.2f} to {max(self.save_s):.2f}); a step "
            f"takes {self.step_s:.2f} s"
        )

    def share(self, every: int) -> float:
        return statistics.mean(self.save_s) / (every * self.step_s)


def blocked_s(learner: Learner, folder: Path, saves: int) -> tuple[list[float], list[float]]:
    """How long each save held up the training, and how long it took to be on the disk."""
    blocked, written = [], []
    with Saver(Checkpoints(folder)) as saver:
        saver.reserve(checkpoint.full_bytes(learner.model))
        for step in range(saves):
            saver.wait_written()
            began_s = time.monotonic()
            saver.save(State(step), learner.model, learner.optimizer)
            blocked.append(time.monotonic() - began_s)
            saver.wait_written()
            written.append(time.monotonic() - began_s)
    return blocked, written


def modersmal_cost(learner: Learner, reader: Reader, folder: Path, steps: int, pairs: int) -> Cost:
    """The same steps with a save at their beginning and without, in turn."""
    batches = [reader.load(step) for step in range(steps)]

    def took_s(begin: Callable[[], None]) -> float:
        began_s = time.monotonic()
        begin()
        for batch in batches:
            learner.step(batch, 1e-6, 60.0)
        return time.monotonic() - began_s

    took_s(lambda: None)  # warms up
    without, extra = [], []
    with Saver(Checkpoints(folder)) as saver:
        for pair in range(pairs + 1):
            without.append(took_s(lambda: None))
            save = partial(saver.save, State(pair), learner.model, learner.optimizer)
            with_save = took_s(save)
            saver.wait_written()
            extra.append(with_save - without[-1])
    return Cost(statistics.mean(without) / steps, extra[1:])  # the first one had to find memory


class SaveClock(TrainerCallback):
    """Times the steps of a Trainer, and what it does between them."""

    def __init__(self) -> None:
        self.steps_s: list[float] = []
        self.saves_s: list[float] = []

    def on_step_begin(self, *_: object, **__: object) -> None:
        self._began_s = time.monotonic()

    def on_step_end(self, *_: object, **__: object) -> None:
        self._ended_s = time.monotonic()
        self.steps_s.append(self._ended_s - self._began_s)

    def on_save(self, *_: object, **__: object) -> None:
        self.saves_s.append(time.monotonic() - self._ended_s)


def trainer_cost(size: str, split: Split, rows: list[int], device_clips: int, saves: int) -> Cost:
    """Seq2SeqTrainer saves after every step here; the last two checkpoints are kept."""
    clock = SaveClock()
    with tempfile.TemporaryDirectory() as folder:
        trainer(
            size, split, rows, device_clips, saves + 1, folder, clock,
            save_strategy="steps", save_steps=1, save_total_limit=2,
        ).train()  # fmt: skip
    return Cost(statistics.mean(clock.steps_s[1:]), clock.saves_s[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description="What checkpoints cost.")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--clips", type=int, default=8, help="clips of an optimiser step")
    parser.add_argument("--every", type=int, default=50, help="steps between checkpoints")
    parser.add_argument("--steps", type=int, default=6, help="steps that are timed beside a save")
    parser.add_argument("--pairs", type=int, default=4, help="with and without a save")
    options = parser.parse_args()
    release = Path(os.environ["MODERSMAL_BENCH_DATA"]) / RELEASE
    with tempfile.TemporaryDirectory() as scratch:
        prepare([str(release)], Path(scratch) / "corpus", language="sv")
        split = Corpus.open(Path(scratch) / "corpus").split("train")
        compare(split, options, Path(scratch))


def compare(split: Split, options: argparse.Namespace, scratch: Path) -> None:
    learner = make_learner(options.size)
    reader = make_reader(learner, split, make_plan(split, options.clips))
    learner.step(reader.load(0), 1e-6, 60.0)
    size = checkpoint.full_bytes(learner.model)
    print(
        f"{options.size}: {size / 1e9:.2f} GB a checkpoint, {options.clips} clips a step, "
        f"{torch.get_num_threads()} threads"
    )
    blocked, written = blocked_s(learner, scratch / "blocked", options.pairs + 1)
    print(
        f"modersmal stands still for {statistics.median(blocked[1:]):.3f} s a save (at most "
        f"{max(blocked[1:]):.3f}; the first {blocked[0]:.3f}); it is hashed and on the disk after "
        f"{statistics.median(written[1:]):.1f} s"
    )
    ours = modersmal_cost(learner, reader, scratch / "beside", options.steps, options.pairs)
    print(f"modersmal: {ours}: {ours.share(options.every):.1%} every {options.every} steps")
    theirs = trainer_cost(
        options.size,
        split,
        evenly(np.argsort(split.durations_s).tolist(), options.clips),
        min(4, options.clips),
        options.pairs,
    )
    of_ours = statistics.mean(theirs.save_s) / (options.every * ours.step_s)
    print(
        f"Seq2SeqTrainer: {theirs}: {theirs.share(options.every):.1%}, and it would be "
        f"{of_ours:.1%} at modersmal's speed"
    )


if __name__ == "__main__":
    main()
