"""systemd is told when the server answers, over the socket that it gives."""

import socket
from pathlib import Path

import pytest

from modersmal.serve.notify import tell_systemd


@pytest.mark.parametrize("kind", ["a file", "a name of the kernel's"])
def test_who_started_the_server_is_told(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(path if kind == "a file" else f"\0{path}")
        monkeypatch.setenv("NOTIFY_SOCKET", path if kind == "a file" else f"@{path}")
        tell_systemd("READY=1")
        assert channel.recv(100) == b"READY=1"


def test_nobody_is_told_where_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    tell_systemd("READY=1")
