"""Stores with runs to release."""

import shutil

import pytest

from modersmal.config import parse_recipe
from modersmal.train.train import train


@pytest.fixture(scope="session")
def make_store(tiny_whisper, tiny_corpus, tmp_path_factory):
    """Make a store with a run of four steps of a tiny model, and a base of its own that can go."""

    def make(**train_keys):
        folder = tmp_path_factory.mktemp("made")
        shutil.copytree(tiny_whisper(terse=True), folder / "base")
        shutil.copytree(tiny_corpus(), folder / "corpora" / "sv")
        table = {
            "language": "sv",
            "model": str(folder / "base"),
            "train": {
                "max_steps": 4, "batch_s": 6.0, "save_every": 2, "evaluate_every": 4,
                "dev_clips": 4, "device": "cpu", "learning_rate": 1e-3, "packed_share": 0.0,
                "full_share": 0.0, "context_floor_s": 1.0,
            }
            | train_keys,
        }  # fmt: skip
        train(parse_recipe(table), folder / "corpora" / "sv", folder / "runs" / "sv")
        return folder

    return make


@pytest.fixture(scope="session")
def tuned(made_once):
    """A store with a run of the bundled base that is quickly released; do not write to it."""
    from small_runs import write_tuned

    return made_once("tuned", write_tuned)


@pytest.fixture(scope="session")
def released(tuned, made_once):
    """A store with one release of that run, and nothing else; do not write to it."""
    from small_runs import FORMATS

    from modersmal.release.release import release

    def write(to):
        made = release(tuned / "runs" / "sv", to, formats=FORMATS)
        assert (made.number, made.deployed) == (1, True)
        assert f"Release 1 is in {to}, the latest" in str(made)
        assert f"It is {made.facts.weights}: {made.facts.choice}." in str(made)

    return made_once("released", write)
