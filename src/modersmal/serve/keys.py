"""Keys of the page and the API, in the database: of each only a hash, so that none can be read."""

import hashlib
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import sqlalchemy as sa

from modersmal.database import Database
from modersmal.errors import RecipeError

Role = Literal["user", "reviewer"]
SESSION_S = 30 * 24 * 3600.0

_NAME = re.compile(r"[\w.@-]{1,64}")
_PREFIX = "msk-"
_SECRET_BYTES = 32
_TABLES = sa.MetaData()
_KEYS = sa.Table(
    "keys",
    _TABLES,
    sa.Column("id", sa.Text),
    sa.Column("name", sa.Text),
    sa.Column("role", sa.Text),
    sa.Column("hash", sa.Text),
    sa.Column("created_s", sa.Double),
    sa.Column("revoked_s", sa.Double),
    sa.Column("used_s", sa.Double),
)
_SESSIONS = sa.Table(
    "sessions",
    _TABLES,
    sa.Column("hash", sa.Text),
    sa.Column("key_id", sa.Text),
    sa.Column("expires_s", sa.Double),
)


@dataclass(frozen=True)
class Key:
    """A key as it can be shown. Moments are UTC seconds since 1970."""

    id: str
    name: str
    role: Role
    created_s: float
    revoked_s: float | None
    used_s: float | None


@dataclass(frozen=True)
class Known:
    """All that opens a door at one moment: keys by the hash of their secret, of their session.

    `any` says whether there ever was a key.
    """

    any: bool
    keys: dict[str, Key]
    sessions: dict[str, tuple[Key, float]]


class Keys:
    """The keys of one database."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database, self._now = database, now

    def add(self, name: str, role: Role = "user") -> str:
        """Make a key and return its secret, which is nowhere else.

        Raises:
            RecipeError: the name cannot be one, or has a key already.
        """
        if not _NAME.fullmatch(name):
            raise RecipeError(
                f"{name!r} cannot name a key: take up to 64 letters, digits, and any of . _ @ -"
            )
        if role not in get_args(Role):
            raise RecipeError(f"role {role!r} is none of {', '.join(get_args(Role))}")
        secret = _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        with self._database.transaction() as connection:
            if connection.execute(_in_use(name)).first():
                raise RecipeError(f"{name} has a key; revoke it first, or take another name")
            connection.execute(
                _KEYS.insert().values(
                    id=secrets.token_hex(8),
                    name=name,
                    role=role,
                    hash=hashed(secret),
                    created_s=self._now(),
                )
            )
        return secret

    def list(self) -> list[Key]:
        """All keys that there ever were, oldest first."""
        with self._database.transaction() as connection:
            rows = connection.execute(sa.select(_KEYS).order_by(_KEYS.c.created_s)).all()
        return [_key(row) for row in rows]

    def revoke(self, name: str) -> Key:
        """Let a key open nothing any more. Raises RecipeError where nobody has one by that name."""
        with self._database.transaction() as connection:
            row = connection.execute(_in_use(name)).first()
            if row is None:
                raise RecipeError(f"there is no key {name!r}; `modersmal keys list` shows them")
            connection.execute(_SESSIONS.delete().where(_SESSIONS.c.key_id == row.id))
            revoked = _KEYS.update().where(_KEYS.c.id == row.id).values(revoked_s=self._now())
            connection.execute(revoked)
        return _key(row)

    def known(self) -> Known:
        """What opens a door now."""
        with self._database.transaction() as connection:
            rows = connection.execute(sa.select(_KEYS)).all()
            logged_in = connection.execute(
                sa.select(_SESSIONS).where(_SESSIONS.c.expires_s > self._now())
            ).all()
        valid = {row.id: (row.hash, _key(row)) for row in rows if row.revoked_s is None}
        return Known(
            any=bool(rows),
            keys=dict(valid.values()),
            sessions={
                row.hash: (valid[row.key_id][1], row.expires_s)
                for row in logged_in
                if row.key_id in valid
            },
        )

    def open_session(self, key: Key) -> str:
        """Log in by a key; returns the session's secret. Sessions that have ended are removed."""
        session = secrets.token_urlsafe(_SECRET_BYTES)
        with self._database.transaction() as connection:
            connection.execute(_SESSIONS.delete().where(_SESSIONS.c.expires_s <= self._now()))
            connection.execute(
                _SESSIONS.insert().values(
                    hash=hashed(session), key_id=key.id, expires_s=self._now() + SESSION_S
                )
            )
        return session

    def close_session(self, session: str) -> None:
        with self._database.transaction() as connection:
            connection.execute(_SESSIONS.delete().where(_SESSIONS.c.hash == hashed(session)))

    def note_use(self, key: Key) -> None:
        """Remember that a key was used now."""
        used = _KEYS.update().where(_KEYS.c.id == key.id).values(used_s=self._now())
        with self._database.transaction() as connection:
            connection.execute(used)


def hashed(secret: str) -> str:
    """SHA-256: the secrets are random and long, so nothing slower is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _in_use(name: str) -> sa.Select[tuple[object, ...]]:
    return sa.select(_KEYS).where(_KEYS.c.name == name, _KEYS.c.revoked_s.is_(None))


def _key(row: sa.Row[tuple[object, ...]]) -> Key:
    return Key(row.id, row.name, row.role, row.created_s, row.revoked_s, row.used_s)
