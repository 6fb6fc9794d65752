"""A backup that is taken while a server runs brings back what it had, but nothing that was erased.

With SQLite and with a real Postgres.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from filelock import FileLock

from modersmal.config import ServeConfig
from modersmal.corpus.corrections.book import Book
from modersmal.corpus.corrections.collection import Collection
from modersmal.corpus.corrections.voices import Voices
from modersmal.database import Database
from modersmal.errors import StoreDamaged, StoreError
from modersmal.serve import backup as module
from modersmal.serve.backup import main, restore, save
from modersmal.serve.keys import Keys
from modersmal.serve.serving import database_address
from modersmal.store.tombstones import Tombstones

ERASED = "e" * 32


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> ServeConfig:
    """A server's settings, with a key and two recordings."""
    address = None
    if request.param == "postgres":
        address = request.getfixturevalue("postgres_server").new_database()
    made = ServeConfig(folder=str(tmp_path / "serve"), database=address)
    add_key(made, "anna")
    for name in ("jobs/a/audio.flac", f"corrections/{ERASED}.flac", "requests/b/audio"):
        path = tmp_path / "serve" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "serve" / "server.lock").touch()
    return made


def add_key(settings: ServeConfig, name: str) -> None:
    database = Database.open(database_address(settings))
    Keys(database).add(name)
    database.close()


def names(settings: ServeConfig) -> list[str]:
    database = Database.open(database_address(settings))
    try:
        return [key.name for key in Keys(database).list()]
    finally:
        database.close()


def test_what_was_there_is_there_again(settings: ServeConfig, tmp_path: Path) -> None:
    kept = save(settings, tmp_path / "backups")
    add_key(settings, "bo")
    folder = Path(settings.folder)
    (folder / "jobs" / "a" / "audio.flac").write_bytes(b"damaged")
    (folder / "jobs" / "c").mkdir()
    (folder / "jobs" / "c" / "audio.flac").write_bytes(b"newer")
    restore(settings, kept)
    assert names(settings) == ["anna"]
    assert (folder / "jobs" / "a" / "audio.flac").read_bytes() == b"jobs/a/audio.flac"
    assert not (folder / "jobs" / "c" / "audio.flac").exists()


def test_a_whole_server_comes_back_where_nothing_is_left(
    settings: ServeConfig, tmp_path: Path
) -> None:
    kept = save(settings, tmp_path / "backups")
    shutil.rmtree(settings.folder)
    restore(settings, kept)
    assert names(settings) == ["anna"]
    found = {path.relative_to(settings.folder).as_posix()
             for path in Path(settings.folder).rglob("*.flac")}  # fmt: skip
    assert found == {"jobs/a/audio.flac", f"corrections/{ERASED}.flac"}


def test_what_requests_left_is_no_part_of_it(settings: ServeConfig, tmp_path: Path) -> None:
    kept = save(settings, tmp_path / "backups")
    inside = {path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file()}
    assert not [name for name in inside if "requests" in name or "lock" in name]
    assert not [name for name in inside if name.startswith("files/") and "modersmal.db" in name]


@pytest.mark.parametrize("where", ["database", "voices"])
def test_a_correction_that_was_erased_since_goes_again(
    settings: ServeConfig, tmp_path: Path, where: str
) -> None:
    kept = save(settings, tmp_path / "backups")
    folder = Path(settings.folder)
    database = Database.open(database_address(settings))
    voices = Voices(folder / "corrections")
    if where == "database":
        Book(database).erase([ERASED])
    else:
        voices.tombstones.bury([ERASED])
    database.close()
    restore(settings, kept)
    assert ERASED in voices.tombstones.buried()
    database = Database.open(database_address(settings))
    Collection(Book(database), voices).unite()  # as a server does that starts
    assert ERASED in Book(database).tombstones()
    database.close()
    assert not voices.path(ERASED).exists()


def test_what_it_says_of_erased_recordings_is_added_to_not_replaced(
    settings: ServeConfig, tmp_path: Path
) -> None:
    tombstones = Tombstones(Path(settings.folder) / "voices")
    tombstones.bury(["a" * 32])
    kept = save(settings, tmp_path / "backups")
    tombstones.bury(["b" * 32])
    restore(settings, kept)
    assert tombstones.buried() == {"a" * 32, "b" * 32}


def test_what_did_not_change_is_kept_once(settings: ServeConfig, tmp_path: Path) -> None:
    to = tmp_path / "backups"
    first = save(settings, to)
    later = first.rename(to / "20200101T000000Z")  # so that both have a name of their own
    second = save(settings, to)
    name = "files/jobs/a/audio.flac"
    assert (later / name).samefile(second / name)
    assert not (second / name).samefile(Path(settings.folder) / "jobs" / "a" / "audio.flac")


def test_the_newest_stay_and_what_is_half_written_goes(
    settings: ServeConfig, tmp_path: Path
) -> None:
    to = tmp_path / "backups"
    for year in (2020, 2021, 2022):
        save(settings, to).rename(to / f"{year}0101T000000Z")
    (to / "20230101T000000Z").mkdir()
    newest = save(settings, to, keep=2)
    assert sorted(one.name for one in to.iterdir() if one.is_dir()) == [
        "20220101T000000Z", newest.name,
    ]  # fmt: skip


