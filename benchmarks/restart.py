"""Restart to first step at 90 % of an epoch, against Seq2SeqTrainer's resume_from_checkpoint.

    MODERSMAL_BENCH_DATA=... python benchmarks/restart.py --size small

Both sides resume a Whisper of that size (or the bundled base) with full AdamW state from a
checkpoint on the disk, in a fresh process; the clock runs from the start of the process. The place
in the epoch is written into a checkpoint of the first step, which is all that both need to go
there. Seq2SeqTrainer's data set decodes a clip when it is asked for it, so that nothing but its
sampler has to be skipped through. Needs accelerate.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RELEASE = "cv-corpus-0.1-synthetic/sv-SE"
SIDES = ("modersmal", "trainer")
SHARE = 0.9  # of the epoch
BEGINS, DONE = "first step begins", "first step done"
CLIPS = 8


class Printer:
    """Prints the machine's monotonic clock; the parent knows when it started us."""

    def say(self, what: str) -> None:
        print(json.dumps({what: time.monotonic()}), flush=True)


def resume_modersmal(folder: Path, *, first: bool) -> None:
    """Train until the first step is done, as `modersmal train` does."""
    from modersmal.config import parse_recipe
    from modersmal.errors import Stopped
    from modersmal.train.learner import Learner
    from modersmal.train.loop import StepReport
    from modersmal.train.train import train

    printer, learn = Printer(), Learner.step

    def step(*arguments: Any) -> Any:
        printer.say(BEGINS)
        return learn(*arguments)

    Learner.step = step  # type: ignore[method-assign]
    settings = {
        "model": str(folder / "model"),
        "train": {
            "batch_s": CLIPS * json.loads((folder / "mean.json").read_text()), "max_steps": 10**6,
            "learning_rate": 1e-5, "warmup_steps": 0, "schedule": "constant",
        },
    }  # fmt: skip

    def on_step(report: StepReport) -> None:
        printer.say(DONE)
        if first:
            os.kill(os.getpid(), 15)  # saves, and ends
        else:
            os._exit(0)

    with contextlib.suppress(Stopped):
        train(parse_recipe(settings), folder / "corpus", folder / "run", on_step)


def resume_trainer(folder: Path, *, first: bool) -> None:
    import torch
    from transformers import (
        Seq2SeqTrainer,
        Seq2SeqTrainingArguments,
        TrainerCallback,
        WhisperForConditionalGeneration,
    )

    from modersmal import audio
    from modersmal.corpus import Corpus
    from modersmal.language import Vocabulary, tokenizer
    from modersmal.logmel import WINDOW_FRAMES, clip_features
    from modersmal.whisper.tokens import label_ids
    from train_step import collate

    split = Corpus.open(folder / "corpus").split("train")
    words = tokenizer(Vocabulary.MULTILINGUAL)

    class Clips(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(split)

        def __getitem__(self, row: int) -> dict:
            [data] = split.audio_bytes([row])
            clip = audio.decode(data).samples
            [label] = label_ids(words, Vocabulary.MULTILINGUAL, [split.texts[row]], "sv")
            [features] = clip_features([clip], 80, WINDOW_FRAMES, "cpu")
            return {"input_features": features, "labels": label[1:]}

    class End(TrainerCallback):
        def on_step_begin(self, *_: object, **__: object) -> None:
            Printer().say(BEGINS)

        def on_step_end(self, *_: object, **__: object) -> None:
            Printer().say(DONE)
            if not first:
                os._exit(0)

    arguments = Seq2SeqTrainingArguments(
        str(folder / "trainer"), per_device_train_batch_size=4,
        gradient_accumulation_steps=CLIPS // 4, max_steps=1 if first else 10**6,
        learning_rate=1e-5, optim="adamw_torch_fused", report_to=[], logging_strategy="no",
        disable_tqdm=True, use_cpu=not torch.cuda.is_available(), remove_unused_columns=False,
        bf16=torch.cuda.is_available(), save_strategy="steps", save_steps=1,
    )  # fmt: skip
    trainer = Seq2SeqTrainer(
        WhisperForConditionalGeneration.from_pretrained(folder / "model", dtype=torch.float32),
        arguments, data_collator=collate, train_dataset=Clips(), callbacks=[End()],
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=None if first else True)


def make(size: str, folder: Path) -> None:
    """The corpus and the model that both sides begin from."""
    from modersmal.corpus import Corpus
    from modersmal.corpus.prepare import prepare
    from modersmal.whisper.load import locate
    from modersmal.whisper.save import save_complete
    from train_step import make_whisper

    prepare([str(Path(os.environ["MODERSMAL_BENCH_DATA"]) / RELEASE)], folder / "corpus")
    split = Corpus.open(folder / "corpus").split("train")
    (folder / "mean.json").write_text(json.dumps(float(split.durations_s.mean())))
    (folder / "steps.json").write_text(json.dumps(int(SHARE * len(split) / CLIPS)))
    if size == "bundled":
        shutil.copytree(locate(size), folder / "model")
    else:
        save_complete(make_whisper(size), folder / "model", None)


def move(folder: Path) -> int:
    """Write the place in the epoch into the checkpoints of the first step; returns it."""
    from modersmal import store
    from modersmal.train.checkpoint import Checkpoints, Name

    step = int(json.loads((folder / "steps.json").read_text()))
    checkpoints = folder / "run" / "checkpoints"
    [name] = Checkpoints(checkpoints).local_names()
    ours = shutil.move(checkpoints / str(name), checkpoints / str(Name(step, name.token)))
    _edit(Path(ours) / "state.json", step=step)
    store.write_manifest(ours)
    theirs = shutil.move(folder / "trainer/checkpoint-1", folder / f"trainer/checkpoint-{step}")
    _edit(Path(theirs) / "trainer_state.json", global_step=step)
    return step


def _edit(path: Path, **values: int) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def start(side: str, folder: Path, *, first: bool) -> dict[str, float]:
    """Run one side in a fresh process; seconds from its start until what it has said."""
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
    began_s = time.monotonic()
    done = subprocess.run([*command, *["--first"] * first], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{side} failed")
    said: dict[str, float] = {}
    for line in done.stdout.splitlines():
        if line.startswith('{"first step'):
            said = json.loads(line) | said  # the first of each kind
    return {what: at_s - began_s for what, at_s in said.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Restart to first step.")
    parser.add_argument("--size", choices=("bundled", "tiny", "base", "small"), default="small")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        resume = resume_modersmal if options.side == "modersmal" else resume_trainer
        resume(options.folder, first=options.first)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make(options.size, folder)
        for side in SIDES:
            start(side, folder, first=True)
        step = move(folder)
        print(f"{options.size}, resumed after step {step}, {SHARE:.0%} of an epoch, {CLIPS} clips")
        took: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for _ in range(options.repeats):
            for side in SIDES:
                took[side].append(start(side, folder, first=False))
        for side, name in zip(SIDES, ("modersmal", "Seq2SeqTrainer"), strict=True):
            for what in (BEGINS, DONE):
                seconds = ", ".join(f"{said[what]:.1f}" for said in took[side])
                print(f"{name}: {what} {seconds} s after the start of the process")


if __name__ == "__main__":
    main()
