"""LoRA: small matrices learned beside the model's own, which stay as they are (peft).

While it learns, a layer is `W + alpha / rank · B A`, of which A and B alone are learned, kept in
memory with their moments, and saved in checkpoints. Whoever decodes or saves sees a plain Whisper.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import WhisperForConditionalGeneration

from modersmal.config import LoraConfig
from modersmal.errors import RecipeError
from modersmal.train.average import Stored, Weights
from modersmal.train.streams import stream

_FIRST = 15  # what the random stream is for
_A, _B = ".lora_A.default.weight", ".lora_B.default.weight"


def adapt(
    model: WhisperForConditionalGeneration, config: LoraConfig, *, seed: int, encoder: bool
) -> None:
    """Put matrices beside those that `config` names, and freeze all others; of the encoder's too,
    if `encoder`. What `model` computes is the same as before, until they learn. Without a rank,
    nothing is done.

    Raises:
        RecipeError: peft is not installed.
    """
    if config.rank is None:
        return
    try:
        from peft import LoraConfig as PeftConfig
        from peft import inject_adapter_in_model
    except ImportError as error:
        raise RecipeError(
            'train.lora needs peft, which is not installed: pip install "modersmal[lora]"'
        ) from error
    where = "" if encoder else r"decoder\."
    targets = rf"model\.{where}.*\.({'|'.join(config.targets)})"
    wanted = PeftConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=targets,
    )
    gpus = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(gpus):
        torch.manual_seed(int(stream(seed, _FIRST).integers(2**63)))
        inject_adapter_in_model(wanted, model)


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of all weights, which checkpoints of adapters alone depend on."""
    digest = hashlib.sha256()
    for name, value in model.named_parameters():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


@contextmanager
def merged(model: nn.Module) -> Iterator[None]:
    """Within it, an adapted model is a plain one that computes the same; others stay as they are.

    It takes the memory of one more copy of the adapted matrices.
    """
    layers = list(_layers(model))
    try:
        for parent, name, layer in layers:
            setattr(parent, name, _plain(layer))
        yield
    finally:
        for parent, name, layer in layers:
            setattr(parent, name, layer)


def detach(model: nn.Module) -> None:
    """Leave the model as it was before `adapt`, all that was learned forgotten."""
    for parent, name, layer in list(_layers(model)):
        setattr(parent, name, layer.base_layer)
    if hasattr(model, "peft_config"):
        del model.peft_config


@dataclass(frozen=True)
class Adapted:
    """Weights of a plain model: the base's, with a checkpoint's adapters merged into them."""

    base: Weights
    adapters: Stored
    scale: float

    @classmethod
    def of(cls, base: Weights, adapters: Stored, config: LoraConfig) -> Weights:
        return cls(base, adapters, config.alpha / (config.rank or 1))

    def tensor(self, name: str) -> Tensor:
        own, layer = self.base.tensor(name), name.removesuffix(".weight")
        if layer + _A not in self.adapters.names:
            return own
        change = self.adapters.tensor(layer + _B) @ self.adapters.tensor(layer + _A)
        return own + change * self.scale


def _layers(model: nn.Module) -> Iterator[tuple[nn.Module, str, Any]]:
    """Adapted layers, each with its parent and its name there."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if hasattr(child, "lora_A"):
                yield parent, name, child


def _plain(layer: Any) -> nn.Linear:
    base = layer.base_layer
    with torch.no_grad():
        weight = base.weight + layer.get_delta_weight("default")
    plain = nn.Linear(base.in_features, base.out_features, base.bias is not None, device="meta")
    plain.weight, plain.bias = nn.Parameter(weight, requires_grad=False), base.bias
    return plain.train(layer.training)
