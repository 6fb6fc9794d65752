"""Who may come in, by which key, and what of it is kept."""

from pathlib import Path

import pytest
from starlette.requests import Request

from modersmal.database import Database
from modersmal.errors import RecipeError
from modersmal.serve.access import COOKIE, Access
from modersmal.serve.keys import SESSION_S, Keys
from modersmal.serve.problems import Problem


class Clock:
    def __init__(self) -> None:
        self.s = 1_000_000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.open(f"sqlite:///{tmp_path / 'serve.db'}")


def request(address: str = "127.0.0.1", host: str = "localhost:7860", **headers: str) -> Request:
    given = {"host": host, **headers}
    raw = [(name.encode(), value.encode()) for name, value in given.items()]
    return Request({"type": "http", "headers": raw, "client": (address, 5000)})


def bearer(secret: str) -> Request:
    return request(authorization=f"Bearer {secret}")


@pytest.mark.parametrize(
    ("loopback", "address", "host", "role"),
    [
        (True, "127.0.0.1", "localhost:7860", "reviewer"),
        (True, "::1", "[::1]:7860", "reviewer"),
        (True, "127.0.0.1", "evil.example:7860", "user"),  # a name that was made to lead here
        (True, "192.0.2.1", "localhost", "user"),  # through a proxy
        (False, "127.0.0.1", "localhost:7860", "user"),
    ],
)
def test_without_keys_only_who_sits_at_the_machine_reviews(
    database: Database, loopback: bool, address: str, host: str, role: str
) -> None:
    caller = Access(database, loopback=loopback).caller(request(address, host))
    assert (caller.role, caller.key_id) == (role, None)


def test_once_there_is_a_key_nobody_comes_in_without(database: Database, clock: Clock) -> None:
    access = Access(database, loopback=True, now=clock)
    assert not access.on
    secret = Keys(database).add("anna", "reviewer")
    clock.s += 3
    assert access.on
    for refused in (request(), bearer("msk-wrong"), bearer(""), request(cookie=f"{COOKIE}=x")):
        with pytest.raises(Problem) as caught:
            access.caller(refused)
        assert caught.value.status == 401
    caller = access.caller(bearer(secret))
    assert (caller.name, caller.role) == ("anna", "reviewer")


def test_a_revoked_key_opens_nothing_and_keys_stay_in_use(database: Database, clock: Clock) -> None:
    access, keys = Access(database, loopback=True, now=clock), Keys(database, clock)
    secret = keys.add("anna")
    session = access.log_in(secret)
    keys.revoke("anna")
    clock.s += 3
    for refused in (bearer(secret), request(cookie=f"{COOKIE}={session}"), request()):
        with pytest.raises(Problem):
            access.caller(refused)


def test_a_session_opens_until_it_is_closed_or_ends(database: Database, clock: Clock) -> None:
    access = Access(database, loopback=True, now=clock)
    secret = Keys(database, clock).add("anna")
    closed, ended = access.log_in(secret), access.log_in(f" {secret}\n")
    assert access.caller(request(cookie=f"{COOKIE}={closed}")).name == "anna"
    access.log_out(closed)
    with pytest.raises(Problem):
        access.caller(request(cookie=f"{COOKIE}={closed}"))
    assert access.caller(request(cookie=f"{COOKIE}={ended}")).name == "anna"
    clock.s += SESSION_S
    with pytest.raises(Problem):
        access.caller(request(cookie=f"{COOKIE}={ended}"))


def test_no_secret_is_in_the_database(database: Database, tmp_path: Path) -> None:
    secret = Keys(database).add("anna")
    session = Access(database, loopback=True).log_in(secret)
    database.close()
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"anna" in kept
    assert secret.encode() not in kept
    assert session.encode() not in kept


def test_the_list_tells_when_a_key_was_used(database: Database, clock: Clock) -> None:
    access, keys = Access(database, loopback=True, now=clock), Keys(database, clock)
    secret = keys.add("anna")
    assert keys.list()[0].used_s is None
    access.caller(bearer(secret))
    assert keys.list()[0].used_s == clock.s


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "a/b", "anna\n"])
def test_a_name_that_cannot_be_one_is_refused(database: Database, name: str) -> None:
    with pytest.raises(RecipeError, match="cannot name a key"):
        Keys(database).add(name)


def test_a_name_is_taken_until_its_key_is_revoked(database: Database) -> None:
    keys = Keys(database)
    keys.add("anna")
    with pytest.raises(RecipeError, match="revoke it first"):
        keys.add("anna")
    keys.revoke("anna")
    with pytest.raises(RecipeError, match="there is no key 'anna'"):
        keys.revoke("anna")
    keys.add("anna")
    assert [key.revoked_s is None for key in keys.list()] == [False, True]
