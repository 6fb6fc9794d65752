"""One machine trains: the fencing token in every name, and what a stale holder leaves."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modersmal.errors import Held, StoreError
from modersmal.store.lease import Lease
from modersmal.store.remote import Backoff, Remote, local_place
from modersmal.store.tokens import Holder, counted, holder, token_of

HOLDER = Path(__file__).with_name("holder.py")
TTL_S = 0.6


@pytest.fixture(params=["folder", "s3"])
def url(request, tmp_path):
    """A run's folder, on disk and on S3."""
    if request.param == "s3":
        request.getfixturevalue("s3")
        return "s3://bucket/runs/sv"
    return str(tmp_path / "runs" / "sv")


@contextlib.contextmanager
def machine(url, name, ttl_s=TTL_S, seconds=0.0):
    """A process that takes the lease and trains."""
    command = [sys.executable, str(HOLDER), url, name, str(ttl_s), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
            process.kill()
        process.wait()
        process.stdout.close()


def line_of(process, beginning):
    for line in process.stdout:
        if line.startswith(beginning):
            return line.strip()
    raise AssertionError(f"it ended without saying {beginning!r}")


def test_the_first_holder_has_token_one_and_says_who_it_is(tmp_path):
    place = local_place(tmp_path)
    lease = Lease.take(place, "anna's laptop", ttl_s=30)
    assert lease.token == 1
    who, alive = holder(place)
    assert (who.holder, who.token, who.ttl_s) == ("anna's laptop", 1, 30)
    assert alive["renewals"] == 1
    assert holder(local_place(tmp_path / "other")) is None


def test_a_second_one_is_told_who_holds_it_and_until_when(tmp_path):
    place = local_place(tmp_path)
    Lease.take(place, "anna's laptop", ttl_s=30)
    began_s = time.monotonic()
    said = r"anna's laptop \(token 1, since .*\).*runs out at \d\d:\d\d"
    with pytest.raises(Held, match=said) as caught:
        Lease.take(place, "a tab", ttl_s=30, wait_s=0)
    assert time.monotonic() - began_s < 20  # it does not wait for the end of 30 s
    assert caught.value.exit_code == 3


def test_a_released_lease_is_taken_at_once(tmp_path):
    place = local_place(tmp_path)
    Lease.take(place, "first", ttl_s=1000).release()
    assert Lease.take(place, "second", ttl_s=1000, wait_s=0).token == 2


def test_of_two_started_at_once_exactly_one_trains(url):
    with machine(url, "one") as one, machine(url, "two") as two:
        said = [next(iter(process.stdout)).split()[0] for process in (one, two)]
        assert "took" in said
        loser = (one, two)[1 - said.index("took")]
        assert line_of(loser, "held").startswith(f"held {'two' if loser is one else 'one'}")
        assert loser.wait() == 3
    assert {token_of(name.split("/")[1]) for name in Remote.open(url).list("checkpoints")} == {1}


def test_where_the_holder_was_killed_on_this_machine_another_takes_over_at_once(url):
    with machine(url, "one", ttl_s=1000) as one:
        line_of(one, "saved step-00000003")
        one.kill()
        one.wait()
        lease = Lease.take(Remote.open(url), "two", ttl_s=1000, wait_s=0)
    assert lease.token == 2


def test_where_the_holder_vanished_another_takes_over_when_its_time_has_run_out(url, monkeypatch):
    with machine(url, "one") as one:
        line_of(one, "saved step-00000003")
        one.kill()
        one.wait()
        monkeypatch.setattr("modersmal.store.tokens._machine", lambda: "elsewhere")
        place, began_s = Remote.open(url), time.monotonic()
        with pytest.raises(Held):
            Lease.take(place, "two", TTL_S, wait_s=0)
        lease = Lease.take(place, "two", TTL_S)
        assert time.monotonic() - began_s >= TTL_S
    assert lease.token == 2
    assert "step-00000003.t00000001" in lease.adopt([f"step-{n:08d}.t00000001" for n in (1, 2, 3)])


def test_a_holder_frozen_and_woken_leaves_nothing_that_counts(url):
    """SIGSTOP, the lease runs out, another takes over, SIGCONT: the fencing token's reason."""
    with machine(url, "one") as one:
        line_of(one, "saved step-00000003")
        os.kill(one.pid, signal.SIGSTOP)
        place = Remote.open(url)
        lease = Lease.take(place, "two", TTL_S)
        before = sorted({name.split("/")[1] for name in place.list("checkpoints")})
        assert lease.adopt(before) == before
        os.kill(one.pid, signal.SIGCONT)
        assert "two (token 2" in line_of(one, "held")
        assert one.wait() == 3
    place.write("checkpoints/step-00000900.t00000002/manifest.json", b"{}")
    place.write("checkpoints/step-00000999.t00000001/manifest.json", b"{}")  # the frozen write
    there = sorted({name.split("/")[1] for name in place.list("checkpoints")})
    ours = [*before, "step-00000900.t00000002"]
    assert sorted(lease.counted(there)) == sorted(ours)
    assert sorted(counted(place, there)) == sorted(ours)
    assert set(lease.sweep()) == set(there) - set(ours)
    assert {name.split("/")[1] for name in place.list("checkpoints")} == set(ours)


def test_what_was_not_counted_is_not_adopted_by_the_next_holder_either(tmp_path):
    place = local_place(tmp_path)
    first = Lease.take(place, "one", ttl_s=0.01)
    assert first.adopt([]) == []
    second = Lease.take(place, "two", ttl_s=0.01)
    assert second.adopt(["step-1.t00000001"]) == ["step-1.t00000001"]
    third = Lease.take(place, "three", ttl_s=0.01)
    names = ["step-1.t00000001", "step-2.t00000001", "step-2.t00000002"]
    assert third.adopt(names) == ["step-1.t00000001", "step-2.t00000002"]


def test_a_holder_that_died_before_adopting_hides_nothing(tmp_path):
    place = local_place(tmp_path)
    first = Lease.take(place, "one", ttl_s=0.01)
    first.adopt([])
    Lease.take(place, "two", ttl_s=0.01)
    assert counted(place, ["step-1.t00000001"]) == ["step-1.t00000001"]
    third = Lease.take(place, "three", ttl_s=0.01)
    with pytest.raises(ValueError, match="adopt"):
        third.counted([])
    assert third.adopt(["step-1.t00000001"]) == ["step-1.t00000001"]


def test_a_stale_holder_is_told_when_it_renews_sweeps_or_looks(tmp_path):
    place = local_place(tmp_path)
    stale = Lease.take(place, "one", ttl_s=0.01)
    stale.adopt([])
    Lease.take(place, "two", ttl_s=1000)
    for act in (stale.renew, stale.sweep):
        with pytest.raises(Held, match="two"):
            act()
    with stale.kept():
        time.sleep(0.2)
        with pytest.raises(Held, match="two"):
            stale.check()


def test_a_renewed_lease_does_not_run_out_however_long_it_is_held(tmp_path):
    place = local_place(tmp_path)
    lease = Lease.take(place, "one", ttl_s=0.4)
    with lease.kept(), pytest.raises(Held, match="one"):
        Lease.take(place, "two", ttl_s=0.4, wait_s=1.5)
    lease.check()


class Clocks:
    """A monotonic clock that sleeping moves, and a wall clock that jumps as it likes."""

    def __init__(self, jumps=(0.0,)):
        self.now_s, self.jumps, self.looked = 50.0, jumps, 0

    def sleep(self, seconds):
        self.now_s += seconds

    def wall(self):
        self.looked += 1
        return 1_700_000_000.0 + self.now_s + self.jumps[self.looked % len(self.jumps)]

    def all(self):
        return {"clock": lambda: self.now_s, "sleep": self.sleep, "wall": self.wall}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=5), st.floats(5, 500))
