import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modersmal.train.grow import DEVICE_BATCH_S, Growth
from modersmal.train.journal import Journal

HERE = "cpu, 24 GiB"
GB = 10**9


class Memory:
    """A device of which each second of audio takes as much, beside what is held."""

    def __init__(self, per_s, usable, held=GB):
        self.per_s, self._usable, self._held = per_s, usable, held
        self.taken_s = 0.0

    def reset(self):
        self.taken_s = 0.0

    def peak(self):
        return int(self._held + self.per_s * self.taken_s)

    def held(self):
        return self._held

    def usable(self):
        return self._usable


def train(journal, memory, steps, *, first=0, most_s=2400.0, audio_s=5000.0):
    """What the device takes at a time in each step; memory never runs out."""
    growth, sizes = Growth(journal, memory, most_s), []
    for step in range(first, steps):
        size = journal.latest(step, DEVICE_BATCH_S).value
        sizes.append(size)
        growth.watch()
        memory.taken_s = min(size, audio_s)
        assert memory.peak() <= memory.usable()
        growth.after(step + 1, memory.taken_s, int(-(-audio_s // size)))
    return sizes


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path / "journal.jsonl")
    made.record(0, DEVICE_BATCH_S, 30.0, HERE)
    return made


def test_it_grows_step_by_step_to_what_memory_allows_and_stays(journal):
    sizes = train(journal, Memory(0.1 * GB, 21 * GB), 8)
    assert sizes[:4] == [30.0, 60.0, 120.0, 173.0]
    assert set(sizes[4:]) == {173.0}


@settings(max_examples=40, deadline=None)
@given(per_s=st.floats(1e6, 1e9), usable=st.floats(1.2e9, 1e12), first_s=st.floats(1, 300))
def test_memory_never_runs_out_while_it_grows(tmp_path_factory, per_s, usable, first_s):
    journal = Journal(tmp_path_factory.mktemp("run") / "journal.jsonl")
    first_s = min(first_s, (usable - GB) / per_s)
    journal.record(0, DEVICE_BATCH_S, first_s, HERE)
    sizes = train(journal, Memory(per_s, usable), 16)
    assert sizes == sorted(sizes)
    assert sizes[-1] == sizes[-2]


def test_it_does_not_grow_beyond_what_pays_or_what_a_step_holds(journal, tmp_path):
    assert train(journal, Memory(1e6, 100 * GB), 6, most_s=60.0)[-1] == 60.0
    other = Journal(tmp_path / "other.jsonl")
    other.record(0, DEVICE_BATCH_S, 30.0, HERE)
    assert train(other, Memory(1e6, 100 * GB), 6, audio_s=50.0)[-1] == 60.0


def test_a_run_that_goes_back_comes_by_the_same_sizes_whatever_memory_there_is_now(journal):
    sizes = train(journal, Memory(0.1 * GB, 21 * GB), 8)
    again = Journal(journal._path)
    assert train(again, Memory(0.1 * GB, 1000 * GB), 8) == sizes
    assert train(again, Memory(0.1 * GB, 21 * GB), 8, first=2) == sizes[2:]
    assert again.decisions == journal.decisions


def test_after_a_shortage_it_grows_no_more(journal):
    growth = Growth(journal, Memory(1e6, 100 * GB), 2400.0)
    growth.shrink(3, 15.0)
    assert train(journal, Memory(1e6, 100 * GB), 8, first=3) == [15.0] * 5
    assert journal.latest(3, DEVICE_BATCH_S).basis == HERE


def test_on_another_machine_it_grows_anew(journal):
    assert train(journal, Memory(0.1 * GB, 8 * GB), 4)[-1] == 60.0
    journal.record(4, DEVICE_BATCH_S, 40.0, "another")
    assert train(journal, Memory(0.1 * GB, 21 * GB), 8, first=4) == [40.0, 80.0, 160.0, 160.0]


def test_a_step_that_does_not_fill_the_device_decides_nothing(journal):
    growth = Growth(journal, Memory(1e6, 100 * GB), 2400.0)
    assert growth.after(1, 15.0, 3) is None
    assert growth.after(1, 30.0, 1) is None
    assert Growth(journal, None, 2400.0).after(1, 30.0, 3) is None
    assert len(journal.decisions) == 1
    assert growth.after(1, 30.0, 3) == 60.0
