"""Wherever a training is killed: started again, it ends with the same bits."""

import random
import re
import signal
import time
from pathlib import Path

import pytest
from interruption import (
    EXIT_USER_ERROR,
    STEPS,
    UPLOADER_POINTS,
    code_of,
    drafts_of_the_model,
    hash_of,
    metrics_of,
    must_be_whole,
    steps_learned,
    where_it_was,
)

import modersmal
import training_process

KILLED = -signal.SIGKILL
WRITER_POINTS = [  # in the process that writes checkpoints; its end ends the training
    "checkpoint.begin", "checkpoint.within-model.safetensors",
    "checkpoint.after-model.safetensors", "checkpoint.within-optimizer.safetensors",
    "checkpoint.after-optimizer.safetensors", "checkpoint.after-state.json",
    "checkpoint.after-manifest", "checkpoint.after-rename", "checkpoint.within-removal",
]  # fmt: skip
TRAINING_POINTS = [
    "journal.before", "journal.after", "snapshot.before", "snapshot.after", "train.after-step",
    "lease.before-claim", "lease.after-claim", "lease.before-adopt", "lease.before-renew",
    "lease.after-renew",
]  # fmt: skip
FILE_POINTS = ["file.before-sync", "file.before-rename", "file.after-rename"]  # in either
LAST_POINTS = ["lease.before-release", "model.after-manifest", "model.before-rename"]
SENDING_POINTS = [
    "queue.before-rename", "queue.after-rename", "queue.before-remove", "remote.before-files",
    "remote.after-file", "remote.before-manifest", "remote.after-manifest",
    "remote.before-delete",
]  # fmt: skip
FETCHING_POINTS = ["remote.before-got", "remote.before-got-folder"]
RELEASING_POINTS = [  # in store/test_releases.py, and release/test_{draft,release,publish}.py
    "release.before-note", "release.before-claim", "release.after-claim", "release.before-move",
    "release.after-move", "publish.before-files", "publish.before-tag", "publish.after-tag",
    "publish.before-main", "publish.after-batch",
]  # fmt: skip
FORGETTING_POINTS = [  # in forget/test_forget.py
    "forget.after-note", "forget.after-shard", "forget.before-corpus", "forget.before-manifest",
    "forget.after-move", "forget.after-manifest", "forget.after-text",
]  # fmt: skip
IMPROVING_POINTS = [  # in improve/test_improve_whole.py
    "improve.after-corpus", "improve.after-training", "improve.after-release",
    "improve.after-measuring", "improve.before-note", "improve.before-live", "improve.after-live",
]  # fmt: skip
ELSEWHERE_POINTS = [
    *SENDING_POINTS, *FETCHING_POINTS, *RELEASING_POINTS, *FORGETTING_POINTS, *IMPROVING_POINTS,
]  # fmt: skip
HERE_POINTS = [*TRAINING_POINTS, *WRITER_POINTS, *FILE_POINTS, *LAST_POINTS]


def test_no_write_point_is_left_out():
    source = "".join(path.read_text() for path in Path(modersmal.__file__).parent.rglob("*.py"))
    there = re.findall(r'\bfault\(f?"([^"]+)"\)', source)
    assert len(there) == len(re.findall(r"(?<!def )\bfault\(", source))
    patterns = [re.sub(r"\\{.*?\\}", ".+", re.escape(point)) for point in there]
    known = [*HERE_POINTS, *ELSEWHERE_POINTS]
    assert [point for point in known if not any(re.fullmatch(one, point) for one in patterns)] == []
    assert [one for one in patterns if not any(re.fullmatch(one, point) for point in known)] == []


def kill_at(start, run, point, count=1, **how):
    """Kill a training, or its writer, which ends it, at a named point; say if that was reached."""
    code = code_of(start(run, fault=f"{point}:{count}:kill", **how))
    reached = code in ((KILLED, EXIT_USER_ERROR) if point not in TRAINING_POINTS else (KILLED,))
    assert reached or code == 0
    must_be_whole(run)
    return reached