def test_a_wall_clock_that_jumps_decides_nothing(tmp_path_factory, jumps, ttl_s):
    place = local_place(tmp_path_factory.mktemp("run"))
    Lease.take(place, "one", ttl_s, **Clocks(jumps).all())
    clocks = Clocks(jumps)
    lease = Lease.take(place, "two", ttl_s=7, **clocks.all())
    assert lease.token == 2
    assert ttl_s <= clocks.now_s - 50.0 <= ttl_s * 1.06 + 5


def test_a_slow_look_makes_no_one_seem_dead(tmp_path):
    """A contender whose own machine slept between two looks must see the renewal first."""
    place, clocks = local_place(tmp_path), Clocks()
    lease = Lease.take(place, "one", ttl_s=60)

    def sleep_for_long(_seconds):
        lease.renew()
        clocks.now_s += 10_000

    with pytest.raises(Held):
        Lease.take(place, "two", 60, clock=lambda: clocks.now_s, sleep=sleep_for_long)


def test_training_goes_on_while_the_place_cannot_be_reached_and_it_is_said_once(s3):
    said = []
    backoff = Backoff(first_s=0.01, longest_s=0.01, within_s=0.02)
    lease = Lease.take(Remote.open("s3://bucket/run", backoff=backoff), "one", ttl_s=0.4)
    with lease.kept(said.append):
        s3.down = True
        time.sleep(0.6)
        lease.check()
        s3.down = False
        time.sleep(0.4)
        lease.check()
    assert len(said) == 2
    assert "could not be renewed" in said[0]
    assert "again" in said[1]
    s3.down = True
    with pytest.raises(StoreError):
        lease.renew()


def test_on_a_drive_the_lowest_claim_wins_within_the_window(tmp_path):
    url = f"drive://{tmp_path}"
    outcome = {}

    def contend(name):
        try:
            outcome[name] = Lease.take(Remote.open(url), name, 60, wait_s=0, window_s=2).token
        except Held:
            outcome[name] = None

    contenders = [threading.Thread(target=contend, args=(name,)) for name in "abc"]
    for contender in contenders:
        contender.start()
    for contender in contenders:
        contender.join()
    assert sorted(outcome.values(), key=str) == [1, None, None]
    assert not [name for name in os.listdir(tmp_path / "leases") if "claim" in name]


def test_on_a_drive_who_wins_while_another_looks_at_the_claims_is_seen(tmp_path, monkeypatch):
    place = Remote.open(f"drive://{tmp_path}")
    names_of = place.list

    def names_before_another_won(folder):
        names = names_of(folder)
        if any(".claim-" in name for name in names):
            won = Holder(1, "two", "", 60)
            (tmp_path / "leases" / "t00000001.json").write_bytes(won.data())
        return names

    monkeypatch.setattr(place, "list", names_before_another_won)
    with pytest.raises(Held, match="two"):
        Lease.take(place, "one", 60, wait_s=0, window_s=0)


def test_on_a_drive_one_that_was_overwritten_finds_out_when_it_renews(tmp_path):
    place = Remote.open(f"drive://{tmp_path}")
    lease = Lease.take(place, "one", 60, window_s=0)
    token = tmp_path / "leases" / "t00000001.json"
    token.write_text(token.read_text().replace('"nonce": "', '"nonce": "0').replace("one", "two"))
    with pytest.raises(Held, match="two"):
        lease.renew()


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("step-00000500.t00000003", 3),
        ("runs/sv/checkpoints/step-1.t123456789", 123456789),
        ("step-00000500", 0),
        ("step-00000500.t3", 0),
    ],
)
def test_the_token_is_read_from_a_name(name, token):
    assert token_of(name) == token
