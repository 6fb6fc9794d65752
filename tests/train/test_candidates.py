"""Which weights become the model, in real runs."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from modersmal.config import parse_recipe
from modersmal.errors import Stopped
from modersmal.store.remote import Remote
from modersmal.train import finish
from modersmal.train.checkpoint import Checkpoints
from modersmal.train.dev import DevSet
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
    scores = iter([0.5, 0.3])
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


def test_the_base_is_mixed_into_the_best_of_the_others(model, tiny_corpus, tmp_path, monkeypatch):
    scores = iter([0.5, 0.4, 0.3])
    judged(monkeypatch, lambda _: next(scores))
    run = tmp_path / "run"
    result = train(recipe(model, interpolate=[0.25]), tiny_corpus(), run)
    assert result.weights == "the average of steps 4, 6 and 7 with 25% of the base"
    base, averaged = weights(model), mean(run, [4, 6, 7])
    mixed = {name: 0.75 * averaged[name] + 0.25 * base[name] for name in averaged}
    assert near(weights(run / "model"), mixed)


def test_a_stop_in_between_changes_nothing_of_it(model, tiny_corpus, tmp_path):
    """Nor what is saved then, and on another machine, which has the store alone."""
    keys = {"evaluate_every": 0, "interpolate": [0.5]}
    whole = train(recipe(model, **keys), tiny_corpus(), tmp_path / "whole")
    store = tmp_path / "store"
    store.mkdir()

    def stop_after(steps):
        def on_step(report):
            if report.step == steps:
                import signal

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
    calls = []

    def judge(_):
        calls.append(1)
        if len(calls) == 3:
            import signal

            signal.raise_signal(signal.SIGINT)
        return 0.5

    judged(monkeypatch, judge)
    run = tmp_path / "run"
    wanted = recipe(model, interpolate=[0.25])
    with pytest.raises(Stopped, match="before the model was written"):
        train(wanted, tiny_corpus(), run)
    assert not (run / "model").exists()
    assert len(json.loads((run / "candidates.json").read_text())["rates"]) == 2
    result = train(wanted, tiny_corpus(), run)
    assert len(calls) == 4
    assert len(result.rates) == 3


def test_what_is_missing_is_left_out_of_the_average(model, tiny_corpus, tmp_path, capsys):
    run = tmp_path / "run"
    train(recipe(model), tiny_corpus(), run)
    folder = Checkpoints(run / "checkpoints").named(4)
    (run / "checkpoints" / str(folder) / "model.safetensors").write_bytes(b"damaged")
    (run / "candidates.json").unlink()
    result = train(recipe(model), tiny_corpus(), run)
    assert "Step 4 is not in the average" in capsys.readouterr().err
    assert "the average of steps 6 and 7" in result.rates


def test_without_dev_the_last_step_is_the_model(model, tiny_corpus, tmp_path):
    run = tmp_path / "run"
    result = train(recipe(model), tiny_corpus(dev=0), run)
    assert (result.weights, result.dev, result.rates) == ("step 7", None, {})
    assert equal(weights(run / "model"), checkpoint(run, 7))
    assert finish.MODEL == "model"
    assert shutil.disk_usage(run).free
