"""One server for all the tests here that leave it as it is, and two that keep corrections."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from api_server import Running, running, running_beside
from correcting import SETTINGS, Desk, Store

from modersmal.config import LimitsConfig, ServeConfig
from postgres_server import Postgres


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Running]:
    settings = ServeConfig(limits=LimitsConfig(requests_per_minute=1_000_000))
    with running(tmp_path_factory.mktemp("serve"), settings) as found:
        yield found


def _desk(server: Running, folder: Path, address: str | None) -> Iterator[Desk]:
    store = Store()
    with (
        running_beside(server, folder, SETTINGS, database=address, forgetting=store) as found,
        httpx.Client(base_url=found.url, timeout=60) as client,
    ):
        yield Desk(found, client, store)


@pytest.fixture(scope="session")
def sqlite_desk(server: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    yield from _desk(server, tmp_path_factory.mktemp("desk"), None)


@pytest.fixture(scope="session")
def postgres_desk(
    server: Running, tmp_path_factory: pytest.TempPathFactory, postgres_server: Postgres
) -> Iterator[Desk]:
    yield from _desk(server, tmp_path_factory.mktemp("desk"), postgres_server.new_database())


@pytest.fixture(params=["sqlite", "postgres"])
def desk(request: pytest.FixtureRequest) -> Desk:
    found: Desk = request.getfixturevalue(f"{request.param}_desk")
    found.store.away = False
    return found
