"""Stores that are away, answer wrongly or are full, disks that refuse, clocks that jump: training
goes on, or ends with a sentence and goes on from there."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from interruption import EXIT_USER_ERROR, code_of, hash_of, must_be_whole

from modersmal.config import parse_recipe
from modersmal.store.remote import Backoff, Remote
from modersmal.train.checkpoint import Checkpoints
from modersmal.train.train import train

# The S3 server that fails on demand -----------------------------------------------------------


@pytest.fixture
def s3(monkeypatch):
    """A real S3 server in this process, that can be told to fail, to leave and to come back."""
    sys.path.append(str(Path(__file__).parents[1] / "store"))
    from flaky_s3 import flaky_s3

    with flaky_s3() as served:
        served.reset()
        for name, value in {
            "AWS_ENDPOINT_URL": served.url, "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        yield served


def place(backoff=None):
    return Remote.open("s3://bucket/people/anna", backoff=backoff).at("runs/x")


def impatient_place(backoff=None):
    """Uploads from this process, where the patience of a minute can be shortened."""
    there = place(backoff)
    there.address = None
    return there


def model_there(tmp_path):
    place().get_folder("model", tmp_path / "fetched" / "model")
    return hash_of(tmp_path / "fetched")


def marks(s3):
    """The checkpoints that arrived, in that order."""
    arrived = [
        request.split("/")[-2]
        for request in s3.seen
        if request.startswith("PUT") and "checkpoints" in request and "manifest" in request
    ]
    return list(dict.fromkeys(arrived))


@pytest.mark.chaos  # how long steps take is held against the clock
@pytest.mark.parametrize(
    ("away_s", "backoff"),
    [
        (2.0, Backoff(first_s=0.05, longest_s=0.2, within_s=0.5)),
        (75.0, None),  # as it is for everybody
    ],
)
def test_a_store_that_is_away_stops_no_step_and_is_said_once(
    s3, settings, tiny_corpus, expected, tmp_path, capfd, away_s, backoff
):
    """Nobody listens there for a while: connections are refused."""
    longest_s, took_s, last_s = away_s / 4 + 1.0, [], [time.monotonic()]

    def work(report):
        took_s.append(time.monotonic() - last_s[0])
        if report.step == 3:
            s3.leave()
        if report.step == 8:
            s3.come()
        if 3 <= report.step < 8:
            time.sleep(away_s / 5)
        last_s[0] = time.monotonic()

    there = impatient_place(backoff) if backoff else place()
    train(parse_recipe(settings), tiny_corpus(), tmp_path, work, place=there)
    assert max(took_s[3:8]) < longest_s
    assert hash_of(tmp_path) == model_there(tmp_path) == expected
    arrived = marks(s3)
    assert arrived == sorted(arrived)
    assert arrived[-1] == "step-00000010.t00000001"
    said = capfd.readouterr().err
    assert said.count("Uploads fail and are tried again, training goes on") == 1
    assert said.count("Uploads work again") == 1


@pytest.mark.parametrize(
    "kind",
    [
        "empty",
        *(
            pytest.param(kind, marks=pytest.mark.chaos)
            for kind in ("error", "lost", "hang", "truncate", "flip")
        ),
    ],
)
def test_uploads_that_fail_at_first_are_mended(
    s3, settings, tiny_corpus, expected, tmp_path, kind, monkeypatch
):
    """500, a lost answer, a timeout, half a body, success with 0 bytes, a flipped bit."""
    monkeypatch.setattr("modersmal.store.s3.READ_TIMEOUT_S", 1.0)
    s3.trouble("PUT .*checkpoints/", kind, times=3)
    s3.trouble("PUT .*/model/", kind, times=2)
    s3.trouble("GET .*checkpoints/", kind, times=3)
    there = impatient_place() if kind == "hang" else place()
    train(parse_recipe(settings), tiny_corpus(), tmp_path / "first", place=there)
    assert all(trouble.times == 0 for trouble in s3.troubles[:2])
    assert hash_of(tmp_path / "first") == model_there(tmp_path) == expected
    train(parse_recipe(settings), tiny_corpus(), tmp_path / "second", place=place())
    assert hash_of(tmp_path / "second") == expected


# Disks ----------------------------------------------------------------------------------------

REFUSING = ["checkpoint.within-optimizer.safetensors:3"]
REFUSING_LATER = [
    "journal.before:1", "checkpoint.begin:2", "checkpoint.within-model.safetensors:2",
    "checkpoint.after-manifest:3", "checkpoint.after-rename:3",
    "model.before-rename:1", "file.before-sync:1", "file.before-sync:9", "file.before-rename:5",
    "file.before-rename:20",
]  # fmt: skip


@pytest.mark.parametrize("action", ["enospc", pytest.param("eio", marks=pytest.mark.chaos)])
@pytest.mark.parametrize(
    "point",
    [*REFUSING, *(pytest.param(point, marks=pytest.mark.chaos) for point in REFUSING_LATER)],
)
def test_a_disk_that_refuses_once(start, expected, tmp_path, point, action):
    said = tmp_path / "said"
    code = code_of(start(tmp_path / "run", fault=f"{point}:{action}", log=said))
    must_be_whole(tmp_path / "run")
    if point in REFUSING:
        assert code == EXIT_USER_ERROR
        assert len(Checkpoints(tmp_path / "run" / "checkpoints").steps()) == 2
    assert code in (0, EXIT_USER_ERROR)  # 0 where it was a file for those who watch
    assert ("the disk is full" if action == "enospc" else "cannot be written") in said.read_text()
    assert code_of(start(tmp_path / "run")) == 0
    assert hash_of(tmp_path / "run") == expected


FULL_DISK = """
import json, sys
from contextlib import suppress
from pathlib import Path
import torch
from modersmal.config import parse_recipe
from modersmal.errors import StoreError
from modersmal.train.train import train

