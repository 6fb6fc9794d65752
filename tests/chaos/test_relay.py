"""Several machines on one run: one trains, another takes over, and nothing of the first one's
that comes later is counted."""

import os
import signal

import pytest
from interruption import (
    EXIT_STOPPED,
    child,
    code_of,
    hash_of,
    is_running,
    steps_learned,
    until,
    wait_until_frozen,
    who_meets,
    woken,
)

from modersmal.config import parse_recipe
from modersmal.errors import Stopped
from modersmal.store.remote import Remote
from modersmal.store.tokens import counted, tokens
from modersmal.train.checkpoint import Checkpoints
from modersmal.train.log import read_metrics
from modersmal.train.train import train


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.chaos)])
def there(request, tmp_path):
    """A store: a folder, and a real S3 server."""
    return request.getfixturevalue("s3_store") if request.param == "s3" else tmp_path / "there"


def place_of(there):
    return Remote.open(str(there)).at("runs/x")


def model_there(there, tmp_path):
    """The hash of the model that is in the store."""
    place_of(there).get_folder("model", tmp_path / "fetched" / "model")
    return hash_of(tmp_path / "fetched")


def checkpoints_there(there):
    return sorted({name.split("/")[1] for name in place_of(there).list("checkpoints")})


def test_another_machine_goes_on_where_the_first_was_stopped(
    settings, tiny_corpus, expected, there, tmp_path
):
    place = place_of(there)

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
    assert hash_of(tmp_path / "second") == model_there(there, tmp_path) == expected
    place.get("metrics.jsonl", tmp_path / "fetched" / "metrics.jsonl")
    rows = read_metrics(tmp_path / "fetched")
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 11))
    kept = Checkpoints(tmp_path / "nothing", place, "checkpoints").steps()
    assert len(kept) in (2, 3)  # the newest two and the best
    assert kept[-1] == 10


@pytest.mark.parametrize(
    "there", ["folder", pytest.param("s3", marks=pytest.mark.chaos)], indirect=True
)
def test_of_two_that_are_started_one_trains_and_the_other_says_who(
    start, expected, there, tmp_path
):
    """The first one is alive and waits for its disk, so that there is time to see both."""
    first = start(tmp_path / "first", store=there, fault="checkpoint.begin:3:stop")
    writer = until(lambda: child(first.pid, "train.writer"))
    wait_until_frozen(writer)
    said = tmp_path / "said"
    assert code_of(start(tmp_path / "second", store=there, log=said)) == EXIT_STOPPED
    assert f"process {first.pid} (token 1" in said.read_text()
    assert steps_learned(tmp_path / "second") == []
    first.kill()
    os.kill(writer, signal.SIGKILL)
    assert code_of(start(tmp_path / "second", store=there)) == 0
    assert tokens(place_of(there)) == [1, 2]
    assert hash_of(tmp_path / "second") == model_there(there, tmp_path) == expected


@pytest.mark.chaos
def test_one_that_is_frozen_is_waited_for_and_when_it_is_killed_the_other_takes_over(
    start, expected, there, tmp_path
):
    first = start(tmp_path / "first", store=there, fault="train.after-step:4:stop")
    wait_until_frozen(first.pid)
    said = tmp_path / "said"
    second = start(tmp_path / "second", store=there, log=said)
    until(lambda: said.exists() and "waiting to see whether it is alive" in said.read_text())
    assert steps_learned(tmp_path / "second") == []
    first.kill()
    assert code_of(second) == 0
    assert hash_of(tmp_path / "second") == model_there(there, tmp_path) == expected


FREEZING_POINTS = [  # what a lease on S3 takes to run out is a minute
    *(("s3", point) for point in ("train.after-step:5", "remote.after-file:2")),
    *(
        ("folder", point)
        for point in (
            "train.after-step:5", "snapshot.after:5", "queue.after-rename:3",
            "remote.before-files:3", "remote.after-file:7", "remote.before-manifest:3",
            "remote.before-delete:2", "lease.before-renew:2", "file.before-rename:30",
            "model.before-rename:1",
        )
    ),
]  # fmt: skip


@pytest.mark.chaos
@pytest.mark.parametrize(("there", "point"), FREEZING_POINTS, indirect=["there"])
def test_a_holder_that_was_frozen_leaves_nothing_that_counts(
    start, expected, there, tmp_path, point
):
    """It sleeps until its lease has run out and another has ended the run, and then wakes up."""
    said = tmp_path / "said"
    first = start(tmp_path / "first", store=there, fault=f"{point}:stop", log=said)
    frozen = who_meets(first, point)
    wait_until_frozen(frozen)
    os.kill(first.pid, signal.SIGSTOP)  # all of the machine
    with woken(frozen), woken(first.pid):
        assert code_of(start(tmp_path / "second", store=there), 200) == 0
        before = checkpoints_there(there)
    assert code_of(first) == EXIT_STOPPED, said.read_text()
    assert "holds this run" in said.read_text()
    assert sorted(counted(place_of(there), checkpoints_there(there))) == before
    assert model_there(there, tmp_path) == expected
    assert code_of(start(tmp_path / "third", store=there)) == 0  # and sweeps what is left
    assert checkpoints_there(there) == before
    assert hash_of(tmp_path / "third") == expected


@pytest.mark.chaos
def test_a_writer_that_was_frozen_dies_with_its_training(start, expected, tmp_path):
    """On one disk, without a remote: a draft is all that a stale writer can leave."""
    first = start(tmp_path, fault="checkpoint.within-optimizer.safetensors:4:stop")
    writer = until(lambda: child(first.pid, "train.writer"))
    wait_until_frozen(writer)
    with woken(writer):
        first.kill()
        assert code_of(first) == -signal.SIGKILL
        assert code_of(start(tmp_path)) == 0
    until(lambda: not is_running(writer))
    assert hash_of(tmp_path) == expected
    assert code_of(start(tmp_path)) == 0
    assert not list(tmp_path.rglob(".draft*"))
