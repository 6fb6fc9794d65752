"""On what device and in what number format to train, and why."""

import contextlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch

from modersmal.errors import RecipeError

Setting = Literal["auto", "float32", "bfloat16", "float16"]
_NATIVE_BFLOAT16 = (8, 0)  # Ampere


@dataclass(frozen=True)
class Precision:
    """Weights are float32 always; `autocast` is the format of the heavy arithmetic, if another.

    `scaled` says that losses are scaled so that small gradients survive in float16.
    """

    autocast: torch.dtype | None
    scaled: bool
    reason: str

    @property
    def name(self) -> str:
        return str(self.autocast or torch.float32).removeprefix("torch.")

    def context(self, device: torch.device) -> AbstractContextManager:
        """Within it, heavy arithmetic runs in this precision."""
        if self.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(device.type, self.autocast)


def choose_device(setting: Literal["auto", "cpu", "cuda", "mps"]) -> torch.device:
    """The device to train on. Raises RecipeError where the one asked for is not there."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if setting == "auto":
        return torch.device(next((name for name, there in available.items() if there), "cpu"))
    if not available.get(setting, True):
        raise RecipeError(
            f"train.device is {setting!r}, but torch finds no such device here; "
            "`modersmal doctor` says what is missing"
        )
    return torch.device(setting)


def choose_precision(device: torch.device, setting: Setting) -> Precision:
    """The precision for `device`. Raises RecipeError for one that it cannot train in."""
    if device.type == "cuda":
        return cuda_precision(torch.cuda.get_device_capability(device), setting)
    kind = "CPU" if device.type == "cpu" else device.type
    if setting == "float16" or (setting == "bfloat16" and device.type != "cpu"):
        raise RecipeError(f"train.precision {setting!r} does not train on a {kind}; use 'auto'")
    if setting == "bfloat16":
        return Precision(torch.bfloat16, False, "the recipe asks for it")
    return Precision(None, False, f"training on a {kind}")


def cuda_precision(capability: tuple[int, int], setting: Setting) -> Precision:
    """The precision for a GPU of compute capability `capability`."""
    native = capability >= _NATIVE_BFLOAT16
    has = f"the GPU has compute capability {capability[0]}.{capability[1]}"
    if setting == "bfloat16" and not native:
        raise RecipeError(
            f"train.precision is 'bfloat16', but {has}, and below 8.0 it is only emulated; "
            "use 'auto', which takes float16 here"
        )
    if setting == "float32":
        return Precision(None, False, "the recipe asks for it")
    if setting == "bfloat16" or (setting == "auto" and native):
        return Precision(torch.bfloat16, False, f"{has}, with bfloat16 of its own")
    why = "the recipe asks for it" if setting == "float16" else f"{has}, below 8.0"
    return Precision(torch.float16, True, f"{why}; master weights stay float32, losses are scaled")
