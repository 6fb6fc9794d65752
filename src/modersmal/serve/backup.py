"""Backups of a server: its database and what lies in its folder, taken while it runs, and restored.

    python -m modersmal.serve.backup save --recipe recipe.toml --to backups --keep 14
    python -m modersmal.serve.backup restore --recipe recipe.toml --from backups/20261224T031000Z

A backup is a folder, complete when its manifest is there: `database.sqlite` (or `database.sql`, by
pg_dump) and `files`. The database comes first: a recording that is newer than its row is erased
when a server starts, but a row without its recording would be shown. What did not change since the
last backup is linked, not copied.
"""

import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.engine import URL, make_url

from modersmal.config import ServeConfig, load_recipe
from modersmal.corpus.corrections.book import Book
from modersmal.database import Database
from modersmal.errors import ModersmalError, StoreError
from modersmal.serve.serving import (
    CORRECTIONS_FOLDER,
    LOCK_FILE,
    RECORDINGS_FOLDER,
    REQUESTS_FOLDER,
    database_address,
)
from modersmal.store import MANIFEST, verify_manifest, write_manifest, writing
from modersmal.store.tombstones import Tombstones

_FILES, _SQLITE, _SQL = "files", "database.sqlite", "database.sql"
_NAME = "%Y%m%dT%H%M%SZ"
_FLEETING = {REQUESTS_FOLDER, LOCK_FILE}


def save(settings: ServeConfig, to: Path, *, keep: int = 14) -> Path:
    """Write a backup into a new folder in `to`, and remove all but the newest `keep`.

    Raises:
        StoreError: the database cannot be read, or the folder not written.
    """
    with writing(to):
        to.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(to / ".lock"):
        former = _complete(to)
        backup = to / datetime.now(UTC).strftime(_NAME)
        _remove(one for one in to.iterdir() if one.is_dir() and one not in former)
        with writing(backup):
            backup.mkdir(mode=0o700)
        url = make_url(database_address(settings))
        _save_database(url, backup)
        _save_files(Path(settings.folder), url, backup / _FILES, former[-1:])
        write_manifest(backup)
        _remove([*former, backup][:-keep])
    return backup


def restore(settings: ServeConfig, backup: Path) -> None:
    """Bring a backup back, but for what people have erased since, where that is known.

    The server must not run. A server that is started next erases them.

    Raises:
        StoreError: the backup is damaged or of another kind of database, the server runs, or the
            database cannot be written; where that is refused, nothing has changed.
    """
    verify_manifest(backup)
    folder, url = Path(settings.folder), make_url(database_address(settings))
    source = backup / (_SQLITE if _is_sqlite(url) else _SQL)
    if not source.is_file():
        raise StoreError(f"{backup} is of another kind of database than the recipe names")
    with _stopped(folder):
        corrections = Tombstones(folder / CORRECTIONS_FOLDER)
        recordings = Tombstones(folder / RECORDINGS_FOLDER)
        erased = {
            corrections: corrections.buried() | _tombstones(settings),
            recordings: recordings.buried(),
        }
        if _is_sqlite(url):
            _restore_sqlite(source, _path_of(url))
        else:
            _restore_postgres(source, url)
        _restore_files(backup / _FILES, folder, url)
        for tombstones, ids in erased.items():
            tombstones.bury(ids - tombstones.buried())


def _complete(to: Path) -> list[Path]:
    return sorted(one for one in to.iterdir() if (one / MANIFEST).is_file())


