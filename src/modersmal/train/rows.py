"""Vocabulary rows that are equal, and that no label uses, learn as one.

Such rows get the same gradient at every step, so they stay equal for ever: computing the logit of
one of them and adding the logarithm of how many they are gives the loss of the whole vocabulary.
In the bundled base, whose unused rows share one vector, that is nine tenths of the softmax.
(What remains different is the weight of AdamW's epsilon, and rounding.)
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_WORTHWHILE = 0.25  # of the vocabulary


@dataclass(frozen=True)
class EqualRows:
    """`kept` (n,) are the rows that count, the last of which stands for all of `group`;
    `place` (vocabulary,) says where in `kept` each token is."""

    kept: Tensor
    group: Tensor
    place: Tensor

    @property
    def counts(self) -> Tensor:
        """How many rows each of `kept` stands for: (n,) float32."""
        counts = torch.ones(len(self.kept), device=self.kept.device)
        counts[-1] = len(self.group)
        return counts

    def to(self, device: torch.device) -> "EqualRows":
        return EqualRows(self.kept.to(device), self.group.to(device), self.place.to(device))

    def weigh(self, gradient: Tensor) -> None:
        """Give the one gradient, which is the sum of the group's, the norm that they have
        together, so that clipping sees what it would see; AdamW does not mind its scale."""
        gradient[self.kept[-1:]] /= math.sqrt(len(self.group))

    @torch.no_grad()
    def spread(self, embeddings: Tensor) -> None:
        """Copy the row that stands for the group to all of it, after an update."""
        embeddings[self.group] = embeddings[self.kept[-1:]]


def find_equal_rows(embeddings: Tensor, used: Tensor) -> EqualRows | None:
    """The largest group of equal rows in (vocabulary, width) that `used` (vocabulary,) bool does
    not name; None where it is too small to matter."""
    rows = embeddings.detach().cpu()
    # Equal rows have equal first values; only those need comparing in full.
    _, inverse, counts = torch.unique(rows[:, 0], return_inverse=True, return_counts=True)
    alike = (inverse == counts.argmax()) & ~used
    candidates = alike.nonzero().squeeze(1)
    if len(candidates) < _WORTHWHILE * len(rows):
        return None
    group = candidates[(rows[candidates] == rows[candidates[0]]).all(dim=1)]
    if len(group) < _WORTHWHILE * len(rows):
        return None
    single = torch.ones(len(rows), dtype=torch.bool)
    single[group] = False
    kept = torch.cat([single.nonzero().squeeze(1), group[:1]])
    place = torch.full((len(rows),), len(kept) - 1)
    place[kept] = torch.arange(len(kept))
    return EqualRows(kept, group, place)
