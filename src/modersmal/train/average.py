"""Weights made of other weights: the mean of several checkpoints, a mixture with the base.

A mixture is worked out tensor by tensor, so that however many checkpoints it is of, no more of
them is in memory than one tensor of each.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from modersmal.errors import CheckpointError
from modersmal.train.checkpoint import MODEL

_AT_ONCE = 1 << 20


class Weights(Protocol):
    """Something that has a tensor for every parameter of a model."""

    def tensor(self, name: str) -> Tensor: ...


class Stored:
    """The weights in a checkpoint's folder, read when asked for. Raises CheckpointError.

    The file is mapped for one tensor at a time: pages that were read stay in memory as long as
    it is.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / MODEL
        with self._opened() as file:
            self.names = frozenset(file.keys())

    def tensor(self, name: str) -> Tensor:
        if name not in self.names:
            raise CheckpointError(f"{self._path} does not belong to this model: it has no {name}")
        with self._opened() as file:
            return file.get_tensor(name).clone()

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with safe_open(self._path, "pt") as file:
                yield file
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{self._path} cannot be read: {error}") from error


@dataclass(frozen=True)
class Held:
    """Weights in memory."""

    tensors: Mapping[str, Tensor]

    @classmethod
    def of(cls, model: nn.Module) -> "Held":
        """A copy of what a model has now, on the host."""
        return cls({name: value.detach().cpu().clone() for name, value in model.named_parameters()})

    def tensor(self, name: str) -> Tensor:
        return self.tensors[name]


@dataclass(frozen=True)
class Mixture:
    """A weighted sum of weights; one alone, with weight 1, comes out as it is.

    Raises CheckpointError where they are of different models.
    """

    parts: Sequence[tuple[float, Weights]]

    @classmethod
    def mean(cls, equals: Sequence[Weights]) -> "Mixture":
        return cls([(1 / len(equals), each) for each in equals])

    def with_base(self, base: Weights, share: float) -> "Mixture":
        """This, but for a share of the base."""
        own = [((1 - share) * weight, each) for weight, each in self.parts]
        return Mixture([*own, (share, base)])

    def tensor(self, name: str) -> Tensor:
        value = self.parts[0][1].tensor(name)
        # Nothing changes when it is added to -0.0; 0.0 would take the sign of a -0.0 away.
        total = torch.full_like(value, -0.0, dtype=torch.float64, requires_grad=False)
        for place, (weight, each) in enumerate(self.parts):
            part = each.tensor(name) if place else value
            if part.shape != total.shape:
                raise CheckpointError(
                    f"weights of different models cannot be mixed: {name} is "
                    f"{tuple(total.shape)} in one and {tuple(part.shape)} in another"
                )
            _add(total, weight, part)
        return total.to(value.dtype)


def _add(total: Tensor, weight: float, value: Tensor) -> None:
    """Add in double precision, without a copy in that of all."""
    for sums, values in zip(
        total.view(-1).split(_AT_ONCE), value.detach().reshape(-1).split(_AT_ONCE), strict=True
    ):
        sums += weight * values.double()


@torch.no_grad()
def put_into(model: nn.Module, weights: Weights) -> None:
    """Give every parameter of `model` its value, in place. Raises CheckpointError."""
    for name, value in model.named_parameters():
        value.copy_(weights.tensor(name))
