"""How long training takes to a dev WER, against Seq2SeqTrainer with 30 s padding.

    MODERSMAL_BENCH_DATA=... python benchmarks/time_to_wer.py --folder DIR --seeds 3

MODERSMAL_BENCH_DATA is a folder with a synthetic Swedish corpus in Common Voice's layout; the base
is the bundled one. Both sides learn from the same corpus at the same peak rate, warm-up and decay,
as many clips a step, in float32: ours as `modersmal train` does by default, theirs as the notebooks
do it, with features padded to 30 s and made before the clock starts. Scores are decoded alike (in
30 s of context on their side), outside of the clock.

The other side runs twice for each of ours: planned to end when it has had as much time, which says
what WER the same time buys; and for as many steps as ours, with --longer times as many where that
is not enough, until it is as good, which says how long that takes. What is done is kept in DIR.

On a machine that has other work, --step-s takes the seconds that a step of either side needs on a
quiet one (an earlier run's), and every time is then steps times seconds a step.
"""

import argparse
import json
import os
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState

from modersmal import audio
from modersmal.config import Recipe, parse_recipe
from modersmal.corpus import Corpus, Split
from modersmal.corpus.prepare import prepare
from modersmal.evaluate.decoding import decode_split
from modersmal.evaluate.metrics import Score, score
from modersmal.evaluate.significance import rate_difference
from modersmal.logmel import WINDOW_FRAMES, clip_features
from modersmal.train.dev import DevSet
from modersmal.train.log import read_metrics
from modersmal.train.train import train
from modersmal.whisper.decoders import live_decoder
from modersmal.whisper.load import Whisper, load
from modersmal.whisper.tokens import label_ids
from train_step import RELEASE, Clock, collate

WARM_UP, BATCH_S = 20, 72.0
DEVICE_CLIPS = 4  # the fastest for them on two cores (train_step.py)


@dataclass(frozen=True)
class Point:
    """A score of all dev clips after so many steps and seconds of training."""

    step: int
    seconds: float
    wer: float


@dataclass(frozen=True)
class Course:
    """How one side went, and what its last model wrote of the test clips."""

    points: list[Point]
    texts: list[str]

    @property
    def last(self) -> Point:
        return self.points[-1]

    @property
    def best(self) -> Point:
        return min(self.points, key=lambda point: point.wer)

    def timed(self, step_s: float | None) -> "Course":
        """The same course, each step having taken so many seconds; as it is where None."""
        if step_s is None:
            return self
        return replace(
            self, points=[replace(point, seconds=point.step * step_s) for point in self.points]
        )

    def first_at(self, wer: float) -> Point | None:
        """The first score that is as good."""
        return next((point for point in self.points if point.wer <= wer), None)


