"""Remotes of every kind: confirmed, whole or not at all, tried again, in plain words."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modersmal import store
from modersmal.errors import StoreDamaged, StoreError, StoreMissing
from modersmal.store import remote as remote_module
from modersmal.store.faults import VARIABLE
from modersmal.store.folder import SyncedFolder, is_synced
from modersmal.store.remote import Backoff, Remote, local_place

MIB = 1 << 20
IMPATIENT = Backoff(first_s=0.01, longest_s=0.02, within_s=0.3)


def test_small_files_come_back_as_they_went(remote):
    remote.write("a/b.json", b"1")
    remote.write("a/b.json", b"22")
    assert remote.read("a/b.json") == b"22"
    assert remote.create("a/c", b"first") is True
    assert remote.create("a/c", b"second") is False
    assert remote.read("a/c") == b"first"
    assert remote.list() == ["a/b.json", "a/c"]
    assert remote.sizes("a") == {"a/b.json": 2, "a/c": 5}
    assert remote.list("a/b") == []  # a prefix is a folder, not the beginning of a name
    remote.delete("a/c")
    remote.delete("never/there")
    assert remote.list("a") == ["a/b.json"]


def test_what_is_not_there_is_a_store_missing(remote):
    assert remote.list("nowhere") == []
    with pytest.raises(StoreMissing, match="nowhere/x"):
        remote.read("nowhere/x")
    with pytest.raises(StoreMissing):
        remote.get_folder("nowhere", Path("unused"))


def test_a_place_inside_a_remote_has_names_of_its_own(remote):
    inside = remote.at("runs/sv")
    inside.write("leases/1", b"x")
    assert inside.list("leases") == ["leases/1"]
    assert remote.read("runs/sv/leases/1") == b"x"
    assert inside.url.endswith("/runs/sv")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a\\b"])
def test_names_do_not_lead_out(remote, name):
    with pytest.raises(StoreError, match="leads out"):
        remote.write(name, b"")


def test_a_listing_is_never_an_old_one(remote, tmp_path):
    assert remote.list() == []
    Remote.open(f"{remote.url}").write("new", b"")
    assert remote.list() == ["new"]


def test_a_folder_comes_back_whole(remote, folder, tmp_path):
    remote.put_folder(folder, "runs/sv/model")
    got = tmp_path / "got" / "model"
    told = []
    remote.get_folder("runs/sv/model", got, told.append)
    store.verify_manifest(got)
    assert (got / "weights.bin").read_bytes() == (folder / "weights.bin").read_bytes()
    assert sum(told) == 1000 + (folder / "deep" / "state.json").stat().st_size
    assert [path.name for path in got.parent.iterdir()] == ["model"]


def test_a_changed_folder_takes_the_place_of_the_old(remote, folder, tmp_path):
    remote.put_folder(folder, "model")
    store.write_bytes(folder / "weights.bin", b"others")
    (folder / "deep" / "state.json").rename(folder / "state.json")
    store.write_manifest(folder)
    remote.put_folder(folder, "model")
    assert remote.list("model") == ["model/manifest.json", "model/state.json", "model/weights.bin"]
    remote.get_folder("model", tmp_path / "got")
    assert (tmp_path / "got" / "weights.bin").read_bytes() == b"others"


def test_a_folder_damaged_on_this_disk_is_not_sent(remote, folder):
    with (folder / "weights.bin").open("r+b") as file:
        file.write(b"\0" * 10)
    with pytest.raises(StoreDamaged, match=r"weights\.bin is damaged"):
        remote.put_folder(folder, "model")
    assert remote.list() == []


def test_a_remote_folder_without_its_manifest_or_with_a_damaged_file_is_not_taken(
    remote, folder, tmp_path
):
    remote.put_folder(folder, "model")
    remote.write("model/weights.bin", b"\0" * 1000)
    with pytest.raises(StoreDamaged, match=r"weights\.bin is damaged"):
        remote.get_folder("model", tmp_path / "got")
    remote.delete("model/weights.bin")
    with pytest.raises(StoreDamaged, match=r"weights\.bin is not there"):
        remote.get_folder("model", tmp_path / "got")
    remote.delete("model/manifest.json")
    with pytest.raises(StoreMissing):
        remote.get_folder("model", tmp_path / "got")
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize(
    ("point", "has_manifest"),
    [
        ("remote.before-files", False),
        ("remote.after-file", False),
        ("remote.before-manifest", False),
        ("remote.after-manifest", True),
    ],
)
def test_the_manifest_goes_last_whenever_the_sender_dies(s3, folder, tmp_path, point, has_manifest):
    code = "import sys; from pathlib import Path; from modersmal.store.remote import Remote\n"
    code += "Remote.open('s3://bucket').put_folder(Path(sys.argv[1]), 'model')"
    command = [sys.executable, "-c", code, str(folder)]
    dying = {**os.environ, VARIABLE: f"{point}:1"}
    assert subprocess.run(command, env=dying, capture_output=True).returncode == -9
    remote = Remote.open("s3://bucket")
    assert ("model/manifest.json" in remote.list()) is has_manifest
    s3.seen.clear()
    remote.put_folder(folder, "model")
    assert s3.count("PUT .*weights.bin") == (point == "remote.before-files")  # not sent twice
    remote.get_folder("model", tmp_path / "got")


@pytest.mark.parametrize("kind", ["error", "lost", "hang", "truncate", "empty", "flip"])
@pytest.mark.parametrize("size_bytes", [1000, 12 * MIB])
def test_whatever_goes_wrong_once_is_mended(s3, quick, make_folder, kind, size_bytes, monkeypatch):
    monkeypatch.setattr("modersmal.store.s3.READ_TIMEOUT_S", 0.5)
    monkeypatch.setattr("modersmal.store.s3.PART_BYTES", 5 * MIB)
    monkeypatch.setattr(remote_module, "RANGE_BYTES", 5 * MIB)
    folder = make_folder("model", size_bytes)
    remote = Remote.open("s3://bucket", backoff=quick)
    s3.trouble("PUT .*weights.bin", kind)
    remote.put_folder(folder, "model")
    assert remote.sizes()["model/weights.bin"] == size_bytes
    s3.trouble("GET /bucket/model/weights.bin", kind if kind != "flip" else "error")
    remote.get_folder("model", folder.with_name("got"))
    store.verify_manifest(folder.with_name("got"))
    assert not any(trouble.times for trouble in s3.troubles)  # each of them did happen


@pytest.mark.parametrize("kind", ["error", "empty", "flip"])
def test_what_stays_wrong_is_a_store_error_and_is_not_counted(s3, folder, kind):
    s3.trouble("PUT .*weights.bin", kind, times=10_000)
    remote = Remote.open("s3://bucket", backoff=IMPATIENT)
    with pytest.raises(StoreError, match=r"s3://bucket/model/weights\.bin cannot be sent"):
        remote.put_folder(folder, "model")
    s3.troubles.clear()
    assert "model/manifest.json" not in remote.list()


def test_a_download_that_always_breaks_off_is_a_store_error(s3, folder):
    remote = Remote.open("s3://bucket", backoff=IMPATIENT)
    remote.put_folder(folder, "model")
    s3.trouble("GET .*weights.bin", "truncate", times=10_000)
    with pytest.raises(StoreError, match=r"weights\.bin cannot be read"):
        remote.get_folder("model", folder.with_name("got"))
    assert not folder.with_name("got").exists()


def test_a_server_that_cannot_be_reached_is_one_sentence(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError) as caught:
        Remote.open("s3://bucket/x", backoff=IMPATIENT).read("a")
    assert "s3://bucket/x/a cannot be read" in str(caught.value)
    assert "very-secret" not in str(caught.value)


def test_a_bucket_that_is_not_there_is_said_at_once(s3):
    with pytest.raises(StoreError, match="bucket does not exist"):
        Remote.open("s3://elsewhere/x").write("a", b"")
    assert s3.count("PUT") == 1


def test_a_remote_that_comes_back_is_waited_for(s3, folder, quick):
    s3.down = True
    began_s = time.monotonic()
    threading.Timer(0.5, lambda: setattr(s3, "down", False)).start()
    Remote.open("s3://bucket", backoff=quick).put_folder(folder, "model")
    assert time.monotonic() - began_s > 0.5


def test_an_upload_goes_on_where_it_stopped(s3, tmp_path, monkeypatch):
    monkeypatch.setattr("modersmal.store.s3.PART_BYTES", 5 * MIB)
    (tmp_path / "large").write_bytes(os.urandom(23 * MIB))
    s3.trouble("partNumber=4", "error", times=10_000)
    with pytest.raises(StoreError):
        Remote.open("s3://bucket", backoff=IMPATIENT).put(tmp_path / "large", "large")
    s3.troubles.clear()
    s3.seen.clear()
    told = []
    remote = Remote.open("s3://bucket")
    remote.put(tmp_path / "large", "large", told.append)
    assert s3.count("PUT .*partNumber") <= 2  # 4, and 5 if it was cancelled
    assert sum(told) == 23 * MIB
    remote.get("large", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == (tmp_path / "large").read_bytes()
    s3.seen.clear()
    remote.put(tmp_path / "large", "large")
    assert s3.count("PUT") == 0  # it is there already


def test_a_download_goes_on_where_it_stopped(s3, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_module, "RANGE_BYTES", MIB)
    data = os.urandom(10 * MIB + 7)
    Remote.open("s3://bucket").write("large", data)
    fetched = []

    def stop_after_six(count):
        fetched.append(count)
        if len(fetched) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Remote.open("s3://bucket").get("large", tmp_path / "got", stop_after_six)
    assert not (tmp_path / "got").exists()
    s3.seen.clear()
    told = []
    Remote.open("s3://bucket").get("large", tmp_path / "got", told.append)
    assert (tmp_path / "got").read_bytes() == data
    assert told[0] == 6 * MIB
    assert sum(told) == len(data)
    assert s3.count("GET /bucket/large") == 5
    assert os.listdir(tmp_path) == ["got"]


def test_a_download_begins_anew_where_the_file_has_changed(s3, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_module, "RANGE_BYTES", 1000)
    remote = Remote.open("s3://bucket")
    remote.write("file", b"a" * 4000)

    def stop(_count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        remote.get("file", tmp_path / "got", stop)
    remote.write("file", b"b" * 4000)
    remote.get("file", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == b"b" * 4000


def test_what_the_progress_raises_comes_through_and_stops_the_upload(remote, folder):
    class Enough(Exception):
        pass

    def stop(_count):
        raise Enough

    with pytest.raises(Enough):
        remote.put_folder(folder, "model", stop)
    assert "model/manifest.json" not in remote.list()


def test_of_many_contenders_one_creates_a_name(s3):
    remotes = [Remote.open("s3://bucket") for _ in range(4)]
    for round_ in range(5):
        with ThreadPoolExecutor(4) as pool:
            tries = [
                pool.submit(remote.create, f"token-{round_}", str(number).encode())
                for number, remote in enumerate(remotes)
            ]
        won = [number for number, made in enumerate(tries) if made.result()]
        assert len(won) == 1
        assert remotes[0].read(f"token-{round_}") == str(won[0]).encode()


def test_of_many_processes_one_creates_a_name_in_a_folder(tmp_path):
    code = textwrap.dedent("""
        import os, sys
        from pathlib import Path
        from modersmal.store.remote import local_place
        place = local_place(Path(sys.argv[1]))
        print(*(int(place.create(f"t{n}", str(os.getpid()).encode())) for n in range(50)))
    """)
    command = [sys.executable, "-c", code, str(tmp_path)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [process.communicate()[0].split() for process in started]
    assert [sum(map(int, column)) for column in zip(*answers, strict=True)] == [1] * 50
    assert all((tmp_path / f"t{n}").read_bytes() for n in range(50))


def test_a_create_whose_answer_was_lost_knows_its_own_file(s3, quick):
    s3.trouble("PUT .*token", "lost")
    remote = Remote.open("s3://bucket", backoff=quick)
    assert remote.create("token", b"mine, and only mine") is True
    s3.trouble("PUT .*token", "error")
    assert remote.create("token", b"another's") is False


def test_whether_names_are_exclusive_is_asked_of_the_store_itself(s3, tmp_path):
    assert Remote.open("s3://bucket/a").exclusive is True
    s3.trouble("PUT", "unconditional", times=100)
    assert Remote.open("s3://bucket/b").exclusive is False
    s3.troubles.clear()
    assert Remote.open("s3://bucket").list() == []
    assert local_place(tmp_path).exclusive is True
    assert Remote.open(f"drive://{tmp_path}").exclusive is False
    assert Remote.open(f"memory://{tmp_path}").exclusive is True
    # Of the rest, fsspec looks whether a name is free, and writes then.
    assert Remote.open(f"local://{tmp_path}").exclusive is False


def test_free_space_is_told_where_it_can_be(s3, tmp_path):
    free = Remote.open(str(tmp_path / "not" / "yet" / "made")).free_bytes()
    status = os.statvfs(tmp_path)
    assert abs(free - status.f_bavail * status.f_frsize) < 1 << 30
    assert Remote.open("s3://bucket").free_bytes() is None


def test_only_a_mounted_drive_does_not_confirm(s3, tmp_path):
    assert Remote.open("s3://bucket").confirms
    assert Remote.open(str(tmp_path)).confirms
    assert not Remote.open(f"drive://{tmp_path}").confirms


def test_a_drive_that_shows_no_bytes_neither_fools_nor_stops(tmp_path, folder):
    """A mounted Drive may show a file with 0 bytes for half an hour after it was written."""
    drive = Remote.open(f"drive://{tmp_path}/drive", backoff=IMPATIENT)
    ended = threading.Event()

    def show_nothing():
        while not ended.is_set():
            for path in (tmp_path / "drive").rglob("*"):
                if path.is_file() and path.stat().st_size:
                    os.truncate(path, 0)

    hiding = threading.Thread(target=show_nothing)
    hiding.start()
    try:
        drive.put_folder(folder, "checkpoint")
        drive.put_folder(folder, "checkpoint")
    finally:
        ended.set()
        hiding.join()
    os.truncate(tmp_path / "drive" / "checkpoint" / "manifest.json", 0)
    with pytest.raises(StoreDamaged):
        drive.get_folder("checkpoint", tmp_path / "got")
    store.verify_manifest(folder)  # what we have stays as it was


def test_what_is_deleted_on_a_drive_leaves_no_bytes_in_its_bin(tmp_path):
    """A bin keeps the file as it was when it was deleted; so does one that is open."""
    drive = SyncedFolder(tmp_path)
    drive.write("checkpoints/step-1/model.safetensors", b"x" * 1000)
    with (tmp_path / "checkpoints/step-1/model.safetensors").open("rb") as thrown_away:
        drive.delete(["checkpoints/step-1/model.safetensors", "checkpoints/step-1/gone"])
        assert thrown_away.read() == b""
    assert not (tmp_path / "checkpoints").exists()


def test_mounted_drives_are_known_by_their_mounts(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/vda / ext4 rw 0 0\n"
        "drive /media/My\\040Drive fuse.drive rw,nosuid 0 0\n"
        "/dev/vdb /media/My\\040Drive/disk ext4 rw 0 0\n"
    )
    assert is_synced(Path("/media/My Drive/modersmal"), mounts)
    assert not is_synced(Path("/media/My Drive/disk/modersmal"), mounts)
    assert not is_synced(Path("/media/other"), mounts)
    assert is_synced(Path("/content/drive/MyDrive/modersmal"), mounts)
    assert is_synced(Path("/Users/anna/Library/CloudStorage/GoogleDrive/x"), tmp_path / "none")


def test_a_scheme_nobody_knows_or_whose_package_is_missing_says_what_to_do(monkeypatch):
    with pytest.raises(StoreError, match=r"s3://, gs://, hf://"):
        Remote.open("nothing-like-it://host/path")
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    in_use = sys.modules["fsspec.registry"]._registry
    for scheme in ("gs", "gcs"):  # by tests before this one
        monkeypatch.delitem(in_use, scheme, raising=False)
    with pytest.raises(StoreError, match=r"pip install 'modersmal\[gcs\]'"):
        Remote.open("gs://bucket/path")


def test_a_full_disk_under_a_download_is_one_sentence(s3, tmp_path):
    Remote.open("s3://bucket").write("large", b"x" * 100_000)
    script = textwrap.dedent("""
        import resource, signal, sys
        from pathlib import Path
        from modersmal.errors import StoreError
        from modersmal.store.remote import Remote
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            Remote.open("s3://bucket").get("large", Path(sys.argv[1]) / "large")
        except StoreError as error:
            print(error)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "the disk is full" in done.stdout
    assert not (tmp_path / "large").exists()


def test_the_store_alone_loads_no_network():
    code = "import sys, modersmal.store.workspace, modersmal.store.lease, modersmal.store.queue\n"
    code += "print(*({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {
        "fsspec",
        "s3fs",
        "aiohttp",
        "botocore",
        "huggingface_hub",
    }
