"""Which model is to answer: the newest revision on the Hub, a pinned one, or one that stays."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from modersmal.errors import HubError, ModersmalError
from modersmal.serve.engine.choices import choices_of
from writable_hub import TOKEN, WritableHub, writable_hub

REPO = "anna/svenska"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WritableHub]:
    with writable_hub() as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        template = served.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield served


def publish(hub: WritableHub, number: int | None, weights: bytes) -> str:
    files = {"config.json": (b"{}", False), "model.safetensors": (weights, True)}
    if number is not None:
        files["release.json"] = (f'{{"number": {number}}}'.encode(), False)
    commit = hub.commit(REPO, files)
    if number is not None:
        hub.repos[REPO].tags[f"v{number}"] = commit
    return commit


def test_of_a_repository_it_is_the_newest_revision(hub: WritableHub) -> None:
    publish(hub, 1, b"one")
    choices = choices_of(REPO, None, offline=False)
    assert choices.changes
    assert choices.name == REPO
    first = choices.chosen()
    assert first.release == "release-1"
    assert (Path(first.model) / "model.safetensors").read_bytes() == b"one"
    asked = len(hub.seen)
    assert choices.chosen() == first
    assert len(hub.seen) == asked + 1  # looking costs one request

    publish(hub, 2, b"two")
    second = choices.chosen()
    assert second.release == "release-2"
    assert (Path(second.model) / "model.safetensors").read_bytes() == b"two"


def test_a_release_of_a_repository_can_be_pinned_by_its_number(hub: WritableHub) -> None:
    publish(hub, 1, b"one")
    publish(hub, 2, b"two")
    choices = choices_of(REPO, 1, offline=False)
    assert not choices.changes
    assert choices.chosen().release == "release-1"
    with pytest.raises(HubError, match="no revision v3"):
        choices_of(REPO, 3, offline=False).chosen()


def test_a_model_that_is_no_release_is_named_by_its_commit(hub: WritableHub) -> None:
    commit = publish(hub, None, b"stock")
    assert choices_of(REPO, None, offline=False).chosen().release == f"{REPO}@{commit[:7]}"


def test_what_was_brought_before_serves_without_the_hub(hub: WritableHub) -> None:
    publish(hub, 1, b"one")
    first = choices_of(REPO, None, offline=False).chosen()
    publish(hub, 2, b"two")
    alone = choices_of(REPO, None, offline=True)
    assert not alone.changes
    assert alone.chosen() == first


def test_a_repository_that_is_not_there_is_said_in_a_sentence(hub: WritableHub) -> None:
    with pytest.raises(HubError, match="the Hub has no model anna/svenska"):
        choices_of(REPO, None, offline=False).chosen()


def test_a_model_that_stays_has_no_releases_to_pin() -> None:
    assert choices_of("bundled", None, offline=False).chosen().release == "bundled"
    assert not choices_of("bundled", None, offline=False).changes
    with pytest.raises(ModersmalError, match="bundled is no store: it has no release 7"):
        choices_of("bundled", 7, offline=False)
