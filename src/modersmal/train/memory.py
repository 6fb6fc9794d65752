"""What fits into a device's memory: as computed before the first step, and as measured at a step.

The constants are bytes that autograd keeps, measured with `saved_tensors_hooks` on Whisper's own
sizes (tiny to small agree within 8 %); tests/train/test_memory.py measures them again.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from transformers import WhisperConfig

_POSITIONS_PER_S = 50
_ENCODER_BYTES = {4: 75, 2: 47}  # per position, width and layer, by bytes of a value
_DECODER_BYTES = {4: 900, 2: 700}  # per second, width and layer
_CHECKPOINTED_BYTES = 11  # per position, width and layer: its input, and one layer's share
_WEIGHT_BYTES = _GRADIENT_BYTES = 4  # per parameter: float32 ...
_MOMENT_BYTES = 8  # ... and AdamW's two moments
_LOGIT_BYTES = 512 * 2**20  # of the loss, which sees some hundred tokens at a time
_USED_SHARE = 0.75
_CPU_SHARE = 0.4  # others have memory here too, and a process that takes too much is killed
_CPU_MOST_S = 120.0  # more does not make a CPU faster
_GPU_MOST_S = 2400.0
_PROCESS = Path("/proc/self")
_CGROUP = Path("/sys/fs/cgroup")
_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class Room:
    """How many seconds of padded audio a device can take at a time, with and without gradient
    checkpointing; `most_s` is where more no longer pays, `longest_s` the longest sample there is.
    """

    plain_s: float
    checkpointed_s: float
    most_s: float
    longest_s: float
    reason: str

    @property
    def needs_checkpointing(self) -> bool:
        """Whether not even the longest sample fits without it."""
        return self.plain_s < self.longest_s

    def first_s(self, checkpointing: bool) -> float:
        """How much to take at first: what surely fits, as what is computed is only about right."""
        fitting = (self.checkpointed_s if checkpointing else self.plain_s) / 2
        return float(int(min(self.most_s, max(1.0, fitting))))


def bytes_per_s(config: WhisperConfig, value_bytes: int, checkpointing: bool) -> float:
    """Memory that a forward pass keeps for one second of padded audio."""
    encoder = _CHECKPOINTED_BYTES if checkpointing else _ENCODER_BYTES[value_bytes]
    decoder = _DECODER_BYTES[value_bytes] / (6 if checkpointing else 1)
    return config.d_model * (
        config.encoder_layers * _POSITIONS_PER_S * encoder + config.decoder_layers * decoder
    )


def find_room(
    config: WhisperConfig,
    parameters: int,
    learning: int,
    device: torch.device,
    *,
    value_bytes: int,
    longest_s: float = 30.0,
) -> Room:
    """What a model of so many parameters, `learning` of which learn, leaves room for."""
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0] * _USED_SHARE
        most_s, where = _GPU_MOST_S, "GPU memory"
    else:
        free = physical_bytes() * _CPU_SHARE
        most_s, where = _CPU_MOST_S, "memory"
    state = parameters * _WEIGHT_BYTES + learning * (_GRADIENT_BYTES + _MOMENT_BYTES)
    left = max(0.0, free - state - _LOGIT_BYTES)
    plain_s, checkpointed_s = (
        left / bytes_per_s(config, value_bytes, checkpointing) for checkpointing in (False, True)
    )
    reason = f"{free / 2**30:.1f} GiB of {where} to use"
    return Room(plain_s, checkpointed_s, most_s, longest_s, reason)


def physical_bytes() -> int:
    """Memory of this machine, or as much of it as its container may use."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(installed, _cgroup_bytes("memory.max"))


def describe_memory(device: torch.device) -> str:
    """The device and how much memory it has in all: on an equal one, equal amounts fit."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name}, {properties.total_memory >> 30} GiB"
    return f"{device.type}, {physical_bytes() >> 30} GiB"


class Gauge(Protocol):
    """Measures the memory of steps, in bytes.

    `peak` is the most since `reset`, `held` what stays between steps (weights, gradients, moments),
    and `usable` how much there may be of all this.
    """

    def reset(self) -> None: ...
    def peak(self) -> int: ...
    def held(self) -> int: ...
    def usable(self) -> int: ...


def gauge_of(device: torch.device, learning: int) -> Gauge | None:
    """What measures a device that holds weights so far, of which `learning` will learn; None where
    nothing can."""
    if device.type == "cuda":
        return _CudaGauge(device)
    if device.type == "cpu" and (_PROCESS / "status").is_file():
        return _ProcessGauge(learning)
    return None


class _CudaGauge:
    """The allocator's own numbers, which are known on the host without waiting for the device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def reset(self) -> None:
        torch.cuda.reset_peak_memory_stats(self._device)

    def peak(self) -> int:
        return torch.cuda.max_memory_allocated(self._device)

    def held(self) -> int:
        return torch.cuda.memory_allocated(self._device)

    def usable(self) -> int:
        free, _ = torch.cuda.mem_get_info(self._device)
        return int(0.9 * (free + torch.cuda.memory_reserved(self._device)))


class _ProcessGauge:
    """The resident memory of this process. What it once had may stay with it, so what is held is
    computed, from when there were weights only."""

    def __init__(self, learning: int) -> None:
        self._held = self._read("VmRSS") + learning * (_GRADIENT_BYTES + _MOMENT_BYTES)

    def reset(self) -> None:
        with suppress(OSError):  # where it is not allowed, the peak is that of all steps before
            (_PROCESS / "clear_refs").write_text("5")

    def peak(self) -> int:
        return self._read("VmHWM")

    def held(self) -> int:
        return self._held

    def usable(self) -> int:
        return self._read("VmRSS") + available_bytes() // 2

    @staticmethod
    def _read(name: str) -> int:
        return _kilobytes(_PROCESS / "status", name)


def available_bytes() -> int:
    """Memory that could be had now without swapping, within the limit of a container."""
    used = _cgroup_bytes("memory.current") if (_CGROUP / "memory.current").is_file() else 0
    return min(
        _kilobytes(Path("/proc/meminfo"), "MemAvailable"),
        max(0, _cgroup_bytes("memory.max") - used),
    )


@contextmanager
def shortage_told() -> Iterator[None]:
    """Whatever way a device has to say that its memory is too small: torch.OutOfMemoryError."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, MemoryError) as error:
        if not _is_shortage(error):
            raise
        raise torch.OutOfMemoryError(str(error)) from error


def _is_shortage(error: Exception) -> bool:
    texts = (
        "DefaultCPUAllocator: can't allocate memory",
        "DefaultCPUAllocator: not enough memory",
        "out of memory",  # CUDA's and Metal's libraries
        "CUBLAS_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_ALLOC_FAILED",
    )
    return isinstance(error, MemoryError) or any(text in str(error) for text in texts)


def _kilobytes(file: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", file.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _cgroup_bytes(name: str) -> int:
    with suppress(OSError, ValueError):  # no such group, or "max"
        return int((_CGROUP / name).read_text())
    return _NO_LIMIT
