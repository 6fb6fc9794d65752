"""Nothing in a step makes the host wait for the device.

On a GPU the host must run ahead. Here the device is torch's "meta", which has no values at all:
whoever asks for one fails. Copies to it must be of the kind that does not wait.
"""

from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from modersmal.config import TrainConfig
from modersmal.train.learner import Learner
from modersmal.train.optim import freeze
from modersmal.train.precision import Precision
from modersmal.train.rows import find_equal_rows
from modersmal.whisper.load import load

META = torch.device("meta")
ATEN = torch.ops.aten
UNUSED_FROM = 20_000
# What has a result whose value or shape the host must see.
WAITING = {
    ATEN._local_scalar_dense.default, ATEN.nonzero.default, ATEN.masked_select.default,
    ATEN._unique2.default, ATEN.unique_dim.default, ATEN.bincount.default, ATEN.equal.default,
    ATEN.is_nonzero.default,
}  # fmt: skip


class NoWaiting(TorchDispatchMode):
    """Fails where a GPU would have to be waited for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [one for one in args if isinstance(one, torch.Tensor)]
        if func is ATEN.index.Tensor:  # with a mask, it has to be known how many there are
            chosen = [one for one in args[1] if one is not None and one.dtype == torch.bool]
            if any(one.device == META for one in chosen):
                raise AssertionError("a choice by mask waits for the device")
        if func in WAITING and any(one.device == META for one in tensors):
            raise AssertionError(f"{func} waits for the device")
        copied = func is ATEN._to_copy.default and kwargs.get("device") == META
        if copied and tensors[0].device != META and not kwargs.get("non_blocking"):
            raise AssertionError(f"a copy of {tuple(tensors[0].shape)} waits for the device")
        return func(*args, **kwargs)


@pytest.fixture
def far_away(tiny_whisper, monkeypatch):
    """A learner on the device, with rows of the vocabulary that learn as one."""
    # The one thing that "meta" does not have.
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())

    def make(**config):
        whisper, config = load(str(tiny_whisper())), TrainConfig(**config)
        embeddings = whisper.model.proj_out.weight
        used = torch.arange(len(embeddings)) < UNUSED_FROM
        with torch.no_grad():
            embeddings[UNUSED_FROM:] = 0.5
        rows = find_equal_rows(embeddings, used)
        assert rows is not None
        whisper.model.to(META)
        freeze(whisper.model, encoder=False)
        plain = Precision(None, False, "")
        return Learner(
            whisper, config, device=META, precision=plain, checkpointing=False, equal_rows=rows
        )

    return make


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"label_smoothing": 0.1, "gradient_checkpointing": True},
        {"spec_augment": {"time_masks": 0, "frequency_masks": 0}},
    ],
)
def test_no_step_waits_for_the_device(far_away, make_loader, config):
    learner = far_away(**config)
    reader = make_loader(packed_share=0.4, full_share=0.4, timestamp_share=0.5).reader
    learner.step(reader.load(0), 1e-5, 60.0)  # constants are brought there once
    seen = set()
    for step in range(6):
        batch = reader.load(step)
        with NoWaiting():
            result = learner.step(batch, 1e-5, 60.0)
        seen.add(batch.planned.geometry)
    assert seen == {"dynamic", "packed", "full"}
    with pytest.raises((RuntimeError, NotImplementedError)), NoWaiting():
        assert result.loss  # reading it is what waits


def test_a_step_that_would_wait_is_caught():
    far = torch.zeros(4, device=META)
    for wait in (
        lambda: far[0].item(),
        lambda: far[far > 0],
        lambda: torch.ones(4).to(META),
        lambda: far[torch.tensor(2, device=META)],
    ):
        with pytest.raises(AssertionError, match="waits for the device"), NoWaiting():
            wait()
    with NoWaiting():
        torch.ones(4).to(META, non_blocking=True)
