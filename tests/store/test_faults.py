import os
import subprocess
import sys

import pytest

from modersmal.store import faults

PASSING_TWICE = """
from modersmal.store.faults import fault
for number in range(3):
    fault("other")
    print(number, flush=True)
    try:
        fault("here")
    except OSError as error:
        print(error.strerror, flush=True)
"""


def passed(wanted):
    environment = {**os.environ, faults.VARIABLE: wanted}
    command = [sys.executable, "-c", PASSING_TWICE]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_the_process_is_killed_at_the_point_and_count_asked_for():
    done = passed("here:2")
    assert done.returncode == -9
    assert done.stdout.split() == ["0", "1"]


@pytest.mark.parametrize(
    ("action", "said"), [("enospc", "No space left on device"), ("eio", "Input/output error")]
)
def test_a_full_or_broken_disk_is_raised_once(action, said):
    done = passed(f"here:2:{action}")
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["0", "1", said, "2"]


def test_an_unknown_action_is_said():
    assert "explode" in passed("here:1:explode").stderr


def test_nothing_happens_where_none_is_asked_for(monkeypatch):
    monkeypatch.delenv(faults.VARIABLE, raising=False)
    faults.fault("here")
