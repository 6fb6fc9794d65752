"""Whoever has themselves erased on the page is erased from the stores that learned from them."""

import sys
import time
from pathlib import Path

import httpx
import pytest
from api_server import Running, running_beside
from correcting import SETTINGS

from modersmal.forget.forgetting import Forgetting

TESTS = Path(__file__).parents[2]
sys.path += [str(TESTS / "forget"), str(TESTS / "corpus"), str(TESTS / "corpus" / "corrections")]


def test_a_person_is_erased_from_the_store_of_the_server(
    server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from remembered import found, make_world, needles

    monkeypatch.setenv("MODERSMAL_CACHE", str(tmp_path / "cache"))
    world = make_world(tmp_path / "world")
    forgetting = Forgetting([str(world.store)])
    with (
        running_beside(
            server, world.voices.parent, SETTINGS, database=world.database, forgetting=forgetting
        ) as running,
        httpx.Client(base_url=running.url, timeout=60) as client,
    ):
        answer = client.delete("/person", headers={"X-Person-Key": world.keys["anna"]})
        assert answer.json() == {"corrections": 4, "releases": ["release-2"], "pending": True}
        while found(world.store, needles(world, "anna")):
            time.sleep(0.1)
    assert set(found(world.store, needles(world, "bo"))) == set(needles(world, "bo"))
