"""What is done in a draft is not done again."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modersmal.errors import StoreError
from modersmal.release.draft import Draft

MAKE = """
import sys
from pathlib import Path
from modersmal.release.draft import Draft

draft = Draft(Path(sys.argv[1]), {"of": 1})
for name in "abc":
    draft.once(name, lambda: print(name, flush=True))
"""


def never() -> None:
    raise AssertionError("made again")


def counting() -> tuple[list[int], Callable[[], int]]:
    calls: list[int] = []

    def make() -> int:
        calls.append(1)
        return len(calls)

    return calls, make


def test_what_is_made_is_made_once_by_whichever_process(tmp_path: Path) -> None:
    assert Draft(tmp_path / "work", {"of": 1}).once("sum", lambda: (1, 2)) == [1, 2]
    assert Draft(tmp_path / "work", {"of": 1}).once("sum", never) == [1, 2]
    assert Draft(tmp_path / "work", {"of": 1}).once("other", lambda: None) is None


def test_what_is_forgotten_is_made_again(tmp_path: Path) -> None:
    calls, make = counting()
    draft = Draft(tmp_path / "work", {"of": 1})
    draft.once("sum", make)
    draft.forget("sum")
    draft.forget("never made")
    assert Draft(tmp_path / "work", {"of": 1}).once("sum", make) == 2
    assert len(calls) == 2


def test_a_draft_of_something_else_is_thrown_away(tmp_path: Path) -> None:
    before = Draft(tmp_path / "work", {"of": 1})
    before.once("sum", lambda: 1)
    (before.folder / "model").write_text("of 1")
    after = Draft(tmp_path / "work", {"of": 2})
    assert after.once("sum", lambda: 2) == 2
    assert not any(after.folder.iterdir())
    after.remove()
    assert not (tmp_path / "work").exists()


def test_killed_before_it_notes_something_it_makes_that_again_and_no_more(tmp_path: Path) -> None:
    def make(fault: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", MAKE, str(tmp_path / "work")],
            env=os.environ | {"MODERSMAL_FAULT": fault}, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip

    killed = make("release.before-note:2")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout.split() == ["a", "b"]
    assert make("").stdout.split() == ["b", "c"]


def test_where_it_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        Draft(tmp_path / "file" / "work", {"of": 1})
