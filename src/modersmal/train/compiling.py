"""torch.compile for training: layer by layer, one graph for all lengths.

Layers of a stack are alike, so that the first one's graph serves all of them, and sizes are symbols
in it: neither a step's number of samples nor its context compiles anew, and the first step takes a
minute longer at most, not one for each context. A graph for each context would know its sizes, at
the price of some twenty such minutes. What cannot be compiled runs as it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration

_NATIVE_BFLOAT16 = (8, 0)  # Ampere: below it the heavy work is not in what is fused
_LONG_STEPS = 1000  # what compiling takes is made good by then


def pays(
    setting: bool | Literal["auto"],
    device: torch.device,
    max_steps: int,
    capability: tuple[int, int] | None = None,
) -> bool:
    """Whether to compile. "auto": on GPUs from Ampere on, in long runs; on a CPU, matrix products
    take nearly all of the time, and compiling has nothing to give them."""
    if setting != "auto":
        return setting
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    capability = capability or torch.cuda.get_device_capability(device)
    return capability >= _NATIVE_BFLOAT16 and max_steps >= _LONG_STEPS


def compile_layers(model: "WhisperForConditionalGeneration", backend: str = "inductor") -> None:
    """Compile the layers of encoder and decoder, in place; names and weights stay as they are."""
    torch._dynamo.config.suppress_errors = True
    for layer in (*model.model.encoder.layers, *model.model.decoder.layers):
        layer.compile(dynamic=True, backend=backend)


@contextmanager
def as_it_is() -> Iterator[None]:
    """Within it nothing is compiled: decoding, with its caches, would compile for every length."""
    with torch.compiler.set_stance("force_eager"):
        yield
