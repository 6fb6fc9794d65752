import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from children import children, command_line
from modersmal.errors import CorpusError, TrainingError
from modersmal.train.loader import Workers
from modersmal.train.reader_process import ReaderProcess

TWO_PROCESSES = Workers(2, processes=True)
TRAINER = Path(__file__).parent / "loading_process.py"


def loader_processes(of="self"):
    return children("multiprocessing-fork", of) or children("spawn_main", of)


def wait_until(happened, timeout_s=30.0):
    end_s = time.monotonic() + timeout_s
    while not happened() and time.monotonic() < end_s:
        time.sleep(0.02)
    return happened()


def read_elsewhere(batch):
    """Whether a step comes from another process: it looks into memory that is shared."""
    base = batch.samples[0].samples
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, memoryview)


def until_read_elsewhere(steps):
    return next(batch for batch in steps if read_elsewhere(batch))


def is_alive(pid):
    return bool(command_line(pid))


@pytest.mark.parametrize("workers", [Workers(1), Workers(3), TWO_PROCESSES])
def test_steps_read_ahead_are_those_read_when_asked_for(make_loader, workers):
    shares = {"packed_share": 0.4, "full_share": 0.2}
    reader = make_loader(**shares).reader
    steps = make_loader(workers, **shares).steps(2, 10**6)
    elsewhere = 0
    for number, batch in enumerate(steps):
        assert_same(batch, reader.load(2 + number))
        elsewhere += read_elsewhere(batch)
        if elsewhere == 7 or (number == 7 and not workers.processes):
            break
    steps.close()
    assert bool(elsewhere) is workers.processes
    assert loader_processes() == []


def assert_same(one, other):
    """Two batches are the same to the last bit, and can be written to."""
    for mine, others in zip(one.samples, other.samples, strict=True):
        assert np.array_equal(mine.samples, others.samples)
        assert mine.samples.flags.writeable
        assert replace(mine, samples=None) == replace(others, samples=None)
    assert replace(one, samples=[]) == replace(other, samples=[])


def test_an_error_in_a_process_comes_back_as_itself(make_loader, tmp_path):
    reader = make_loader().reader
    reader.split.folder = tmp_path  # where no shards are
    process = ReaderProcess(reader)
    try:
        assert process._connection.poll(30)  # it has started
        with pytest.raises(CorpusError, match=r"^[^\n]*\.parquet[^\n]*$"):
            process.load(0)
        with pytest.raises(TypeError) as fault:
            process.load("no step")
        assert "in a process that reads clips ahead" in fault.value.__notes__[0]
    finally:
        process.close()


@pytest.mark.parametrize("workers", [Workers(0), Workers(2)])
def test_an_error_is_raised_when_its_step_comes(make_loader, monkeypatch, workers):
    loader = make_loader(workers)
    load = loader.reader.load

    def load_all_but_one(step):
        if step == 3:
            raise CorpusError("a shard cannot be read")
        return load(step)

    monkeypatch.setattr(loader.reader, "load", load_all_but_one)
    steps = loader.steps(0, 100)
    assert [next(steps).planned.step for _ in range(3)] == [0, 1, 2]
    with pytest.raises(CorpusError, match="a shard cannot be read"):
        next(steps)
    assert loader_processes() == []


def test_a_killed_process_is_one_sentence_and_no_hang(make_loader):
    steps = make_loader(TWO_PROCESSES).steps(0, 10**6)
    until_read_elsewhere(steps)
    os.kill(loader_processes()[0], signal.SIGKILL)
    with pytest.raises(TrainingError, match=r"was killed \(exit code -9\)") as error:
        list(steps)
    assert "\n" not in str(error.value)
    assert loader_processes() == []


def test_a_loader_that_is_left_ends_its_processes(make_loader):
    steps = make_loader(TWO_PROCESSES).steps(0, 10**6)
    until_read_elsewhere(steps)
    assert len(loader_processes()) == 2
    steps.close()
    assert loader_processes() == []
    assert not [one for one in threading.enumerate() if one.name.startswith("loader")]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_the_training(tiny_corpus, tiny_whisper, number):
    """Signals go to the whole group, as a terminal sends them; the trainer alone heeds them."""
    trainer = subprocess.Popen(
        [sys.executable, str(TRAINER), str(tiny_corpus()), str(tiny_whisper())],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert trainer.stdout
    trainer.stdout.readline()
    workers = loader_processes(trainer.pid)
    assert len(workers) == 2
    if number == signal.SIGKILL:
        trainer.kill()
    else:
        os.killpg(trainer.pid, number)
    trainer.wait(30)
    assert wait_until(lambda: not any(map(is_alive, workers)))


@pytest.mark.parametrize(
    ("setting", "cores", "env", "expected"),
    [
        ("auto", 1, {}, Workers(1)),
        ("auto", 2, {}, Workers(1)),  # Colab
        ("auto", 8, {}, Workers(4, processes=True)),
        ("auto", 64, {}, Workers(8, processes=True)),
        ("auto", 16, {"LOCAL_WORLD_SIZE": "4"}, Workers(2, processes=True)),
        ("auto", 4, {"LOCAL_WORLD_SIZE": "4"}, Workers(1)),
        (0, 8, {}, Workers(0)),
        (3, 2, {}, Workers(3)),
        (3, 8, {}, Workers(3, processes=True)),
    ],
)
def test_who_reads_ahead_follows_the_cores(setting, cores, env, expected):
    assert Workers.choose(setting, cores=cores, env=env) == expected
