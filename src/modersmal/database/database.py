"""One database, brought up to date when it is opened.

Moments are stored as UTC seconds since 1970 (float), identifiers as text, structures as JSON.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from modersmal.database.migrations import STEPS
from modersmal.errors import StoreError

_VERSIONS = sa.Table("migrations", sa.MetaData(), sa.Column("step", sa.Integer, primary_key=True))
_LOCK = 0x6D6F6465  # the same for every process that brings a Postgres database up to date
_BUSY_S = 30
_QUIET: dict[str, Any] = {"hide_parameters": True}  # errors are logged; what was said is not


class Database:
    """Connections to one database; safe to use from several threads and processes."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, address: str, *, existing: bool = False) -> "Database":
        """Open `sqlite:///PATH` or `postgresql://…`, and bring its tables up to date.

        A file that is not there is made, unless the database has to be an `existing` one.

        Raises:
            StoreError: the address is none, the server does not answer, a newer version of
                modersmal has changed the tables, or there is no such file.
        """
        url = _url(address)
        if existing and url.get_backend_name() == "sqlite":
            path = Path(url.database or "")
            if not path.is_file():
                raise StoreError(f"there is no database at {path}; give that of the server")
        shown = url.render_as_string(hide_password=True)
        try:
            if url.get_backend_name() == "sqlite":
                if url.database and url.database != ":memory:":
                    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
                engine = sa.create_engine(url, connect_args={"timeout": _BUSY_S}, **_QUIET)
                sa.event.listen(engine, "connect", _prepare_sqlite)
                sa.event.listen(engine, "begin", _begin_sqlite)
            else:
                engine = sa.create_engine(url, pool_pre_ping=True, **_QUIET)
            _bring_up_to_date(engine, shown)
        except (NoSuchModuleError, ModuleNotFoundError):
            raise StoreError(
                f"{shown} needs a package: pip install 'modersmal[postgres]'"
            ) from None
        except (SQLAlchemyError, OSError) as error:
            raise StoreError(
                f"the database {shown} cannot be opened: {_first_line(error)}"
            ) from error
        return cls(engine)

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A connection whose changes are all kept, or, where an exception passes, none."""
        with self.engine.begin() as connection:
            yield connection

    def scrub(self) -> None:
        """Leave nothing of what was deleted in SQLite's own log; where somebody reads just then,
        the next time does it.

        Its pages are overwritten anyway (`secure_delete`). Postgres has its own time for both.
        """
        if self.engine.dialect.name == "sqlite":
            connection = self.engine.raw_connection()
            try:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()

    def close(self) -> None:
        self.engine.dispose()


def _url(address: str) -> URL:
    try:
        url = make_url(address)
    except ArgumentError:
        raise StoreError(
            f"{address!r} is no database: give sqlite:///PATH or postgresql://USER@HOST/NAME"
        ) from None
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError(
            f"{url.get_backend_name()} databases are not supported: give sqlite:///PATH or "
            "postgresql://USER@HOST/NAME"
        )
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _bring_up_to_date(engine: sa.Engine, shown: str) -> None:
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        _VERSIONS.create(connection, checkfirst=True)
        done = connection.execute(sa.select(sa.func.count()).select_from(_VERSIONS)).scalar_one()
        if done > len(STEPS):
            raise StoreError(
                f"the database {shown} was changed by a newer version of modersmal; upgrade this "
                "one"
            )
        for number, step in enumerate(STEPS[done:], done + 1):
            step(connection)
            connection.execute(_VERSIONS.insert().values(step=number))


def _prepare_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # BEGIN is ours to say: see _begin_sqlite
    for setting in ("journal_mode=WAL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {setting}")


def _begin_sqlite(connection: sa.Connection) -> None:
    """Take the write lock at once: a reader that turns writer midway would be refused."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
