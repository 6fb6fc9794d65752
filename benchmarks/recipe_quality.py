"""What the options of a recipe do to WER: each against the plain recipe, all else equal.

    MODERSMAL_BENCH_DATA=... python benchmarks/recipe_quality.py --folder DIR
    MODERSMAL_BENCH_DATA=... python benchmarks/recipe_quality.py --folder DIR --seeds 3
    MODERSMAL_BENCH_DATA=... python benchmarks/recipe_quality.py --folder DIR --only speed noise

MODERSMAL_BENCH_DATA is a folder with a synthetic Swedish corpus in Common Voice's layout; the base
is the bundled one. Each option is a `modersmal train` in a folder of its own below DIR, with the
same steps and seed, and is scored on all of dev beside the plain recipe. What an earlier start has
done is not done again, and a run that was interrupted goes on. With --seeds, options that were not
worse with the first seed get the others.

The speech is synthetic, and what helps on it need not help on real speech: it can only veto.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STEPS, BATCH_S = 150, 72  # some five minutes on two cores
PLAIN = "plain"
# Beside the plain recipe, whose settings are the defaults: see docs/guide/quality.md.
OPTIONS: dict[str, dict[str, Any]] = {
    "no SpecAugment": {"spec_augment.time_masks": 0, "spec_augment.frequency_masks": 0},
    "more SpecAugment": {"spec_augment.time_share": 0.1, "spec_augment.frequency_mels": 27},
    "speed": {"augment.speed_share": 0.67},
    "noise": {"augment.noise_share": 0.3},
    "reverberation": {"augment.reverberation_share": 0.3},
    "gain": {"augment.gain_db": 6.0},
    "label smoothing": {"label_smoothing": 0.1},
    "weight decay 0": {"weight_decay": 0.0},
    "weight decay 0.1": {"weight_decay": 0.1},
    "cosine": {"schedule": "cosine"},
    "average of 2": {"average_last": 2},
    "average of 5": {"average_last": 5},
    "interpolation": {"interpolate": [0.1, 0.25, 0.5]},
    "no silence": {"silence_share": 0.0},
    "more silence": {"silence_share": 0.05},
    "LoRA": {"lora.rank": 32},
}


@dataclass(frozen=True)
class Outcome:
    """One run: its WER on dev as a share, what that is less the plain recipe's, with intervals."""

    option: str
    seed: int
    wer: float
    interval: tuple[float, float]
    difference: float
    difference_interval: tuple[float, float]
    weights: str

    @property
    def row(self) -> str:
        low, high = self.interval
        change = "–"
        if self.option != PLAIN:
            least, most = self.difference_interval
            change = f"{100 * self.difference:+.1f} [{100 * least:+.1f}, {100 * most:+.1f}]"
        return (
            f"| {self.option} | {self.seed} | {100 * self.wer:.1f} [{100 * low:.1f}, "
            f"{100 * high:.1f}] | {change} | {self.weights} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where runs are kept")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument(
        "--seeds", type=int, default=1, help="for what was not worse with the first"
    )
    parser.add_argument("--only", nargs="+", choices=OPTIONS, default=list(OPTIONS))
    options = parser.parse_args()
    folder = options.folder.resolve()
    corpus = prepared(folder)
    outcomes = [outcome(folder, corpus, PLAIN, 0, options.steps)]
    outcomes += [outcome(folder, corpus, name, 0, options.steps) for name in options.only]
    survivors = [each.option for each in outcomes if each.difference <= 0]
    for seed in range(1, options.seeds):
        outcomes += [outcome(folder, corpus, name, seed, options.steps) for name in survivors]
    print(f"\n{options.steps} steps of {BATCH_S} s, all of dev, greedy\n")
    print("| option | seed | dev WER, % | against plain, points | the model is |")
    print("|---|---|---|---|---|")
    for each in outcomes:
        print(each.row)
    if options.seeds > 1:
        print_means(outcomes, survivors)


def prepared(folder: Path) -> Path:
    """The corpus, prepared once."""
    [release] = Path(os.environ["MODERSMAL_BENCH_DATA"]).glob("cv-corpus-*/sv-SE")
    corpus = folder / "corpus"
    modersmal("prepare", release, "--to", corpus, "--language", "sv")
    return corpus


def outcome(folder: Path, corpus: Path, option: str, seed: int, steps: int) -> Outcome:
    """Train and score one option with one seed, as far as that is not done yet."""
    home = folder / f"{option.replace(' ', '-')}-{seed}"
    scores = home / "scores"
    if not (scores / "evaluation.json").is_file():
        home.mkdir(parents=True, exist_ok=True)
        recipe = write_recipe(home, corpus, option, seed, steps)
        modersmal("train", recipe)
        rival = folder / f"{PLAIN}-{seed}" / "scores"
        against = [] if option == PLAIN else ["--baseline", rival]
        run = home / "store" / "runs" / "run"
        modersmal("evaluate", run, corpus, "--split", "dev", "--output", scores, *against)
    [found] = json.loads((scores / "evaluation.json").read_text())["scores"]
    wer = found["result"]["score"]["normalised"]["wer"]
    change = (found["comparison"] or {}).get("difference")
    card = json.loads((home / "store" / "runs" / "run" / "model" / "modersmal.json").read_text())
    made = Outcome(
        option=option,
        seed=seed,
        wer=wer["rate"],
        interval=bounds(wer["interval"]),
        difference=change["difference"] if change else 0.0,
        difference_interval=bounds(change["interval"]) if change else (0.0, 0.0),
        weights=card["weights"],
    )
    print(made.row, flush=True)
    return made


def bounds(interval: dict[str, float]) -> tuple[float, float]:
    return interval["low"], interval["high"]


def write_recipe(home: Path, corpus: Path, option: str, seed: int, steps: int) -> Path:
    """A recipe of its own, and the shared corpus where it looks for it."""
    settings = {
        "max_steps": steps,
        "batch_s": BATCH_S,
        "learning_rate": 3e-4,
        "warmup_steps": 50,
        "save_every": max(1, steps // 10),
        "evaluate_every": 0,
        "seed": seed,
        **OPTIONS.get(option, {}),
    }
    lines = ['language = "sv"', 'model = "bundled"', 'store = "store"', 'name = "run"']
    lines += [f"train.{key} = {json.dumps(value)}" for key, value in settings.items()]
    recipe = home / "recipe.toml"
    recipe.write_text("\n".join([*lines, ""]))
    shared = home / "store" / "corpora" / "run"
    shared.parent.mkdir(parents=True, exist_ok=True)
    if not shared.is_symlink():
        shared.symlink_to(corpus)
    return recipe


def print_means(outcomes: list[Outcome], survivors: list[str]) -> None:
    print("\n| option | seeds | mean dev WER, % | deviation | mean against plain, points |")
    print("|---|---|---|---|---|")
    for option in survivors:
        runs = [each for each in outcomes if each.option == option]
        rates = [100 * each.wer for each in runs]
        change = statistics.mean(100 * each.difference for each in runs)
        spread = statistics.stdev(rates)
        print(
            f"| {option} | {len(runs)} | {statistics.mean(rates):.1f} | {spread:.1f} | "
            f"{'–' if option == PLAIN else f'{change:+.1f}'} |"
        )


def modersmal(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "modersmal", *map(str, arguments)], check=True)


if __name__ == "__main__":
    main()
