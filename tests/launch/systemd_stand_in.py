"""`systemctl` where no systemd runs: it starts a unit's program as the unit says, and ends it.

Of the units in $UNITS it knows what ours use: ExecStart, WorkingDirectory, Environment,
EnvironmentFile, Type=notify, which has started when it says so, and Type=oneshot, which has when
it has ended. What was asked for is in $UNITS/calls.
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

UNITS = Path(os.environ["UNITS"])


def main(action: str, *arguments: str) -> int:
    names = [name for name in arguments if not name.startswith("--")]
    with (UNITS / "calls").open("a") as calls:
        calls.write(" ".join([action, *arguments]) + "\n")
    if action == "start":
        return max(start(name) for name in names)
    if action == "stop":
        for name in names:
            stop(name)
    elif action not in ("daemon-reload", "enable"):
        raise SystemExit(f"not known here: {action}")
    return 0


def start(name: str) -> int:
    if running(name):
        return 0
    said = [line.partition("=") for line in (UNITS / f"{name}.service").read_text().splitlines()]
    unit = {key: value for key, equals, value in said if equals and not key.startswith("#")}
    environment = dict(os.environ)
    lines = shlex.split(unit.get("Environment", ""))
    secrets = Path(unit.get("EnvironmentFile", "-").removeprefix("-") or "/nowhere")
    lines += secrets.read_text().splitlines() if secrets.is_file() else []
    environment |= {key: value for key, _, value in (line.partition("=") for line in lines)}
    command, folder = shlex.split(unit["ExecStart"]), unit["WorkingDirectory"]
    if unit["Type"] == "oneshot":
        return subprocess.run(command, cwd=folder, env=environment).returncode
    address = UNITS / "notify"
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(address))
        channel.settimeout(0.2)
        with (UNITS / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=folder,
                env=environment | {"NOTIFY_SOCKET": str(address)}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        (UNITS / f"{name}.pid").write_text(str(process.pid))
        while process.poll() is None:
            try:
                if channel.recv(4096) == b"READY=1":
                    return 0
            except TimeoutError:
                continue
    return 1


def stop(name: str) -> None:
    if pid := running(name):
        os.kill(pid, signal.SIGTERM)
        while running(name):
            time.sleep(0.05)


def running(name: str) -> int | None:
    try:
        pid = int((UNITS / f"{name}.pid").read_text())
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else pid


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
