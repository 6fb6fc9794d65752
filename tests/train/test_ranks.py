"""Several processes, really started by torchrun, that train one run together."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from modersmal.config import parse_recipe
from modersmal.errors import Stopped
from modersmal.train.log import read_metrics
from modersmal.train.ranks import Ranks, own_device, speaks, world_size
from modersmal.train.shapes import GEOMETRIES, Shapes
from modersmal.train.stopping import Wish
from modersmal.train.train import train

TESTS = Path(__file__).parent.parent
STEPS = 24


def settings(model):
    return {
        "language": "sv",
        "model": str(model),
        "train": {
            "max_steps": STEPS, "batch_s": 6.0, "save_every": 12, "evaluate_every": 12,
            "dev_clips": 2, "device": "cpu", "learning_rate": 1e-3, "full_share": 0.1,
            "packed_share": 0.3, "timestamp_share": 0.3, "prompt_share": 0.5,
            "silence_share": 0.1, "augment": {"speed_share": 0.5, "noise_share": 0.5},
            "context_floor_s": 1.0, "context_step_s": 0.5, "warmup_steps": 10,
        },
    }  # fmt: skip


def torchrun(folder, script, *arguments):
    """Run two processes to their end; returns what they wrote."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*command, str(TESTS / script), *map(str, arguments)],
        cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=200,
    )  # fmt: skip


def train_with_two(keys, corpus, run, folder, **at):
    """Returns what became of each process, and what they said."""
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps(keys))
    options = [part for key, value in at.items() for part in (f"--{key}", value)]
    done = torchrun(
        folder, "rank_process.py", folder / "settings.json", corpus, run, folder, *options
    )
    outcomes = [folder / f"outcome-{rank}.json" for rank in range(2)]
    return [json.loads(path.read_text()) if path.exists() else None for path in outcomes], done


def stop_at(step):
    def on_step(report):
        if report.step == step:
            signal.raise_signal(signal.SIGTERM)

    return on_step


@pytest.mark.chaos
def test_one_process_then_two_then_one_end_as_one_alone(tiny_whisper, tiny_corpus, tmp_path):
    """With a stop between them: asked of the one, and of the second of the two."""
    keys, corpus = settings(tiny_whisper(terse=True)), tiny_corpus()
    shapes = Shapes.of(parse_recipe(keys).train)
    for steps in (range(8), range(8, 16), range(16, STEPS)):  # each session has all of them
        assert {shapes.geometry(0, step) for step in steps} == set(GEOMETRIES)
    alone = train(parse_recipe(keys), corpus, tmp_path / "alone")
    run = tmp_path / "run"
    with pytest.raises(Stopped, match="step 8 of 24"):
        train(parse_recipe(keys), corpus, run, stop_at(8))
    outcomes, done = train_with_two(
        keys, corpus, run, tmp_path / "two", at=16, send=int(signal.SIGTERM), to=1
    )
    assert [outcome["code"] for outcome in outcomes] == [3, 3], done.stderr
    assert outcomes[0]["error"].startswith("stopped at step 1")
    assert outcomes[0]["error"] == outcomes[1]["error"]
    assert "Training on cpu and 1 more like it" in done.stderr
    assert done.stderr.count("Going on from step 8") == 1
    together = train(parse_recipe(keys), corpus, run)
    assert together.steps == alone.steps == STEPS
    losses = [
        [row["loss"] for row in read_metrics(path) if "loss" in row] for path in (alone.run, run)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    one, other = (load_file(path / "model" / "model.safetensors") for path in (alone.run, run))
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-5


def test_two_processes_finish_a_run_and_both_know(tiny_whisper, tiny_corpus, tmp_path):
    """A batch of one clip leaves the second process without any."""
    keys = settings(tiny_whisper(terse=True))
    keys["train"] |= {"max_steps": 3, "batch_s": 1.0, "evaluate_every": 0}
    outcomes, done = train_with_two(keys, tiny_corpus(), tmp_path / "run", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert outcomes[0] == outcomes[1]
    assert outcomes[0]["steps"] == 3
    assert len(list((tmp_path / "run" / "leases").glob("t????????.json"))) == 1


@pytest.mark.chaos
def test_a_process_that_is_killed_ends_the_other_and_nothing_saved_is_lost(
    tiny_whisper, tiny_corpus, tmp_path
):
    keys = settings(tiny_whisper(terse=True))
    keys["train"] |= {"max_steps": 8, "save_every": 2, "evaluate_every": 0}
    outcomes, done = train_with_two(
        keys, tiny_corpus(), tmp_path / "run", tmp_path / "two", at=5,
        send=int(signal.SIGKILL), to=1,
    )  # fmt: skip
    assert outcomes[0] is not None, done.stderr
    assert outcomes[0]["code"] == 1
    assert "another process of this training has ended" in outcomes[0]["error"]
    assert outcomes[1] is None
    steps = []
    train(
        parse_recipe(keys),
        tiny_corpus(),
        tmp_path / "run",
        lambda report: steps.append(report.step),
    )
    assert steps[0] in (3, 5)


@pytest.mark.chaos
def test_what_one_process_lacks_is_said_by_the_other(tiny_whisper, tiny_corpus, tmp_path):
    keys = settings(tiny_whisper(terse=True))
    both = {"0": keys, "1": keys | {"model": str(tmp_path / "missing")}}
    outcomes, _ = train_with_two(both, tiny_corpus(), tmp_path / "run", tmp_path / "two")
    assert [outcome["code"] for outcome in outcomes] == [1, 1]
    assert outcomes[0]["error"] == f"process 2 of 2 has failed: {outcomes[1]['error']}"


def test_processes_agree_on_sums_orders_failures_and_wishes(tmp_path):
    done = torchrun(tmp_path, "rank_agreement.py", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"agreed-0", "agreed-1"}, done.stderr


def test_alone_nothing_is_sent_and_nothing_waited_for():
    with Ranks.joined(torch.device("cpu"), Wish(), {}) as ranks:
        assert (ranks.world, ranks.leads, ranks.share) == (1, True, slice(0, None, 1))
        assert ranks.together(lambda: 5) == 5
        parameter = torch.nn.Parameter(torch.zeros(2))
        ranks.sum_gradients([parameter], torch.zeros(()))
        assert parameter.grad is None
        assert not torch.distributed.is_initialized()


def test_what_torchrun_says_is_understood():
    one, second = {}, {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
    assert (world_size(one), world_size(second)) == (1, 4)
    assert speaks(one)
    assert speaks(second | {"RANK": "0"})
    assert not speaks(second)
    gpu = torch.device("cuda")
    assert own_device(gpu, second) == torch.device("cuda:1")
    assert own_device(gpu, one) == gpu
    assert own_device(torch.device("cpu"), second) == torch.device("cpu")
