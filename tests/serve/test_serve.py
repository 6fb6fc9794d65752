"""`modersmal serve` and `modersmal keys` as processes, from start to end."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from children import children
from modersmal.cli import app
from modersmal.database import Database

CLIP = Path(__file__).parents[1] / "data" / "speech" / "03.ogg"
SERVE = [sys.executable, "-m", "modersmal", "serve", "--model", "bundled", "--port", "0"]

# Read by every Python process before anything else, the server's own workers too.
WATCHER = """
import os, sys

def note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        line(f"{event} {arguments[-1] if event == 'socket.connect' else arguments[0]!r}")

def line(text):
    with open(os.environ["WATCHED"], "a") as file:
        file.write(f"{text}\\n")

line(f"watched {os.getpid()}")
sys.addaudithook(note)
"""

Process = subprocess.Popen[str]


@contextmanager
def serving(
    folder: Path, *arguments: str, **environment: str
) -> Iterator[tuple[Process, str, list[str]]]:
    """The command, in a folder of its own: its process, address, and what it said before."""
    process = subprocess.Popen(
        [*SERVE, *arguments],
        cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | environment,
    )  # fmt: skip
    assert process.stderr is not None
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"is served at (http://\S+)", line):
                yield process, found[1], said
                break
        else:
            raise AssertionError("".join(said))
    finally:
        process.kill()
        process.communicate(timeout=30)


def run(*arguments: str) -> str:
    ended = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    assert ended.exit_code == 0, ended.stderr
    return ended.stdout


def ask(address: str, key: str | None = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.post(
        f"{address}/v1/audio/transcriptions", files={"file": CLIP.read_bytes()}, headers=headers,
        timeout=60,
    )  # fmt: skip


def test_it_serves_until_a_signal_calls_nobody_and_leaves_nothing_behind(
    tmp_path: Path, cache: Path
) -> None:
    watched = tmp_path / "watched"
    (tmp_path / "sitecustomize.py").write_text(WATCHER)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with serving(tmp_path, PYTHONPATH=path, WATCHED=str(watched)) as (process, address, said):
        assert not any("warning" in line for line in said)
        assert ask(address).json()["text"] == "Klockan är halv nio."
        started = children("modersmal", of=process.pid)
        assert started
        for page in ("/", "/config", "/theme.css", "/page/about", "/docs"):
            assert httpx.get(address + page).status_code == 200
        lines = watched.read_text().splitlines()
        assert {f"watched {pid}" for pid in (process.pid, *started)} <= set(lines)
        called = [line for line in lines if not line.startswith("watched ")]
        assert all("127.0.0.1" in line or "localhost" in line for line in called), called
        folder = tmp_path / "modersmal-serve"
        assert folder.stat().st_mode & 0o777 == 0o700
        _until(lambda: all(one.name == "protected" for one in (folder / "requests").iterdir()))
        assert not any((folder / "requests" / "protected").iterdir())

        second = subprocess.run(
            SERVE,
            cwd=tmp_path, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert second.returncode == 1
        assert "another server uses" in second.stderr

        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0
        assert out.startswith("Served bundled at http://127.0.0.1:")
        assert "POST /v1/audio/transcriptions 200" in err
        assert "Klockan" not in err
        assert "03.ogg" not in err
        assert not any(Path(f"/proc/{pid}").exists() for pid in started)


def test_keys_are_obeyed_by_a_server_that_runs(tmp_path: Path, cache: Path) -> None:
    database = ("--database", f"sqlite:///{tmp_path / 'keys.db'}")
    with serving(tmp_path, "--host", "0.0.0.0", *database) as (_, address, said):
        assert "no keys" in run("keys", "list", *database)
        assert any("whoever reaches 0.0.0.0 can use" in line for line in said)
        address = address.replace("0.0.0.0", "127.0.0.1")
        assert ask(address).status_code == 200
        key = run("keys", "add", "anna", *database).split()[0]
        _until(lambda: ask(address).status_code == 401)
        assert ask(address, key).status_code == 200
        assert httpx.get(f"{address}/health").status_code == 200
        assert run("keys", "list", *database).startswith("anna ")
        run("keys", "revoke", "anna", *database)
        _until(lambda: ask(address, key).status_code == 401)


def test_an_address_that_is_taken_is_said_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = CliRunner().invoke(app, ["serve", "--model", "bundled", "--port", port])
    assert ended.exit_code == 1
    assert f"127.0.0.1 port {port} cannot be listened at" in ended.stderr


@pytest.mark.parametrize("arguments", [["list"], ["revoke", "anna"]])
def test_of_a_database_that_is_not_there_nobody_says_that_it_has_no_keys(
    tmp_path: Path, arguments: list[str]
) -> None:
    path = tmp_path / "mistyped.db"
    ended = CliRunner().invoke(app, ["keys", *arguments, "--database", f"sqlite:///{path}"])
    assert ended.exit_code == 1
    assert f"there is no database at {path}" in ended.stderr
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["add"], "needs a NAME"),
        (["list", "anna"], "takes no name"),
        (["revoke", "anna", "--reviewer"], "goes with `keys add`"),
        (["revoke", "anna"], "there is no key 'anna'"),
        (["add", "a b"], "cannot name a key"),
    ],
)
def test_keys_that_cannot_be(tmp_path: Path, arguments: list[str], says: str) -> None:
    database = f"sqlite:///{tmp_path / 'keys.db'}"
    Database.open(database).close()
    ended = CliRunner().invoke(app, ["keys", *arguments, "--database", database])
    assert ended.exit_code == 1
    assert says in ended.stderr


def _until(true: Callable[[], bool]) -> None:
    """Wait for what comes by itself, within seconds."""
    for _ in range(100):
        if true():
            return
        time.sleep(0.2)
    raise AssertionError("it did not come")
