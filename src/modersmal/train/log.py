"""What a run writes down: metrics.jsonl, one object a line, and TensorBoard's files."""

import json
import os
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from modersmal import store

METRICS = "metrics.jsonl"


class MetricsLog:
    """Appends metrics of a run that stands at `step`, and drops what a killed one wrote beyond it.

    The dev scores of the steps `unscored` are no part of what was saved either.
    """

    def __init__(self, run: Path, step: int, *, unscored: Collection[int | None] = ()) -> None:
        self._path = run / METRICS
        with store.writing(self._path):
            run.mkdir(parents=True, exist_ok=True)
            _forget_after(self._path, step, unscored)
            self._file = self._path.open("a", encoding="utf-8")
            self._board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, **values: float | int | str) -> None:
        """Log numbers of one step; text goes to metrics.jsonl only. Raises StoreError."""
        with store.writing(self._path):
            self._file.write(json.dumps({"step": step, **values}, ensure_ascii=False) + "\n")
            self._file.flush()
            for name, value in values.items():
                if not isinstance(value, str):
                    self._board.add_scalar(name, value, step)

    def close(self) -> None:
        with store.writing(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._board.close()

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def read_metrics(run: Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl; a last one that a killed run left half written is left out."""
    path = run / METRICS
    return metrics_in(path.read_text(encoding="utf-8")) if path.is_file() else []


def metrics_in(text: str) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl, up to one that is half written."""
    rows = []
    for line in text.splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def _forget_after(path: Path, step: int, unscored: Collection[int | None]) -> None:
    if path.is_file():
        kept = [
            row
            for row in read_metrics(path.parent)
            if row["step"] <= step and not (row["step"] in unscored and "dev_wer" in row)
        ]
        store.write_bytes(path, "".join(f"{json.dumps(row)}\n" for row in kept).encode())
