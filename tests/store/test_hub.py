"""The Hub as a store: one commit per folder, on top of what was read, proven by hash."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from huggingface_hub import constants
from releasing import write_draft

from modersmal import store
from modersmal.errors import StoreError, StoreMissing
from modersmal.store.releases import Releases
from modersmal.store.remote import Backoff, Remote
from writable_hub import WritableHub, writable_hub

REPO = "anna/svenska"


@pytest.fixture
def hub(monkeypatch):
    with writable_hub() as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        template = served.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", "hf_notarealtoken")
        yield served


@pytest.fixture
def remote(hub: WritableHub, quick: Backoff) -> Remote:
    return Remote.open(f"hf://{REPO}/work", backoff=quick)


def test_a_repository_is_made_private_when_it_is_first_written_to(hub, remote):
    assert remote.list() == []
    with pytest.raises(StoreMissing):
        remote.read("a.json")
    assert hub.repos == {}
    remote.write("a.json", b"1")
    assert remote.read("a.json") == b"1"
    assert remote.list() == ["a.json"]
    assert set(hub.files(REPO)) == {".gitattributes", "work/a.json"}
    assert hub.repos[REPO].private


def test_a_folder_is_one_commit_with_its_manifest(hub, remote, make_folder, tmp_path):
    folder = make_folder("step-00000500.t00000003", 50_000)
    told = []
    remote.put_folder(folder, f"checkpoints/{folder.name}", told.append)
    assert hub.messages == ["initial", f"Add checkpoints/{folder.name}"]
    assert sum(told) == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    remote.get_folder(f"checkpoints/{folder.name}", tmp_path / "got")
    store.verify_manifest(tmp_path / "got")
    remote.put_folder(folder, f"checkpoints/{folder.name}")
    assert len(hub.messages) == 2  # it is there already


def test_a_large_file_damaged_on_the_way_is_noticed_and_sent_again(hub, remote, make_folder):
    folder = make_folder("model", 50_000)
    hub.damage_next_large = True
    remote.put_folder(folder, "model")
    assert hub.files(REPO)["work/model/weights.bin"][0] == (folder / "weights.bin").read_bytes()
    assert hub.count("^PUT lfs") == 2


def test_a_large_file_is_fetched_in_ranges(hub, remote, make_folder, monkeypatch, tmp_path):
    monkeypatch.setattr("modersmal.store.remote.RANGE_BYTES", 9_000)
    folder = make_folder("model", 50_000)
    remote.put_folder(folder, "model")
    remote.get_folder("model", tmp_path / "got")
    assert (tmp_path / "got" / "weights.bin").read_bytes() == (folder / "weights.bin").read_bytes()
    assert sum("resolve" in request and "weights" in request for request in hub.seen) == 6


def test_a_commit_of_another_in_between_is_built_upon(hub, remote):
    remote.write("first", b"1")

    def another_commits():
        hub.commit(REPO, {**hub.files(REPO), "work/other": (b"2", False)})

    hub.before_commit.append(another_commits)
    remote.write("second", b"3")
    assert remote.list() == ["first", "other", "second"]


def test_a_name_taken_between_looking_and_committing_is_not_ours(hub, remote):
    remote.write("first", b"1")

    def another_takes_it():
        hub.commit(REPO, {**hub.files(REPO), "work/token": (b"theirs", False)})

    hub.before_commit.append(another_takes_it)
    assert remote.create("token", b"ours") is False
    assert remote.read("token") == b"theirs"


def test_of_two_contenders_one_creates_a_name(hub, quick):
    remotes = [Remote.open(f"hf://{REPO}", backoff=quick) for _ in range(2)]
    remotes[0].write("x", b"")
    assert all(remote.exclusive for remote in remotes)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda pair: pair[1].create("token", b"%d" % pair[0]),
                             enumerate(remotes)))  # fmt: skip
    assert sorted(made) == [False, True]
    assert remotes[0].read("token") == b"%d" % made.index(True)


def test_folders_are_deleted_and_what_is_not_there_is_no_error(hub, remote, folder):
    remote.put_folder(folder, "model")
    remote.write("models/other", b"")
    assert len(remote.list("model")) == 3
    remote.delete("model")
    remote.delete("model")
    assert remote.list() == ["models/other"]


def test_a_place_that_is_no_repository_is_said():
    with pytest.raises(StoreError, match="hf://USER/REPO"):
        Remote.open("hf://anna")


def test_releases_are_numbered_deployed_and_rolled_back(hub, quick, tmp_path):
    releases = Releases(Remote.open(f"hf://{REPO}", backoff=quick))
    for content in "ab":
        releases.add(write_draft(tmp_path / content, content, 20_000), lambda deployed: True)
    assert [entry.state for entry in releases.list()] == ["complete", "latest"]
    store.verify_manifest(releases.folder())
    releases.move_latest(1, "rollback")
    assert releases.latest() == 1
    assert (
        hub.files(REPO)["releases/0002/model.safetensors"][0]
        == (tmp_path / "b" / "model.safetensors").read_bytes()
    )


def test_two_who_move_latest_at_once_are_told_apart(hub, quick, tmp_path):
    releases = Releases(Remote.open(f"hf://{REPO}", backoff=quick))
    for content in "ab":
        releases.add(write_draft(tmp_path / content, content), lambda deployed: True)

    def another_moves():
        Releases(Remote.open(f"hf://{REPO}", backoff=quick)).move_latest(1, "rollback")

    def decide(deployed):
        asked.append(deployed)
        if len(asked) == 1:
            hub.before_commit.append(another_moves)
        return True

    asked = []
    assert releases.add(write_draft(tmp_path / "c", "c"), decide) == 3
    assert asked == [2, 1]  # the move in between was seen, though it came after the look
    assert releases.deployed().before == (1,)
