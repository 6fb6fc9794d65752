"""A run whose store is far away: a machine vanishes, another one with nothing on it goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import modersmal
from modersmal import store
from modersmal.errors import ModelError
from modersmal.store.workspace import WORK_VARIABLE, Workspace
from small_release import CLIPS, write_small_release

RECIPE = """
model = "{model}"
store = "{store}"
name = "small"
[data]
sources = ["release"]
workers = 1
[train]
max_steps = 8
learning_rate = 1e-3
batch_s = 5.0
save_every = 2
evaluate_every = 4
dev_clips = 2
loader_workers = 0
device = "cpu"
full_share = 0.0
packed_share = 0.0
context_floor_s = 1.0
"""


def run(folder: Path, machine: str, *, fault: str = "") -> subprocess.CompletedProcess[str]:
    """`modersmal run` on a machine, which is a work folder of its own."""
    env = os.environ | {"OMP_NUM_THREADS": "1", WORK_VARIABLE: str(folder / machine)}
    return subprocess.run(
        [sys.executable, "-m", "modersmal", "run", str(folder / "recipe.toml")],
        env=env | {"MODERSMAL_FAULT": fault}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip


def prepare_folder(folder: Path, model: Path, url: str) -> None:
    write_small_release(folder / "release")
    (folder / "recipe.toml").write_text(RECIPE.format(model=model, store=url))


def weights(workspace: Workspace) -> str:
    return store.sha256(workspace.run("small") / "model" / "model.safetensors")


@pytest.mark.parametrize("kind", ["s3", pytest.param("drive", marks=pytest.mark.chaos)])
def test_another_machine_goes_on_with_nothing_but_the_recipe(
    kind: str,
    request: pytest.FixtureRequest,
    tiny_whisper: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_whisper(terse=True)
    alone, far = tmp_path / "alone", tmp_path / "far"
    prepare_folder(alone, model, "store")
    assert run(alone, "here").returncode == 0
    expected = weights(Workspace.open(str(alone / "store")))

    url = f"drive://{tmp_path}/drive" if kind == "drive" else request.getfixturevalue("s3_store")
    prepare_folder(far, model, url)
    vanished = run(far, "first", fault="queue.before-remove:2")
    assert vanished.returncode == -signal.SIGKILL, vanished.stderr
    assert "Sending corpora/small" in vanished.stderr
    shutil.rmtree(far / "first")
    shutil.rmtree(far / "release")

    done = run(far, "second")
    assert done.returncode == 0, done.stderr
    assert "release is gone; the corpus, made earlier, is taken as it is" in done.stderr
    assert f" and in {url}/runs/small/model\n" in done.stdout
    assert "Fetching corpora/small" in done.stderr
    assert "Fetching runs/small/scores/base-dev" in done.stderr
    assert "Going on from step" in done.stderr

    monkeypatch.setenv(WORK_VARIABLE, str(far / "third"))
    third = Workspace.open(url)
    assert third.pull("runs/small/model")
    assert weights(third) == expected
    assert third.pull("runs/small/scores/test")
    scores = third.run("small") / "scores" / "test" / "evaluation.json"
    assert json.loads(scores.read_text())["scores"][0]["result"]["score"]["clips"] == CLIPS["test"]
    evaluation = modersmal.evaluate(f"{url}/runs/small", [f"{url}/corpora/small"], split="dev")
    assert evaluation.scores[0].result.score.clips == CLIPS["dev"]
    assert modersmal.inspect(f"{url}/corpora/small").language == "sv"
    with pytest.raises(ModelError, match="no finished model at"):
        modersmal.evaluate(f"{url}/runs/other", [f"{url}/corpora/small"])
