import json
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modersmal import store
from modersmal.errors import CheckpointError, StoreError, TrainingError
from modersmal.train import checkpoint
from modersmal.train.checkpoint import Best, Checkpoints, Name, Retention, State
from modersmal.train.journal import Decision
from modersmal.train.saver import Saver


@pytest.fixture
def learner(make_learner, make_loader):
    """A learner with two steps behind it."""
    made, loader = make_learner(), make_loader()
    for step in range(2):
        made.step(loader.reader.load(step), 1e-3, 1e6)
    return made


class FolderRemote:
    """A remote that is a folder, and remembers what was fetched."""

    def __init__(self, folder):
        self.folder, self.fetched = folder, []
        folder.mkdir()

    def list(self, prefix):
        return [
            path.relative_to(self.folder).as_posix()
            for path in (self.folder / prefix).rglob("*")
            if path.is_file()
        ]

    def get_folder(self, name, local, on_progress):
        self.fetched.append(name)
        draft = local.with_name(f".draft-{local.name}")
        shutil.copytree(self.folder / name, draft)
        store.verify_manifest(draft)
        shutil.rmtree(local, ignore_errors=True)
        draft.rename(local)


@pytest.fixture
def remote(tmp_path):
    made = FolderRemote(tmp_path / "there")
    (made.folder / "runs/x").mkdir(parents=True)
    return made


def save(learner, folder, step, token=1, **state):
    with Saver(Checkpoints(folder), retention=Retention(10), token=token) as saver:
        saver.save(State(step, **state), learner.model, learner.optimizer)
    return folder / str(Name(step, token))


def load(learner, folder, check=lambda state: None, **where):
    said = []
    loaded = checkpoint.load_newest(
        Checkpoints(folder, **where), learner.model, learner.optimizer, check=check, say=said.append
    )
    return (loaded[1] if loaded else None), said


def test_a_checkpoint_brings_everything_back_bit_for_bit(learner, make_learner, tmp_path):
    state = {
        "best": Best(2, 0.31, "wer"),
        "evaluated_step": 2,
        "seconds": 17.5,
        "scaler": {"scale": 1024.0},
        "identity": {"train.seed": 3},
        "recipe": {"name": "å"},
        "versions": {"torch": "2"},
        "decisions": (Decision(1, "device_batch_s", 30.0, "cpu, 16 GiB", 2),),
    }
    folder = save(learner, tmp_path, 2, **state)
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"
    }  # fmt: skip
    other = make_learner()
    assert load(other, tmp_path) == (State(2, **state), [])
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
    with pytest.raises(CheckpointError, match="has schema 99, this modersmal reads up to 3"):
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


@pytest.mark.parametrize("name", ["step-00000010", "step-00000010.t00000001"])
def test_an_old_schema_is_read(learner, make_learner, tmp_path, name):
    """As 0.1.0 wrote it, under the name it gave."""
    folder = save(learner, tmp_path, 10, seconds=3.0).rename(tmp_path / name)
    table = json.loads((folder / "state.json").read_text())
    del table["decisions"]
    (folder / "state.json").write_text(json.dumps(table | {"schema": 1}))
    store.write_manifest(folder)
    assert load(make_learner(), tmp_path) == (State(10, seconds=3.0), [])


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_names_say_step_and_token(step, token):
    assert Name.parse(str(Name(step, token))) == Name(step, token)


def test_what_is_no_checkpoint_is_left_aside(tmp_path):
    for name in ("step-", "step-10.tx", "step-10.t1.bak", "x-step-10", ".draft-step-10.t1-ab"):
        assert Name.parse(name) is None
        (tmp_path / name).mkdir()
    assert Checkpoints(tmp_path).names() == []


def test_of_one_step_the_later_token_counts(learner, tmp_path):
    save(learner, tmp_path, 10, token=7, seconds=7.0)
    save(learner, tmp_path, 10, token=3, seconds=3.0)
    assert load(learner, tmp_path)[0].seconds == 7.0
    assert Checkpoints(tmp_path).named(10) == Name(10, 7)
    with pytest.raises(CheckpointError, match="no checkpoint of step 11"):
        Checkpoints(tmp_path).named(11)


