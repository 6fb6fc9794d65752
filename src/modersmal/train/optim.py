"""Learning rates, their schedule, the optimiser, and how much fits on a device."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from transformers import WhisperConfig, WhisperForConditionalGeneration

from modersmal.config import TrainConfig

BETAS = (0.9, 0.999)
EPSILON = 1e-8
ADAMW = ("step", "exp_avg", "exp_avg_sq")  # the state of each parameter
_WARMUP_SHARE = 0.2


@dataclass(frozen=True)
class Size:
    """A size of Whisper, and the learning rate that fine-tunes all of it well."""

    name: str
    learning_rate: float


# By width; from the table of published recipes in docs/guide/train.md.
_BY_WIDTH = {
    384: Size("tiny", 4e-5),
    512: Size("base", 2e-5),
    768: Size("small", 1e-5),
    1024: Size("medium", 6e-6),
    1280: Size("large", 5e-6),
}
_TURBO = Size("turbo", 1e-5)
_TURBO_DECODER_LAYERS = 4
_LORA_TIMES, _LORA_MOST = 10, 1e-3
_OWN = Size("a size of its own, trained from little", 1e-3)


def size_of(config: WhisperConfig) -> Size:
    """Tell the size by its width; turbo, and what is distilled like it, by its short decoder."""
    if config.d_model == 1280 and config.decoder_layers <= _TURBO_DECODER_LAYERS:
        return _TURBO
    return _BY_WIDTH.get(config.d_model, _OWN)


def peak_learning_rate(
    config: WhisperConfig, setting: float | None, *, lora: bool = False
) -> tuple[float, str]:
    """The peak learning rate, and the reason for it; LoRA takes a tenfold one."""
    if setting is not None:
        return setting, "set by the recipe"
    size = size_of(config)
    if lora:
        rate = max(size.learning_rate, min(_LORA_TIMES * size.learning_rate, _LORA_MOST))
        return rate, f"the model's size is {size.name}, and LoRA learns at a tenfold rate"
    return size.learning_rate, f"the model's size is {size.name}"


def warmup_steps(config: TrainConfig, steps: int) -> int:
    """The warm-up of a run of so many steps: at most a fifth of it."""
    return min(config.warmup_steps, int(steps * _WARMUP_SHARE))


def learning_rate(step: int, peak: float, config: TrainConfig) -> float:
    """The learning rate of optimiser step `step`, counted from 0, as the recipe has it."""
    warmup = warmup_steps(config, config.max_steps)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return peak
    done = (step - warmup) / max(1, config.max_steps - warmup)
    if config.schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * done))
    return peak * (1 - done)


def freeze(model: WhisperForConditionalGeneration, *, encoder: bool) -> None:
    """Freeze what does not learn: the encoder's positions always, all of it if `encoder`."""
    model.model.encoder.embed_positions.requires_grad_(False)
    if encoder:
        model.model.encoder.requires_grad_(False)


def trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Names and parameters that learn; tied ones once."""
    return ((name, value) for name, value in model.named_parameters() if value.requires_grad)


def make_optimizer(
    model: nn.Module, weight_decay: float, device: torch.device
) -> torch.optim.AdamW:
    """AdamW that decays matrices only, fused where the device has it."""
    matrices = [value for _, value in trained(model) if value.ndim >= 2]
    vectors = [value for _, value in trained(model) if value.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=torch.tensor(0.0) if device.type == "cuda" else 0.0,
        betas=BETAS,
        eps=EPSILON,
        fused=device.type in ("cpu", "cuda", "mps"),
    )