@pytest.mark.parametrize(
    "points", [HERE_POINTS[::4], pytest.param(HERE_POINTS, marks=pytest.mark.chaos)], ids=len
)
def test_killed_at_one_point_after_the_other(start, expected, tmp_path, points):
    """One run, as unlucky as can be; where a checkpoint was whole, it goes on from there."""
    assert [point for point in points if not kill_at(start, tmp_path, point)] == []
    assert code_of(start(tmp_path)) == 0
    assert hash_of(tmp_path) == expected
    assert not list(tmp_path.rglob(".draft*"))
    assert steps_learned(tmp_path) == list(range(1, STEPS + 1))


@pytest.mark.chaos
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("point", HERE_POINTS)
def test_killed_at_one_point(start, expected, tmp_path, point, count):
    kill_at(start, tmp_path, point, count)
    assert code_of(start(tmp_path)) == 0
    assert hash_of(tmp_path) == expected


@pytest.mark.chaos
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("point", SENDING_POINTS)
def test_killed_on_the_way_to_the_remote(start, expected, tmp_path, point, count):
    """The next machine has nothing but what has arrived there; an uploader is started again."""
    there, said = tmp_path / "there", tmp_path / "said"
    if not kill_at(start, tmp_path / "first", point, count, store=there, log=said):
        assert point in UPLOADER_POINTS
        assert "the process that uploads has ended (exit code -9)" in said.read_text()
    assert code_of(start(tmp_path / "second", store=there)) == 0
    assert hash_of(tmp_path / "second") == hash_of(there / "runs/x") == expected


@pytest.mark.chaos
@pytest.mark.parametrize("point", FETCHING_POINTS)
def test_killed_on_the_way_from_the_remote(start, expected, tmp_path, point):
    there = tmp_path / "there"
    assert kill_at(start, tmp_path / "first", "train.after-step", 6, store=there)
    assert kill_at(start, tmp_path / "second", point, store=there)
    assert code_of(start(tmp_path / "second", store=there)) == 0
    assert hash_of(tmp_path / "second") == hash_of(there / "runs/x") == expected


@pytest.fixture(scope="module")
def life_s(expected, settings, tiny_corpus, tmp_path_factory):
    """How long a run lives that nobody kills."""
    for _ in range(2):  # the first one waits for torch to be imported
        run, began_s = tmp_path_factory.mktemp("life"), time.monotonic()
        assert code_of(training_process.start(settings, tiny_corpus(), run)) == 0
    return time.monotonic() - began_s


@pytest.mark.chaos  # train/test_train.py has a few for every day
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_random_moments(start, expected, life_s, record_property, tmp_path, seed):
    """Again and again, until there is a model in spite of it; and then the next run."""
    draw = random.Random(seed)
    killed, runs = 0, 1
    while killed < 10:
        run = tmp_path / str(runs)
        before = metrics_of(run)
        process = start(run)
        process.join(draw.uniform(0.0, life_s))
        process.kill()
        if code_of(process) == KILLED:
            killed += 1
            record_property("killed training", where_it_was(run, before))
            must_be_whole(run)
        if drafts_of_the_model(run) or (run / "model").exists() or killed == 10:
            assert code_of(start(run)) == 0
            assert hash_of(run) == expected
            assert not drafts_of_the_model(run)
            runs += 1


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments_on_one_machine_after_another(
    start, expected, life_s, tmp_path, seed
):
    draw = random.Random(seed)
    there = tmp_path / "there"
    for machine in range(8):
        process = start(tmp_path / str(machine), store=there)
        process.join(draw.uniform(0.0, life_s))
        process.kill()
        assert code_of(process) in (0, KILLED)
    assert code_of(start(tmp_path / "last", store=there)) == 0
    assert hash_of(there / "runs/x") == expected
