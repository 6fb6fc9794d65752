"""Which weights become the model, in real runs."""

import json
import signal
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from modersmal.config import EvaluateConfig, parse_recipe
from modersmal.corpus import Corpus
from modersmal.errors import RecipeError, Stopped
from modersmal.store.remote import Remote
from modersmal.train.checkpoint import Checkpoints
from modersmal.train.dev import DevSet
from modersmal.train.finish import Ending
from modersmal.train.stopping import Wish
from modersmal.train.train import train

STEPS = 7  # not one after which a checkpoint is due


def recipe(model, **train_keys):
    table = {
        "language": "sv",
        "model": str(model),
        "train": {
            "max_steps": STEPS, "batch_s": 6.0, "save_every": 2, "evaluate_every": 7,
            "dev_clips": 4, "device": "cpu", "learning_rate": 1e-3, "packed_share": 0.0,
            "full_share": 0.0, "context_floor_s": 1.0, "average_last": 3,
        }
        | train_keys,
    }  # fmt: skip
    return parse_recipe(table)


@pytest.fixture
def model(tiny_whisper):
    return tiny_whisper(terse=True)


def weights(folder):
    return load_file(folder / "model.safetensors")


def checkpoint(run, step):
    return weights(Checkpoints(run / "checkpoints").bring(
        Checkpoints(run / "checkpoints").named(step)))  # fmt: skip


def mean(run, steps):
    parts = [checkpoint(run, step) for step in steps]
    return {
        name: torch.stack([part[name].double() for part in parts]).mean(0).float()
        for name in parts[0]
    }


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def near(one, other):
    return one.keys() == other.keys() and all(
        torch.allclose(one[key], other[key], atol=1e-6) for key in one
    )


def damage(run, step):
    name = Checkpoints(run / "checkpoints").named(step)
    (run / "checkpoints" / str(name) / "model.safetensors").write_bytes(b"damaged")


def judged(monkeypatch, judge):
    """Have dev scores be what `judge` says of the model; decoding is real all the same."""
    real = DevSet.score

    def score(self, whisper, on_progress):
        found = real(self, whisper, on_progress)
        rate = judge(dict(whisper.model.named_parameters()))
        return type(found)(found.metric, rate, rate, rate, found.clips)

    monkeypatch.setattr(DevSet, "score", score)


def test_the_average_becomes_the_model_where_dev_says_so(
    model, tiny_corpus, tmp_path, monkeypatch, capsys
):
    scores = iter([0.5, 0.3, 0.4])
    judged(monkeypatch, lambda _: next(scores))
    run = tmp_path / "run"
    result = train(recipe(model), tiny_corpus(), run)
    assert result.weights == "the average of steps 4, 6 and 7"
    assert (result.dev, result.model_step) == (0.3, 7)
    assert result.rates == {"step 7": 0.5, result.weights: 0.3}
    assert near(weights(run / "model"), mean(run, [4, 6, 7]))
    card = json.loads((run / "model" / "modersmal.json").read_text())
    assert card["weights"] == result.weights
    assert "the average of steps 4, 6 and 7: 30.0% on dev, against 50.0%" in capsys.readouterr().err
    again = train(recipe(model), tiny_corpus(), run)  # what was scored is not scored again
    assert (again.weights, again.dev, again.rates) == (result.weights, result.dev, result.rates)
    damage(run, 4)
    (run / "candidates.json").unlink()
    without = train(recipe(model), tiny_corpus(), run)
    assert "Step 4 is not in the average" in capsys.readouterr().err
    assert (without.weights, without.dev) == ("the average of steps 6 and 7", 0.4)


def test_the_best_checkpoint_stays_where_nothing_is_better(
    model, tiny_corpus, tmp_path, monkeypatch
):
    scores = iter([0.5, 0.5, 0.6, 0.7])
    judged(monkeypatch, lambda _: next(scores))
    run = tmp_path / "run"
    result = train(recipe(model, interpolate=[0.25, 0.5]), tiny_corpus(), run)
    assert (result.weights, result.dev) == ("step 7", 0.5)
    assert list(result.rates) == [
        "step 7", "the average of steps 4, 6 and 7", "step 7 with 25% of the base",
        "step 7 with 50% of the base",
    ]  # fmt: skip
    assert equal(weights(run / "model"), checkpoint(run, 7))


