"""The journal of a run: what was decided from a clock or from free memory, so that it can be
decided the same way again.

Everything else in a run follows from its recipe and corpus. A decision is on the disk before it
takes effect; a run that goes back to an earlier checkpoint comes by its step again and takes it
from here. One line of `journal.jsonl` each:

    {"step": 120, "kind": "device_batch_s", "value": 60.0, "basis": "cpu, 16 GB", "token": 3}

A decision holds from its step on, until the next one of its kind. One that is made anew at an
earlier step, on another machine say, voids those of its kind that lay ahead.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from modersmal import store
from modersmal.errors import CheckpointError
from modersmal.store.faults import fault

JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class Decision:
    """What was decided before optimiser step `step` (steps done) for `kind`.

    `value` is anything that JSON has; `basis` says on what grounds, `token` who held the lease.
    """

    step: int
    kind: str
    value: Any
    basis: str = ""
    token: int = 1


class Journal:
    """The decisions of a run, at `path`.

    Raises:
        CheckpointError: the file is damaged elsewhere than in its last line, which a killed
            process may have left half written.
        StoreError: the disk is full or cannot be written.
    """

    def __init__(self, path: Path, token: int = 1) -> None:
        self._path, self._token = path, token
        self._decisions = _read(path)

    @property
    def decisions(self) -> list[Decision]:
        """All that was decided, in order; every checkpoint carries a copy."""
        return list(self._decisions)

    def find(self, step: int, kind: str) -> Decision | None:
        """What was decided at exactly this step."""
        holding = self.latest(step, kind)
        return holding if holding and holding.step == step else None

    def latest(self, step: int, kind: str) -> Decision | None:
        """What holds at this step."""
        holding = [found for found in self.holding(kind) if found.step <= step]
        return holding[-1] if holding else None

    def decide(self, step: int, kind: str, compute: Callable[[], Any], basis: str = "") -> Any:
        """What was decided at this step; where nothing was, compute it and write it down."""
        found = self.find(step, kind)
        return found.value if found else self.record(step, kind, compute(), basis)

    def record(self, step: int, kind: str, value: Any, basis: str = "") -> Any:
        """Write down a new decision, and return it once it is on the disk."""
        made = Decision(step, kind, value, basis, self._token)
        line = _line(made)
        with store.writing(self._path):
            fault("journal.before")
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            if not self._decisions:
                store.sync_folder(self._path.parent)
            fault("journal.after")
        self._decisions.append(made)
        return value

    def restore(self, saved: Sequence[Decision], step: int, token: int) -> None:
        """Begin from a checkpoint of `step` that carries `saved` and bears `token`.

        What was decided after it, by its writer or a later one, is kept and will be replayed;
        what a stale process wrote is dropped.
        """
        known = list(saved)
        for found in self._decisions:
            if found not in known and found.step >= step and found.token >= token:
                known.append(found)
        if known != self._decisions:
            store.write_bytes(self._path, b"".join(map(_line, known)))
            self._decisions = known

    def holding(self, kind: str) -> list[Decision]:
        """Decisions of a kind that are not void, by rising step."""
        holding: list[Decision] = []
        for found in self._decisions:
            if found.kind == kind:
                holding = [*(one for one in holding if one.step < found.step), found]
        return holding


def _line(decision: Decision) -> bytes:
    return (json.dumps(asdict(decision), ensure_ascii=False) + "\n").encode()


def _read(path: Path) -> list[Decision]:
    """Read a journal; a half-written last line never took effect and is cut off."""
    if not path.is_file():
        return []
    with store.writing(path):
        whole, newline, torn = path.read_bytes().rpartition(b"\n")
    if torn:
        store.write_bytes(path, whole + newline)
    decisions = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            table = json.loads(line)
            decisions.append(
                Decision(**{field.name: table[field.name] for field in fields(Decision)})
            )
        except (ValueError, KeyError, TypeError):
            raise CheckpointError(
                f"line {number} of {path} is damaged; remove the file to go on with the decisions "
                "that the newest checkpoint carries"
            ) from None
    return decisions
