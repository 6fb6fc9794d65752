"""A checkpoint's tensors, copied into one buffer in memory that every save uses again.

The buffer holds the bodies of safetensors files one behind the other, so that the writer
(writer.py), which maps the same memory, has only to stream them. On Linux it is a memfd, elsewhere
a mapped temporary file without a name; where there is a GPU it is pinned.
"""

import json
import mmap
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from modersmal.train.writer import TensorFile

_ALIGNMENT = 64
_TYPES = {
    torch.float64: "F64", torch.int64: "I64", torch.float32: "F32", torch.int32: "I32",
    torch.bfloat16: "BF16", torch.float16: "F16", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip

TensorFiles = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Layout:
    """Where tensors lie in the buffer. `places` has, by file and tensor, the first byte of each."""

    files: list[TensorFile]
    places: dict[tuple[str, str], int]
    bytes: int

    @classmethod
    def of(cls, contents: TensorFiles) -> "Layout":
        """Files in their order; within each, wide types first, so that every tensor is aligned."""
        files, places, end = [], {}, 0
        for file, tensors in contents.items():
            start = end = -(-end // _ALIGNMENT) * _ALIGNMENT
            header: dict[str, object] = {"__metadata__": {"format": "pt"}}
            for name in sorted(tensors, key=lambda name: (-tensors[name].itemsize, name)):
                tensor = tensors[name]
                places[file, name] = end
                header[name] = {
                    "dtype": _TYPES[tensor.dtype],
                    "shape": list(tensor.shape),
                    "data_offsets": [end - start, end - start + tensor.nbytes],
                }
                end += tensor.nbytes
            written = json.dumps(header, separators=(",", ":"))
            padded = written.ljust(-(-len(written) // 8) * 8)  # the format wants its body aligned
            files.append(TensorFile(file, padded, start, end - start))
        return cls(files, places, end)


class Snapshot:
    """The buffer. `descriptor` is what another process maps it by."""

    def __init__(self) -> None:
        self.descriptor = _memory()
        self._buffer = torch.empty(0, dtype=torch.uint8)
        self._pinned = False

    def take(self, contents: TensorFiles) -> list[TensorFile]:
        """Copy all tensors, which is all that training waits for; the buffer is reused."""
        layout = Layout.of(contents)
        if layout.bytes > len(self._buffer):
            self._grow(layout.bytes, pin=any(map(_on_gpu, contents.values())))
        for file, tensors in contents.items():
            for name, tensor in tensors.items():
                start = layout.places[file, name]
                part = self._buffer[start : start + tensor.nbytes].view(tensor.dtype)
                part.view(tensor.shape).copy_(tensor.detach(), non_blocking=self._pinned)
        if self._pinned:
            torch.cuda.synchronize()
        return layout.files

    def close(self) -> None:
        self._unpin()
        self._buffer = torch.empty(0, dtype=torch.uint8)
        os.close(self.descriptor)

    def _grow(self, size: int, *, pin: bool) -> None:
        self._unpin()
        if os.fstat(self.descriptor).st_size < size:
            os.ftruncate(self.descriptor, size)
        # The tensor keeps the mapping alive, and gives it back when it goes.
        self._buffer = torch.frombuffer(mmap.mmap(self.descriptor, size), dtype=torch.uint8)
        if pin:
            pinned = torch.cuda.cudart().cudaHostRegister(self._buffer.data_ptr(), size, 0)
            self._pinned = int(pinned) == 0  # else copies are slower, and as right

    def _unpin(self) -> None:
        if self._pinned:
            torch.cuda.cudart().cudaHostUnregister(self._buffer.data_ptr())
            self._pinned = False


def _on_gpu(tensors: Mapping[str, Tensor]) -> bool:
    return any(tensor.is_cuda for tensor in tensors.values())


def _memory() -> int:
    """A descriptor of memory that other processes can map, empty as yet."""
    if hasattr(os, "memfd_create"):
        with suppress(OSError):  # forbidden in some sandboxes
            return os.memfd_create("modersmal-snapshot")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
