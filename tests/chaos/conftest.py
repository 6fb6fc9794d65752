"""A small run to be interrupted, the hash it must end with, and where interruptions hit."""

from collections import Counter

import pytest
import torch
from interruption import STEPS, hash_of

import training_process
from modersmal.config import parse_recipe
from modersmal.train.train import train


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Bits are the same for the same number of threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def settings(tiny_whisper):
    """A recipe's, with a checkpoint at every step and dev scores in between."""
    return {
        "language": "sv",
        "model": str(tiny_whisper(terse=True)),
        "train": {
            "max_steps": STEPS, "batch_s": 4.0, "save_every": 1, "evaluate_every": 5,
            "dev_clips": 2, "device": "cpu", "learning_rate": 1e-3, "full_share": 0.13,
            "packed_share": 0.3, "timestamp_share": 0.3, "prompt_share": 0.5,
            "silence_share": 0.1, "augment": {"speed_share": 0.5, "noise_share": 0.5},
            "context_floor_s": 1.0, "context_step_s": 0.5,
        },
    }  # fmt: skip


@pytest.fixture(scope="session")
def expected(settings, tiny_corpus, tmp_path_factory):
    """The hash of the model of a run that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole")
    train(parse_recipe(settings), tiny_corpus(), run)
    return hash_of(run)


@pytest.fixture
def start(settings, tiny_corpus):
    """Start a training of the run in a folder; all are ended with the test."""
    started = []

    def begin(run, keys=None, **how):
        recipe = settings | {"train": settings["train"] | (keys or {})}
        started.append(training_process.start(recipe, tiny_corpus(), run, **how))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.join()


def pytest_terminal_summary(terminalreporter):
    """Of all kills at random moments, tell where they hit."""
    hits = Counter(
        f"{name}: {value}"
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name.startswith("killed")
    )
    for where, count in sorted(hits.items()):
        terminalreporter.write_line(f"{count:5} {where}")
