"""Checkpoints: everything needed to go on bit for bit, written whole or not at all.

    checkpoints/step-00000500/
        model.safetensors       the weights
        optimizer.safetensors   AdamW's step and moments of every parameter that learns
        state.json              step, best score, loss scale, recipe, versions, schema
        manifest.json           every file's hash, written last

The folder is written under a unique name and renamed when its manifest is there. Loading goes from
the newest to the oldest and takes the first whose hashes are right.
"""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from modersmal import store
from modersmal.errors import CheckpointError, StoreError
from modersmal.train.optim import trained
from modersmal.whisper.save import write_tensors

SCHEMA = 1
_PREFIX = "step-"
_DRAFT = ".draft-"
_ADAMW = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Best:
    """The best dev score so far: its step, its rate, and what that is (wer, or cer)."""

    step: int
    rate: float
    metric: str


@dataclass(frozen=True)
class State:
    """Where a run stands. `step` counts optimiser steps done; the plan follows from it alone.

    `evaluated_step` is the last step with a dev score, `seconds` the time spent training so far.
    `identity` is what must not change within a run, `scaler` the state of the loss scale.
    """

    step: int
    best: Best | None = None
    evaluated_step: int | None = None
    seconds: float = 0.0
    scaler: dict[str, Any] = field(default_factory=dict)
    identity: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA


def folder_of(checkpoints: Path, step: int) -> Path:
    return checkpoints / f"{_PREFIX}{step:08d}"


def steps_saved(checkpoints: Path) -> list[int]:
    """Steps that have a checkpoint, rising."""
    names = (path.name.removeprefix(_PREFIX) for path in checkpoints.glob(f"{_PREFIX}*"))
    return sorted(int(name) for name in names if name.isdigit())


def save(
    checkpoints: Path, state: State, model: nn.Module, optimizer: torch.optim.Optimizer
) -> Path:
    """Write a checkpoint; earlier ones stay as they are whatever happens.

    Raises:
        StoreError: the disk is full or cannot be written.
    """
    target = folder_of(checkpoints, state.step)
    draft = checkpoints / f"{_DRAFT}{target.name}-{uuid.uuid4().hex}"
    try:
        with store.writing(target):
            draft.mkdir(parents=True)
            write_tensors(draft / "model.safetensors", _weights(model))
            write_tensors(draft / "optimizer.safetensors", _moments(model, optimizer))
            store.write_json(draft / "state.json", asdict(state))
            store.write_manifest(draft)
            if target.exists():
                shutil.rmtree(target)
            os.replace(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return target


def load_newest(
    checkpoints: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    check: Callable[[State], None],
    say: Callable[[str], None],
) -> State | None:
    """Load the newest sound checkpoint into `model` and `optimizer`; None where there is none.

    `check` sees the state first, and may refuse it. `say` is told of each damaged checkpoint.

    Raises:
        CheckpointError: there are checkpoints, but all are damaged, or of a later version.
    """
    steps = steps_saved(checkpoints)
    for step in reversed(steps):
        folder = folder_of(checkpoints, step)
        try:
            store.verify_manifest(folder)
        except StoreError as error:
            earlier = max((other for other in steps if other < step), default=None)
            instead = "" if earlier is None else f"; going back to step {earlier}"
            say(f"The checkpoint of step {step} is damaged ({error}){instead}")
            continue
        state = read_state(folder)
        check(state)
        load_weights(folder, model)
        _load_moments(folder, model, optimizer)
        return state
    if steps:
        raise CheckpointError(
            f"every checkpoint in {checkpoints} is damaged; remove the folder to start afresh"
        )
    return None


def read_state(folder: Path) -> State:
    """Read a verified checkpoint's state. Raises CheckpointError."""
    table = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    if table.get("schema") != SCHEMA:
        raise CheckpointError(
            f"{folder} has schema {table.get('schema')}, this modersmal reads {SCHEMA}; "
            "use the version that wrote it"
        )
    best = table.pop("best")
    return State(**table, best=Best(**best) if best else None)


def load_weights(folder: Path, model: nn.Module) -> None:
    """Load a checkpoint's weights into `model`, in place. Raises CheckpointError."""
    weights = _read_tensors(folder / "model.safetensors")
    own = _weights(model)
    _must_match(weights.keys(), own.keys(), folder)
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(weights[name])


def prune(checkpoints: Path, keep: int, best: Best | None) -> None:
    """Remove all but the newest `keep` checkpoints and the best, and what killed writers left."""
    steps = steps_saved(checkpoints)
    kept = {*steps[-keep:], *([best.step] if best else [])}
    for step in steps:
        if step not in kept:
            shutil.rmtree(folder_of(checkpoints, step), ignore_errors=True)
    remove_drafts(checkpoints)


def remove_drafts(checkpoints: Path) -> None:
    for draft in checkpoints.glob(f"{_DRAFT}*"):
        shutil.rmtree(draft, ignore_errors=True)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """All parameters, tied ones once."""
    return {name: value.data for name, value in model.named_parameters()}


def _moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """AdamW's state by parameter; empty before the first step."""
    return {
        f"{name}.{part}": optimizer.state[value][part]
        for name, value in trained(model)
        if value in optimizer.state
        for part in _ADAMW
    }


def _load_moments(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    moments = _read_tensors(folder / "optimizer.safetensors")
    parameters = dict(trained(model))
    if moments:
        wanted = (f"{name}.{part}" for name in parameters for part in _ADAMW)
        _must_match(moments.keys(), wanted, folder)
    for name, value in parameters.items() if moments else ():
        optimizer.state[value] = {
            part: moments[f"{name}.{part}"].to(value.device) for part in _ADAMW
        }


def _must_match(found: Iterable[str], wanted: Iterable[str], folder: Path) -> None:
    if differing := set(found) ^ set(wanted):
        raise CheckpointError(
            f"{folder} does not belong to this model: {len(differing)} parts differ, such as "
            f"{min(differing)}"
        )


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
