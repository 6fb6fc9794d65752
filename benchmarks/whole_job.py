"""The whole job on two cores, from the bundled base: `run`, as a user starts it.

    MODERSMAL_BENCH_DATA=... python benchmarks/whole_job.py swedish
    MODERSMAL_BENCH_DATA=... python benchmarks/whole_job.py digits

`swedish` is a synthetic corpus in Common Voice's layout (open-domain sentences, speakers and
sentences of the splits disjoint). `digits` is real human speech: English digits, one speaker held
out as test and one as dev. Prints WER on test before and after, time and peak memory.
"""

import argparse
import csv
import json
import os
import sys
import tempfile
from pathlib import Path

from measured import run

DIGITS = "zero one two three four five six seven eight nine".split()
SETTINGS = {
    "swedish": "max_steps = 300\nbatch_s = 72\nlearning_rate = 1e-3\nwarmup_steps = 50",
    "digits": "max_steps = 150\nbatch_s = 10\nlearning_rate = 5e-4\nwarmup_steps = 20",
}


def swedish(data: Path, folder: Path) -> Path:
    """The corpus in Common Voice's layout."""
    [release] = data.glob("cv-corpus-*/sv-SE")
    return release


def digits(data: Path, folder: Path) -> Path:
    """A manifest of the digit recordings; `DIGIT_SPEAKER_INDEX.wav` says all there is to say."""
    recordings = sorted((data / "fsdd" / "recordings").glob("*.wav"))
    speakers = sorted({path.stem.split("_")[1] for path in recordings})
    splits = {speakers[0]: "test", speakers[1]: "dev"}
    manifest = folder / "digits.csv"
    with manifest.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["audio", "text", "speaker", "split"])
        for path in recordings:
            digit, speaker, _ = path.stem.split("_")
            split = splits.get(speaker, "train")
            # A manifest's audio lies below its folder.
            (folder / path.name).write_bytes(path.read_bytes())
            rows.writerow([path.name, DIGITS[int(digit)], speaker, split])
    return manifest


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the whole job.")
    parser.add_argument("job", choices=SETTINGS)
    options = parser.parse_args()
    data = Path(os.environ["MODERSMAL_BENCH_DATA"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = {"swedish": swedish, "digits": digits}[options.job](data, folder)
        recipe = folder / "recipe.toml"
        language = {"swedish": "sv", "digits": "en"}[options.job]
        # The bundled base knows the Swedish token alone, so English digits borrow it.
        recipe.write_text(
            f'language = "{language}"\nlanguage_token = "sv"\nmodel = "bundled"\n'
            'store = "store"\nname = "job"\n'
            f'[data]\nsources = ["{source}"]\n[train]\n{SETTINGS[options.job]}\n'
        )
        modersmal = [sys.executable, "-m", "modersmal"]
        job = run([*modersmal, "run", str(recipe)])
        print(job.output)
        scored = folder / "store" / "runs" / "job" / "scores" / "test" / "evaluation.json"
        [score] = json.loads(scored.read_text())["scores"]
        print(json.dumps(score["comparison"]["difference"], indent=2))
        print(f"{options.job}: {job.wall_s / 60:.1f} min, peak {job.peak_bytes / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
