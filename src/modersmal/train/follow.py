"""What all processes but the first do: they learn as they are told, and wait in between."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from modersmal.errors import Stopped, TrainingError
from modersmal.train.batch import StepBatch
from modersmal.train.learner import Learner
from modersmal.train.loader import Loader
from modersmal.train.optim import ADAMW, trained
from modersmal.train.ranks import Begin, End, Order, Ranks, Step


def lead_from(ranks: Ranks, learner: Learner, step: int) -> None:
    """Give the others all that the leader has loaded or begun with."""
    if ranks.world == 1:
        return
    moments = bool(learner.optimizer.state)
    ranks.tell(Begin(step, moments, learner.checkpointing, learner.scaler_state()))
    ranks.spread(_state(learner, moments))


def follow(ranks: Ranks, learner: Learner, loader: Loader, last: int) -> dict[str, Any]:
    """Learn until the leader ends it, after step `last` at the latest; returns its result.

    Raises:
        Stopped: all was stopped, with everything saved.
        TrainingError: the leader, or another process, has failed.
    """
    order = ranks.told()
    if isinstance(order, Begin):
        _begin(ranks, learner, order)
        steps = loader.steps(order.step, last)
        try:
            order = _take_steps(ranks, learner, steps)
        finally:
            steps.close()
    return _ended(order)


def _take_steps(ranks: Ranks, learner: Learner, steps: Iterator[StepBatch]) -> Order:
    """Take step after step; returns the first order to do something else."""
    batch = None
    while isinstance(order := ranks.told(), Step):
        if batch is None or batch.planned.step != order.step:
            batch = _load(ranks, steps)
        try:
            learner.step(batch, order.learning_rate, order.device_batch_s)
        except torch.OutOfMemoryError:
            continue  # the leader tries again with less, or gives up
    return order


def _load(ranks: Ranks, steps: Iterator[StepBatch]) -> StepBatch:
    try:
        return next(steps)
    except Exception as error:
        ranks.fail(error)


def _begin(ranks: Ranks, learner: Learner, order: Begin) -> None:
    if order.checkpointing:
        learner.use_checkpointing()
    if order.moments:
        for _, value in trained(learner.model):
            learner.optimizer.state[value] = {
                "step": torch.zeros((), device=value.device),
                "exp_avg": torch.zeros_like(value),
                "exp_avg_sq": torch.zeros_like(value),
            }
    learner.load_scaler_state(order.scaler)
    ranks.spread(_state(learner, order.moments))


def _state(learner: Learner, moments: bool) -> Iterator[Tensor]:
    """All that learning changes, in an order that is the same in every process."""
    yield from (value.data for value in learner.model.parameters())
    for _, value in trained(learner.model) if moments else ():
        yield from (learner.optimizer.state[value][part] for part in ADAMW)


def _ended(order: Order) -> dict[str, Any]:
    if not isinstance(order, End):
        raise TrainingError(f"the first process says {order} where it should not")
    if order.result is not None:
        return order.result
    if order.stopped:
        raise Stopped(order.why)
    raise TrainingError(f"the first process has failed: {order.why}")
