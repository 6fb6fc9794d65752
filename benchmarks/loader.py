"""How long training waits for its clips: threads and processes that read ahead, side by side.

    MODERSMAL_BENCH_DATA=... python benchmarks/loader.py [--steps 16]

The default recipe trains the bundled base on a synthetic Swedish corpus in Common Voice's layout;
what is printed is the share of the time that went by waiting for the loader (goal: below 2 %). Then
a device so fast that it does nothing at all takes steps as they come, which shows how much audio
each way of reading can feed. Every way reads the same steps, its start-up excluded.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from modersmal.config import TrainConfig
from modersmal.corpus import Corpus, Split
from modersmal.corpus.pool import available_cores
from modersmal.corpus.prepare import prepare
from modersmal.train.batch import StepBatch
from modersmal.train.labels import Labeller
from modersmal.train.learner import Learner
from modersmal.train.loader import Loader, Workers
from modersmal.train.optim import freeze, peak_learning_rate
from modersmal.train.plan import Clips, Plan
from modersmal.train.precision import choose_device, choose_precision
from modersmal.train.reading import Reader
from modersmal.whisper.load import Whisper, load

RELEASE = "cv-corpus-0.1-synthetic/sv-SE"
WAYS = {
    "the training itself": Workers(0),
    "1 thread": Workers(1),
    "2 threads": Workers(2),
    "1 process": Workers(1, processes=True),
    "2 processes": Workers(2, processes=True),
}
DEVICE_BATCH_S = 120.0
STARTING_S = 15.0


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the wait for the loader.")
    parser.add_argument("--steps", type=int, default=16)
    options = parser.parse_args()
    release = Path(os.environ["MODERSMAL_BENCH_DATA"]) / RELEASE
    with tempfile.TemporaryDirectory() as folder:
        prepare([str(release)], Path(folder) / "corpus", language="sv")
        split = Corpus.open(Path(folder) / "corpus").split("train")
        compare(split, options.steps)


def compare(split: Split, steps: int) -> None:
    chosen = Workers.choose("auto")
    by_default = f"{chosen.count} {'processes' if chosen.processes else 'thread'}"
    print(f"{available_cores()} cores, {torch.get_num_threads()} threads; by default {by_default}")
    whisper = load("bundled", device=choose_device("auto"))
    learn = learning(whisper)
    reader = make_reader(whisper, split)
    learn(reader.load(0))  # warms up
    for name, workers in WAYS.items():
        share, speed = measure(Loader(reader, workers), steps, learn)
        print(f"{name}: waited {share:.2%} of the time, {speed:.1f} s of audio a second")
    for name, workers in WAYS.items():
        _, speed = measure(Loader(reader, workers), 4 * steps, lambda batch: None)
        print(f"{name}, for a device that takes no time: {speed:,.0f} s of audio a second")


def learning(whisper: Whisper) -> Callable[[StepBatch], object]:
    """One step of the default recipe."""
    device = choose_device("auto")
    freeze(whisper.model, encoder=False)
    learner = Learner(
        whisper, TrainConfig(), device=device, precision=choose_precision(device, "auto"),
        checkpointing=False,
    )  # fmt: skip
    rate, _ = peak_learning_rate(whisper.model.config, None)
    return lambda batch: learner.step(batch, rate, DEVICE_BATCH_S).loss


def make_reader(whisper: Whisper, split: Split) -> Reader:
    plan = Plan.of(TrainConfig(), Clips.of(split, np.ones(len(split), dtype=bool)))
    return Reader(split, plan, Labeller(whisper.tokenizer, whisper.vocabulary, "sv"))


def measure(
    loader: Loader, steps: int, learn: Callable[[StepBatch], object]
) -> tuple[float, float]:
    """The share of the time that was waited, and seconds of audio per second."""
    batches = loader.steps(0, 10**9)
    next(batches)
    if loader.workers.processes:
        time.sleep(STARTING_S)
    for _ in range(2 * loader.workers.count):  # what was read ahead meanwhile
        next(batches)
    learn(next(batches))  # from here on it is as in the midst of training
    waited_s = audio_s = 0.0
    began_s = time.monotonic()
    for _ in range(steps):
        asked_s = time.monotonic()
        batch = next(batches)
        waited_s += time.monotonic() - asked_s
        learn(batch)
        audio_s += batch.planned.audio_s
    took_s = time.monotonic() - began_s
    batches.close()
    return waited_s / took_s, audio_s / took_s


if __name__ == "__main__":
    main()