def test_a_damaged_backup_changes_nothing(settings: ServeConfig, tmp_path: Path) -> None:
    kept = save(settings, tmp_path / "backups")
    (kept / "files" / "jobs" / "a" / "audio.flac").write_bytes(b"other")
    add_key(settings, "bo")
    with pytest.raises(StoreDamaged):
        restore(settings, kept)
    assert names(settings) == ["anna", "bo"]


def test_a_database_that_cannot_be_read_back_is_left_as_it_was(
    settings: ServeConfig, tmp_path: Path
) -> None:
    if settings.database is None:
        pytest.skip("the file of SQLite is put in place whole")
    kept = save(settings, tmp_path / "backups")
    dump = kept / "database.sql"
    dump.write_text(dump.read_text() + "\nSELECT * FROM nowhere;\n")
    module.write_manifest(kept)
    add_key(settings, "bo")
    with pytest.raises(StoreError, match="psql of"):
        restore(settings, kept)
    assert names(settings) == ["anna", "bo"]


def test_under_a_server_that_runs_nothing_is_restored(
    settings: ServeConfig, tmp_path: Path
) -> None:
    kept = save(settings, tmp_path / "backups")
    with (
        FileLock(Path(settings.folder) / "server.lock"),
        pytest.raises(StoreError, match="stop it first"),
    ):
        restore(settings, kept)


def test_a_backup_of_another_kind_of_database_is_refused(tmp_path: Path) -> None:
    settings = ServeConfig(folder=str(tmp_path / "serve"))
    add_key(settings, "anna")
    kept = save(settings, tmp_path / "backups")
    other = settings.model_copy(update={"database": "postgresql://nobody@127.0.0.1:1/none"})
    with pytest.raises(StoreError, match="another kind of database"):
        restore(other, kept)


def test_a_password_is_in_no_sentence_and_no_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "pg_dump"
    program.write_text(f'#!/bin/sh\necho "$@ $PGPASSWORD" > {tmp_path}/seen; exit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    settings = ServeConfig(
        folder=str(tmp_path / "serve"), database="postgresql://anna:sesam@127.0.0.1/x"
    )
    with pytest.raises(StoreError) as refusal:
        save(settings, tmp_path / "backups")
    assert "sesam" not in str(refusal.value)
    arguments, _, password = (tmp_path / "seen").read_text().strip().rpartition(" ")
    assert "sesam" not in arguments
    assert password == "sesam"


def test_it_is_a_program_that_prints_where_it_has_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("")
    arguments = ["save", "--recipe", str(recipe), "--to", str(tmp_path / "backups")]
    assert main(arguments) == 1
    assert re.fullmatch(r"modersmal: there is no database at .*\n", capsys.readouterr().err)
    add_key(ServeConfig(folder=str(tmp_path / "modersmal-serve")), "anna")
    said = subprocess.run(
        [sys.executable, "-m", "modersmal.serve.backup", *arguments],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout.strip()  # fmt: skip
    assert Path(said).parent == tmp_path / "backups"
    assert main(["restore", "--recipe", str(recipe), "--from", said]) == 0


def test_a_job_that_is_erased_midway_stops_no_backup(
    settings: ServeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module._link_or_copy

    def erased(path: Path, target: Path, former: list[Path]) -> None:
        path.unlink()
        real(path, target, former)

    monkeypatch.setattr(module, "_link_or_copy", erased)
    restore(settings, save(settings, tmp_path / "backups"))
    assert names(settings) == ["anna"]


def test_rows_written_while_it_is_taken_are_whole_or_absent(tmp_path: Path) -> None:
    """A writer that adds two rows in each transaction: of every pair a backup has both or none."""
    settings = ServeConfig(folder=str(tmp_path / "serve"))
    add_key(settings, "anna")
    writing = subprocess.Popen(
        [sys.executable, "-c", WRITER, database_address(settings)], stdout=subprocess.PIPE
    )
    try:
        assert writing.stdout is not None
        writing.stdout.readline()
        rng = np.random.default_rng(0)
        for number in range(5):
            writing.stdout.read(int(rng.integers(1, 40)))
            kept = save(settings, tmp_path / f"backups-{number}")
            database = Database.open(f"sqlite:///{kept}/database.sqlite")
            with database.transaction() as connection:
                pairs = connection.execute(
                    sa.text("SELECT count(*) FROM pairs GROUP BY pair")
                ).scalars()
                assert set(pairs) <= {2}
            database.close()
    finally:
        writing.kill()
        writing.communicate()


WRITER = """
import sqlalchemy as sa, sys
from modersmal.database import Database
database = Database.open(sys.argv[1])
with database.transaction() as connection:
    connection.execute(sa.text("CREATE TABLE pairs (pair INTEGER)"))
for pair in range(100_000):
    with database.transaction() as connection:
        for _ in range(2):
            connection.execute(sa.text("INSERT INTO pairs VALUES (:pair)"), {"pair": pair})
    print(".", end="" if pair else chr(10), flush=True)
"""
