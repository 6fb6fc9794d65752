import subprocess
import sys
from pathlib import Path

import pytest

from modersmal import store
from modersmal.errors import StoreDamaged, StoreError, StoreMissing
from modersmal.offline import staying_offline
from modersmal.store.workspace import WORK_VARIABLE, Workspace, at_hand


def test_an_ordinary_folder_is_worked_in_and_has_no_remote(tmp_path):
    space = Workspace.open(str(tmp_path / "store"))
    assert space.remote is None
    assert space.corpus("sv") == tmp_path / "store" / "corpora" / "sv"
    assert space.run("sv") == tmp_path / "store" / "runs" / "sv"
    assert space.place("runs/sv") is None
    space.run("sv").mkdir(parents=True)
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
    with pytest.raises(StoreError, match=r"Drive is not mounted, so /content/drive/MyDrive/x"):
        Workspace.open("/content/drive/MyDrive/x")
    monkeypatch.setattr(Path, "is_mount", lambda path: path == Path("/content/drive"))
    space = Workspace.open("/content/drive/MyDrive/modersmal")
    assert space.local.is_relative_to(tmp_path)
    assert space.remote is not None
    assert not space.remote.confirms


@pytest.mark.parametrize("kind", ["s3", "memory", "drive"])
def test_what_one_machine_pushed_another_pulls(request, kind, tmp_path, monkeypatch, capsys):
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
    here.push(here.corpus("sv"))
    store.write_bytes(here.corpus("sv") / "corpus.json", b"{}")
    (here.corpus("sv") / store.MANIFEST).unlink()  # it is finished anew
    here.push(here.corpus("sv"))
    assert "Sending corpora/sv: 0 MB" in capsys.readouterr().err
    here.push(here.corpus("sv"))
    assert capsys.readouterr().err == ""  # it is there

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


def test_a_folder_behind_a_url_is_at_hand_and_follows_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv(WORK_VARIABLE, str(tmp_path / "here"))
    here = Workspace.open(f"memory://{tmp_path}")
    model, url = here.run("sv") / "model", f"memory://{tmp_path}/runs/sv/model"
    for weights in (b"first", b"second"):
        store.write_bytes(model / "weights", weights)
        store.write_manifest(model)
        here.push(model)
        assert (at_hand(url) / "weights").read_bytes() == weights
    assert at_hand(model) == model
    with pytest.raises(StoreMissing, match=r"no complete folder at memory://.*/runs/fi"):
        at_hand(f"memory://{tmp_path}/runs/fi")


def test_what_was_fetched_is_at_hand_offline(tmp_path, monkeypatch):
    monkeypatch.setenv(WORK_VARIABLE, str(tmp_path / "here"))
    here = Workspace.open(f"drive://{tmp_path}/drive")
    store.write_bytes(here.run("sv") / "model" / "weights", b"x")
    here.push(here.run("sv") / "model")
    url = f"drive://{tmp_path}/drive/runs/sv/model"
    first = at_hand(url)
    (tmp_path / "drive").rename(tmp_path / "gone")
    with staying_offline():
        assert at_hand(url) == first


def test_processes_that_fetch_one_folder_at_once_fetch_it_once(tmp_path, monkeypatch):
    monkeypatch.setenv(WORK_VARIABLE, str(tmp_path / "here"))
    here = Workspace.open(f"drive://{tmp_path}/drive")
    store.write_bytes(here.corpus("sv") / "shard", b"x" * 50_000_000)
    here.push(here.corpus("sv"))
    monkeypatch.setenv(WORK_VARIABLE, str(tmp_path / "there"))
    pull = (
        "import sys; from modersmal.store.workspace import Workspace; "
        "assert Workspace.open(sys.argv[1]).pull('corpora/sv')"
    )
    command = [sys.executable, "-c", pull, f"drive://{tmp_path}/drive"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(line.count("Fetching") for line in said) == [0, 1]
