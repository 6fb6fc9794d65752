"""Real trainings whose steps are slowed, differently in every run and ever again within one."""

import json
import random
import time

import pytest
import torch

from modersmal.config import parse_recipe
from modersmal.errors import Stopped
from modersmal.train.log import read_metrics
from modersmal.train.train import train

ALL = 20

pytestmark = pytest.mark.chaos  # seconds pass in them, so they need a machine to themselves


class Slowness:
    """Sleeps in every step, for a while that drifts."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.sleep_s = self.draw.uniform(0.02, 0.15)

    def __call__(self, report):
        if self.draw.random() < 0.2:
            self.sleep_s = min(0.3, max(0.01, self.sleep_s * self.draw.uniform(0.6, 1.35)))
        time.sleep(self.sleep_s * self.draw.uniform(0.9, 1.1))


@pytest.mark.parametrize("seed", range(ALL))
def test_no_deadline_is_overrun_whatever_the_speed(seed, tiny_whisper, tiny_corpus, tmp_path):
    torch.set_num_threads(1)
    finishes, budget_s = seed % 3 != 1, random.Random(seed).uniform(8, 11)
    keys = {
        "language": "sv",
        "model": str(tiny_whisper(terse=True)),
        "train": {
            "max_steps": 5000, "batch_s": 4.0, "save_every": 20, "evaluate_every": 15,
            "dev_clips": 2, "device": "cpu", "full_share": 0.0,
            "packed_share": 0.0, "context_floor_s": 1.0,
            "budget": f"{budget_s:.2f}s", "on_deadline": "finish" if finishes else "pause",
            "schedule": random.Random(seed).choice(["linear", "cosine"]),
        },
    }  # fmt: skip
    began_s = time.monotonic()
    stopped = None
    try:
        result = train(parse_recipe(keys), tiny_corpus(), tmp_path, Slowness(seed))
    except Stopped as error:
        stopped = error
    took_s = time.monotonic() - began_s
    assert took_s <= budget_s
    assert took_s >= budget_s / 3  # and the time is used
    rows = [row for row in read_metrics(tmp_path) if "loss" in row]
    rates = [row["learning_rate"] for row in rows]
    if not finishes:
        assert "the time is over: stopped at step" in str(stopped)
        assert (tmp_path / "checkpoints" / f"step-{len(rows):08d}.t00000001").is_dir()
        return
    assert stopped is None
    assert result.steps == len(rates)
    assert rates[-1] == 0.0
    assert all(rate > 0 for rate in rates[:-1])
    assert result.model.is_dir()
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    turns = [line for line in map(json.loads, lines) if line["kind"] == "decay"]
    assert turns[-1]["value"]["last_step"] == result.steps - 1