@dataclass(frozen=True)
class Task:
    """What both sides learn from, and what they are scored on."""

    recipe: Recipe
    corpus: Corpus
    dev: DevSet
    test_rows: list[int]

    def dev_wer(self, whisper: Whisper) -> float:
        return self.dev.score(whisper, lambda clips: None).wer

    def test_texts(self, whisper: Whisper) -> list[str]:
        config = self.recipe.evaluate
        with live_decoder(whisper, config.engine, print) as decoder:
            return decode_split(
                decoder, self.corpus.split("test"), self.test_rows, language_token="sv",
                config=config,
            )  # fmt: skip

    def test_score(self, texts: list[str]) -> Score:
        test = self.corpus.split("test")
        return score(
            [test.texts[row] for row in self.test_rows], texts,
            [test.speakers[row] for row in self.test_rows],
            language="sv", config=self.recipe.evaluate,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where what is done is kept")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rate", type=float, default=3e-4, help="peak learning rate of both sides")
    parser.add_argument("--every", type=int, default=20, help="steps between scores")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--longer", type=float, default=1.0, help="their steps for one of ours")
    parser.add_argument(
        "--step-s", type=float, nargs=2, metavar=("OURS", "THEIRS"), default=(None, None)
    )
    parser.add_argument("--dev-clips", type=int, default=300)
    parser.add_argument("--test-clips", type=int, default=300)
    options = parser.parse_args()
    release = Path(os.environ["MODERSMAL_BENCH_DATA"]) / RELEASE
    folder = options.folder.resolve()
    prepare([str(release)], folder / "corpus", language="sv")
    corpus = Corpus.open(folder / "corpus")
    ratios = []
    step_s, their_s = options.step_s
    their_s_now = their_s or their_step_s(make_task(corpus, 0, options))
    for seed in range(options.seeds):
        task = make_task(corpus, seed, options)
        ours = kept(folder / f"ours-{seed}.json", our_course, task, folder / f"run-{seed}")
        ours = ours.timed(step_s)
        same_time = max(1, round(ours.last.seconds / their_s_now))
        equal = kept(folder / f"equal-{seed}.json", their_course, task, same_time).timed(their_s)
        steps = round(options.longer * options.steps)
        long = kept(folder / f"long-{steps}-{seed}.json", their_course, task, steps, ours.best.wer)
        ratios.append(report(task, seed, ours, equal, long.timed(their_s)))
    print(f"time to the same dev WER, seed by seed: {', '.join(ratios)}")


def make_task(corpus: Corpus, seed: int, options: argparse.Namespace) -> Task:
    train_keys = {
        "max_steps": options.steps, "batch_s": BATCH_S, "learning_rate": options.rate,
        "warmup_steps": WARM_UP, "evaluate_every": options.every, "save_every": options.steps,
        "dev_clips": options.dev_clips, "seed": seed,
    }  # fmt: skip
    recipe = parse_recipe({"language": "sv", "model": "bundled", "train": train_keys})
    dev = DevSet.choose(
        corpus.split("dev"), options.dev_clips, language="sv", language_token="sv",
        config=recipe.evaluate,
    )  # fmt: skip
    return Task(recipe, corpus, dev, list(range(options.test_clips))[: len(corpus.split("test"))])


def kept(file: Path, make: Callable[..., Course], *arguments: object) -> Course:
    """What `make` makes, once."""
    if not file.is_file():
        file.write_text(json.dumps(asdict(make(*arguments))))
    table = json.loads(file.read_text())
    return Course([Point(**point) for point in table["points"]], table["texts"])


def our_course(task: Task, run: Path) -> Course:
    result = train(task.recipe, task.corpus.path, run)
    rows = read_metrics(run)
    seconds = {row["step"]: row["seconds"] for row in rows if "seconds" in row}
    points = [
        Point(row["step"], seconds[row["step"]], row["dev_wer"]) for row in rows if "dev_wer" in row
    ]
    return Course(points, task.test_texts(load(str(result.model))))


class Scores(TrainerCallback):
    """Scores a Trainer's model where it is due, outside of its clock."""

    def __init__(
        self, task: Task, whisper: Whisper, clock: Clock, last: int, enough: float
    ) -> None:
        self._task, self._whisper, self._clock, self._last = task, whisper, clock, last
        self._enough = enough
        self.points: list[Point] = []

    def on_step_end(
        self, _: object, state: TrainerState, control: TrainerControl, **__: object
    ) -> None:
        step = state.global_step
        if step % self._task.recipe.train.evaluate_every and step != self._last:
            return
        wer = self._task.dev_wer(self._whisper)
        self._whisper.model.train()
        self.points.append(Point(step, sum(self._clock.times_s), wer))
        print(f"  Seq2SeqTrainer, {self.points[-1].seconds:.0f} s: dev WER {wer:.1%}", flush=True)
        control.should_training_stop |= wer <= self._enough


def their_course(task: Task, steps: int, enough: float = 0.0) -> Course:
    """Their training, planned for so many steps; it ends before where its dev WER is `enough`."""
    whisper, clock = replace(load("bundled"), context="full"), Clock()
    scores = Scores(task, whisper, clock, steps, enough)
    their_trainer(task, whisper, steps, [clock, scores]).train()
    return Course(scores.points, task.test_texts(whisper))


