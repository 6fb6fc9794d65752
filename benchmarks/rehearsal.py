"""What a rehearsal expects against what the run then needs, both in one go on the same machine.

    MODERSMAL_BENCH_DATA=... python benchmarks/rehearsal.py
    MODERSMAL_BENCH_DATA=... python benchmarks/rehearsal.py --steps 20 --clips 200

MODERSMAL_BENCH_DATA is a folder with a Common Voice release. The base is the bundled one; each
side is a process of its own. Prints minutes, and the most disk that the store took.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STEPS = 270  # about nine minutes on two cores
SPLITS = ("train", "dev", "test")
GOAL = 0.25
_LOOK_EVERY_S = 0.25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--clips", type=int, help="take so many of the release's clips only")
    parser.add_argument("--rehearse", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rehearse:
        rehearse(options.rehearse)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        release = cut_release(folder, options.clips) if options.clips else find_release()
        recipe = write_recipe(folder, release, options.steps)
        expected = in_own_process(recipe)
        print(expected.pop("shown"))
        true_s, true_bytes = run(recipe, folder / "store")
        minutes = (expected["seconds"] / 60, true_s / 60)
        megabytes = (expected["disk_bytes"] / 1e6, true_bytes / 1e6)
        print(f"\nthe rehearsal took {expected['rehearsed_s']:.0f} s")
        for what, unit, (expectation, truth) in (
            ("hours", "min", minutes),
            ("disk", "MB", megabytes),
        ):
            off = expectation / truth - 1
            print(
                f"{what:6} expected {expectation:8.1f} {unit:3}  true {truth:8.1f} {unit:3}  "
                f"off by {off:+.1%} (goal: within {GOAL:.0%})"
            )
        shutil.rmtree(folder / "store")


def rehearse(recipe: Path) -> None:
    """In a process of its own: rehearse, and print what is expected as JSON."""
    import modersmal

    found = modersmal.run(recipe, rehearse=True)
    print(
        json.dumps(
            {
                "shown": str(found),
                "seconds": found.expected_s,
                "disk_bytes": found.disk_bytes,
                "rehearsed_s": found.seconds,
            }
        )
    )


def in_own_process(recipe: Path) -> dict:
    command = [sys.executable, __file__, "--rehearse", str(recipe)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def run(recipe: Path, store: Path) -> tuple[float, int]:
    """The real run, as a user starts it: seconds, and the most bytes in its store."""
    began = time.monotonic()
    with watched(store) as most:
        subprocess.run([sys.executable, "-m", "modersmal", "run", str(recipe)], check=True)
    return time.monotonic() - began, most[0]


@contextmanager
def watched(store: Path) -> Iterator[list[int]]:
    """The most bytes that a folder has held, in a list of one, looked at several times a second."""
    most, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_EVERY_S):
            most[0] = max(most[0], sum(sizes(store)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        over.set()
        watcher.join()


def sizes(folder: Path) -> Iterator[int]:
    """Bytes of all files that are there; some go while we look."""
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                yield path.stat().st_size
        except OSError:
            continue


def find_release() -> Path:
    given = os.environ.get("MODERSMAL_BENCH_DATA")
    found = sorted(Path(given).glob("**/train.tsv")) if given else []
    if not found:
        raise SystemExit("set MODERSMAL_BENCH_DATA to a folder with a Common Voice release")
    return found[0].parent


def cut_release(folder: Path, clips: int) -> Path:
    """Every n-th row of each table of the release, so that `clips` are left."""
    release = find_release()
    tables = {name: (release / f"{name}.tsv").read_text().splitlines() for name in SPLITS}
    every = max(1, sum(len(lines) - 1 for lines in tables.values()) // clips)
    cut = folder / "release"
    (cut / "clips").mkdir(parents=True)
    for name, (header, *rows) in tables.items():
        kept = rows[::every]
        (cut / f"{name}.tsv").write_text("\n".join([header, *kept]) + "\n")
        for row in kept:
            clip = row.split("\t")[header.split("\t").index("path")]
            shutil.copy(release / "clips" / clip, cut / "clips" / clip)
    return cut


def write_recipe(folder: Path, release: Path, steps: int) -> Path:
    recipe = folder / "recipe.toml"
    recipe.write_text(
        f'model = "bundled"\nstore = "store"\nname = "job"\n[data]\nsources = ["{release}"]\n'
        f"[train]\nmax_steps = {steps}\nbatch_s = 72\nlearning_rate = 1e-3\n"
        f"warmup_steps = {max(1, steps // 10)}\nsave_every = {max(1, steps // 6)}\n"
        f"evaluate_every = {max(1, steps // 3)}\n"
    )
    return recipe


if __name__ == "__main__":
    main()
