"""The status of a store is read from the store alone, and nothing in it can break it."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

import modersmal
from modersmal import store as files
from modersmal.errors import StoreError
from modersmal.status.page import as_text, line
from modersmal.status.read import Watcher
from modersmal.status.runs import RunStatus, Status
from modersmal.store.lease import Lease
from modersmal.store.remote import Remote
from modersmal.train.heartbeat import Heartbeat, HeartbeatWriter, Mark, Score

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SCORES = tuple(Score(250 * n, 0.6 / n) for n in range(1, 6))


def beat(**given: Any) -> Heartbeat:
    known: dict[str, Any] = {
        "phase": "training", "written": NOW, "step": 1250, "max_steps": 2000, "epoch": 5.5,
        "loss": 0.41, "audio_s_per_s": 412.0, "steps_per_s": 1.7, "left_s": 440.0,
        "scores": SCORES,
    }  # fmt: skip
    return Heartbeat(**known | given)


def put_checkpoint(place: Remote, tmp_path: Path, name: str, *, whole: bool = True) -> None:
    folder = tmp_path / uuid.uuid4().hex
    files.write_json(folder / "state.json", {"step": 1, "recipe": {"train": {"max_steps": 2000}}})
    if whole:
        files.write_manifest(folder)
        place.put_folder(folder, f"checkpoints/{name}")
    else:
        place.put(folder / "state.json", f"checkpoints/{name}/state.json")


@pytest.fixture(params=["folder", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store: a folder, and an fsspec URL."""
    if request.param == "folder":
        (tmp_path / "store").mkdir()
        return str(tmp_path / "store")
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def place(url: str) -> Remote:
    """The run "sv" in it."""
    return Remote.open(url).at("runs/sv")


def read(url: str, after_s: float = 0.0) -> RunStatus:
    """The only run of a store, so long after NOW."""
    (run,) = Watcher(Remote.open(url), now=lambda: NOW + timedelta(seconds=after_s)).read().runs
    return run


# What a run tells ---------------------------------------------------------------------------------


def test_a_run_at_work(url: str, place: Remote, tmp_path: Path) -> None:
    put_checkpoint(place, tmp_path, "step-00001000.t00000001")
    put_checkpoint(place, tmp_path, "step-00001250.t00000001", whole=False)
    place.write(
        "status.json",
        beat(confirms=True, saved=Mark(1250, NOW), confirmed=Mark(1000, NOW)).encode(),
    )
    run = read(url, after_s=10)
    assert run.state == "training"
    assert run.heard_s == 10
    assert run.left_s == 430
    assert (run.checkpoint, run.delivered, run.on_its_way) == (1000, "confirmed", 1250)
    assert run.best == Score(1250, 0.12)
    assert run.notes == ()
    text = as_text(Status(url, NOW, (run,)), 80)
    assert "sv  training" in text
    assert "1,250 of 2,000 (62%), epoch 5.5, loss 0.41" in text
    assert "412 audio s/s, 1.7 steps/s" in text
    assert "7 min 10 s" in text
    assert "step 1,000, confirmed; step 1,250 is on its way" in text
    assert "WER 12.0% after step 1,250" in text
    assert re.search(r"60\.0% ┤.*[⠁-⣿]", text)
    assert line(run) == (
        "sv: training, step 1,250 of 2,000 (62%), 7 min 10 s left, best dev WER 12.0%"
    )


@pytest.mark.parametrize(
    ("confirms", "words"),
    [(True, "confirmed"), (False, "handed over, not confirmed"), (None, "saved")],
)
def test_how_surely_the_store_has_it(
    url: str, place: Remote, tmp_path: Path, confirms: bool | None, words: str
) -> None:
    put_checkpoint(place, tmp_path, "step-00001250.t00000001")
    place.write("status.json", beat(confirms=confirms, saved=Mark(1250, NOW)).encode())
    run = read(url)
    assert run.delivered == words
    assert run.on_its_way is None
    assert f"step 1,250, {words}\n" in as_text(Status(url, NOW, (run,)), 80)


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ("paused", "paused 3 min 00 s ago: stopped at step 1250"),
        ("failed", "failed 3 min 00 s ago: stopped at step 1250"),
        ("finished", "finished 3 min 00 s ago: stopped at step 1250"),
    ],
)
def test_a_run_that_ended(url: str, place: Remote, phase: Any, words: str) -> None:
    place.write("status.json", beat(phase=phase, why="stopped at step 1250", left_s=None).encode())
    run = read(url, after_s=180)
    assert run.state == phase
    assert words in as_text(Status(url, NOW, (run,)), 80)


