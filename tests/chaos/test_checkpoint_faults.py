"""Whatever ends a training, wherever it is in it: started again, it ends with the same bits."""

import os
import random
import signal
import time

import pytest
import torch

import training_process
from modersmal import store
from modersmal.config import parse_recipe
from modersmal.errors import Stopped
from modersmal.store.remote import Remote
from modersmal.store.tokens import counted
from modersmal.train.checkpoint import Checkpoints
from modersmal.train.log import read_metrics
from modersmal.train.train import train

STEPS = 10
EXIT_USER_ERROR, EXIT_STOPPED = 1, 3

WRITER_POINTS = [  # from here on a checkpoint is whole; before, it does not exist
    "checkpoint.begin", "checkpoint.within-model.safetensors",
    "checkpoint.after-model.safetensors", "checkpoint.within-optimizer.safetensors",
    "checkpoint.after-optimizer.safetensors", "checkpoint.after-state.json",
    "checkpoint.after-manifest", "checkpoint.after-rename", "checkpoint.within-removal",
]  # fmt: skip
TRAINING_POINTS = [
    "journal.before", "journal.after", "snapshot.before", "snapshot.after", "train.after-step",
    "lease.before-claim", "lease.after-claim", "lease.before-adopt", "lease.before-renew",
    "lease.after-renew", "lease.before-release", "model.after-manifest", "model.before-rename",
]  # fmt: skip
REMOTE_POINTS = [
    "queue.before-rename", "queue.after-rename", "queue.before-remove", "remote.before-files",
    "remote.after-file", "remote.before-manifest", "remote.after-manifest",
    "remote.before-delete",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Bits are the same for the same number of threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def settings(tiny_whisper):
    return {
        "language": "sv",
        "model": str(tiny_whisper(terse=True)),
        "train": {
            "max_steps": STEPS, "batch_s": 4.0, "save_every": 1, "evaluate_every": 5,
            "dev_clips": 2, "device": "cpu", "learning_rate": 1e-3, "full_share": 0.0,
            "context_floor_s": 1.0, "context_step_s": 0.5,
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def expected(settings, tiny_corpus, tmp_path_factory):
    """The hash of the model of a run that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole")
    train(parse_recipe(settings), tiny_corpus(), run)
    return store.sha256(run / "model" / "model.safetensors")


@pytest.fixture
def start(settings, tiny_corpus):
    """Start a training of the run in a folder; all are ended with the test."""
    started = []

    def begin(run, **how):
        started.append(training_process.start(settings, tiny_corpus(), run, **how))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.join()


def code_of(process, timeout_s=60):
    process.join(timeout_s)
    assert process.exitcode is not None, "it does not end"
    return process.exitcode


def hash_of(run):
    return store.sha256(run / "model" / "model.safetensors")


def must_be_whole(run):
    """Every checkpoint that bears a name is whole; what is not is a draft."""
    for name in Checkpoints(run / "checkpoints").local_names():
        store.verify_manifest(run / "checkpoints" / str(name))


def kill_at(start, run, point, count=1, **how):
    """Kill a training, or its writer, which ends it, at a named point; say if that was reached."""
    code = code_of(start(run, fault=f"{point}:{count}:kill", **how))
    reached = code == (EXIT_USER_ERROR if point in WRITER_POINTS else -signal.SIGKILL)
    assert reached or code == 0
    must_be_whole(run)
    return reached


def test_killed_at_every_point_in_turn(start, expected, tmp_path):
    """One run, as unlucky as can be; where a checkpoint was whole, it goes on from there."""
    points = [*TRAINING_POINTS[:-3], *WRITER_POINTS, *TRAINING_POINTS[-3:]]
    assert [point for point in points if not kill_at(start, tmp_path, point)] == []
    assert code_of(start(tmp_path)) == 0
    assert hash_of(tmp_path) == expected
    assert not list((tmp_path / "checkpoints").glob(".draft*"))
    assert [row["step"] for row in read_metrics(tmp_path) if "loss" in row] == list(
        range(1, STEPS + 1)
    )


@pytest.mark.chaos
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("point", [*TRAINING_POINTS, *WRITER_POINTS])
def test_killed_at_one_point(start, expected, tmp_path, point, count):
    kill_at(start, tmp_path, point, count)
    assert code_of(start(tmp_path)) == 0
    assert hash_of(tmp_path) == expected


@pytest.mark.chaos
@pytest.mark.parametrize("point", REMOTE_POINTS)
def test_killed_on_the_way_to_the_remote(start, expected, tmp_path, point):
    """The next machine has nothing but what has arrived there."""
    there = tmp_path / "there"
    assert kill_at(start, tmp_path / "first", point, store=there)
    assert code_of(start(tmp_path / "second", store=there)) == 0
    assert hash_of(tmp_path / "second") == expected
    assert hash_of(there / "runs/x") == expected


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_random_moments(start, expected, tmp_path, seed):
    draw = random.Random(seed)
    for _ in range(10):
        process = start(tmp_path)
        process.join(draw.uniform(0.2, 2.5))
        process.kill()
        assert code_of(process) in (0, -signal.SIGKILL)
        must_be_whole(tmp_path)
    assert code_of(start(tmp_path)) == 0
    assert hash_of(tmp_path) == expected


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments_on_one_machine_after_another(start, expected, tmp_path, seed):
    draw = random.Random(seed)
    there = tmp_path / "there"
    for machine in range(8):
        process = start(tmp_path / str(machine), store=there)
        process.join(draw.uniform(0.5, 3.0))
        process.kill()
        assert code_of(process) in (0, -signal.SIGKILL)
    assert code_of(start(tmp_path / "last", store=there)) == 0
    assert hash_of(there / "runs/x") == expected


def test_another_machine_goes_on_where_the_first_was_stopped(
    settings, tiny_corpus, expected, tmp_path
):
    place = Remote.open(str(tmp_path / "there")).at("runs/x")

    def stop(report):
        if report.step == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match="step 6"):
        train(parse_recipe(settings), tiny_corpus(), tmp_path / "first", stop, place=place)
    steps = []
    train(
        parse_recipe(settings), tiny_corpus(), tmp_path / "second",
        lambda report: steps.append(report.step), place=place,
    )  # fmt: skip
    assert steps == [7, 8, 9, 10]
    assert hash_of(tmp_path / "second") == hash_of(tmp_path / "there/runs/x") == expected
    rows = read_metrics(tmp_path / "there/runs/x")
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 11))
    there = Checkpoints(tmp_path / "nothing", place, "checkpoints").steps()
    assert len(there) in (2, 3)  # the newest two and the best
    assert there[-2:] == [9, 10]


def until(condition, timeout_s=30.0):
    ends_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends_s, "it does not come"
        time.sleep(0.02)


def test_of_two_that_are_started_one_trains_and_the_other_takes_over(start, expected, tmp_path):
    there = tmp_path / "there"
    first = start(tmp_path / "first", store=there)
    until(lambda: (tmp_path / "first/metrics.jsonl").exists())
    os.kill(first.pid, signal.SIGSTOP)
    second = start(tmp_path / "second", store=there)
    time.sleep(1.0)
    assert not (tmp_path / "second/metrics.jsonl").exists()
    first.kill()
    assert code_of(second) == 0
    assert hash_of(there / "runs/x") == expected


@pytest.mark.chaos
def test_a_holder_that_was_frozen_leaves_nothing_that_counts(start, expected, tmp_path):
    there = tmp_path / "there"
    first = start(tmp_path / "first", store=there)
    until(lambda: (tmp_path / "first/metrics.jsonl").exists())
    os.kill(first.pid, signal.SIGSTOP)
    assert code_of(start(tmp_path / "second", store=there), 120) == 0
    before = sorted(path.name for path in (there / "runs/x/checkpoints").iterdir())
    os.kill(first.pid, signal.SIGCONT)
    assert code_of(first) == EXIT_STOPPED
    assert hash_of(there / "runs/x") == expected
    place = Remote.open(str(there)).at("runs/x")
    after = [path.name for path in (there / "runs/x/checkpoints").iterdir()]
    assert sorted(counted(place, after)) == before


@pytest.mark.parametrize("action", ["enospc", "eio"])
def test_a_disk_that_refuses_once(start, expected, tmp_path, action):
    point = "checkpoint.within-optimizer.safetensors"
    assert code_of(start(tmp_path, fault=f"{point}:3:{action}")) == EXIT_USER_ERROR
    assert len(Checkpoints(tmp_path / "checkpoints").steps()) == 2
    must_be_whole(tmp_path)
    assert code_of(start(tmp_path)) == 0
    assert hash_of(tmp_path) == expected


def test_flipped_bits_are_told_and_cost_nothing(
    start, settings, tiny_corpus, expected, tmp_path, capfd
):
    code_of(start(tmp_path, fault="train.after-step:6:kill"))
    newest = tmp_path / "checkpoints" / str(Checkpoints(tmp_path / "checkpoints").names()[-1])
    weights = newest / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    train(parse_recipe(settings), tiny_corpus(), tmp_path)
    assert "The checkpoint of step 5 is damaged" in capfd.readouterr().err
    assert hash_of(tmp_path) == expected
