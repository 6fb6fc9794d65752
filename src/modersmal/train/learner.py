"""One optimiser step: forward, backward, clip, update."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import WhisperForConditionalGeneration

from modersmal.config import TrainConfig
from modersmal.train.augment import mask_features
from modersmal.train.batch import MicroBatch, StepBatch
from modersmal.train.compiling import as_it_is, compile_layers, pays
from modersmal.train.cross_entropy import cross_entropy_sum
from modersmal.train.memory import shortage_told
from modersmal.train.optim import make_optimizer, trained
from modersmal.train.precision import Precision
from modersmal.train.ranks import Ranks
from modersmal.train.readback import Readback
from modersmal.train.rows import EqualRows
from modersmal.train.streams import stream
from modersmal.whisper.forcing import decode_forced
from modersmal.whisper.load import Whisper

_DROPOUT = 4  # what the random stream is for


class StepResult:
    """What a step did; asking for it waits until the device has done it.

    `loss` is the mean over the step's tokens, in nats; `gradient_norm` is before clipping;
    `skipped` says that float16 overflowed, so that nothing was updated.
    """

    def __init__(self, loss: Tensor, gradient_norm: Tensor, *, scaled: bool) -> None:
        self._values = Readback(torch.stack([loss, gradient_norm.to(loss.dtype)]))
        self._scaled = scaled

    @property
    def loss(self) -> float:
        return self._values.get()[0]

    @property
    def gradient_norm(self) -> float:
        return self._values.get()[1]

    @property
    def skipped(self) -> bool:
        return self._scaled and not math.isfinite(self.gradient_norm)


class Learner:
    """A model with what makes it learn."""

    def __init__(
        self,
        whisper: Whisper,
        config: TrainConfig,
        *,
        device: torch.device,
        precision: Precision,
        checkpointing: bool,
        equal_rows: EqualRows | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self.whisper, self.config, self.ranks = whisper, config, ranks or Ranks()
        self.device, self.precision, self.checkpointing = device, precision, False
        self.model = whisper.model
        self._taken_s: float | None = None
        if checkpointing:
            self.use_checkpointing()
        self.optimizer = make_optimizer(self.model, config.weight_decay, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision.scaled)
        self.scaler.scale(torch.zeros((), device=device))  # have it begin, even without a clip
        self._rows = equal_rows.to(device) if equal_rows else None
        self._compiled = pays(config.compile, device, config.max_steps)
        if self._compiled:
            compile_layers(self.model)

    @property
    def runs_ahead(self) -> bool:
        """Whether the host goes on while the device still learns."""
        return self.device.type == "cuda"

    def use_checkpointing(self) -> None:
        """From here on, compute again in the backward pass what is not kept."""
        self.checkpointing = True
        checkpoint_activations(self.model)

    def make_ahead(self, batch: StepBatch) -> StepBatch:
        """What can be done for a coming batch while the device is busy; for a thread beside it."""
        if not self.runs_ahead or self._taken_s is None:
            return batch
        return batch.made_ahead(self._taken_s, pinned=True)

    def step(self, batch: StepBatch, learning_rate: float, device_batch_s: float) -> StepResult:
        """Learn from one global batch, `device_batch_s` seconds of padded audio at a time.

        Where there are several processes, all of them call it, each with its share of the batch.
        """
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        self._taken_s = device_batch_s
        total = self.ranks.together(lambda: self._backward(batch, device_batch_s))
        self.ranks.sum_gradients((value for _, value in trained(self.model)), total)
        self.scaler.unscale_(self.optimizer)
        embeddings = self.model.proj_out.weight
        if self._rows and embeddings.grad is not None:
            self._rows.weigh(embeddings.grad)
        norm = torch.nn.utils.clip_grad_norm_(
            [value for _, value in trained(self.model)], self.config.clip_norm
        )
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self._rows:
            self._rows.spread(embeddings)
        return StepResult(total, norm, scaled=self.precision.scaled)

    @shortage_told()
    def _backward(self, batch: StepBatch, device_batch_s: float) -> Tensor:
        """Gradients of this process's clips; returns their part of the mean loss."""
        total = torch.zeros((), device=self.device)
        for place, part in enumerate(batch.micro_batches(device_batch_s)):
            _seed_dropout(
                self.config.seed, batch.planned.step, place * self.ranks.world + self.ranks.rank
            )
            features = self._masked(part, batch.planned.epoch)
            loss = self.loss_sum(features, part) / batch.learned
            self.scaler.scale(loss).backward()
            total += loss.detach()
        return total

    def loss_sum(self, features: Tensor, part: MicroBatch) -> Tensor:
        """Sum of the negative log-likelihoods of a part's tokens, in this run's precision."""
        inputs, places, learned = (
            tensor.to(self.device, non_blocking=True)
            for tensor in (part.inputs, part.places, part.learned)
        )
        smoothing = self.config.label_smoothing if self.model.training else 0.0
        with self.precision.context(self.device):
            return loss_sum(self.model, features, inputs, places, learned, self._rows, smoothing)

    @torch.no_grad()
    def first_loss(self, batch: StepBatch, device_batch_s: float) -> float:
        """Mean loss of the first part of a batch, without masks; nothing is learned."""
        self.model.train()
        part = next(batch.micro_batches(device_batch_s))
        features = part.features(self.whisper.mels, self.device)
        return float(self.loss_sum(features, part)) / len(part.places)

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Within it the model decodes, in this run's precision."""
        with self.precision.context(self.device), as_it_is() if self._compiled else nullcontext():
            yield

    def scaler_state(self) -> dict[str, Any]:
        return self.scaler.state_dict()

    def load_scaler_state(self, state: dict[str, Any]) -> None:
        """Go on with a saved loss scale; one of another precision is left aside."""
        if state and self.precision.scaled:
            self.scaler.load_state_dict(state)

    def _masked(self, part: MicroBatch, epoch: int) -> Tensor:
        return mask_features(
            part.features(self.whisper.mels, self.device),
            part.speech,
            part.keys,
            seed=self.config.seed,
            epoch=epoch,
            config=self.config.spec_augment,
        )


def loss_sum(
    model: WhisperForConditionalGeneration,
    features: Tensor,
    inputs: Tensor,
    places: Tensor,
    targets: Tensor,
    rows: EqualRows | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    """Sum of the negative log-likelihoods of `targets`, with logits at their places only.

    The padding behind a label needs no attention mask: the decoder looks back only.
    """
    encoded = model.model.encoder(features).last_hidden_state
    hidden = decode_forced(model.model.decoder, inputs, encoded)
    hidden = hidden.flatten(0, 1).index_select(0, places)
    weight = model.proj_out.weight
    if rows is None:
        return cross_entropy_sum(hidden, weight, targets, smoothing=smoothing)
    return cross_entropy_sum(
        hidden,
        weight.index_select(0, rows.kept),
        rows.place[targets],
        counts=rows.counts,
        smoothing=smoothing,
    )


def checkpoint_activations(model: WhisperForConditionalGeneration) -> None:
    """Let layers keep their input only, and compute the rest again in the backward pass."""
    # transformers 5.23 renamed it; 5.17 has the old name only.
    enable = getattr(model, "activation_checkpointing_enable", None)
    (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})


def _seed_dropout(seed: int, step: int, place: int) -> None:
    """Make dropout, where the model's config has any, a function of (seed, step, part)."""
    torch.manual_seed(int(stream(seed, step, place, _DROPOUT).integers(2**63)))
