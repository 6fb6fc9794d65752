"""A Postgres server of our own, reached by a socket in its folder."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

FAST = ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "listen_addresses="]


class Postgres:
    """A running server, which gives out empty databases."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new_database(self) -> str:
        """The address of a new one."""
        name = f"t{uuid.uuid4().hex}"
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self._address(name)

    def _address(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self.folder}"


def programs() -> Path | None:
    """Where Debian's newest Postgres lies."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: int(one.parent.name))
    return found[-1] if found else None


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a server until the end. It refuses to be root, who gives it to the user `postgres`."""
    bin_folder = programs()
    assert bin_folder is not None
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user, user)
    data = folder / "data"
    try:
        subprocess.run(
            [bin_folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync",
             "-E", "UTF8", "--no-locale"],
            user=user, cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        server = subprocess.Popen(
            [bin_folder / "postgres", "-D", data, "-k", folder, *FAST],
            user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            ready = [bin_folder / "pg_isready", "-h", folder, "-q"]
            while subprocess.run(ready).returncode:
                assert server.poll() is None, "Postgres has ended"
            yield Postgres(folder)
        finally:
            server.terminate()  # SIGTERM waits for connections to end; ours are closed
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
