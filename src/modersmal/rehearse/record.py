"""What is kept of a rehearsal, so that later estimates stand on it: rehearsals/NAME.json."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modersmal import __version__, store
from modersmal.config import Recipe
from modersmal.errors import StoreError, StoreMissing
from modersmal.rehearse.result import Part, Rehearsal, Stage
from modersmal.store.retry import Backoff
from modersmal.store.workspace import Workspace

FOLDER = "rehearsals"
_FORMAT = 1
_PATIENCE_S = 10.0
_TRAIN_COSTS = {
    "batch_s", "packed_share", "full_share", "context_floor_s", "context_step_s", "precision",
    "device", "device_batch_s", "gradient_checkpointing", "compile", "freeze_encoder", "lora",
    "dev_clips", "evaluate_beside", "loader_workers", "augment",
}  # fmt: skip


@dataclass(frozen=True)
class Record:
    """A rehearsal's parts, where they were timed, and how much data there is.

    `costs` are the keys of the recipe on which the time of a part depends; `max_steps` and
    `dev_scores` and `saves` how many of each the parts count. `splits` are clips and seconds of
    audio, by split.
    """

    hardware: str
    costs: dict[str, Any]
    max_steps: int
    splits: dict[str, tuple[int, float]]
    stages: tuple[Stage, ...]


def costs(recipe: Recipe) -> dict[str, Any]:
    """The keys of a recipe on which the time of a step, a clip or a score depends."""
    return {
        "model": recipe.model,
        "language": recipe.language,
        "sources": recipe.data.sources,
        "codec": recipe.data.codec,
        "workers": recipe.data.workers,
        "evaluate": recipe.evaluate.model_dump(mode="json"),
        "train": recipe.train.model_dump(mode="json", include=_TRAIN_COSTS),
    }


def keep(rehearsal: Rehearsal, recipe: Recipe) -> None:
    """Put it into the recipe's store. Raises StoreError."""
    record = Record(
        hardware=rehearsal.hardware,
        costs=costs(recipe),
        max_steps=recipe.train.max_steps,
        splits=rehearsal.splits,
        stages=rehearsal.stages,
    )
    table = {"format": _FORMAT, "modersmal": __version__} | asdict(record)
    workspace, name = recipe.workspace, f"{FOLDER}/{recipe.name}.json"
    store.write_json(workspace.local / name, table)
    if workspace.remote is not None:
        workspace.remote.write(name, (workspace.local / name).read_bytes())


def recall(recipe: Recipe, workspace: Workspace) -> Record | None:
    """The last rehearsal of a recipe; None where there is none that can be read.

    Raises StoreError where the store cannot be reached.
    """
    data = _read(workspace, f"{recipe.name}.json")
    try:
        table = json.loads(data or b"null")
        if table is None or table["format"] != _FORMAT:
            return None
        return Record(
            hardware=table["hardware"],
            costs=table["costs"],
            max_steps=table["max_steps"],
            splits={name: (int(n), float(s)) for name, (n, s) in table["splits"].items()},
            stages=tuple(map(_stage, table["stages"])),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _read(workspace: Workspace, name: str) -> bytes | None:
    if workspace.remote is not None:
        place = workspace.remote.at(FOLDER, backoff=Backoff(within_s=_PATIENCE_S))
        try:
            return place.read(name)
        except StoreMissing:
            return None
    path: Path = workspace.local / FOLDER / name
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error


def _stage(table: dict[str, Any]) -> Stage:
    parts = tuple(Part(**part) for part in table["parts"])
    return Stage(table["name"], table["rehearsed_s"], parts)
