"""One optimiser step: forward, backward, clip, update."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import WhisperForConditionalGeneration

from modersmal.config import TrainConfig
from modersmal.train.augment import mask_features
from modersmal.train.batch import MicroBatch, StepBatch
from modersmal.train.optim import make_optimizer, trained
from modersmal.train.plan import stream
from modersmal.train.precision import Precision
from modersmal.train.ranks import Ranks
from modersmal.train.rows import EqualRows
from modersmal.whisper.load import Whisper
from modersmal.whisper.tokens import given_ids

_DROPOUT = 4  # what the random stream is for


@dataclass(frozen=True)
class StepResult:
    """What a step did. `loss` is the mean over the step's tokens, in nats; `gradient_norm` is
    before clipping; `skipped` says that float16 overflowed, so that nothing was updated."""

    loss: float
    gradient_norm: float
    skipped: bool


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
        self.device, self.precision, self.checkpointing = device, precision, checkpointing
        self.model = whisper.model
        if checkpointing:
            checkpoint_activations(self.model)
        self.optimizer = make_optimizer(self.model, config.weight_decay, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision.scaled)
        self.scaler.scale(torch.zeros((), device=device))  # have it begin, even without a clip
        self._given = given_ids(whisper.vocabulary)
        self._rows = equal_rows.to(device) if equal_rows else None
        self._loss_sum: Callable[..., Tensor] = (
            torch.compile(loss_sum) if config.compile else loss_sum
        )

    def step(self, batch: StepBatch, learning_rate: float, device_batch_s: float) -> StepResult:
        """Learn from one global batch, `device_batch_s` seconds of padded audio at a time.

        Where there are several processes, all of them call it, each with its share of the batch.
        """
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        total = self.ranks.together(lambda: self._backward(batch, device_batch_s))
        self.ranks.sum_gradients((value for _, value in trained(self.model)), total)
        self.scaler.unscale_(self.optimizer)
        embeddings = self.model.proj_out.weight
        if self._rows and embeddings.grad is not None:
            self._rows.weigh(embeddings.grad)
        norm = torch.nn.utils.clip_grad_norm_(
            [value for _, value in trained(self.model)], self.config.clip_norm
        )
        before = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self._rows:
            self._rows.spread(embeddings)
        loss_value, norm_value = torch.stack([total, norm.to(total.dtype)]).tolist()
        return StepResult(loss_value, norm_value, self.scaler.get_scale() < before)

    def _backward(self, batch: StepBatch, device_batch_s: float) -> Tensor:
        """Gradients of this process's clips; returns their part of the mean loss."""
        targets = sum(token not in self._given for label in batch.labels for token in label[1:])
        total = torch.zeros((), device=self.device)
        for place, part in enumerate(batch.micro_batches(device_batch_s)):
            _seed_dropout(
                self.config.seed, batch.planned.step, place * self.ranks.world + self.ranks.rank
            )
            features = self._masked(part, batch.planned.epoch)
            loss = self.loss_sum(features, part) / targets
            self.scaler.scale(loss).backward()
            total += loss.detach()
        return total

    def loss_sum(self, features: Tensor, part: MicroBatch) -> Tensor:
        """Sum of the negative log-likelihoods of a part's tokens, in this run's precision."""
        places, targets = target_places(part.tokens, part.counts, self._given)
        with self.precision.context(self.device):
            return self._loss_sum(
                self.model,
                features,
                *(tensor.to(self.device) for tensor in (part.tokens[:, :-1], places, targets)),
                self._rows,
            )

    @torch.no_grad()
    def first_loss(self, batch: StepBatch, device_batch_s: float) -> float:
        """Mean loss of the first part of a batch, without masks; nothing is learned."""
        self.model.train()
        part = next(batch.micro_batches(device_batch_s))
        features = part.features(self.whisper.mels, self.device)
        places, _ = target_places(part.tokens, part.counts, self._given)
        return float(self.loss_sum(features, part)) / len(places)

    def scaler_state(self) -> dict[str, Any]:
        return self.scaler.state_dict()

    def load_scaler_state(self, state: dict[str, Any]) -> None:
        """Go on with a saved loss scale; one of another precision is left aside."""
        if state and self.precision.scaled:
            self.scaler.load_state_dict(state)

    def _masked(self, part: MicroBatch, epoch: int) -> Tensor:
        return mask_features(
            part.features(self.whisper.mels, self.device),
            part.speech_frames,
            part.rows,
            seed=self.config.seed,
            epoch=epoch,
            config=self.config.spec_augment,
        )


def target_places(tokens: Tensor, counts: Tensor, given: Collection[int]) -> tuple[Tensor, Tensor]:
    """Where tokens are predicted, as flat indices into (clips, longest - 1), and what they are.

    What lies behind a label is told by its length: padding is end-of-text, which is a target too.
    Tokens that are `given` are no targets.
    """
    targets = tokens[:, 1:]
    learned = torch.arange(targets.shape[1]) < (counts - 1)[:, None]
    learned &= ~torch.isin(targets, torch.tensor(sorted(given)))
    return learned.flatten().nonzero().squeeze(1), targets[learned]


def loss_sum(
    model: WhisperForConditionalGeneration,
    features: Tensor,
    inputs: Tensor,
    places: Tensor,
    targets: Tensor,
    rows: EqualRows | None = None,
) -> Tensor:
    """Sum of the negative log-likelihoods of `targets`, with logits at their places only.

    The padding behind a label needs no attention mask: the decoder looks back only.
    """
    encoded = model.model.encoder(features).last_hidden_state
    hidden = model.model.decoder(
        input_ids=inputs, encoder_hidden_states=encoded, use_cache=False
    ).last_hidden_state
    hidden = hidden.flatten(0, 1).index_select(0, places)
    if rows is None:
        return F.cross_entropy(model.proj_out(hidden).float(), targets, reduction="sum")
    logits = F.linear(hidden, model.proj_out.weight.index_select(0, rows.kept)).float()
    logits = torch.cat([logits[:, :-1], logits[:, -1:] + rows.log_count], dim=1)
    return F.cross_entropy(logits, rows.place[targets], reduction="sum")


def checkpoint_activations(model: WhisperForConditionalGeneration) -> None:
    """Let layers keep their input only, and compute the rest again in the backward pass."""
    # transformers 5.23 renamed it; 5.17 has the old name only.
    enable = getattr(model, "activation_checkpointing_enable", None)
    (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})


def _seed_dropout(seed: int, step: int, place: int) -> None:
    """Make dropout, where the model's config has any, a function of (seed, step, part)."""
    torch.manual_seed(int(stream(seed, step, place, _DROPOUT).integers(2**63)))
