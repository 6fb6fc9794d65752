"""From a run to a release, with the bundled base, really tuned, and the real runtimes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from small_runs import FORMATS, SPLITS, damage

from modersmal import store
from modersmal.cli import main
from modersmal.errors import ModelError
from modersmal.release import release as module
from modersmal.release.card import CARD
from modersmal.release.facts import Release
from modersmal.release.release import release
from modersmal.store.releases import Releases
from modersmal.whisper.load import load, locate
from read_only import read_only


@pytest.fixture
def home(tuned: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tuned, tmp_path / "store")


def test_a_run_becomes_a_release_that_is_complete_and_deployed(released: Path) -> None:
    folder = Releases.open(str(released)).folder()
    store.verify_manifest(folder)
    assert {path.name for path in folder.iterdir()} >= {
        "config.json", "model.safetensors", "generation_config.json", "preprocessor_config.json",
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
        "vocab.json", "merges.txt", "modersmal.json", "README.md", "release.json", "recipe.json",
    }  # fmt: skip
    facts = Release.read(folder)
    assert facts.number == 1
    assert facts.run == "sv"
    assert [one.format for one in facts.formats] == ["hf", *FORMATS]
    assert all(one.passed for one in facts.formats)
    assert facts.test is not None
    assert facts.base_test is not None
    assert facts.test.clips == len(SPLITS["test"])
    assert "times of words" in facts.alignment
    assert load(str(released)).language is not None
    assert locate(f"{released}#1") == folder
    heads = json.loads((folder / "generation_config.json").read_text())["alignment_heads"]
    assert (
        json.loads((folder / "ct2" / "int8" / "config.json").read_text())["alignment_heads"]
        == heads
    )
    card = (folder / CARD).read_text()
    assert "model-index" in card
    assert f"The weights are {facts.weights}: {facts.choice}." in card
    assert (folder / "curves").is_dir()
    assert list((folder / "tensorboard").iterdir())


@pytest.mark.chaos
def test_the_same_run_again_is_the_same_release(released: Path, home: Path) -> None:
    again = release(home / "runs" / "sv", released, formats=FORMATS)
    assert again.number == 1
    assert len(Releases.open(str(released)).list()) == 1


@pytest.mark.chaos
def test_killed_wherever_it_notes_something_it_goes_on_and_is_one_release(home: Path) -> None:
    def start(fault: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "modersmal", "release", str(home / "runs" / "sv"),
             "--to", str(home), "--formats", "ct2-int8"],
            env=os.environ | {"MODERSMAL_FAULT": fault}, capture_output=True, text=True,
            timeout=280,
        )  # fmt: skip

    for fault in ("release.before-note:3", "release.before-claim:1", "remote.before-manifest:1"):
        killed = start(fault)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert not any(one.state == "latest" for one in Releases.open(str(home)).list())
    done = start("")
    assert done.returncode == 0, done.stderr
    assert "Looking for the heads" not in done.stderr
    assert [one.state for one in Releases.open(str(home)).list()] == ["latest"]
    assert not (home / "runs" / "sv" / ".release").exists()


@pytest.mark.chaos
def test_a_worse_model_is_refused_and_force_is_told(released: Path, home: Path) -> None:
    shutil.copytree(released / "releases", home / "releases")
    damage(home / "runs" / "sv")
    with pytest.raises(ModelError, match=r"above that of release 1 .* --force REASON"):
        release(home / "runs" / "sv", home, formats=["hf"])
    assert Releases.open(str(home)).latest() == 1
    forced = release(home / "runs" / "sv", home, formats=["hf"], force="to see what happens")
    assert (forced.number, forced.deployed) == (2, True)
    folder = Releases.open(str(home)).folder()
    assert "to see what happens" in (folder / CARD).read_text()
    assert Release.read(folder).parent == 1


@pytest.mark.chaos
def test_what_is_no_worse_than_the_deployed_one_must_not_be_worse_than_the_best(
    released: Path, home: Path
) -> None:
    """Else losses that are each too small to be seen would add up."""
    shutil.copytree(released / "releases", home / "releases")
    damage(home / "runs" / "sv")
    release(home / "runs" / "sv", home, formats=["hf"], force="to have a bad one deployed")
    path = home / "runs" / "sv" / "model" / "model.safetensors"
    weights = load_file(path)
    weights["model.decoder.layers.1.encoder_attn.k_proj.weight"] *= 1.01  # that layer is deaf now
    save_file(weights, path, {"format": "pt"})
    store.write_manifest(path.parent)
    with pytest.raises(ModelError, match="latest is what it was") as caught:
        release(home / "runs" / "sv", home, formats=["hf"])
    assert "above that of release 1" in str(caught.value)
    assert "above that of release 2" not in str(caught.value)
    assert Releases.open(str(home)).latest() == 2


@pytest.mark.chaos
def test_a_format_that_writes_something_else_is_left_out(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.export

    def export(model: Path, to: Path, name: str) -> Path:
        """int8 of another model."""
        if name != "ct2-int8":
            return real(model, to, name)
        other = shutil.copytree(home / "runs" / "sv", home / "other")
        damage(other)
        return real(other / "model", to, name)

    monkeypatch.setattr(module, "export", export)
    made = release(home / "runs" / "sv", home, formats=FORMATS)
    assert [one.format for one in made.facts.formats] == ["hf", "ggml-q8_0"]
    assert [one.format for one in made.facts.refused] == ["ct2-int8"]
    assert "clip" in " ".join(made.facts.refused[0].failures)
    assert "Not released: ct2-int8" in str(made)
    assert not (Releases.open(str(home)).folder() / "ct2" / "int8").exists()


def test_a_store_that_cannot_be_written_is_told_before_the_work(
    released: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = shutil.copytree(released, home / "read-only")
    (home / "file").write_text("")
    with read_only(to):
        for store_ in (to, home / "file"):
            assert main(["release", str(home / "runs" / "sv"), "--to", str(store_)]) == 1
            told = capsys.readouterr()
            assert (told.out, told.err.count("\n")) == ("", 1)
            assert "cannot be written" in told.err
    assert not (home / "runs" / "sv" / ".release").exists()
    assert Releases.open(str(to)).latest() == 1