def test_a_run_that_should_have_spoken_is_silent(url: str, place: Remote) -> None:
    place.write("status.json", beat().encode())
    assert read(url, after_s=119).state == "training"
    silent = read(url, after_s=12 * 60)
    assert silent.state == "silent"
    assert silent.left_s is None
    assert "nothing heard for 12 min 00 s" in as_text(Status(url, NOW, (silent,)), 80)
    place.write("status.json", beat(steps_per_s=0.01).encode())
    assert read(url, after_s=400).state == "training"  # a step of 100 s may take a few times that
    place.write("status.json", beat(every_s=600.0).encode())
    assert read(url, after_s=1500).state == "training"


def test_a_wrong_clock_does_not_make_a_run_silent_to_one_who_listens(
    url: str, place: Remote
) -> None:
    own_s = 0.0
    watcher = Watcher(
        Remote.open(url), now=lambda: NOW + timedelta(hours=3, seconds=own_s), clock=lambda: own_s
    )

    def look() -> str:
        (run,) = watcher.read().runs
        return run.state

    place.write("status.json", beat().encode())
    assert look() == "silent"
    own_s = 10.0
    place.write("status.json", beat(written=NOW + timedelta(seconds=10), step=1251).encode())
    assert look() == "training"
    own_s = 100.0
    assert look() == "training"
    own_s = 131.0
    assert look() == "silent"
    ahead = beat(written=NOW + timedelta(hours=9))
    place.write("status.json", ahead.encode())
    assert read(url).heard_s == 0  # a clock that is ahead tells nothing from the future


# Who holds it -------------------------------------------------------------------------------------


def take(place: Remote, holder: str, at: datetime = NOW) -> Lease:
    return Lease.take(
        place, holder, 60.0, sleep=lambda _: None, wall=at.timestamp, wait_s=0.0, window_s=0.0
    )


def test_the_holder_and_until_when(url: str, place: Remote) -> None:
    lease = take(place, "colab-3f")
    place.write("status.json", beat(token=lease.token).encode())
    run = read(url, after_s=20)
    assert run.state == "training"
    assert run.lease is not None
    assert (run.lease.holder, run.lease.token) == ("colab-3f", 1)
    assert run.lease.until == NOW + timedelta(seconds=60)
    shown = f"{(NOW + timedelta(seconds=60)).astimezone():%H:%M:%S}"
    assert re.search(rf"colab-3f \(token 1\), until {shown}", as_text(Status(url, NOW, (run,)), 80))
    assert "ran out at" in as_text(Status(url, NOW + timedelta(seconds=61), (run,)), 80)
    lease.release()
    run = read(url, after_s=20)
    assert run.state == "silent"  # given up without a word
    assert "ended" in as_text(Status(url, NOW, (run,)), 80)


def test_a_lease_that_is_renewed_is_a_sign_of_life(url: str, place: Remote) -> None:
    place.write("status.json", beat(phase="scoring").encode())
    take(place, "vm", NOW + timedelta(seconds=290))
    assert read(url, after_s=300).state == "scoring"


def test_a_takeover_shows_before_the_new_holder_has_trained(
    url: str, place: Remote, tmp_path: Path
) -> None:
    old = take(place, "old")
    put_checkpoint(place, tmp_path, "step-00001000.t00000001")
    place.write("status.json", beat(token=old.token, phase="training").encode())
    old.release()
    new = take(place, "new", NOW + timedelta(seconds=300))
    new.adopt(["step-00001000.t00000001"])
    put_checkpoint(place, tmp_path, "step-00001750.t00000001")  # the old one, woken late
    run = read(url, after_s=310)
    assert run.state == "starting"
    assert run.lease is not None
    assert run.lease.holder == "new"
    assert run.checkpoint == 1000  # what a stale holder writes does not count


def test_a_holder_whose_process_died_here_is_seen_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from modersmal.store.remote import Remote\n"
        "from modersmal.store.lease import Lease\n"
        "Lease.take(Remote.open(sys.argv[1]).at('runs/sv'))\n"
    )
    (tmp_path / "runs" / "sv").mkdir(parents=True)
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)
    files.write_bytes(
        tmp_path / "runs" / "sv" / "status.json", beat(written=datetime.now(UTC)).encode()
    )
    (run,) = modersmal.status(tmp_path).runs
    assert run.state == "silent"
    assert run.why == "its process is gone"


