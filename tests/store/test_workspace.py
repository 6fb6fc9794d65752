from pathlib import Path

import pytest

from modersmal import store
from modersmal.errors import StoreDamaged, StoreError
from modersmal.store.workspace import WORK_VARIABLE, Workspace


def test_an_ordinary_folder_is_worked_in_and_has_no_remote(tmp_path):
    space = Workspace.open(str(tmp_path / "store"))
    assert space.remote is None
    assert space.corpus("sv") == tmp_path / "store" / "corpora" / "sv"
    assert space.run("sv") == tmp_path / "store" / "runs" / "sv"
    space.place("runs/sv").write("status.json", b"{}")
    assert (space.run("sv") / "status.json").read_bytes() == b"{}"
    space.push(tmp_path / "store" / "runs" / "sv")
    assert not (space.run("sv") / store.MANIFEST).exists()
    assert space.pull("corpora/sv") is False


def test_a_url_has_a_work_folder_of_its_own_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv(WORK_VARIABLE, str(tmp_path))
    one = Workspace.open("s3://bucket/one")
    assert one.local.parent == tmp_path
    assert one.local == Workspace.open("s3://bucket/one/").local
    assert one.local != Workspace.open("s3://bucket/two").local
    monkeypatch.delenv(WORK_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.platform", "linux")
    assert Workspace.open("s3://bucket/one").local.is_relative_to(tmp_path / "cache" / "modersmal")


def test_a_mounted_drive_is_worked_for_on_this_machines_disk(tmp_path, monkeypatch):
    monkeypatch.setenv(WORK_VARIABLE, str(tmp_path))
    space = Workspace.open("/content/drive/MyDrive/modersmal")
    assert space.local.is_relative_to(tmp_path)
    assert space.remote is not None
    assert not space.remote.confirms


@pytest.mark.parametrize("kind", ["s3", "memory", "drive"])
def test_what_one_machine_pushed_another_pulls(request, kind, tmp_path, monkeypatch):
    urls = {
        "s3": "s3://bucket/w",
        "memory": f"memory://{tmp_path}",
        "drive": f"drive://{tmp_path}/d",
    }
    if kind == "s3":
        request.getfixturevalue("s3")
    monkeypatch.setenv(WORK_VARIABLE, str(tmp_path / "here"))
    here = Workspace.open(urls[kind])
    store.write_bytes(here.corpus("sv") / "train" / "0.parquet", b"x" * 1000)
    told = []
    here.push(here.corpus("sv"), told.append)
    assert sum(told) > 1000
    store.write_bytes(here.corpus("sv") / "corpus.json", b"{}")
    here.push(here.corpus("sv"))

    monkeypatch.setenv(WORK_VARIABLE, str(tmp_path / "there"))
    there = Workspace.open(urls[kind])
    assert there.pull("corpora/fi") is False
    assert there.pull("corpora/sv") is True
    assert (there.corpus("sv") / "train" / "0.parquet").read_bytes() == b"x" * 1000
    assert (there.corpus("sv") / "corpus.json").is_file()
    there.remote.delete("corpora/sv")
    assert there.pull("corpora/sv") is True  # complete here: the remote is not asked


def test_pulling_what_is_damaged_leaves_nothing_that_looks_complete(tmp_path, monkeypatch):
    monkeypatch.setenv(WORK_VARIABLE, str(tmp_path / "here"))
    here = Workspace.open(f"drive://{tmp_path}/drive")
    store.write_bytes(here.run("sv") / "model" / "weights", b"x" * 1000)
    here.push(here.run("sv") / "model")
    Path(tmp_path / "drive" / "runs" / "sv" / "model" / "weights").write_bytes(b"")
    monkeypatch.setenv(WORK_VARIABLE, str(tmp_path / "there"))
    there = Workspace.open(f"drive://{tmp_path}/drive")
    with pytest.raises(StoreDamaged):
        there.pull("runs/sv/model")
    assert not (there.run("sv") / "model").exists()


def test_a_folder_from_elsewhere_has_no_place(tmp_path, monkeypatch):
    monkeypatch.setenv(WORK_VARIABLE, str(tmp_path / "here"))
    with pytest.raises(StoreError, match="is not below"):
        Workspace.open(f"memory://{tmp_path}").push(tmp_path / "elsewhere")
