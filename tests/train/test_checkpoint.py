import json
import shutil
from dataclasses import replace

import pytest
import torch

from modersmal import store
from modersmal.errors import CheckpointError, TrainingError
from modersmal.train import checkpoint
from modersmal.train.checkpoint import Best, State


@pytest.fixture
def learner(make_learner, make_loader):
    """A learner with two steps behind it."""
    made, loader = make_learner(), make_loader()
    for step in range(2):
        made.step(loader.load(step), 1e-3, 1e6)
    return made


def save(learner, folder, step, **state):
    return checkpoint.save(folder, State(step, **state), learner.model, learner.optimizer)


def load(learner, folder, check=lambda state: None):
    said = []
    state = checkpoint.load_newest(
        folder, learner.model, learner.optimizer, check=check, say=said.append
    )
    return state, said


def test_a_checkpoint_brings_everything_back_bit_for_bit(learner, make_learner, tmp_path):
    state = State(
        2, Best(2, 0.31, "wer"), 2, 17.5, {"scale": 1024.0}, {"train.seed": 3}, {"name": "x"},
        {"torch": "2"},
    )  # fmt: skip
    folder = checkpoint.save(tmp_path, state, learner.model, learner.optimizer)
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"
    }  # fmt: skip
    other = make_learner()
    assert load(other, tmp_path) == (state, [])
    for mine, theirs in zip(learner.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        before, after = learner.optimizer.state.get(mine), other.optimizer.state.get(theirs)
        assert (before is None) == (after is None)
        for part in before or ():
            assert torch.equal(before[part], after[part])


def test_there_may_be_none(learner, tmp_path):
    assert load(learner, tmp_path / "nothing") == (None, [])


@pytest.mark.parametrize("damage", ["flip", "cut", "missing", "manifest", "newer"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(learner, tmp_path, damage):
    save(learner, tmp_path, 10)
    newest = save(learner, tmp_path, 20)
    weights = newest / "model.safetensors"
    if damage == "flip":
        data = bytearray(weights.read_bytes())
        data[-100] ^= 1
        weights.write_bytes(data)
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif damage == "missing":
        weights.unlink()
    elif damage == "manifest":
        (newest / store.MANIFEST).unlink()
    else:
        (newest / store.MANIFEST).write_text("{}")
    state, said = load(learner, tmp_path)
    assert state.step == 10
    assert len(said) == 1
    assert "checkpoint of step 20 is damaged" in said[0]
    assert "going back to step 10" in said[0]
    assert "\n" not in said[0]


def test_when_all_are_damaged_nothing_is_begun_afresh(learner, tmp_path):
    (save(learner, tmp_path, 10) / "state.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"every checkpoint in .* is damaged"):
        load(learner, tmp_path)


def test_a_damaged_checkpoint_is_written_again(learner, tmp_path):
    (save(learner, tmp_path, 10) / "state.json").write_text("{}")
    save(learner, tmp_path, 10)
    assert load(learner, tmp_path)[0].step == 10


def test_a_checkpoint_of_a_later_version_is_refused(learner, tmp_path):
    folder = save(learner, tmp_path, 10)
    table = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps(table | {"schema": 99}))
    store.write_manifest(folder)
    with pytest.raises(CheckpointError, match="has schema 99, this modersmal reads 1"):
        load(learner, tmp_path)


def test_a_checkpoint_of_another_model_is_refused(learner, make_learner, tiny_whisper, tmp_path):
    save(learner, tmp_path, 10)
    with pytest.raises(CheckpointError, match="does not belong to this model"):
        load(make_learner(tiny_whisper(encoder_layers=3)), tmp_path)


def test_the_check_comes_before_anything_is_loaded(learner, make_learner, tmp_path):
    save(learner, tmp_path, 10)
    other = make_learner()
    before = other.model.proj_out.weight.clone()

    def refuse(state):
        raise TrainingError(f"not step {state.step}")

    with pytest.raises(TrainingError, match="not step 10"):
        load(other, tmp_path, check=refuse)
    assert torch.equal(other.model.proj_out.weight, before)


def test_the_newest_and_the_best_are_kept(learner, tmp_path):
    for step in (10, 20, 30, 40):
        save(learner, tmp_path, step)
    (tmp_path / ".draft-step-00000050-x").mkdir()
    checkpoint.prune(tmp_path, 2, Best(10, 0.2, "wer"))
    assert checkpoint.steps_saved(tmp_path) == [10, 30, 40]
    assert len(list(tmp_path.iterdir())) == 3


def test_state_survives_its_json(tmp_path, learner):
    for state in (State(0), State(5, Best(5, 1 / 3, "cer"), 5, 0.1)):
        folder = checkpoint.save(tmp_path, state, learner.model, learner.optimizer)
        assert checkpoint.read_state(folder) == state
        shutil.rmtree(folder)
    assert replace(state, step=6) != state