# Broken and old -----------------------------------------------------------------------------------


def metrics(steps: int) -> bytes:
    rows: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        rows.append({"step": step, "epoch": step / 4, "loss": 2.0, "audio_s_per_s": 100.0})
        if step % 10 == 0:
            rows.append({"step": step, "dev_wer": 5 / step, "dev_cer": 2 / step, "dev_clips": 9})
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def test_a_run_of_an_older_version(url: str, place: Remote, tmp_path: Path) -> None:
    place.write("metrics.jsonl", metrics(40))
    put_checkpoint(place, tmp_path, "step-00000030")
    run = read(url)
    assert run.state == "unknown"
    assert (run.step, run.max_steps, run.epoch) == (40, 2000, 10.0)
    assert run.audio_s_per_s == 100.0
    assert (run.checkpoint, run.delivered) == (30, "saved")
    assert [score.step for score in run.scores] == [10, 20, 30, 40]
    assert run.best == Score(40, 0.125)
    assert "whether it is at work is not known" in as_text(Status(url, NOW, (run,)), 80)


def test_an_older_version_that_finished(url: str, place: Remote) -> None:
    place.write("metrics.jsonl", metrics(40))
    place.write("recipe.json", b'{"recipe": {"train": {"max_steps": 40}}}')
    assert read(url).state == "unknown"
    place.write("model/manifest.json", b"{}")
    assert read(url).state == "finished"


def test_what_is_broken_is_said_and_the_rest_is_shown(
    url: str, place: Remote, tmp_path: Path
) -> None:
    place.write("status.json", beat().encode()[:100])
    place.write("metrics.jsonl", metrics(20) + b'{"step": 21, "lo')
    put_checkpoint(place, tmp_path, "step-00000020")
    place.write("checkpoints/step-00000020/state.json", b"[]")
    place.write("recipe.json", b"\xff\xfe")
    place.write("leases/t00000001.json", b"{")
    place.write("leases/t00000001.alive", b"\x00")
    other = Remote.open(url).at("runs/other")
    other.write("status.json", beat().encode())
    status = Watcher(Remote.open(url), now=lambda: NOW).read()
    assert [run.name for run in status.runs] == ["other", "sv"]  # at work first
    sound, broken = status.runs
    assert sound.notes == ()
    assert broken.step == 20
    assert broken.max_steps is None
    assert broken.lease is not None
    assert broken.notes == (
        "status.json is broken or half written",
        "metrics.jsonl is broken or half written in 1 of its lines",
        "checkpoints/step-00000020/state.json is broken or half written",
        "recipe.json is broken or half written",
    )
    assert "note     recipe.json is broken" in as_text(status, 80)


junk = st.one_of(
    st.binary(max_size=60),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["step", "recipe", "train", "max_steps", "best", "metric", "loss",
                             "dev_wer", "audio_s_per_s", "epoch", "at", "format", "checkpoints"]),
            inner, max_size=4,
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([
            "status.json", "metrics.jsonl", "recipe.json", "model/manifest.json",
            "checkpoints/step-00000005/state.json", "checkpoints/step-00000005/manifest.json",
            "checkpoints/step-x/manifest.json", "leases/t00000002.json", "leases/t00000002.alive",
            "leases/t00000002.adopted.json",
        ]),
        junk, max_size=6,
    ),
    st.integers(1, 120),
)  # fmt: skip
def test_nothing_in_a_store_breaks_it(contents: dict[str, bytes], width: int) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    for name, data in contents.items():
        Remote.open(url).write(f"runs/sv/{name}", data)
    found = Watcher(Remote.open(url)).read()
    assert len(found.runs) == (1 if contents else 0)
    json.dumps(found.to_json())
    as_text(found, width)


def test_stores_without_runs_and_no_stores(tmp_path: Path) -> None:
    (tmp_path / "store" / "corpora" / "sv").mkdir(parents=True)
    assert modersmal.status(tmp_path / "store").runs == ()
    assert "no runs yet" in " ".join(str(modersmal.status(tmp_path / "store")).split())
    files.write_json(tmp_path / "store" / "runs" / "sv" / "scores" / "key.json", {})
    assert "sv  no training yet" in str(modersmal.status(tmp_path / "store"))
    with pytest.raises(StoreError, match="there is no store at"):
        modersmal.status(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="no storage we know"):
        modersmal.status("unheard-of://bucket")


