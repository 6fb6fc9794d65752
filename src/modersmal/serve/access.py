"""Who asks, and whether they may."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from modersmal.database import Database
from modersmal.serve.keys import Key, Keys, Known, Role, hashed
from modersmal.serve.problems import Problem

COOKIE = "modersmal_session"

_FRESH_S = 2.0  # how long a key that was revoked by another process may still open
_NOTED_EVERY_S = 60.0


@dataclass(frozen=True)
class Caller:
    """Who asks. `key_id` is None, and `name` empty, where no keys are in use."""

    key_id: str | None
    name: str
    role: Role
    address: str


class Access:
    """Keys are in use once there has ever been one; then nobody comes in without.

    Without keys, whoever sits at the machine of a server that listens there alone (`loopback`) may
    review too. Safe to use from several threads.
    """

    def __init__(
        self, database: Database, *, loopback: bool, now: Callable[[], float] = time.time
    ) -> None:
        self._keys, self._loopback, self._now = Keys(database, now), loopback, now
        self._lock = threading.Lock()
        self._known: Known | None = None
        self._known_s = 0.0
        self._noted_s: dict[str, float] = {}

    @property
    def on(self) -> bool:
        """Whether keys are in use."""
        return self._look().any

    def caller(self, request: HTTPConnection) -> Caller:
        """Who sent a request.

        Raises:
            Problem: 401, keys are in use and it carries none that is valid.
        """
        found = request.scope.get("state", {}).get("caller")
        if isinstance(found, Caller):
            return found
        if not self.on:
            role: Role = "reviewer" if self._loopback and _from_here(request) else "user"
            return Caller(None, "", role, address_of(request))
        key = self._key_of(request)
        if key is None:
            raise Problem(
                401,
                "give a valid key, as in `Authorization: Bearer KEY`, or log in at /login",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        self._note(key)
        return Caller(key.id, key.name, key.role, address_of(request))

    def log_in(self, secret: str) -> str:
        """Open a session by a key's secret; returns the session's own. Raises Problem 401."""
        key = self._find(secret.strip())
        if key is None:
            raise Problem(401, "there is no such key", code="invalid_api_key")
        session = self._keys.open_session(key)
        self._look(0.0)
        return session

    def log_out(self, session: str) -> None:
        """End a session, if it is one."""
        self._keys.close_session(session)
        self._look(0.0)

    def _key_of(self, request: HTTPConnection) -> Key | None:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._find(secret.strip())
        session = hashed(request.cookies.get(COOKIE, ""))
        key, expires_s = self._look().sessions.get(session, (None, 0.0))
        return key if expires_s > self._now() else None

    def _find(self, secret: str) -> Key | None:
        return self._look().keys.get(hashed(secret))

    def _look(self, fresh_s: float = _FRESH_S) -> Known:
        with self._lock:
            if self._known is None or not 0 <= self._now() - self._known_s < fresh_s:
                self._known, self._known_s = self._keys.known(), self._now()
            return self._known

    def _note(self, key: Key) -> None:
        with self._lock:
            due = self._now() - self._noted_s.get(key.id, 0.0) > _NOTED_EVERY_S
            if due:
                self._noted_s[key.id] = self._now()
        if due:
            self._keys.note_use(key)


def address_of(request: HTTPConnection) -> str:
    """The address that a request came from."""
    return request.client.host if request.client else ""


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own, which no other machine reaches."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _from_here(request: HTTPConnection) -> bool:
    """Whether somebody at this machine asks for it by its own name.

    A page of another site, whose name was made to lead here, asks by that name.
    """
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    return is_loopback(host) and is_loopback(address_of(request))
