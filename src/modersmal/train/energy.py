"""What training takes: on which machine, for how long, and how much energy where that is counted.

NVIDIA's driver counts what a GPU takes (NVML), and Linux what the processors and the memory of a
machine take (RAPL), where its files may be read, which is often root's privilege. Neither counts
the rest of the machine. What was counted stands in metrics.jsonl step by step, so that it survives
restarts and goes back with the run to a checkpoint.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from modersmal.hardware import hardware_name

POWERCAP = Path("/sys/class/powercap")
JOULES_PER_KWH = 3.6e6
_ZONE = re.compile(r"intel-rapl:\d+(:\d+)?")  # AMD's processors are listed under that name too
_READ_EVERY_S = 1.0


class Counter(Protocol):
    """Counts joules, and begins again at `range_j` where that is known. Raises OSError."""

    @property
    def range_j(self) -> float | None: ...
    def read_j(self) -> float: ...


class Nvml:
    """What one GPU has taken since its driver was loaded."""

    range_j = None

    def __init__(self, library: Any, handle: Any) -> None:
        self._library, self._handle = library, handle

    def read_j(self) -> float:
        try:
            return self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1e3
        except self._library.NVMLError as error:
            raise OSError(str(error)) from error


class Rapl:
    """One zone of the kernel's power capping: a package of processors, or its memory."""

    def __init__(self, zone: Path) -> None:
        self._file = zone / "energy_uj"
        self.range_j = int((zone / "max_energy_range_uj").read_text()) / 1e6

    def read_j(self) -> float:
        return int(self._file.read_text()) / 1e6


class Meter:
    """Energy in joules, from `counters`; `source` says what they count, None where nothing does.

    `hardware` is what the run trains on. `clock` gives seconds that only grow. Where a counter no
    longer answers, `say` is told, and nothing is measured from then on.
    """

    def __init__(
        self,
        hardware: str,
        counters: Sequence[Counter] = (),
        source: str | None = None,
        *,
        clock: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self.hardware, self.source = hardware, source if counters else None
        self._counters, self._clock, self._say = list(counters), clock, say
        self._read_s = float("-inf")
        self._before = self._readings()

    def taken_j(self) -> float | None:
        """Joules since it was last told. None: nothing is measured, or it is asked too soon."""
        if self._before is None or self._clock() - self._read_s < _READ_EVERY_S:
            return None
        before, now = self._before, self._readings()
        if now is None:
            return None
        return sum(map(_grown_j, self._counters, before, now))

    def _readings(self) -> list[float] | None:
        self._read_s = self._clock()
        self._before = None
        try:
            self._before = [one.read_j() for one in self._counters] or None
        except (OSError, ValueError) as error:
            self._say(f"Energy is not measured any more: {error}")
        return self._before


def _grown_j(counter: Counter, before: float, now: float) -> float:
    wrapped = now < before and counter.range_j is not None
    return max(0.0, now - before + (counter.range_j or 0.0) * wrapped)


def open_meter(
    device: torch.device,
    processes: int,
    *,
    clock: Callable[[], float],
    say: Callable[[str], None],
    powercap: Path = POWERCAP,
    nvml: Callable[[torch.device, int], Sequence[Counter]] | None = None,
) -> Meter:
    """What is there to measure a run on `device` with, in `processes` that each have one."""
    gpus = list((nvml or nvml_counters)(device, processes)) if device.type == "cuda" else []
    rapl = rapl_counters(powercap)
    return Meter(
        hardware_name(device, processes),
        [*gpus, *rapl],
        _source(len(gpus), bool(rapl)),
        clock=clock,
        say=say,
    )


def _source(gpus: int, rapl: bool) -> str | None:
    """What is counted, and what is left out."""
    if gpus:
        counted = "the GPU" if gpus == 1 else f"{gpus} GPUs"
        return f"NVML for {counted}" + (
            " and RAPL for processors and memory" if rapl else ", processors and memory left out"
        )
    return "RAPL for all processors and memory of the machine" if rapl else None


def nvml_counters(device: torch.device, processes: int) -> list[Counter]:
    """One for each GPU of this machine that trains; none without `nvidia-ml-py` (modersmal[gpu])
    or where the driver does not count, as before the Volta generation."""
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        counters: list[Counter] = [
            Nvml(pynvml, pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{_uuid(index)}".encode()))
            for index in _indices(device, processes)
        ]
        for counter in counters:
            counter.read_j()
    except (pynvml.NVMLError, OSError):
        return []
    return counters


def _uuid(index: int) -> str:
    return str(torch.cuda.get_device_properties(index).uuid)


def _indices(device: torch.device, processes: int) -> list[int]:
    if processes == 1:
        return [device.index or 0]
    here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    return list(range(min(here, torch.cuda.device_count())))


def rapl_counters(powercap: Path = POWERCAP) -> list[Counter]:
    """The packages and the memory beside them, as far as they may be read.

    What lies within a package (cores, a built-in GPU) is counted by it; `psys` counts it twice.
    """
    counters: list[Counter] = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        found = _ZONE.fullmatch(zone.name)
        try:
            name = (zone / "name").read_text().strip()
            if found and (name == "dram" if found[1] else name.startswith("package")):
                counter = Rapl(zone)
                counter.read_j()
                counters.append(counter)
        except (OSError, ValueError):
            continue
    return counters


@dataclass(frozen=True)
class Spent:
    """What the steps of a run have taken, over all its sessions.

    `hardware` has each machine once, in order; it is empty of runs that did not note it.
    `energy_kwh` is that of the sessions that measured it, of `measured_steps` together; None where
    none did.
    """

    steps: int
    seconds: float
    hardware: tuple[str, ...]
    energy_kwh: float | None
    energy_source: str | None
    measured_steps: int


def spent(rows: Iterable[Mapping[str, Any]]) -> Spent:
    """Add up what the rows of metrics.jsonl tell."""
    sessions: list[list[Mapping[str, Any]]] = []
    for row in rows:
        if "loss" in row:
            if not sessions or "hardware" in row or row["seconds"] < sessions[-1][-1]["seconds"]:
                sessions.append([])  # of earlier versions only the seconds tell
            sessions[-1].append(row)
    measured = [rows for rows in sessions if any("energy_j" in row for row in rows)]
    joules = sum(row.get("energy_j", 0.0) for rows in measured for row in rows)
    return Spent(
        steps=sum(map(len, sessions)),
        seconds=sum(rows[-1]["seconds"] for rows in sessions),
        hardware=_each_once(sessions, "hardware"),
        energy_kwh=joules / JOULES_PER_KWH if measured else None,
        energy_source="; ".join(_each_once(measured, "energy_source")) or None,
        measured_steps=sum(map(len, measured)),
    )


def _each_once(sessions: Iterable[Sequence[Mapping[str, Any]]], name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row[name] for rows in sessions for row in rows if name in row))