def test_what_a_stale_holder_wrote_is_never_loaded(learner, tmp_path):
    save(learner, tmp_path, 10, token=2)
    save(learner, tmp_path, 90, token=1)

    def counted(names):
        return [name for name in names if not name.endswith("t00000001")]

    assert load(learner, tmp_path, counted=counted)[0].step == 10


def test_those_that_are_only_remote_are_fetched(learner, make_learner, remote, tmp_path):
    here = tmp_path / "here"
    save(learner, here, 10)
    shutil.move(
        save(learner, here, 20, seconds=2.0), remote.folder / "runs/x/step-00000020.t00000001"
    )
    state, said = load(make_learner(), here, remote=remote, prefix="runs/x")
    assert (state.step, state.seconds, said) == (20, 2.0, [])
    assert Checkpoints(here).steps() == [10, 20]
    assert remote.fetched == ["runs/x/step-00000020.t00000001"]


def test_a_damaged_one_here_is_fetched_again(learner, remote, tmp_path):
    here = tmp_path / "here"
    folder = save(learner, here, 20)
    shutil.copytree(folder, remote.folder / "runs/x" / folder.name)
    (folder / "model.safetensors").write_bytes(b"")
    assert load(learner, here, remote=remote, prefix="runs/x")[0].step == 20


def test_an_unfinished_one_in_the_remote_does_not_exist(learner, remote, tmp_path):
    here = tmp_path / "here"
    save(learner, here, 10)
    half = remote.folder / "runs/x/step-00000020.t00000001"
    shutil.move(save(learner, here, 20), half)
    (half / store.MANIFEST).unlink()
    assert load(learner, here, remote=remote, prefix="runs/x") == (
        load(learner, here)[0], []
    )  # fmt: skip


def test_a_damaged_one_in_the_remote_falls_back_with_one_line(learner, remote, tmp_path):
    here = tmp_path / "here"
    save(learner, here, 10)
    there = remote.folder / "runs/x/step-00000020.t00000001"
    shutil.move(save(learner, here, 20), there)
    (there / "model.safetensors").write_bytes(b"")
    state, said = load(learner, here, remote=remote, prefix="runs/x")
    assert state.step == 10
    assert len(said) == 1
    assert "step 20 is damaged" in said[0]


def test_a_remote_that_is_out_of_reach_is_not_taken_for_damage(learner, remote, tmp_path):
    """Going back a step for want of a network would throw good work away."""
    here = tmp_path / "here"
    save(learner, here, 10)
    shutil.move(save(learner, here, 20), remote.folder / "runs/x/step-00000020.t00000001")

    def out_of_reach(*_):
        raise StoreError("the store cannot be reached")

    remote.get_folder = out_of_reach
    with pytest.raises(StoreError, match="cannot be reached"):
        load(learner, here, remote=remote, prefix="runs/x")


names = st.lists(st.builds(Name, st.integers(0, 20), st.integers(0, 3)), unique=True)


@given(names, st.integers(0, 5), st.integers(0, 20))
def test_the_newest_and_the_best_are_kept(names, keep, best):
    gone = Retention(keep).superseded(names, {best})
    kept = sorted(set(names) - set(gone))
    assert kept[-max(2, keep) :] == sorted(names)[-max(2, keep) :]
    assert len(kept) <= max(2, keep) + 1
    assert (best in {name.step for name in names}) == (best in {name.step for name in kept})


@given(names, st.integers(0, 4), st.integers(1, 5), st.integers(1, 20))
def test_what_the_average_is_of_is_kept_until_the_end(names, averaged, every, end):
    """Whatever else was saved in between: the best, or where it was stopped."""
    retention = Retention(2, averaged, every)
    wanted = retention.to_average(end)
    assert len(wanted) == min(averaged, -(-end // every))
    assert wanted == sorted(set(wanted))
    kept: set[Name] = set()
    saved = {step for step in range(1, end + 1) if step % every == 0 or step == end}
    for step in sorted(saved | {name.step for name in names if name.step <= end}):
        kept.add(Name(step, 1))
        kept -= set(retention.superseded(sorted(kept), ()))
    assert set(wanted) <= {name.step for name in kept}
    assert len(kept) <= 2 + averaged