def their_step_s(task: Task) -> float:
    """Seconds that a step takes, after one that warms up."""
    clock = Clock()
    their_trainer(task, load("bundled"), 4, [clock]).train()
    return statistics.mean(clock.times_s[1:])


def their_trainer(
    task: Task, whisper: Whisper, steps: int, callbacks: list[TrainerCallback]
) -> Seq2SeqTrainer:
    split, seed = task.corpus.split("train"), task.recipe.train.seed
    clips_a_step = round(BATCH_S / float(split.durations_s.mean()))
    rows = np.random.default_rng(seed).permutation(len(split))[
        : steps * clips_a_step + clips_a_step
    ]
    settings = Seq2SeqTrainingArguments(
        str(task.corpus.path.parent / "trainer"), per_device_train_batch_size=DEVICE_CLIPS,
        gradient_accumulation_steps=-(-clips_a_step // DEVICE_CLIPS), max_steps=steps,
        learning_rate=task.recipe.train.learning_rate, warmup_steps=min(WARM_UP, steps // 5),
        optim="adamw_torch_fused", weight_decay=0.01, report_to=[], logging_strategy="no",
        save_strategy="no", disable_tqdm=True, use_cpu=not torch.cuda.is_available(),
        remove_unused_columns=False, seed=seed,
    )  # fmt: skip
    return Seq2SeqTrainer(
        whisper.model, settings, data_collator=collate, callbacks=callbacks,
        train_dataset=examples_of(split, whisper, rows.tolist()),
    )  # fmt: skip


def examples_of(split: Split, whisper: Whisper, rows: list[int]) -> list[dict]:
    """Features padded to 30 s and labels, as the notebooks prepare them."""
    clips = [audio.decode(data).samples for data in split.audio_bytes(rows)]
    labels = label_ids(whisper.tokenizer, whisper.vocabulary, [split.texts[r] for r in rows], "sv")
    return [
        {
            "input_features": clip_features([clip], whisper.mels, WINDOW_FRAMES, "cpu")[0],
            "labels": label[1:],
        }
        for clip, label in zip(clips, labels, strict=True)
    ]


def report(task: Task, seed: int, ours: Course, equal: Course, long: Course) -> str:
    """One seed, in words; returns how much longer the other side took to be as good."""
    for name, course in (("modersmal", ours), ("Seq2SeqTrainer", long)):
        told = ", ".join(f"{p.seconds:.0f} s {p.wer:.1%}" for p in course.points)
        print(f"seed {seed}, dev WER, {name}: {told}")
    mine, theirs = task.test_score(ours.texts), task.test_score(equal.texts)
    found = rate_difference(
        mine.normalised.word_edits.errors, theirs.normalised.word_edits.errors,
        mine.normalised.word_edits.units, mine.groups,
    )  # fmt: skip
    print(
        f"seed {seed}, test WER after {ours.last.seconds:.0f} s: {mine.wer:.1%}; of Seq2SeqTrainer "
        f"after {equal.last.seconds:.0f} s ({equal.last.step} steps): {theirs.wer:.1%}; difference "
        f"{found.difference:+.1%} {found.interval}"
    )
    there = long.first_at(ours.best.wer)
    step = ours.last.seconds / ours.last.step, long.last.seconds / long.last.step
    print(
        f"seed {seed}: a step takes {step[0]:.2f} s and {step[1]:.2f} s: geometry is worth "
        f"{step[1] / step[0]:.1f} x, the rest is the recipe's"
    )
    if there is None:
        return f"more than {long.last.seconds / ours.best.seconds:.1f} x"
    mine_first = ours.first_at(there.wer) or ours.best
    return f"{there.seconds / mine_first.seconds:.1f} x"


if __name__ == "__main__":
    main()
