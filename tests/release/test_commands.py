"""releases, rollback and publish as commands: what they print, and how they end."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from publishing import write_release_draft

import modersmal
from modersmal.store.releases import Releases


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store with two releases, of which the second is the latest."""
    opened = Releases.open(str(tmp_path / "store"))
    for name in ("first", "second"):
        opened.add(write_release_draft(tmp_path / name), lambda deployed: True)
    return str(tmp_path / "store")


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modersmal", *arguments],
        capture_output=True, text=True, timeout=120, **options,
    )  # fmt: skip


def test_releases_are_listed_and_rolled_back_and_forward(store: str) -> None:
    listed = run("releases", store, "--json")
    assert json.loads(listed.stdout)["latest"] == 2
    assert "12.30 (10.00-15.00)" in run("releases", store).stdout
    back = run("rollback", store)
    assert back.stdout == f"Release 1 is the latest of {store} now; it was 2.\n"
    assert modersmal.releases(store).latest == 1
    assert run("rollback", store, "--to", "2").returncode == 0
    assert modersmal.releases(store).latest == 2


def test_a_release_is_published_to_another_store(store: str, tmp_path: Path) -> None:
    there = str(tmp_path / "there")
    dry = run("publish", f"{store}#1", "--repo", there, "--dry-run")
    assert "Dry run: nothing is sent." in dry.stdout
    assert not Path(there, "releases").exists()
    done = run("publish", f"{store}#1", "--to", there)
    assert "Published release 1" in done.stdout
    assert [row.state for row in modersmal.releases(there).rows] == ["latest"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["releases", "{tmp}/absent"], "there is no store at"),
        (["rollback", "{tmp}/absent"], "there is no store at"),
        (["rollback", "{store}", "--to", "9"], "has no release 9; it has 1, 2"),
        (["publish", "{store}#9", "--repo", "anna/sv"], "has no release 9"),
        (["publish", "{tmp}/absent", "--repo", "anna/sv"], "there is no release at"),
        (["publish", "{store}#1", "--repo", "no repository"], "'no repository'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_latest_stays(
    store: str, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    done = run(*(argument.format(store=store, tmp=tmp_path) for argument in arguments))
    assert done.returncode == 1
    assert done.stdout == ""
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert modersmal.releases(store).latest == 2


def test_a_new_repository_is_private_unless_it_is_to_be_public(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Hub's side of it is in test_publish."""
    from modersmal.release import publish as module

    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(module, "publish", lambda *names, **options: asked.append(options))
    modersmal.publish(f"{store}#1", "anna/sv")
    modersmal.publish(f"{store}#1", "anna/sv", public=True, checkpoints=True, dry_run=True)
    assert [options["private"] for options in asked] == [True, False]
    assert asked[1]["checkpoints"]
    assert asked[1]["dry_run"]
