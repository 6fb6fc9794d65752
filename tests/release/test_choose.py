"""Which weights are released, of real runs of a tiny model."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from modersmal import store
from modersmal.config import ReleaseConfig
from modersmal.errors import CorpusError, ModelError
from modersmal.release.choose import choose
from modersmal.release.source import open_run
from modersmal.store.remote import Remote
from modersmal.store.workspace import WORK_VARIABLE
from modersmal.train import candidates
from modersmal.train.checkpoint import Checkpoints
from modersmal.train.dev import DevSet

AVERAGED = "the average of steps 2 and 4"


@pytest.fixture(scope="module")
def trained(make_store):
    return make_store()


@pytest.fixture
def run(trained, tmp_path):
    """The run, in a store that a test may spoil; its recipe names the base at its old place."""
    return shutil.copytree(trained, tmp_path / "store") / "runs" / "sv"


def chosen_of(run, corpus=None, **config):
    wanted = ReleaseConfig(**{"interpolate": [], "average_last": 0} | config)
    return choose(open_run(run, corpus), wanted, Path(run) / "scores.json")


def checkpoint(run, step):
    checkpoints = Checkpoints(run / "checkpoints")
    return load_file(checkpoints.bring(checkpoints.named(step)) / "model.safetensors")


def holds(whisper, wanted):
    return all(
        torch.allclose(value, wanted[name], atol=1e-6)
        for name, value in whisper.model.named_parameters()
    )


def mean(run, steps):
    parts = [checkpoint(run, step) for step in steps]
    return {name: sum(part[name] for part in parts) / len(parts) for name in parts[0]}


def lose_base(run):
    """Let the run name a base that is not there any more."""
    told = json.loads((run / "recipe.json").read_text())
    told["recipe"]["model"] = str(run / "gone")
    (run / "recipe.json").write_text(json.dumps(told))


@pytest.fixture
def judged(monkeypatch):
    """Have dev rates be the given ones, in turn; decoding is real all the same."""

    real = DevSet.score

    def judge(*rates):
        left = list(rates)

        def score(self, whisper, on_progress, *, spare_memory):
            found = real(self, whisper, on_progress, spare_memory=spare_memory)
            assert spare_memory
            rate = left.pop(0)
            if isinstance(rate, BaseException):
                raise rate
            return type(found)(found.metric, rate, rate, rate, found.clips)

        monkeypatch.setattr(DevSet, "score", score)
        return left

    return judge


def test_the_best_of_all_is_chosen_and_the_reason_told(run, judged):
    left = judged(0.0, 0.0, 0.0)
    whisper, chosen = chosen_of(run, interpolate=[0.25], average_last=2)
    best = chosen.rates["step 4"]  # as training scored it
    assert len(left) == 1
    assert chosen.weights == AVERAGED
    assert (chosen.rate, chosen.metric, chosen.step) == (0.0, "wer", 4)
    mixed = f"{AVERAGED} with 25% of the base"
    assert chosen.rates == {"step 4": best, AVERAGED: 0.0, mixed: 0.0}
    assert chosen.reason == f"0.0% WER on dev, against {best:.1%} of step 4, 0.0% of {mixed}"
    assert holds(whisper, mean(run, [2, 4]))
    assert whisper.base == "tiny"
    assert (whisper.context, whisper.context_floor_s) == ("dynamic", 1.0)


def base_in_pieces(run, base):
    """Let the run name a copy of its base whose weights are in a file that an index names."""
    pieces = shutil.copytree(base, run / "pieces")
    tensors = load_file(pieces / "model.safetensors")
    (pieces / "model.safetensors").rename(pieces / "model-00001-of-00001.safetensors")
    index = {"weight_map": dict.fromkeys(tensors, "model-00001-of-00001.safetensors")}
    (pieces / "model.safetensors.index.json").write_text(json.dumps(index))
    told = json.loads((run / "recipe.json").read_text())
    told["recipe"]["model"] = str(pieces)
    (run / "recipe.json").write_text(json.dumps(told))


@pytest.mark.parametrize("files", ["one", "several"])
def test_what_is_mixed_with_the_base_wins_where_it_is_better(
    run, trained, judged, monkeypatch, files
):
    """A base in one file is read where it lies, and not once more into memory."""
    if files == "one":
        monkeypatch.delattr(candidates, "load")
    else:
        base_in_pieces(run, trained / "base")
    judged(0.4, 0.3, 0.35)
    whisper, chosen = chosen_of(run, interpolate=[0.25, 0.5], average_last=2)
    assert chosen.weights == f"{AVERAGED} with 25% of the base"
    tuned, base = mean(run, [2, 4]), load_file(trained / "base" / "model.safetensors")
    assert holds(whisper, {name: 0.75 * tuned[name] + 0.25 * base[name] for name in tuned})


def test_scores_that_are_there_are_not_taken_again(run, judged):
    """Neither those of a release that was stopped, nor those of the end of training."""
    judged(0.3, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        chosen_of(run, interpolate=[0.1, 0.5], average_last=2)
    judged(0.2, 0.4)
    _, chosen = chosen_of(run, interpolate=[0.1, 0.5], average_last=2)
    assert chosen.rates[AVERAGED] == 0.3
    assert chosen.weights == f"{AVERAGED} with 10% of the base"
    (run / "scores.json").rename(run / "candidates.json")
    judged()
    _, again = chosen_of(run, interpolate=[0.1, 0.5], average_last=2)
    assert again == chosen


def test_without_its_base_nothing_is_mixed_with_that_and_it_is_said(run, judged):
    judged(1.0)
    lose_base(run)
    whisper, chosen = chosen_of(run, interpolate=[0.5], average_last=2)
    assert list(chosen.rates) == ["step 4", AVERAGED]
    assert "no share of the base was tried, since its base" in chosen.reason
    assert "cannot be had" in chosen.reason
    assert holds(whisper, checkpoint(run, 4))
    assert whisper.base == "tiny"


def test_a_run_without_checkpoints_is_released_as_training_left_it(run, judged):
    judged()
    shutil.rmtree(run / "checkpoints")
    whisper, chosen = chosen_of(run, interpolate=[0.5])
    assert chosen.weights == "step 4"
    assert "since it has no checkpoints any more" in chosen.reason
    assert holds(whisper, load_file(run / "model" / "model.safetensors"))


def test_damaged_checkpoints_are_left_out(run, judged, capsys):
    def damage(step):
        name = Checkpoints(run / "checkpoints").named(step)
        (run / "checkpoints" / str(name) / "model.safetensors").write_bytes(b"damaged")

    judged()
    damage(4)
    whisper, chosen = chosen_of(run, average_last=2)
    assert "The checkpoint of step 4 is left out" in capsys.readouterr().err
    assert chosen.weights == "step 2"
    assert holds(whisper, checkpoint(run, 2))
    damage(2)
    _, chosen = chosen_of(run, average_last=2)
    assert "only its finished model" in chosen.reason


def test_what_has_nothing_to_release_is_refused_in_a_sentence(run, tmp_path):
    lose_base(run)
    shutil.rmtree(run / "model")
    with pytest.raises(ModelError, match=r"its base .* no model to put weights into"):
        chosen_of(run)
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(ModelError, match="no checkpoints any more, and no finished model"):
        chosen_of(run)
    with pytest.raises(ModelError, match=r"is no run: it has no recipe\.json"):
        chosen_of(tmp_path)
    with pytest.raises(ModelError, match="runs are at STORE/runs/NAME"):
        chosen_of("s3://bucket/somewhere")
    (run / "recipe.json").write_text("{")
    with pytest.raises(ModelError, match=r"recipe\.json cannot be read"):
        chosen_of(run)


def test_a_run_that_has_not_ended_says_so(run, judged):
    judged()
    shutil.rmtree(run / "model")
    shutil.rmtree(run / "checkpoints" / str(Checkpoints(run / "checkpoints").named(4)))
    _, chosen = chosen_of(run)
    assert chosen.weights == "step 2"
    assert "of 4 steps, 2 are done" in chosen.reason


def test_another_corpus_than_the_runs_own_is_refused(run, tiny_corpus, judged):
    with pytest.raises(CorpusError, match="not the corpus that"):
        chosen_of(run, tiny_corpus(seed=1))
    elsewhere = shutil.move(run.parent.parent / "corpora" / "sv", run.parent.parent / "corpus")
    judged()
    _, chosen = chosen_of(run, Path(elsewhere))
    assert chosen.weights == "step 4"


def test_a_run_far_away_is_brought_with_its_corpus(trained, tmp_path, monkeypatch, judged):
    """And a model that changed there since it was brought is brought anew."""
    monkeypatch.setenv(WORK_VARIABLE, str(tmp_path / "work"))
    shutil.copytree(trained, tmp_path / "far")
    store.write_manifest(tmp_path / "far" / "corpora" / "sv")
    url = f"file://{tmp_path / 'far'}"
    remote = Remote.open(url)
    judged()
    _, chosen = chosen_of(f"{url}/runs/sv")
    assert chosen.weights == "step 4"
    remote.delete("runs/sv/checkpoints")
    shutil.rmtree(tmp_path / "work")
    whisper, chosen = chosen_of(f"{url}/runs/sv")
    assert "only its finished model" in chosen.reason
    assert holds(whisper, load_file(trained / "runs" / "sv" / "model" / "model.safetensors"))


def test_lora_is_merged(make_store, judged):
    folder = make_store(lora={"rank": 2}, learning_rate=1e-2)
    run = folder / "runs" / "sv"
    judged(1.0)
    whisper, chosen = chosen_of(run, average_last=2)
    assert chosen.weights == "step 4"
    merged = load_file(run / "model" / "model.safetensors")
    base = load_file(folder / "base" / "model.safetensors")
    assert holds(whisper, merged)
    assert not holds(whisper, base)
    path = folder / "base" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")  # one number of it is another
    whisper, chosen = chosen_of(run, average_last=2)
    assert "not those that the run began with" in chosen.reason
    assert holds(whisper, merged)
