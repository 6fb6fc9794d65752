"""What the store promises: whole files or none, manifests that notice, plain sentences."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from modersmal import store
from modersmal.errors import StoreError


def test_bytes_and_json_are_written_and_nothing_else_is_left(tmp_path):
    store.write_bytes(tmp_path / "new" / "a.bin", b"abc")
    store.write_json(tmp_path / "b.json", {"å": [1, None]})
    assert (tmp_path / "new" / "a.bin").read_bytes() == b"abc"
    assert json.loads((tmp_path / "b.json").read_text("utf-8")) == {"å": [1, None]}
    assert "å" in (tmp_path / "b.json").read_text("utf-8")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.bin", "b.json", "new"]


def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_draft(tmp_path):
    store.write_bytes(tmp_path / "a", b"old")

    def stop_half_way():
        with store.replacing(tmp_path / "a") as file:
            file.write(b"new, but")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        stop_half_way()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_the_file_appears_only_when_it_is_whole(tmp_path):
    with store.replacing(tmp_path / "a") as file:
        file.write(b"x")
        file.flush()
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").exists()


def test_a_full_disk_is_one_sentence_and_nothing_half_written(tmp_path):
    script = textwrap.dedent("""
        import resource, sys
        from modersmal import store
        from modersmal.errors import StoreError
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        store.write_bytes(sys.argv[1] + "/small", b"fits")
        try:
            store.write_bytes(sys.argv[1] + "/large", b"x" * 5000)
        except StoreError as error:
            print(error)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "full" in done.stdout
    assert "large" in done.stdout
    assert len(done.stdout.strip().splitlines()) == 1
    assert os.listdir(tmp_path) == ["small"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
def test_a_disk_without_space_says_so(tmp_path):
    with (
        pytest.raises(StoreError, match="the disk is full"),
        store.writing(tmp_path / "x"),
        open("/dev/full", "wb", buffering=0) as file,
    ):
        file.write(b"x")


def test_a_folder_in_the_way_is_one_sentence(tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(StoreError, match="cannot be written"):
        store.write_bytes(tmp_path / "a" / "b", b"x")


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert store.sha256(tmp_path / "a") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    with pytest.raises(StoreError, match="cannot be read"):
        store.sha256(tmp_path / "missing")


@pytest.fixture
def folder(tmp_path):
    store.write_bytes(tmp_path / "a", b"alpha")
    store.write_bytes(tmp_path / "deep" / "b", b"beta")
    store.write_manifest(tmp_path)
    return tmp_path


def test_a_manifest_holds_for_what_was_written(folder):
    store.verify_manifest(folder)
    (folder / ".a.123.tmp").write_bytes(b"a draft of a killed writer")
    store.write_manifest(folder)
    assert set(json.loads((folder / "manifest.json").read_text())["files"]) == {"a", "deep/b"}
    store.remove_drafts(folder)
    assert not (folder / ".a.123.tmp").exists()


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda folder: (folder / "deep" / "b").write_bytes(b"bets"), "deep/b is damaged"),
        (lambda folder: (folder / "a").write_bytes(b"alph"), "a is damaged"),
        (lambda folder: (folder / "a").unlink(), "a is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "incomplete"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "not a manifest"),
        (lambda folder: (folder / "manifest.json").write_text('{"files": {"a": 1}}'), "not a man"),
    ],
)
def test_a_manifest_notices_harm(folder, harm, sentence):
    harm(folder)
    with pytest.raises(StoreError, match=sentence):
        store.verify_manifest(folder)
