"""Checkpoints: everything needed to go on bit for bit, and which of them to go on from.

    checkpoints/step-00000500.t00000003/
        model.safetensors       the weights (of LoRA, its own)
        optimizer.safetensors   AdamW's step and moments of every parameter that learns
        state.json              step, best score, loss scale, decisions, recipe, versions, schema
        manifest.json           every file's hash, written last

A name is the optimiser step and the fencing token of the lease under which it was written (names
of before there were leases have none, which counts as 0). They are written by saver.py; loading
goes from the newest to the oldest, here and in the remote, and takes the first that is whole.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from modersmal import store
from modersmal.config import TrainConfig
from modersmal.errors import CheckpointError, StoreDamaged, StoreError, StoreMissing
from modersmal.progress import progress
from modersmal.train.journal import Decision
from modersmal.train.optim import trained
from modersmal.train.writer import STATE

SCHEMA = 3
MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
_NAME = re.compile(r"step-(\d+)(?:\.t(\d+))?")
LORA = ".lora_"  # in the names of its matrices
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

    `evaluated_step` is the last step with a dev score, `pending` one whose checkpoint is being
    scored beside the training, `seconds` the time spent training so far.
    `identity` is what must not change within a run, `scaler` the state of the loss scale,
    `decisions` a copy of the journal.
    """

    step: int
    best: Best | None = None
    evaluated_step: int | None = None
    seconds: float = 0.0
    scaler: dict[str, Any] = field(default_factory=dict)
    identity: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()
    pending: int | None = None
    schema: int = SCHEMA

    @property
    def needed(self) -> frozenset[int]:
        """The steps whose checkpoints stay, however old: the best, and what is being scored."""
        best = self.best.step if self.best else None
        return frozenset(step for step in (best, self.pending) if step is not None)


@dataclass(frozen=True, order=True)
class Name:
    """A checkpoint's name. The order is that of age."""

    step: int
    token: int

    def __str__(self) -> str:
        return f"step-{self.step:08d}" + (f".t{self.token:08d}" if self.token else "")

    @classmethod
    def parse(cls, name: str) -> "Name | None":
        """None where it is no checkpoint's name."""
        found = _NAME.fullmatch(name)
        return cls(int(found[1]), int(found[2] or 0)) if found else None


class RemoteFolders(Protocol):
    """What loading needs of a remote."""

    def get_folder(self, name: str, local: Path, on_progress: Callable[[int], None]) -> None: ...

    def list(self, prefix: str) -> list[str]: ...


@dataclass(frozen=True)
class Checkpoints:
    """Where the checkpoints of a run are: in `folder`, and below `prefix` in a remote if any.

    `counted` keeps, of names, those that the lease counts: not what a stale holder wrote.
    """

    folder: Path
    remote: RemoteFolders | None = None
    prefix: str = ""
    counted: Callable[[list[str]], list[str]] = list

    def names(self) -> list[Name]:
        """All that are counted, here or there, the oldest first; not yet known to be whole."""
        return sorted({*self.local_names(), *self.remote_names()})

    def local_names(self) -> list[Name]:
        """Those here, the oldest first."""
        return self._counting(path.name for path in self.folder.glob("step-*"))

    def remote_names(self) -> list[Name]:
        """Those in the remote whose manifest, which comes last, is there; the oldest first."""
        if self.remote is None:
            return []
        mark = f"/{store.MANIFEST}"
        listed = self.remote.list(self.prefix)
        return self._counting(
            name.removesuffix(mark).removeprefix(f"{self.prefix}/")
            for name in listed
            if name.endswith(mark)
        )

    def steps(self) -> list[int]:
        """Steps that have a checkpoint, rising."""
        return sorted({name.step for name in self.names()})

    def named(self, step: int) -> Name:
        """The newest checkpoint of a step. Raises CheckpointError where there is none."""
        matching = [name for name in self.names() if name.step == step]
        if not matching:
            raise CheckpointError(f"there is no checkpoint of step {step} in {self.folder}")
        return matching[-1]

    def bring(self, name: Name) -> Path:
        """The folder of a whole checkpoint here, downloaded where it is missing or damaged.

        Raises:
            StoreDamaged, StoreMissing: neither here nor in the remote is it whole.
            StoreError: the remote cannot be reached.
        """
        folder = self.folder / str(name)
        try:
            store.verify_manifest(folder)
        except StoreError as error:
            if self.remote is None or name not in self.remote_names():
                raise StoreDamaged(str(error)) from error
            with progress(f"Fetching step {name.step}", unit="MB") as advance:
                self.remote.get_folder(
                    f"{self.prefix}/{name}", folder, lambda count: advance(count / 1e6)
                )
            store.verify_manifest(folder)
        return folder

    def _counting(self, names: Iterable[str]) -> list[Name]:
        known = [name for name in names if Name.parse(name)]
        return sorted(parsed for name in self.counted(known) if (parsed := Name.parse(name)))


