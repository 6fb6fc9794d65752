"""Scores beside the next steps are those between them, whoever is interrupted, and when."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from modersmal.config import parse_recipe
from modersmal.errors import CheckpointError, Stopped, TrainingError
from modersmal.train import beside as module
from modersmal.train.beside import DEV_SCORE, Aside, Beside
from modersmal.train.checkpoint import Checkpoints, Name
from modersmal.train.dev import DevScore
from modersmal.train.journal import Journal
from modersmal.train.loader import Workers
from modersmal.train.log import read_metrics
from modersmal.train.train import train

STEPS = 8
CPU, GPU = torch.device("cpu"), torch.device("cuda")


def recipe(model, **train_keys):
    keys = {
        "max_steps": STEPS, "batch_s": 4.0, "save_every": 4, "evaluate_every": 4, "dev_clips": 4,
        "device": "cpu", "learning_rate": 1e-3, "context_floor_s": 1.0, "context_step_s": 0.5,
        "full_share": 0.13, "packed_share": 0.3, "evaluate_beside": True,
    }  # fmt: skip
    return parse_recipe(
        {"language": "sv", "model": str(model), "train": keys | train_keys},
    )


def scores(run):
    """Every dev score that the metrics hold, in their order."""
    rows = [row for row in read_metrics(run) if "dev_wer" in row]
    return [(row["step"], row["dev_wer"], row["dev_cer"]) for row in rows]


def weights_of(run):
    return load_file(run / "model" / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def state_of(run, step):
    checkpoints = Checkpoints(run / "checkpoints")
    return json.loads(
        (checkpoints.folder / str(checkpoints.named(step)) / "state.json").read_text()
    )


@pytest.fixture(scope="module")
def between(tiny_whisper, tiny_corpus, tmp_path_factory):
    """A run that is scored between its steps, and its result."""
    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("between")
    made = recipe(tiny_whisper(terse=True), evaluate_beside=False)
    return run, train(made, tiny_corpus(), run)


def test_training_goes_on_meanwhile_and_chooses_the_same(
    between, tiny_whisper, tiny_corpus, tmp_path, monkeypatch
):
    made, corpus = recipe(tiny_whisper(terse=True)), tiny_corpus()

    result = train(made, corpus, tmp_path)

    told = [(row["step"], "dev_wer" in row) for row in read_metrics(tmp_path)]
    assert told.index((4, True)) > told.index((5, False))  # no step has waited for it
    assert scores(tmp_path) == scores(between[0])
    assert (result.dev, result.model_step) == (between[1].dev, between[1].model_step)
    assert same(weights_of(tmp_path), weights_of(between[0]))
    journal = Journal(tmp_path / "journal.jsonl").decisions
    named = [made.basis for made in journal if made.kind == DEV_SCORE]
    assert named == [str(Name(step, 1)) for step in (4, 8)]

    monkeypatch.setattr(module, "start_child", None)  # what is in the journal is not decoded again
    again = train(made, corpus, tmp_path)
    assert (again.dev, again.model_step) == (result.dev, result.model_step)
    assert scores(tmp_path) == scores(between[0])


@pytest.mark.parametrize(
    "goes_on",
    [pytest.param(True, id="beside"), pytest.param(False, id="between", marks=pytest.mark.chaos)],
)
def test_a_stop_before_the_score_comes_costs_nothing(
    between, tiny_whisper, tiny_corpus, tmp_path, goes_on
):
    """The checkpoint that is scored stays, however many come after it, and is scored later."""

    def stop(report):
        if report.step == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    model, corpus = tiny_whisper(terse=True), tiny_corpus()
    with pytest.raises(Stopped, match="step 7"):
        train(recipe(model, save_every=1), corpus, tmp_path, stop)
    assert scores(tmp_path) == []
    assert state_of(tmp_path, 7)["pending"] == 4
    assert Checkpoints(tmp_path / "checkpoints").steps() == [4, 6, 7]

    result = train(recipe(model, save_every=1, evaluate_beside=goes_on), corpus, tmp_path)

    assert scores(tmp_path) == scores(between[0])
    assert (result.dev, result.model_step) == (between[1].dev, between[1].model_step)
    assert same(weights_of(tmp_path), weights_of(between[0]))
    kept = Checkpoints(tmp_path / "checkpoints").steps()
    assert kept == sorted({7, 8, result.model_step})


def test_a_score_whose_checkpoint_is_gone_is_left_out(tiny_whisper, tiny_corpus, tmp_path, capfd):
    def stop(report):
        if report.step == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    made, corpus = recipe(tiny_whisper(terse=True)), tiny_corpus()
    with pytest.raises(Stopped):
        train(made, corpus, tmp_path, stop)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    (checkpoints.folder / str(checkpoints.named(4)) / "model.safetensors").unlink()
    result = train(made, corpus, tmp_path)
    assert "Step 4 stays without a dev score" in capfd.readouterr().err
    assert [step for step, *_ in scores(tmp_path)] == [8]
    assert result.model_step == 8


def test_adapters_are_scored_as_between_the_steps(tiny_whisper, tiny_corpus, tmp_path):
    pytest.importorskip("peft")
    found = []
    for where in (True, False):
        run = tmp_path / str(where)
        keys = {"max_steps": 2, "lora": {"rank": 2}, "evaluate_beside": where}
        train(recipe(tiny_whisper(terse=True), **keys), tiny_corpus(), run)
        found.append(scores(run))
    assert found[0] == found[1]


def until_heard(beside):
    ends_s = time.monotonic() + 60
    while (found := beside.hear(9, 0.1)) is None:
        assert time.monotonic() < ends_s
    return found


def test_only_the_very_checkpoint_is_known(between, tiny_whisper, tiny_corpus, tmp_path):
    """One of the same step, under a later lease, may have other weights: it is scored anew."""
    run, corpus = between[0], tiny_corpus()
    checkpoints, journal = Checkpoints(run / "checkpoints"), Journal(tmp_path / "journal.jsonl")
    name = checkpoints.named(8)
    earlier = DevScore("wer", 0.125, 0.125, 0.5, 4)
    journal.record(8, DEV_SCORE, vars(earlier), str(name))
    beside = Beside(recipe(tiny_whisper(terse=True)), corpus, journal, Aside(True, 1))
    try:
        beside.begin(name, checkpoints.folder / str(name))
        assert beside.hear(9, 0.0).score == earlier
        assert beside.asked is None
        beside.begin(Name(8, 2), checkpoints.folder / str(name))
        found = until_heard(beside)
        assert (8, found.score.wer, found.score.cer) == scores(run)[-1]
        assert found.seconds > 0
        assert Journal(tmp_path / "journal.jsonl").decisions[-1].value == vars(found.score)
    finally:
        beside.close()


def test_a_killed_process_is_one_sentence_and_an_error_comes_back_as_itself(
    tiny_whisper, tiny_corpus, tmp_path
):
    made = recipe(tiny_whisper(terse=True))
    beside = Beside(made, tiny_corpus(), Journal(tmp_path / "journal.jsonl"), Aside(True, 1))
    try:
        beside.begin(Name(1, 1), tmp_path / "nothing")
        with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read"):
            until_heard(beside)
        os.kill(beside._child[0].pid, signal.SIGSTOP)  # it would answer sooner than it is killed
        beside.begin(Name(1, 1), Path(tmp_path))
        beside._child[0].kill()
        with pytest.raises(TrainingError, match=r"was killed \(exit code -9\).*evaluate_beside"):
            until_heard(beside)
    finally:
        beside.close()


@pytest.mark.parametrize(
    ("setting", "device", "cores", "world", "millions", "expected"),
    [
        ("auto", GPU, 2, 1, 242, (False, 1)),  # a notebook's
        ("auto", GPU, 8, 1, 242, (True, 3)),
        ("auto", GPU, 8, 1, 809, (False, 3)),  # large-v3-turbo
        ("auto", GPU, 16, 4, 242, (False, 1)),
        (True, GPU, 2, 1, 809, (True, 1)),
        (False, GPU, 64, 1, 38, (False, 55)),
        ("auto", CPU, 2, 1, 38, (False, 1)),
    ],
)
def test_it_is_chosen_where_cores_are_left(setting, device, cores, world, millions, expected):
    readers = Workers.choose("auto", cores=cores, env={"LOCAL_WORLD_SIZE": str(world)})
    found = Aside.choose(setting, device, readers, millions * 10**6, cores=cores, world=world)
    assert (found.chosen, found.cores) == expected
