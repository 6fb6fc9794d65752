"""Keep a model's weights on disk while something else needs the memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

from modersmal import store
from modersmal.whisper.save import write_tensors


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
