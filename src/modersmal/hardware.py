"""What a machine computes with, by its own name."""

import os
import platform
import re
from pathlib import Path

import torch

CPUINFO = Path("/proc/cpuinfo")


def hardware_name(device: torch.device, processes: int = 1, cpuinfo: Path = CPUINFO) -> str:
    """A GPU's or a processor's own name, and how many of them."""
    if device.type == "cuda":
        return f"{processes} × {torch.cuda.get_device_name(device)}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor(cpuinfo)}, {cores} core{'s' * (cores != 1)}"


def _processor(cpuinfo: Path) -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()
