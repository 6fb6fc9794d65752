"""Releases in a store: numbered, immutable, complete or absent; latest moves last."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st
from releasing import write_draft

from modersmal import store
from modersmal.errors import StoreDamaged, StoreError, StoreMissing
from modersmal.store import faults
from modersmal.store.latest import Move, before
from modersmal.store.releases import Releases
from modersmal.store.remote import Remote
from read_only import read_only

RELEASING = Path(__file__).parent / "releasing.py"
POINTS = [
    "release.before-claim:1", "release.after-claim:1", "remote.before-files:1",
    "remote.after-file:1", "remote.after-file:2", "remote.before-manifest:1",
    "remote.after-manifest:1", "release.before-move:1", "release.after-move:1",
]  # fmt: skip


def yes(deployed):
    return True


@pytest.fixture
def releases(remote: Remote) -> Releases:
    return Releases(remote, window_s=0.02)


@pytest.fixture
def draft(tmp_path):
    return lambda content: write_draft(tmp_path / f"draft-{content}", content)


def states(releases):
    return {entry.number: entry.state for entry in releases.list()}


def test_releases_are_numbered_complete_and_the_newest_is_latest(releases, draft):
    assert releases.list() == []
    assert releases.latest() is None
    named = []
    second = draft("b")
    assert releases.add(draft("a"), yes, numbered=named.append) == 1
    assert releases.add(second, yes, numbered=named.append) == 2
    assert named == [1, 2]
    assert states(releases) == {1: "complete", 2: "latest"}
    _, entry = releases.list()
    assert (entry.facts["number"], entry.facts["run"]) == (2, "sv")
    there = sum(path.stat().st_size for path in second.rglob("*") if path.is_file())
    assert entry.size_bytes == there


def test_what_is_released_comes_back_whole(releases, draft):
    folder = draft("a")
    releases.add(folder, yes)
    for number in (None, 1):
        brought = releases.folder(number)
        store.verify_manifest(brought)
        assert (brought / "ct2/int8/model.bin").read_bytes() == (
            folder / "ct2/int8/model.bin"
        ).read_bytes()


def test_the_same_content_again_keeps_its_number(releases, draft, tmp_path):
    releases.add(draft("a"), yes)
    releases.add(draft("b"), yes)
    again = write_draft(tmp_path / "elsewhere", "a")
    assert releases.add(again, lambda deployed: False) == 1
    assert states(releases) == {1: "complete", 2: "latest"}
    assert releases.add(again, yes) == 1
    assert states(releases) == {1: "latest", 2: "complete"}
    assert releases.deployed().before == (2,)  # nothing was undone: a rollback leads to 2


def test_latest_stays_where_the_gate_says_no_or_fails(releases, draft):
    releases.add(draft("a"), yes)
    assert releases.add(draft("b"), lambda deployed: deployed != 1) == 2
    with pytest.raises(ZeroDivisionError):
        releases.add(draft("c"), lambda deployed: 1 / 0)
    assert states(releases) == {1: "latest", 2: "complete", 3: "complete"}


def test_a_release_that_another_overtakes_is_compared_with_that_one_too(releases, draft):
    releases.add(draft("a"), yes)
    asked = []

    def decide(deployed):
        asked.append(deployed)
        if len(asked) == 1:
            assert releases.add(draft("quicker"), yes) == 3
        return True

    assert releases.add(draft("b"), decide) == 2
    assert asked == [1, 3]
    assert states(releases) == {1: "complete", 2: "latest", 3: "complete"}
    assert releases.deployed().before == (1, 3)


def test_of_several_at_once_each_gets_a_number_and_every_move_was_compared(remote, tmp_path):
    if not remote.exclusive:
        pytest.skip("two at once on a mounted Drive are told apart as well as it can be")
    barrier, compared = Barrier(4), {}

    def release(name):
        own = Releases(remote)
        draft = write_draft(tmp_path / name, name)
        barrier.wait()
        asked = compared.setdefault(name, [])

        def decide(deployed):
            asked.append(deployed)
            return True

        return name, own.add(draft, decide)

    with ThreadPoolExecutor(4) as pool:
        numbers = dict(pool.map(release, "abcd"))
    releases = Releases(remote)
    assert sorted(numbers.values()) == [1, 2, 3, 4]
    assert sorted(states(releases).values()) == ["complete", "complete", "complete", "latest"]
    deployed = releases.deployed()
    order = [*deployed.before, deployed.release]  # each was compared with the one it replaced
    for earlier, later in zip([None, *order], order, strict=False):
        name = next(name for name, number in numbers.items() if number == later)
        assert compared[name][-1] == earlier


def test_two_processes_at_once(tmp_path):
    store_folder, go = tmp_path / "store", tmp_path / "go"
    begun = [
        subprocess.Popen(
            [sys.executable, RELEASING, store_folder, write_draft(tmp_path / name, name), go],
            stdout=subprocess.PIPE, text=True,
        )
        for name in "ab"
    ]  # fmt: skip
    for process in begun:
        process.stdout.readline()
    go.touch()
    told = [json.loads(process.communicate(timeout=60)[0]) for process in begun]
    assert sorted(told["number"] for told in told) == [1, 2]
    releases = Releases.open(str(store_folder))
    assert sorted(states(releases).values()) == ["complete", "latest"]
    last = next(one for one in told if one["number"] == releases.latest())
    assert last["compared"][-1] == releases.deployed().before[-1]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("earlier", [False, True])
def test_killed_anywhere_it_is_complete_or_absent_and_goes_on(tmp_path, point, earlier):
    url = str(tmp_path / "store")
    releases = Releases.open(url)
    if earlier:
        releases.add(write_draft(tmp_path / "first", "first"), yes)
    expected = 2 if earlier else 1
    command = [sys.executable, RELEASING, url, write_draft(tmp_path / "draft", "content")]
    killed = subprocess.run(command, env={**os.environ, faults.VARIABLE: point}, timeout=60)
    assert killed.returncode == -9
    for entry in releases.list():
        if entry.state == "half-written":
            assert entry.number == expected
            with pytest.raises(StoreDamaged, match="half-written"):
                releases.folder(entry.number)
        else:
            store.verify_manifest(releases.folder(entry.number))
    if point != "release.after-move:1":
        assert releases.latest() == (1 if earlier else None)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["number"] == expected
    assert states(releases) == ({1: "complete"} if earlier else {}) | {expected: "latest"}
    store.verify_manifest(releases.folder())


def test_a_draft_of_another_place_takes_a_number_of_its_own(releases, draft, remote):
    """What was stopped may be at work still: nobody else writes under its number."""
    remote.create("releases/0001.json", b'{"number": 1, "draft": "of another machine"}')
    remote.write("releases/0001/model.safetensors", b"half of it")
    assert releases.add(draft("a"), yes) == 2
    assert states(releases) == {1: "half-written", 2: "latest"}


def test_what_is_not_there_or_half_there_is_said(releases, draft, remote):
    with pytest.raises(StoreMissing, match="has no release yet"):
        releases.folder()
    with pytest.raises(StoreMissing, match="it has none yet"):
        releases.folder(1)
    releases.add(draft("a"), yes)
    with pytest.raises(StoreMissing, match="has no release 7; it has 1"):
        releases.folder(7)
    remote.write("releases/0002/model.safetensors", b"half of it")
    for attempt in (lambda: releases.folder(2), lambda: releases.move_latest(2, "rollback")):
        with pytest.raises(StoreDamaged, match=r"release 2 .* is half-written"):
            attempt()
    assert releases.latest() == 1


def test_a_release_that_was_tampered_with_is_not_deployed(releases, draft, remote, tmp_path):
    releases.add(draft("a"), yes)
    other = write_draft(tmp_path / "other", "other")
    store.write_manifest(other)
    remote.put_folder(other, "releases/0001")
    with pytest.raises(StoreDamaged, match="not what was released"):
        releases.folder()


def test_a_file_that_was_cut_is_noticed_in_a_folder(tmp_path, draft):
    releases = Releases.open(str(tmp_path / "store"))
    releases.add(draft("a"), yes)
    weights = tmp_path / "store/releases/0001/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(StoreDamaged, match=r"model\.safetensors is damaged"):
        releases.folder()


def test_a_move_whose_bytes_have_not_arrived_does_not_count_yet(tmp_path, draft):
    releases = Releases(Remote.open(f"drive://{tmp_path}/drive"), window_s=0.02)
    releases.add(draft("a"), yes)
    (tmp_path / "drive/releases/latest/00000002.json").touch()  # as Drive shows it for a while
    assert releases.latest() == 1
    releases.add(draft("b"), yes)
    assert releases.latest() == 2
    assert (tmp_path / "drive/releases/latest/00000003.json").is_file()


def test_a_damaged_move_elsewhere_is_said(tmp_path, draft):
    releases = Releases.open(str(tmp_path / "store"))
    releases.add(draft("a"), yes)
    (tmp_path / "store/releases/latest/00000002.json").write_text("{")
    with pytest.raises(StoreDamaged, match=r"00000002\.json is damaged"):
        releases.latest()


def test_another_stores_release_keeps_its_number(remote, draft, tmp_path):
    origin = Releases.open(str(tmp_path / "origin"))
    for content in "abc":
        origin.add(draft(content), yes)
    target = Releases(remote, window_s=0.02)
    assert not target.has(origin.folder(3))
    assert target.receive(origin.folder(3)) == 3
    assert target.receive(origin.folder(3)) == 3
    assert target.has(origin.folder(3))
    assert states(target) == {3: "latest"}
    assert target.receive(origin.folder(1)) == 1
    other = write_draft(tmp_path / "other", "other")
    store.write_json(other / "release.json", {"content": "other", "number": 3})
    store.write_manifest(other)
    with pytest.raises(StoreError, match="has another release 3 already"):
        target.receive(other)
    assert states(target) == {1: "latest", 3: "complete"}
    (other / "manifest.json").unlink()
    with pytest.raises(StoreDamaged, match="half-written release"):
        target.receive(other)


def test_a_read_only_store_is_one_sentence_and_latest_stays(tmp_path, draft):
    url = tmp_path / "store"
    releases = Releases.open(str(url))
    releases.add(draft("a"), yes)
    releases.add(draft("b"), yes)
    prepared = draft("c")
    with read_only(url):
        with pytest.raises(StoreError, match="Permission denied"):
            releases.add(prepared, yes)
        with pytest.raises(StoreError, match="Permission denied"):
            releases.move_latest(1, "rollback")
        assert states(releases) == {1: "complete", 2: "latest"}


def test_a_full_disk_leaves_latest_where_it_was(tmp_path, draft):
    url = str(tmp_path / "store")
    releases = Releases.open(url)
    releases.add(draft("a"), yes)
    command = [sys.executable, RELEASING, url, draft("b")]
    full = {**os.environ, faults.VARIABLE: "file.before-sync:6:enospc"}
    failed = subprocess.run(command, env=full, capture_output=True, text=True, timeout=60)
    assert "the disk is full" in failed.stderr
    assert releases.latest() == 1
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert states(releases) == {1: "complete", 2: "latest"}


def test_latest_moves_back_by_a_handful_of_requests_whatever_there_is(s3, tmp_path):
    """So it takes less than a second; of a release's files none but the manifest is read."""
    releases = Releases(Remote.open("s3://bucket/people/anna"))
    for content in "abcd":
        releases.add(write_draft(tmp_path / content, content), yes)
    s3.seen.clear()
    releases.move_latest(2, "rollback")
    assert len(s3.seen) <= 8
    assert releases.latest() == 2


@given(st.lists(st.sampled_from(["release", "rollback", 0, 1, 2]), max_size=20))
def test_rollbacks_go_back_through_what_was_deployed_and_never_in_circles(steps):
    deployed, number, stack = None, 0, []
    for step in steps:
        if step == "release":
            number += 1
            to, by = number, "release"
            stack.append(number)
        elif step == "rollback":
            if len(stack) < 2:
                continue
            stack.pop()
            to, by = stack[-1], "rollback"
        elif step < number and step + 1 != (stack or [None])[-1]:  # to one named by its number
            to, by = step + 1, "rollback"
            stack = stack[: stack.index(to) + 1] if to in stack else [*stack, to]
        else:
            continue
        deployed = Move(to, before(to, deployed, by), "", "", by)
        assert [*deployed.before, deployed.release] == stack
