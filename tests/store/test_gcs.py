"""Google Cloud Storage, through gcsfs (the extra `gcs`) and a small server of its kind."""

import os

import pytest
from local_gcs import local_gcs
from releasing import write_draft

from modersmal import store
from modersmal.store.releases import Releases
from modersmal.store.remote import Backoff, Remote


@pytest.fixture
def gcs(monkeypatch):
    with local_gcs() as served:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", served.url)
        monkeypatch.setenv("NO_GCE_CHECK", "true")  # a machine of Google's is not looked for
        yield served


@pytest.fixture
def remote(gcs, quick: Backoff) -> Remote:
    return Remote.open("gs://bucket/work", backoff=quick)


def test_small_files_and_folders_come_back(gcs, remote, folder, tmp_path):
    remote.write("a/b", b"1")
    assert remote.read("a/b") == b"1"
    remote.put_folder(folder, "model")
    remote.get_folder("model", tmp_path / "got")
    store.verify_manifest(tmp_path / "got")
    remote.delete("model")
    assert remote.list() == ["a/b"]
    assert set(gcs.objects) == {"work/a/b"}


def test_a_name_is_created_once(remote):
    assert remote.exclusive is True
    assert remote.create("token", b"ours") is True
    assert remote.create("token", b"theirs") is False
    assert remote.read("token") == b"ours"


def test_releases_are_numbered_deployed_and_rolled_back(remote, tmp_path):
    releases = Releases(remote)
    for content in "ab":
        releases.add(write_draft(tmp_path / content, content), lambda deployed: True)
    assert [entry.state for entry in releases.list()] == ["complete", "latest"]
    store.verify_manifest(releases.folder())
    releases.move_latest(1, "rollback")
    assert releases.latest() == 1


def test_damage_on_the_way_is_noticed_by_md5_and_mended(gcs, remote, tmp_path):
    (tmp_path / "large").write_bytes(os.urandom(7 << 20))
    gcs.damage_next = True
    remote.put(tmp_path / "large", "large")
    assert gcs.objects["work/large"] == (tmp_path / "large").read_bytes()
    remote.get("large", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == (tmp_path / "large").read_bytes()