# The page -----------------------------------------------------------------------------------------


@given(st.integers(16, 140))
def test_it_fits_a_terminal_of_any_width(width: int) -> None:
    full = RunStatus(
        "sv", state="failed", heard_s=5.0, step=1250, max_steps=2000, epoch=5.5, loss=0.4,
        audio_s_per_s=412.0, steps_per_s=1.7, left_s=440.0, checkpoint=1000, delivered="confirmed",
        on_its_way=1250, scores=SCORES, why="the disk is full", notes=("status.json is broken",),
    )  # fmt: skip
    text = as_text(Status("s3://bucket/people/anna", NOW, (full,)), width)
    assert all(cell_len(row) <= width for row in text.splitlines())
    assert "WER" in text


# The command --------------------------------------------------------------------------------------


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "modersmal", "status", *arguments]


def test_json_is_one_object(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "sv"
    files.write_bytes(run / "status.json", beat(written=datetime.now(UTC)).encode())
    take(Remote.open(str(tmp_path)).at("runs/sv"), "here", datetime.now(UTC))
    done = subprocess.run(
        command(str(tmp_path), "--json"), capture_output=True, text=True, check=True, timeout=60
    )
    (found,) = json.loads(done.stdout)["runs"]
    assert found["name"] == "sv"
    assert found["step"] == 1250
    assert found["best"] == {"step": 1250, "rate": 0.12}
    assert found["scores"][0] == {"step": 250, "rate": 0.6}
    assert found["lease"]["holder"] == "here"
    assert datetime.fromisoformat(found["lease"]["until"]).tzinfo
    assert not done.stderr


def training(run: Path, until: Callable[[], bool]) -> None:
    """A run that goes on until it is enough."""
    step = 0
    with HeartbeatWriter(run, max_steps=10**6, say=print) as heartbeat:
        heartbeat.begin(0)
        while not until():
            step += 1
            heartbeat.step(step, took_s=0.1, audio_s=1.0, epoch=0.0, loss=2.0)
            heartbeat.saved(step)
            time.sleep(0.05)


def test_watching_on_a_terminal_until_interrupted(tmp_path: Path) -> None:
    """A real terminal: it is shown again and again, and the last reading is left."""
    main, side = pty.openpty()
    seen = b""

    def look() -> bool:
        nonlocal seen
        while select.select([main], [], [], 0)[0]:
            seen += os.read(main, 65536)
        return (
            len(set(re.findall(rb"step +(?:\x1b\[\w+)?([\d,]+) of", seen))) > 1
            or process.poll() is not None
        )

    run = tmp_path / "runs" / "sv"
    files.write_bytes(run / "status.json", beat(written=datetime.now(UTC)).encode())
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "40"}
    process = subprocess.Popen(
        command(str(tmp_path), "--watch"), stdout=subprocess.PIPE, stderr=side, env=environment
    )
    os.close(side)
    ends_s = time.monotonic() + 60
    training(run, lambda: look() or time.monotonic() > ends_s)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"sv  training" in out
    assert len(set(re.findall(rb"([\d,]+) of", seen))) > 1, seen
    os.close(main)


def test_watching_without_a_terminal_says_lines(tmp_path: Path) -> None:
    files.write_bytes(
        tmp_path / "runs" / "sv" / "status.json", beat(written=datetime.now(UTC)).encode()
    )
    process = subprocess.Popen(
        command(str(tmp_path), "--watch", "--json"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline().startswith("sv: training, step 1,250 of 2,000 (62%)")
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(out)["runs"][0]["step"] == 1250


def test_a_store_that_goes_away_is_said_while_watching(tmp_path: Path) -> None:
    from modersmal.status.status import _again

    files.write_bytes(tmp_path / "runs" / "sv" / "status.json", beat().encode())
    watcher = Watcher.open(str(tmp_path))
    before = watcher.read()

    class Away(Remote):
        def list(self, prefix: str = "") -> list[str]:
            raise StoreError("s3://bucket cannot be listed")

    watcher._place = Away.open(str(tmp_path))
    found, trouble = _again(watcher, before)
    assert found is before
    assert "cannot be listed; what is shown is what was read last" in trouble.plain
