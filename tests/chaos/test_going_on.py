"""Going on from what is there: from damaged checkpoints, and by decisions that the clock took."""

import shutil

import pytest
from interruption import STEPS, code_of, hash_of, steps_learned

from modersmal import store
from modersmal.train.checkpoint import Checkpoints
from modersmal.train.journal import Journal
from modersmal.train.log import read_metrics


def flip_a_bit(checkpoint):
    weights = checkpoint / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)


def cut_it_short(checkpoint):
    moments = checkpoint / "optimizer.safetensors"
    moments.write_bytes(moments.read_bytes()[:-1])


def take_its_manifest(checkpoint):
    (checkpoint / store.MANIFEST).unlink()


def test_damaged_checkpoints_are_told_and_cost_nothing(start, expected, tmp_path):
    """The newest has a flipped bit, the one before is cut short, the third has no manifest."""
    run, said = tmp_path / "run", tmp_path / "said"
    code_of(start(run, {"keep": 4}, fault="train.after-step:8:kill"))
    names = Checkpoints(run / "checkpoints").names()
    harms = (flip_a_bit, cut_it_short, take_its_manifest)
    for harm, name in zip(harms, reversed(names), strict=False):
        harm(run / "checkpoints" / str(name))
    assert code_of(start(run, {"keep": 4}, log=said)) == 0
    lines = [line for line in said.read_text().splitlines() if "is damaged" in line]
    assert [line.partition(" is damaged")[0] for line in lines] == [
        f"The checkpoint of step {name.step}" for name in reversed(names[-3:])
    ]
    assert f"Going on from step {names[-4].step}" in said.read_text()
    assert hash_of(run) == expected
    assert steps_learned(run) == list(range(1, STEPS + 1))


@pytest.mark.chaos  # its budget is in seconds: it needs a machine to itself
@pytest.mark.parametrize("kills", [[25], [12, 7, 7, 3]], ids=str)
def test_a_decay_that_the_clock_has_planned_is_followed_to_the_same_bits(start, tmp_path, kills):
    """`finish`: killed after its plan, it goes on; another run follows the same journal."""
    keys = {"max_steps": 5000, "on_deadline": "finish", "save_every": 4, "evaluate_every": 0}
    run, other = tmp_path / "run", tmp_path / "other"
    for number, step in enumerate(kills):
        budget = {} if number else {"budget": "16s"}
        assert code_of(start(run, keys | budget, fault=f"train.after-step:{step}:kill")) == -9
    planned = Journal(run / "journal.jsonl").holding("decay")
    assert planned
    other.mkdir()
    shutil.copy(run / "journal.jsonl", other)
    assert code_of(start(run, keys)) == code_of(start(other, keys)) == 0
    assert hash_of(run) == hash_of(other)
    rows = [row for row in read_metrics(run) if "loss" in row]
    assert [row["step"] for row in rows] == list(range(1, planned[-1].value["last_step"] + 2))
    assert rows[-1]["learning_rate"] == 0.0