def test_a_stop_in_between_changes_nothing_of_it(model, tiny_corpus, tmp_path):
    """Nor what is saved then, nor that clips are perturbed, nor another machine, which has the
    store alone."""
    augment = {
        "speed_share": 0.5, "noise_share": 0.5, "reverberation_share": 0.5, "gain_db": 6.0,
    }  # fmt: skip
    keys = {"evaluate_every": 0, "interpolate": [0.5], "augment": augment}
    whole = train(recipe(model, **keys), tiny_corpus(), tmp_path / "whole")
    store = tmp_path / "store"
    store.mkdir()

    def stop_after(steps):
        def on_step(report):
            if report.step == steps:
                signal.raise_signal(signal.SIGINT)

        return on_step

    for session, steps in enumerate((3, 5, None)):
        place = Remote.open(f"file://{store}")
        folder = tmp_path / f"machine-{session}"
        try:
            result = train(
                recipe(model, **keys), tiny_corpus(), folder,
                stop_after(steps), place=place,
            )  # fmt: skip
        except Stopped:
            assert steps
    assert equal(weights(folder / "model"), weights(tmp_path / "whole" / "model"))
    assert (result.weights, result.rates) == (whole.weights, whole.rates)
    assert len(result.rates) == 3


def test_a_stop_while_they_are_scored_leaves_what_is_scored(
    model, tiny_corpus, tmp_path, monkeypatch
):
    """And the base is mixed into the best of the others."""
    scores = iter([0.5, 0.4, None, 0.3])

    def judge(_):
        rate = next(scores)
        if rate is None:
            signal.raise_signal(signal.SIGINT)
        return rate

    judged(monkeypatch, judge)
    run = tmp_path / "run"
    wanted = recipe(model, interpolate=[0.25])
    with pytest.raises(Stopped, match="before the model was written"):
        train(wanted, tiny_corpus(), run)
    assert not (run / "model").exists()
    result = train(wanted, tiny_corpus(), run)
    averaged = "the average of steps 4, 6 and 7"
    assert result.weights == f"{averaged} with 25% of the base"
    assert result.rates == {"step 7": 0.5, averaged: 0.4, result.weights: 0.3}
    base, tuned = weights(model), mean(run, [4, 6, 7])
    mixed = {name: 0.75 * tuned[name] + 0.25 * base[name] for name in tuned}
    assert near(weights(run / "model"), mixed)


def test_without_dev_the_last_step_is_the_model(model, tiny_corpus, tmp_path):
    run = tmp_path / "run"
    result = train(recipe(model), tiny_corpus(dev=0), run)
    assert (result.weights, result.dev, result.rates) == ("step 7", None, {})
    assert equal(weights(run / "model"), checkpoint(run, 7))


@pytest.mark.parametrize(
    ("keys", "said"),
    [({"interpolate": [1.0]}, "between 0 and 1"), ({"lora": {"targets": ["proj_out"]}}, "q_proj")],
)
def test_what_makes_no_sense_is_refused(keys, said):
    with pytest.raises(RecipeError, match=said):
        recipe("bundled", **keys)


@pytest.mark.parametrize("mode", ["pause", "finish"])
def test_where_time_is_over_it_goes_on_later_or_ends_with_what_it_has(mode, tiny_corpus, capsys):
    dev = DevSet.choose(
        Corpus.open(tiny_corpus()).split("dev"), 2, language="sv", language_token="sv",
        config=EvaluateConfig(),
    )  # fmt: skip
    parts = SimpleNamespace(recipe=recipe("bundled", on_deadline=mode), learner=None)
    pace = SimpleNamespace(may_evaluate=lambda step: False)
    ending = Ending(parts, dev, None, pace, Wish())
    if mode == "pause":
        with pytest.raises(Stopped, match="goes on from there"):
            ending.score(7, "the average")
    else:
        assert ending.score(7, "the average") is None
        assert "no time to score the average" in capsys.readouterr().err
