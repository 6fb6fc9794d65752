"""What planning costs as a corpus grows: 10,000, a million and 20 million clips (50,000 h).

    python benchmarks/plan_cost.py

The manifest is simulated: lengths as in Common Voice, row groups of 100 clips. Each size has a
process of its own. Printed are the seconds from the lengths to the first batch (goal: below 5), to
a batch in the middle of the second epoch, and the memory that the plan takes with the lengths it
keeps (goal: below 200 MB).
"""

import argparse
import subprocess
import sys
import time

import numpy as np

from measured import own_peak_bytes
from modersmal.config import TrainConfig
from modersmal.train.plan import Clips, Plan

SIZES = (10**4, 10**6, 2 * 10**7)
ROWS_OF_A_GROUP = 100
MEAN_S = 9.0  # 20 million of them are 50,000 h


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what a plan costs.")
    parser.add_argument("--clips", type=int, help="only this size, in this process")
    options = parser.parse_args()
    if options.clips:
        print(measure(options.clips))
        return
    for clips in SIZES:
        subprocess.run([sys.executable, __file__, "--clips", str(clips)], check=True)


def measure(clips: int) -> str:
    lengths = durations_s(clips)
    groups = np.append(np.arange(0, clips, ROWS_OF_A_GROUP), clips)
    np.sort(np.ones(ROWS_OF_A_GROUP))  # what a first use loads
    before = own_peak_bytes()
    began_s = time.monotonic()
    plan = Plan.of(TrainConfig(), Clips(lengths, groups))
    plan.batch(0)
    first_s = time.monotonic() - began_s
    began_s = time.monotonic()
    plan.batch(plan.batches_per_epoch * 3 // 2)
    later_s = time.monotonic() - began_s
    taken = own_peak_bytes() - before + lengths.nbytes + groups.nbytes
    return (
        f"{clips:,} clips, {lengths.sum(dtype=np.float64) / 3600:,.0f} h, "
        f"{plan.batches_per_epoch:,} steps an epoch: first batch after {first_s:.2f} s, one of the "
        f"second epoch after {later_s:.2f} s; {taken / 1e6:.0f} MB"
    )


def durations_s(clips: int) -> np.ndarray:
    """Lengths of clips, (clips,) float32, log-normal between 1 and 30 s; made in pieces, so that
    what is measured is the plan's memory."""
    random = np.random.default_rng(0)
    made = np.empty(clips, dtype=np.float32)
    for first in range(0, clips, 10**6):
        part = made[first : first + 10**6]
        part[:] = np.clip(random.lognormal(np.log(MEAN_S) - 0.08, 0.4, len(part)), 1, 30)
    return made


if __name__ == "__main__":
    main()
