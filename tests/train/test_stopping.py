"""Every way in which a training is asked to stop, in processes that are really asked."""

import os
import pty
import signal
import subprocess
import sys
import threading
import time

import pytest

from modersmal.train.stopping import StopNow, Wish, stop_signals

WORK = """
import sys, time
from pathlib import Path
from modersmal.train.stopping import stop_signals

lines = lambda line: print(line, file=sys.stderr, flush=True)
with stop_signals(lines) as wish:
    Path(sys.argv[1]).touch()
    until = time.monotonic() + 20
    while not wish.asked and time.monotonic() < until:
        time.sleep(0.02)
        if sys.stderr.isatty():
            print("a step", file=sys.stderr, flush=True)
    print("saving", file=sys.stderr, flush=True)
Path(sys.argv[2]).write_text(str(wish.asked))
"""


def wait_for(path):
    until = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < until, f"{path} never came"
        time.sleep(0.02)
    return path


def work(tmp_path):
    return [sys.executable, "-c", WORK, str(tmp_path / "began"), str(tmp_path / "ended")]


def asked(tmp_path):
    ended = wait_for(tmp_path / "ended")
    time.sleep(0.05)
    return ended.read_text() == "True"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_is_a_wish_and_handlers_are_put_back(number):
    before, said = signal.getsignal(number), []
    with stop_signals(said.append) as wish:
        assert not wish.asked
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        assert wish.asked
    assert said == ["Stopping: saving a checkpoint first (interrupt again to stop at once)"]
    assert signal.getsignal(number) is before


def test_only_a_second_interrupt_is_an_order():
    with stop_signals(lambda line: None, {}):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_torchrun_passes_an_interrupt_on_and_that_is_no_second_one():
    with stop_signals(lambda line: None, {"TORCHELASTIC_RUN_ID": "1"}) as wish:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert wish.asked
        time.sleep(1.05)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_work_that_leaves_nothing_to_save_is_left_at_once():
    wish = Wish()
    with pytest.raises(StopNow), wish.at_once():
        wish.ask()
    with pytest.raises(StopNow), wish.at_once():
        pass
    wish.ask()  # elsewhere it waits
    assert wish.asked


def test_outside_the_main_thread_nothing_changes():
    before, found = signal.getsignal(signal.SIGTERM), []

    def other():
        with stop_signals(lambda line: None) as wish:
            found.append((wish.asked, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert found == [(False, before)]


def test_a_closed_terminal_is_a_wish_and_what_is_written_there_is_no_error(tmp_path):
    """The terminal goes while the process writes to it: the signal, and then EIO."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, work(tmp_path))
    wait_for(tmp_path / "began")
    os.close(terminal)
    assert asked(tmp_path)
    assert os.waitpid(pid, 0)[1] == 0


def test_what_was_told_to_outlive_its_terminal_does(tmp_path):
    process = subprocess.Popen(
        ["nohup", *work(tmp_path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(tmp_path / "began")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert asked(tmp_path)
    process.wait()


KERNEL = """
import subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
"""


@pytest.mark.parametrize("notebook", [True, False])
def test_a_kernel_that_is_killed_is_a_wish_in_what_it_started(tmp_path, notebook):
    """Kill -9 tells nobody; only the process itself can notice whose child it has become."""
    env = {key: value for key, value in os.environ.items() if key != "JPY_PARENT_PID"}
    if notebook:
        env["JPY_PARENT_PID"] = "1"
    kernel = subprocess.Popen([sys.executable, "-c", KERNEL, *work(tmp_path)], env=env)
    wait_for(tmp_path / "began")
    kernel.kill()
    kernel.wait()
    if notebook:
        assert asked(tmp_path)
    else:
        time.sleep(1.5)  # its pipes are broken, but this is no notebook: not our business
        assert not (tmp_path / "ended").exists()
