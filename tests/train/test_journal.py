"""The journal: on the disk before it takes effect, and the same decision the second time."""

import json
import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modersmal.errors import CheckpointError, StoreError
from modersmal.train.journal import Decision, Journal

KIND = "device_batch_s"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "journal.jsonl"


def never():
    raise AssertionError("this was decided before")


def test_a_decision_is_made_once_and_replayed_after_a_restart(path):
    assert Journal(path).decide(5, KIND, lambda: 30.0, "cpu") == 30.0
    again = Journal(path)
    assert again.decide(5, KIND, never) == 30.0
    assert again.decisions == [Decision(5, KIND, 30.0, "cpu", 1)]
    assert json.loads(path.read_text()) == {
        "step": 5, "kind": KIND, "value": 30.0, "basis": "cpu", "token": 1
    }  # fmt: skip


def test_a_decision_holds_until_the_next_of_its_kind(path):
    journal = Journal(path)
    assert journal.latest(9, KIND) is None
    journal.record(0, KIND, 60.0)
    journal.record(5, KIND, 30.0)
    journal.record(5, KIND, 15.0)
    journal.record(7, "decay", [1, 2])
    assert [journal.latest(step, KIND).value for step in (0, 4, 5, 9)] == [60.0, 60.0, 15.0, 15.0]
    assert journal.find(7, "decay").value == [1, 2]
    assert journal.find(4, KIND) is None


def test_a_new_decision_voids_those_that_lay_ahead(path):
    journal = Journal(path)
    journal.record(0, KIND, 60.0)
    journal.record(8, KIND, 30.0)
    journal.record(4, KIND, 45.0, "another machine")
    assert Journal(path).latest(9, KIND).value == 45.0
    assert Journal(path).decide(8, KIND, lambda: 20.0) == 20.0


rows = st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ab"), st.integers(0, 3)))


@settings(deadline=None)  # files are synced
@given(rows, st.integers(0, 9))
def test_what_is_read_back_decides_alike(tmp_path_factory, rows, step):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal = Journal(path)
    for made in rows:
        journal.record(*made)
    again = Journal(path)
    assert again.decisions == journal.decisions
    for kind in "ab":
        assert again.latest(step, kind) == journal.latest(step, kind)


@settings(deadline=None)  # files are synced
@given(rows, st.integers(0, 9))
def test_a_run_that_went_back_meets_the_same_decisions(tmp_path_factory, rows, step):
    """Whatever a checkpoint of `step` had seen, what lies ahead of it is replayed."""
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal, rows = Journal(path), sorted(rows)
    for made in rows:
        journal.record(*made)
    saved = [made for made in journal.decisions if made.step < step]
    again = Journal(path)
    again.restore(saved, step, 1)
    for later in range(step, 10):
        for kind in "ab":
            assert again.latest(later, kind) == journal.latest(later, kind)


def test_a_new_machine_has_what_the_checkpoint_carries(path):
    saved = (Decision(0, KIND, 60.0), Decision(4, KIND, 30.0))
    Journal(path).restore(saved, 6, 1)
    assert Journal(path).decisions == list(saved)


def test_what_a_stale_process_decided_is_dropped(path):
    stale = Journal(path, token=1)
    for step, value in ((0, 60.0), (3, 40.0), (9, 20.0)):
        stale.record(step, KIND, value)
    saved = (Decision(0, KIND, 60.0, token=1), Decision(5, KIND, 50.0, token=2))
    journal = Journal(path, token=3)
    journal.restore(saved, 6, 2)
    assert journal.decisions == list(saved)
    assert Journal(path).latest(9, KIND).value == 50.0


def test_a_half_written_line_never_took_effect(path):
    Journal(path).record(1, KIND, 30.0)
    with path.open("a") as file:
        file.write('{"step": 2, "kind": "devi')
    journal = Journal(path)
    assert [made.step for made in journal.decisions] == [1]
    journal.record(3, KIND, 15.0)
    assert [made.step for made in Journal(path).decisions] == [1, 3]


@pytest.mark.parametrize("line", ["{", '{"step": 2}', "[]"])
def test_damage_within_is_refused(path, line):
    journal = Journal(path)
    journal.record(1, KIND, 30.0)
    journal.record(2, KIND, 15.0)
    path.write_text(f"{line}\n{path.read_text()}")
    with pytest.raises(CheckpointError, match=r"line 1 of .*journal.jsonl is damaged"):
        Journal(path)


def test_a_full_disk_is_one_sentence_and_nothing_is_decided(path, monkeypatch):
    journal = Journal(path)
    monkeypatch.setenv("MODERSMAL_FAULT", "journal.before:1:enospc")
    with pytest.raises(StoreError, match="the disk is full"):
        journal.record(1, KIND, 30.0)
    assert journal.latest(1, KIND) is None


@pytest.mark.parametrize(("point", "known"), [("journal.before", []), ("journal.after", [30.0])])
def test_killed_around_the_write(path, point, known):
    script = (
        "import sys; from pathlib import Path; from modersmal.train.journal import Journal\n"
        f"Journal(Path(sys.argv[1])).record(1, {KIND!r}, 30.0)"
    )
    environment = os.environ | {"MODERSMAL_FAULT": f"{point}:1:kill"}
    done = subprocess.run([sys.executable, "-c", script, str(path)], env=environment)
    assert done.returncode == -signal.SIGKILL
    assert [made.value for made in Journal(path).decisions] == known
