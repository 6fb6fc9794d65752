"""Which weights a release is made of, of real runs of tiny models."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from modersmal.config import ReleaseConfig, parse_recipe
from modersmal.errors import CorpusError, ModelError
from modersmal.release.choose import choose
from modersmal.release.source import open_run
from modersmal.train.checkpoint import Checkpoints
from modersmal.train.dev import DevSet
from modersmal.train.train import train

STEPS = 6
CONFIG = ReleaseConfig(average_last=2, interpolate=[0.5])


def train_run(store, model, corpus, **train_keys):
    """A run where `modersmal run` would have it, with its corpus beside it."""
    recipe = parse_recipe(
        {
            "language": "sv",
            "model": str(model),
            "train": {
                "max_steps": STEPS, "batch_s": 6.0, "save_every": 2, "evaluate_every": 2,
                "dev_clips": 4, "device": "cpu", "learning_rate": 1e-3, "packed_share": 0.0,
                "full_share": 0.0, "context_floor_s": 1.0, "keep": 3,
            }
            | train_keys,
        }
    )  # fmt: skip
    shutil.copytree(corpus, store / "corpora" / "tiny")
    train(recipe, store / "corpora" / "tiny", store / "runs" / "tiny")
    return store / "runs" / "tiny"


@pytest.fixture(scope="module")
def base(tiny_whisper, tmp_path_factory):
    return shutil.copytree(tiny_whisper(terse=True), tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def trained(base, tiny_corpus, tmp_path_factory):
    return train_run(tmp_path_factory.mktemp("store"), base, tiny_corpus())


@pytest.fixture
def run(trained, tmp_path):
    """A copy, with its corpus, that a test may damage."""
    shutil.copytree(trained.parent.parent, tmp_path / "store")
    return tmp_path / "store" / "runs" / "tiny"


def judged(monkeypatch, best):
    """Let dev like best the candidate that is scored as number `best`; decoding is real."""
    real, scored = DevSet.score, []

    def score(self, whisper, on_progress):
        found = real(self, whisper, on_progress)
        scored.append(found)
        rate = 0.1 if len(scored) == best else 0.9 + len(scored) / 100
        return type(found)(**{**vars(found), "rate": rate})

    monkeypatch.setattr(DevSet, "score", score)
    return scored


def chosen_of(run, config=CONFIG):
    return choose(open_run(run), config, run / "scores-of-candidates.json")


def parameters(whisper):
    return {name: value.detach().clone() for name, value in whisper.model.named_parameters()}


def checkpoint(run, step):
    found = Checkpoints(run / "checkpoints")
    return load_file(found.bring(found.named(step)) / "model.safetensors")


def test_the_best_checkpoint_the_average_and_the_mixture_are_weighed(run, monkeypatch):
    scored = judged(monkeypatch, best=1)
    whisper, chosen = chosen_of(run)
    assert chosen.weights == "the average of steps 4 and 6"
    assert len(scored) == 2  # the average, and it with half of the base; the best one was before
    assert chosen.rate == 0.1
    assert "10.0% WER on dev, against" in chosen.reason
    assert "with 50% of the base" in chosen.reason
    wanted = [checkpoint(run, step) for step in (4, 6)]
    for name, value in parameters(whisper).items():
        mean = (wanted[0][name].double() + wanted[1][name].double()) / 2
        assert torch.allclose(value, mean.float(), atol=1e-6)


def test_half_of_the_base_is_half_of_the_base(run, base, monkeypatch):
    judged(monkeypatch, best=2)
    whisper, chosen = chosen_of(run)
    assert chosen.weights == "the average of steps 4 and 6 with 50% of the base"
    own = load_file(base / "model.safetensors")
    steps = [checkpoint(run, step) for step in (4, 6)]
    for name, value in parameters(whisper).items():
        wanted = own[name] / 2 + (steps[0][name] + steps[1][name]) / 4
        assert torch.allclose(value, wanted, atol=1e-6)
    assert whisper.base == "tiny"


def test_what_is_scored_is_not_scored_again(run, monkeypatch):
    first = judged(monkeypatch, best=0)
    _, once = chosen_of(run)
    again = judged(monkeypatch, best=0)
    _, twice = chosen_of(run)
    assert first
    assert not again
    assert once == twice


def test_of_a_run_whose_checkpoints_have_gone_it_is_what_training_left(run):
    shutil.rmtree(run / "checkpoints")
    whisper, chosen = chosen_of(run)
    assert "checkpoints have gone" in chosen.reason
    card = json.loads((run / "model" / "modersmal.json").read_text())
    assert chosen.weights == card["weights"]
    left = load_file(run / "model" / "model.safetensors")
    assert all(torch.equal(value, left[name]) for name, value in parameters(whisper).items())


def test_a_run_with_nothing_to_release_is_refused(run):
    shutil.rmtree(run / "checkpoints")
    shutil.rmtree(run / "model")
    with pytest.raises(ModelError, match="neither a checkpoint nor a model"):
        chosen_of(run)


def test_a_base_that_has_gone_is_named_and_can_be_done_without(run):
    path = run / "recipe.json"
    told = json.loads(path.read_text())
    told["recipe"]["model"] = "/gone/whisper"
    path.write_text(json.dumps(told))
    with pytest.raises(ModelError, match=r"the base /gone/whisper.*interpolate = \[\]"):
        chosen_of(run)
    _, chosen = chosen_of(run, ReleaseConfig(average_last=0, interpolate=[]))
    assert chosen.weights.startswith("step ")


def test_lora_is_merged(base, tiny_corpus, tmp_path):
    run = train_run(tmp_path, base, tiny_corpus(), lora={"rank": 2})
    whisper, chosen = chosen_of(run, ReleaseConfig(average_last=0, interpolate=[]))
    left = load_file(run / "model" / "model.safetensors")
    for name, value in parameters(whisper).items():
        assert torch.allclose(value, left[name], atol=1e-6), chosen.weights


def test_another_corpus_is_refused(run, tiny_corpus):
    with pytest.raises(CorpusError, match="is not the corpus that"):
        open_run(run, tiny_corpus(seed=1))


def test_a_folder_that_is_no_run_is_told(tmp_path: Path):
    with pytest.raises(ModelError, match="is no run"):
        open_run(tmp_path)
    with pytest.raises(ModelError, match="runs are at STORE/runs/NAME"):
        open_run("s3://bucket/somewhere")
