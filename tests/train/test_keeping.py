"""What is asked of disks and stores before the first step."""

import shutil
from typing import Any

import pytest

from modersmal.errors import StoreError
from modersmal.store.remote import Remote
from modersmal.train.checkpoint import Checkpoints
from modersmal.train.keeping import Keeping

SIZE, KEEP = 1000, 2


@pytest.mark.parametrize(
    ("far", "checkpoints"),
    [(False, KEEP + 2), (True, KEEP + 2 + 3)],  # kept, the best, one being written; three waiting
)
def test_there_is_room_for_what_is_kept_written_and_waits_for_a_store(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, far: bool, checkpoints: int
) -> None:
    place = Remote.open(f"memory://{tmp_path}") if far else None
    lease: Any = None
    keeping = Keeping(tmp_path, place, lease, Checkpoints(tmp_path / "checkpoints", place))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=checkpoints * SIZE))
    keeping.check_room(SIZE, KEEP)
    with pytest.raises(StoreError, match="make room there"):
        keeping.check_room(SIZE + 1, KEEP)
