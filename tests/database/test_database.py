"""A database is brought up to date when it is opened, and keeps all of a transaction or nothing."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from traceback import format_exception

import pytest
import sqlalchemy as sa

from modersmal.database import Database
from modersmal.database.migrations import STEPS
from modersmal.errors import StoreError


def test_a_database_is_made_with_its_folder(tmp_path: Path) -> None:
    Database.open(f"sqlite:///{tmp_path}/kept/serve.db").close()
    assert (tmp_path / "kept" / "serve.db").is_file()


def test_several_bring_one_database_up_to_date_at_once(database_address: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        opened = list(threads.map(Database.open, [database_address] * 4))
    for database in opened:
        with database.transaction() as connection:
            tables = set(sa.inspect(connection).get_table_names())
            steps = connection.execute(sa.text("select step from migrations")).scalars().all()
        assert {"keys", "sessions", "jobs", "segments"} <= tables
        assert sorted(steps) == list(range(1, len(STEPS) + 1))
        database.close()


def test_what_an_exception_passes_through_changes_nothing(database_address: str) -> None:
    database = Database.open(database_address)
    with database.transaction() as connection:
        connection.execute(sa.text("create table things (name text)"))
    with suppress(RuntimeError), database.transaction() as connection:
        connection.execute(sa.text("insert into things values ('a')"))
        raise RuntimeError
    with database.transaction() as connection:
        assert connection.execute(sa.text("select count(*) from things")).scalar_one() == 0


@pytest.mark.parametrize(
    "address", ["nonsense", "mysql://me@there/db", "sqlite:////dev/null/no/a.db"]
)
def test_what_is_no_database_is_refused_in_one_sentence(address: str) -> None:
    with pytest.raises(StoreError, match="database"):
        Database.open(address)


def test_a_database_of_a_newer_version_is_refused(database_address: str) -> None:
    database = Database.open(database_address)
    with database.transaction() as connection:
        connection.execute(sa.text("insert into migrations values (1000)"))
        connection.execute(
            sa.text(
                "with recursive n(i) as (select 1001 union all select i + 1 from n where i < 1099)"
                " insert into migrations select i from n"
            )
        )
    with pytest.raises(StoreError, match="newer version"):
        Database.open(database_address)


def test_a_password_is_never_shown() -> None:
    with pytest.raises(StoreError) as refusal:
        Database.open("postgresql://me:secret@127.0.0.1:1/none")
    assert "secret" not in str(refusal.value)


def test_what_people_said_is_in_no_error(database_address: str) -> None:
    database = Database.open(database_address)
    said = "-".join(["what", "was", "said"])
    with pytest.raises(sa.exc.SQLAlchemyError) as caught, database.transaction() as connection:
        connection.execute(sa.text("insert into nowhere values (:said)"), {"said": said})
    assert said not in "".join(format_exception(caught.value))


def test_what_was_deleted_is_in_none_of_sqlites_files(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'a.db'}")
    with database.transaction() as connection:
        connection.exec_driver_sql("CREATE TABLE said (text TEXT)")
        connection.exec_driver_sql("INSERT INTO said VALUES ('Xerxes')")
    with database.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM said")
    database.scrub()
    for path in tmp_path.iterdir():
        assert b"Xerxes" not in path.read_bytes(), path
    database.close()
