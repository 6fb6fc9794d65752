"""How much a device takes at a time in whole runs: found, written down, and found again."""

import time

import pytest
import torch
from safetensors.torch import load_file

from modersmal.config import parse_recipe
from modersmal.errors import TrainingError
from modersmal.train import sizing
from modersmal.train.checkpoint import Checkpoints
from modersmal.train.journal import Journal
from modersmal.train.learner import Learner
from modersmal.train.log import read_metrics
from modersmal.train.memory import Room
from modersmal.train.train import train

GB = 10**9


class Ample:
    """A device with memory for anything."""

    def reset(self):
        pass

    def peak(self):
        return 2 * GB

    def held(self):
        return GB

    def usable(self):
        return 1000 * GB


@pytest.fixture
def run_training(tiny_whisper, tiny_corpus):
    def run(folder, on_step=None, **keys):
        recipe = {
            "language": "sv", "model": str(tiny_whisper(terse=True)),
            "train": {
                "max_steps": 6, "batch_s": 8.0, "save_every": 2, "evaluate_every": 0,
                "device": "cpu", "learning_rate": 1e-3, "packed_share": 0.3, "full_share": 0.2,
            } | keys,
        }  # fmt: skip
        return train(parse_recipe(recipe), tiny_corpus(dev=0), folder, on_step)

    return run


@pytest.fixture
def small_at_first(monkeypatch):
    """A machine of which little was expected, and which has plenty."""
    monkeypatch.setattr(sizing, "find_room", lambda *_, **__: Room(6.0, 9.0, 50.0, 2.0, "so"))
    monkeypatch.setattr(sizing, "gauge_of", lambda *_: Ample())


def weights_of(run):
    return load_file(run / "model" / "model.safetensors")


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def steps_saved(run):
    return Checkpoints(run / "checkpoints").steps()


def sizes(run):
    return [
        (one.step, one.value)
        for one in Journal(run / "journal.jsonl").decisions
        if one.kind == "device_batch_s"
    ]


def test_a_run_that_is_killed_while_it_grows_ends_with_the_same_bits(
    run_training, small_at_first, tmp_path, monkeypatch, capfd
):
    """What it found is replayed, on a machine that by now has no memory left to grow into."""
    learn, taken = Learner.step, []

    def step(self, batch, rate, device_batch_s):
        taken.append((batch.planned.step, device_batch_s))
        return learn(self, batch, rate, device_batch_s)

    monkeypatch.setattr(Learner, "step", step)
    run_training(tmp_path / "whole", save_every=3)
    assert sizes(tmp_path / "whole")[0] == (0, 3.0)
    assert sizes(tmp_path / "whole")[-1][1] > 6.0
    assert "Memory allows more: 6 s of padded audio at a time" in capfd.readouterr().err
    whole = list(taken)

    def kill(report):
        if report.step == 5:
            while steps_saved(tmp_path / "run") != [3]:  # it is written beside the steps
                time.sleep(0.05)
            raise KeyboardInterrupt

    taken.clear()
    with pytest.raises(KeyboardInterrupt):
        run_training(tmp_path / "run", kill, save_every=3)
    monkeypatch.setattr(sizing, "gauge_of", lambda *_: None)
    run_training(tmp_path / "run", save_every=3)
    assert taken == whole[:5] + whole[3:]  # back at step 3, before the last it had found
    assert same(weights_of(tmp_path / "run"), weights_of(tmp_path / "whole"))
    found = sizes(tmp_path / "whole")
    assert sizes(tmp_path / "run") == [one for one in found if one[0] < 5]
    assert max(found)[0] > 3


def test_what_the_recipe_says_does_not_grow(run_training, small_at_first, tmp_path):
    run_training(tmp_path, device_batch_s=4.0)
    assert sizes(tmp_path) == [(0, 4.0)]


def test_activations_are_computed_twice_where_the_longest_sample_does_not_fit(
    run_training, tmp_path, monkeypatch, capfd
):
    """It is written down, and holds although there is more memory when the run goes on."""
    longest = []

    def room(*_, longest_s, **__):
        longest.append(longest_s)
        return Room(20.0, 200.0, 120.0, longest_s, "so")

    monkeypatch.setattr(sizing, "find_room", room)

    def kill(report):
        if report.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(tmp_path, kill)
    assert "100 s of padded audio at a time (so), with gradient checkpointing" in (
        capfd.readouterr().err
    )
    monkeypatch.setattr(sizing, "find_room", lambda *_, **__: Room(900, 900, 120, 30, "so"))
    run_training(tmp_path)
    assert "with gradient checkpointing" in capfd.readouterr().err
    assert longest == [30.0]
    run_training(tmp_path / "short", packed_share=0.0, full_share=0.0, max_steps=1)
    assert "with gradient checkpointing" not in capfd.readouterr().err


@pytest.mark.parametrize("late", [False, True])
def test_numbers_that_come_a_step_late_are_the_same_and_are_saved_with_their_step(
    run_training, tmp_path, monkeypatch, late
):
    run_training(tmp_path / "at_once")
    monkeypatch.setattr(Learner, "runs_ahead", late)
    monkeypatch.setattr(Learner, "make_ahead", lambda self, batch: batch)
    reports = []
    run_training(tmp_path / "late", reports.append)
    before, after = (
        [(row["step"], row["loss"], row["gradient_norm"]) for row in read_metrics(run)]
        for run in (tmp_path / "at_once", tmp_path / "late")
    )
    assert before == after
    assert [report.step for report in reports] == list(range(1, 7))
    assert same(weights_of(tmp_path / "late"), weights_of(tmp_path / "at_once"))


def test_what_is_not_a_number_is_never_saved_however_late_it_is_seen(
    run_training, tmp_path, monkeypatch
):
    learn = Learner.step

    def step(self, batch, rate, device_batch_s):
        result = learn(self, batch, rate, device_batch_s)
        if batch.planned.step == 3:  # the step after which a checkpoint is due
            result._values._values.fill_(float("nan"))
        return result

    monkeypatch.setattr(Learner, "step", step)
    monkeypatch.setattr(Learner, "runs_ahead", True)
    monkeypatch.setattr(Learner, "make_ahead", lambda self, batch: batch)
    with pytest.raises(TrainingError, match=r"not a number at step 4 \(the checkpoint of step 2"):
        run_training(tmp_path)
    assert Checkpoints(tmp_path / "checkpoints").steps() == [2]


def test_how_long_the_loader_was_waited_for_is_in_the_metrics(run_training, tmp_path, monkeypatch):
    from modersmal.train.reading import Reader

    load = Reader.load

    def slow(self, step, **options):
        import time

        time.sleep(0.5 if step == 3 else 0.0)
        return load(self, step, **options)

    monkeypatch.setattr(Reader, "load", slow)
    run_training(tmp_path, loader_workers=0)
    shares = {row["step"]: row["loader_wait_share"] for row in read_metrics(tmp_path)}
    assert all(0 < share <= 1 for share in shares.values())
    assert shares[4] == max(shares.values()) > 0.5