def load_newest(
    checkpoints: Checkpoints,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    check: Callable[[State], None],
    say: Callable[[str], None],
) -> tuple[Name, State] | None:
    """Load the newest whole checkpoint into `model` and `optimizer`; None where there is none.

    `check` sees the state first, and may refuse it. `say` is told of each damaged checkpoint.

    Raises:
        CheckpointError: there are checkpoints, but all are damaged, or of a later version.
        StoreError: the remote that has it cannot be reached.
    """
    names = checkpoints.names()
    for place, name in reversed(list(enumerate(names))):
        try:
            folder = checkpoints.bring(name)
        except (StoreDamaged, StoreMissing) as error:
            instead = f"; going back to step {names[place - 1].step}" if place else ""
            say(f"The checkpoint of step {name.step} is damaged ({error}){instead}")
            continue
        state = read_state(folder)
        check(state)
        load_weights(folder, model)
        _load_moments(folder, model, optimizer)
        return name, state
    if names:
        raise CheckpointError(
            f"every checkpoint in {checkpoints.folder} is damaged; remove the folder to start "
            "afresh"
        )
    return None


def contents(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """The tensors of a checkpoint, by file."""
    return {MODEL: _weights(model), OPTIMIZER: _moments(model, optimizer)}


def full_bytes(model: nn.Module) -> int:
    """How large `contents` will be once every parameter has learned."""
    weights = sum(value.nbytes for value in _weights(model).values())
    moments = sum(2 * value.nbytes + torch.float32.itemsize for _, value in trained(model))
    return weights + moments


@dataclass(frozen=True)
class Retention:
    """Which checkpoints stay: the `newest`, at least two, what is needed, and what the model is
    averaged of at the end: the last `averaged` of those saved after every `every` steps."""

    newest: int = 2
    averaged: int = 0
    every: int = 1

    @classmethod
    def of(cls, config: TrainConfig) -> "Retention":
        return cls(config.keep, config.average_last, config.save_every)

    @property
    def most(self) -> int:
        """How many stay, those needed aside, where nothing stops the run in between."""
        return max(self.newest, 2, self.averaged)

    def superseded(self, names: Sequence[Name], needed: Collection[int]) -> list[Name]:
        """Those that may go, where those of the steps `needed` may not."""
        rising = sorted(names)
        kept = set(rising[-max(self.newest, 2) :])
        regular = {name.step: name for name in rising if name.step % self.every == 0}
        kept |= set(list(regular.values())[-self.averaged :] if self.averaged else ())
        kept |= set({name.step: name for name in rising if name.step in needed}.values())
        return [name for name in rising if name not in kept]

    def to_average(self, end: int) -> list[int]:
        """The steps that the model is averaged of, rising, in a run of `end` steps."""
        regular = range(self.every, end, self.every)
        return [*regular, end][-self.averaged :] if self.averaged else []


def read_state(folder: Path) -> State:
    """Read a verified checkpoint's state, of this schema or an older one.

    Raises:
        CheckpointError: it is of a newer schema, or none that we know.
    """
    table = json.loads((folder / STATE).read_text(encoding="utf-8"))
    schema = table.get("schema")
    if not isinstance(schema, int) or not 1 <= schema <= SCHEMA:
        raise CheckpointError(
            f"{folder} has schema {schema}, this modersmal reads up to {SCHEMA}; "
            "use the version that wrote it"
        )
    if schema == 1:  # there was no journal
        table["decisions"] = []
    table["schema"] = SCHEMA
    table["best"] = Best(**table["best"]) if table["best"] else None
    table["decisions"] = tuple(Decision(**decision) for decision in table["decisions"])
    return State(**table)


def load_weights(folder: Path, model: nn.Module) -> None:
    """Load a checkpoint's weights into `model`, in place. Raises CheckpointError."""
    weights = _read_tensors(folder / MODEL)
    own = _weights(model)
    _must_match(weights.keys(), own.keys(), folder)
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(weights[name])


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """All parameters, tied ones once; of LoRA, which leaves the others as they were, its own."""
    every = {name: value.data for name, value in model.named_parameters()}
    return {name: value for name, value in every.items() if LORA in name} or every


def _moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """AdamW's state by parameter; empty before the first step."""
    return {
        f"{name}.{part}": optimizer.state[value][part]
        for name, value in trained(model)
        if value in optimizer.state
        for part in _ADAMW
    }


def _load_moments(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    moments = _read_tensors(folder / OPTIMIZER)
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