def _remove(folders: Iterator[Path] | list[Path]) -> None:
    for folder in folders:
        with writing(folder):
            (folder / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(folder)


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _path_of(url: URL) -> Path:
    return Path(str(url.database)).absolute()


def _save_database(url: URL, backup: Path) -> None:
    if not _is_sqlite(url):
        options = ["--no-owner", "--no-privileges", f"--file={backup / _SQL}"]
        _postgres("pg_dump", url, options)
        return
    path = _path_of(url)
    if not path.is_file():
        raise StoreError(f"there is no database at {path} to back up")
    with (
        writing(backup / _SQLITE),
        closing(sqlite3.connect(path)) as live,
        closing(sqlite3.connect(backup / _SQLITE)) as copy,
    ):
        live.backup(copy)


def _restore_sqlite(source: Path, path: Path) -> None:
    draft = path.with_name(f".{path.name}.restoring")
    with writing(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(source, draft)
        draft.chmod(0o600)
        for journal in ("-wal", "-shm"):
            path.with_name(path.name + journal).unlink(missing_ok=True)
        draft.replace(path)


def _restore_postgres(source: Path, url: URL) -> None:
    """Drop our tables and run the dump, all in one transaction."""
    tables = ", ".join(f'"{name}"' for name in _our_tables())
    drop = f"DROP TABLE IF EXISTS {tables} CASCADE"
    options = ["--quiet", "--no-psqlrc", "--single-transaction", "--set=ON_ERROR_STOP=1"]
    _postgres("psql", url, [*options, "--output=/dev/null", "-c", drop, "-f", str(source)])


def _our_tables() -> list[str]:
    database = Database.open("sqlite://")
    try:
        return sa.inspect(database.engine).get_table_names()
    finally:
        database.close()


def _postgres(program: str, url: URL, options: list[str]) -> None:
    """Run one of Postgres's programs; a password goes by the environment, which others cannot see.

    Raises:
        StoreError: there is no such program, or it fails.
    """
    address = url.set(drivername="postgresql", password=None).render_as_string()
    password = {"PGPASSWORD": str(url.password)} if url.password else {}
    try:
        done = subprocess.run(
            [program, f"--dbname={address}", *options],
            capture_output=True,
            text=True,
            env=os.environ | password,
        )
    except FileNotFoundError:
        raise StoreError(
            f"{program} is not installed here; on Debian and Ubuntu: apt install postgresql-client"
        ) from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it failed"])[0]
        raise StoreError(f"{program} of {address}: {reason}")


def _save_files(folder: Path, url: URL, to: Path, former: list[Path]) -> None:
    for path, name in _kept(folder, url):
        target = to / name
        with writing(target):
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # it was erased a moment ago
                _link_or_copy(path, target, [one / _FILES / name for one in former])


def _link_or_copy(path: Path, target: Path, former: list[Path]) -> None:
    seen = path.stat()
    for one in former:
        with suppress(OSError):  # not there, or a disk without links
            known = one.stat()
            if (known.st_size, known.st_mtime_ns) == (seen.st_size, seen.st_mtime_ns):
                os.link(one, target)
                return
    shutil.copy2(path, target)


def _restore_files(source: Path, folder: Path, url: URL) -> None:
    with writing(folder):
        for path, _ in list(_kept(folder, url)):
            path.unlink()
        for path in sorted(source.rglob("*")):
            target = folder / path.relative_to(source)
            if path.is_dir():
                target.mkdir(mode=0o700, exist_ok=True)
            else:
                shutil.copy2(path, target)


def _kept(folder: Path, url: URL) -> Iterator[tuple[Path, Path]]:
    """The files of a server that outlive requests, with their names below its folder."""
    database = _path_of(url) if _is_sqlite(url) else None
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.parts[0] in _FLEETING or not path.is_file():
            continue
        if database is None or path.absolute() not in _of_sqlite(database):
            yield path, name


def _of_sqlite(path: Path) -> set[Path]:
    return {path.with_name(path.name + ending) for ending in ("", "-wal", "-shm", "-journal")}


def _tombstones(settings: ServeConfig) -> set[str]:
    """What the database says was erased; nothing where it is lost."""
    try:
        database = Database.open(database_address(settings))
    except StoreError:
        return set()
    try:
        return Book(database).tombstones()
    finally:
        database.close()


@contextmanager
def _stopped(folder: Path) -> Iterator[None]:
    """Keep servers from starting. Raises StoreError where one runs."""
    with writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StoreError(f"a server uses {folder}; stop it first") from None
    try:
        yield
    finally:
        lock.release()


def main(arguments: list[str] | None = None) -> int:
    """Save or restore; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m modersmal.serve.backup")
    actions = parser.add_subparsers(dest="action", required=True)
    saving, restoring = actions.add_parser("save"), actions.add_parser("restore")
    for one in (saving, restoring):
        one.add_argument("--recipe", required=True, help="the recipe that the server runs by")
    saving.add_argument("--to", type=Path, required=True, help="the folder of all backups")
    saving.add_argument("--keep", type=int, default=14, help="how many of them stay")
    restoring.add_argument("--from", type=Path, required=True, dest="backup", help="one of them")
    given = parser.parse_args(arguments)
    try:
        settings = load_recipe(given.recipe).serve
        if given.action == "save":
            print(save(settings, given.to, keep=max(1, given.keep)))
        else:
            restore(settings, given.backup)
    except ModersmalError as error:
        print(f"modersmal: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
