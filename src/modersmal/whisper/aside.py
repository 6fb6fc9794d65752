"""Have memory for one model where there have been two."""

import ctypes
import gc
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

from modersmal import store
from modersmal.whisper.save import write_tensors

_M_MMAP_THRESHOLD = -3  # of malloc.h
_LARGE_BYTES = 1 << 20


@contextmanager
def set_aside(model: nn.Module, path: Path) -> Iterator[None]:
    """Move the parameters of `model` into the file `path`, and back afterwards, bit for bit.

    Meanwhile the model is empty. Raises StoreError: `path` cannot be written; nothing has moved.
    """
    parameters = dict(model.named_parameters())
    with store.writing(path):
        write_tensors(path, dict(parameters))
    for value in parameters.values():
        value.data = torch.empty(0, dtype=value.dtype)
    try:
        yield
    finally:
        for name, value in parameters.items():
            with safe_open(path, "pt") as file:  # mapped for one tensor at a time
                value.data = file.get_tensor(name).clone()


def give_back_memory() -> None:
    """Let the system have what models that have gone took: they lie in cycles of references, and
    glibc keeps for itself what was freed."""
    gc.collect()
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def keep_little_freed() -> None:
    """Have this process give back at once what is large; glibc would learn to keep up to 32 MB of
    each, which for the activations of a model adds up to half a gigabyte (mallopt(3))."""
    if _is_glibc():
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
