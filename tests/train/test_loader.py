import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from children import children, command_line
from modersmal.errors import CorpusError, TrainingError
from modersmal.train.loader import Workers

TWO_PROCESSES = Workers(2, processes=True)
TRAINER = Path(__file__).parent / "loading_process.py"


def loader_processes(of="self"):
    return children("multiprocessing-fork", of) or children("spawn_main", of)


def wait_until(happened, timeout_s=30.0):
    end_s = time.monotonic() + timeout_s
    while not happened() and time.monotonic() < end_s:
        time.sleep(0.02)
    return happened()


def until_read_elsewhere(steps):
    """Take steps until one came from another process."""
    for batch in steps:
        if batch.clips[0].base is not None:  # it looks into memory that is shared
            return batch
    raise AssertionError("every step was read here")


def is_alive(pid):
    return bool(command_line(pid))


@pytest.mark.parametrize("workers", [Workers(1), Workers(3), TWO_PROCESSES])
def test_steps_read_ahead_are_those_read_when_asked_for(make_loader, workers):
    expected = list(make_loader(Workers(0)).steps(2, 9))
    steps = make_loader(workers).steps(2, 9)
    if workers.processes:
        first = next(steps)
        time.sleep(4)  # the processes have started, so that the others come from them
        ahead = [first, *steps]
    else:
        ahead = list(steps)
    assert len(ahead) == 7
    for one, other in zip(expected, ahead, strict=True):
        assert one.planned.step == other.planned.step
        assert one.labels == other.labels
        assert one.audio_s == other.audio_s
        assert all(map(np.array_equal, one.clips, other.clips))
        assert all(clip.flags.writeable for clip in other.clips)
    assert loader_processes() == []


def test_an_error_of_a_process_comes_back_as_itself_when_its_step_comes(make_loader):
    loader = make_loader(TWO_PROCESSES)
    wrong = 40
    row = int(loader.reader.plan.batch(wrong).rows[0])
    durations = loader.reader.split.durations_s.copy()
    durations[row] += 1
    loader.reader.split.durations_s = durations
    first_wrong = next(
        step for step in range(wrong + 1) if row in loader.reader.plan.batch(step).rows
    )
    read = []
    with pytest.raises(CorpusError, match=r"lasts .* s, the corpus says") as error:
        for batch in loader.steps(0, 100):
            read.append(batch.planned.step)
            time.sleep(3 if not read[1:] else 0)
    assert read == list(range(first_wrong))
    assert "\n" not in str(error.value)
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


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
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