settings, corpus, disk = json.loads(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
torch.set_num_threads(1)

def fill(report):
    if report.step == 4:
        with suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
            while file.write(bytes(2**16)):
                pass

try:
    train(parse_recipe(settings), corpus, disk / "run", fill)
except StoreError as error:
    print(error)
(disk / "filler").unlink()
train(parse_recipe(settings), corpus, disk / "run")
"""


@pytest.mark.chaos
def test_a_disk_that_is_really_full(settings, tiny_corpus, expected, tmp_path):
    """A small disk in memory; where nobody may have one, the faults above must do."""
    script = [sys.executable, "-c", FULL_DISK, json.dumps(settings), str(tiny_corpus())]
    mount = f"mount -t tmpfs -o size=300m none {tmp_path}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], timeout=60).returncode:
        pytest.skip("no disk of one's own can be mounted here")
    hashed = f"sha256sum {tmp_path}/run/model/model.safetensors"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f'{mount} && "$@" && {hashed}', "sh", *script, tmp_path],
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    refused, hashed = done.stdout.splitlines()
    assert refused.startswith("the disk is full: ")
    assert hashed.split()[0] == expected


# Clocks ---------------------------------------------------------------------------------------

JUMPING_CLOCK = """
import random, time
true, draw = time.time, random.Random(1)
time.time = lambda: true() + draw.choice([-1e8, -7200, 0, 7200, 1e8])  # before anybody has it

import json, sys
from pathlib import Path
import torch
from modersmal.config import parse_recipe
from modersmal.store.remote import Remote
from modersmal.train.train import train

torch.set_num_threads(1)
place = Remote.open(sys.argv[4]).at("runs/x")
train(parse_recipe(json.loads(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]), place=place)
"""


def test_a_wall_clock_that_jumps_decides_nothing(settings, tiny_corpus, expected, tmp_path):
    """By hours and years, at every look at it: neither budget nor lease runs out."""
    keys = settings | {"train": settings["train"] | {"budget": "5m"}}
    arguments = [json.dumps(keys), tiny_corpus(), tmp_path / "run", tmp_path / "there"]
    done = subprocess.run(
        [sys.executable, "-c", JUMPING_CLOCK, *map(str, arguments)],
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "it will be saved, to be continued: the budget" in done.stderr
    assert hash_of(tmp_path / "run") == hash_of(tmp_path / "there/runs/x") == expected
