"""Cross-entropy over Whisper's vocabulary without ever holding all of its logits.

51,865 logits for each token of a batch are more than the rest of a small model. Here they are
computed for some hundred tokens at a time, and turned at once into the loss and into gradients.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_CHUNK_BYTES = 64 * 2**20  # of float32 logits at a time


def cross_entropy_sum(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    counts: Tensor | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    """Sum of the cross-entropies of softmax(hidden @ weight.T) with `targets`, in float32.

    `hidden` is (n, width), `weight` (vocabulary, width), `targets` (n,) int64. Where a row of the
    vocabulary stands for several that are equal, `counts` (vocabulary,) says for how many. With
    label `smoothing` s (Szegedy et al. 2016), 1 - s of the weight is on the target and s on all
    tokens alike. Products are in the precision of autocast where that is on.
    """
    return _ChunkedCrossEntropy.apply(hidden, weight, targets, counts, smoothing)


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        counts: Tensor | None,
        smoothing: float,
    ) -> Tensor:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        rows = hidden.to(dtype or hidden.dtype)
        columns = weight.to(dtype or weight.dtype)
        total = hidden.new_zeros((), dtype=torch.float32)
        wanted = ctx.needs_input_grad
        hidden_gradient = torch.empty_like(hidden) if wanted[0] else None
        weight_gradient = torch.zeros_like(weight) if wanted[1] else None
        chunk = max(1, _CHUNK_BYTES // (4 * len(weight)))
        with torch.autocast(device, enabled=False):
            for part in range(0, len(targets), chunk):
                some = slice(part, part + chunk)
                loss, gradient = _loss_and_gradient(
                    F.linear(rows[some], columns).float(), targets[some], counts, smoothing
                )
                total += loss
                gradient = gradient.to(rows.dtype)
                if hidden_gradient is not None:
                    hidden_gradient[some] = gradient @ columns
                if weight_gradient is not None and weight_gradient.dtype == rows.dtype:
                    weight_gradient.addmm_(gradient.T, rows[some])
                elif weight_gradient is not None:
                    weight_gradient += gradient.T @ rows[some]
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        ctx.spent = False
        return total

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Scales the gradients where they lie, so once: copies would be held beside all else."""
        if ctx.spent:
            raise RuntimeError("the gradients of this cross-entropy were given away already")
        ctx.spent = True
        found = ctx.saved_tensors
        scaled = (None if one is None else one.mul_(upstream.to(one.dtype)) for one in found)
        return (*scaled, None, None, None)


def _loss_and_gradient(
    logits: Tensor, targets: Tensor, counts: Tensor | None, smoothing: float
) -> tuple[Tensor, Tensor]:
    """The sum of the losses of (n, vocabulary) logits, and its gradient, in their place."""
    uniform: Tensor | float = 1 / logits.shape[1]
    even = logits.mean(dim=1) if counts is None else logits @ (uniform := counts / counts.sum())
    own = logits.gather(1, targets[:, None]).squeeze(1)
    if counts is not None:
        logits += counts.log()
    partition = logits.logsumexp(dim=1)
    loss = partition - (1 - smoothing) * own - smoothing * even
    gradient = logits.sub_(partition[:, None]).exp_()
    if smoothing:
        gradient -= smoothing * uniform
    gradient.scatter_add_(1, targets[:, None], gradient.new_full((len(targets), 1), smoothing - 1))
    return loss.sum(), gradient
