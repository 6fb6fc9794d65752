"""What training takes is counted by the machine, kept with the run, and never made up."""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from modersmal.hardware import hardware_name
from modersmal.train.energy import (
    JOULES_PER_KWH,
    Counter,
    Nvml,
    open_meter,
    rapl_counters,
    spent,
)

CPU = torch.device("cpu")
RANGE_J = 262_143.3


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def zone(powercap: Path, name: str, kind: str, joules: float) -> Path:
    """A zone of power capping, as the kernel shows it."""
    folder = powercap / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(f"{kind}\n")
    (folder / "max_energy_range_uj").write_text(f"{round(RANGE_J * 1e6)}\n")
    (folder / "energy_uj").write_text(f"{round(joules * 1e6)}\n")
    return folder


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    """Two packages, the memory of one, and zones that would be counted twice."""
    folder = tmp_path / "powercap"
    zone(folder, "intel-rapl:0", "package-0", 100.0)
    zone(folder, "intel-rapl:0:0", "core", 60.0)
    zone(folder, "intel-rapl:0:1", "dram", 10.0)
    zone(folder, "intel-rapl:1", "package-1", 50.0)
    zone(folder, "intel-rapl:2", "psys", 999.0)
    zone(folder, "intel-rapl-mmio:0", "package-0", 100.0)
    return folder


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_packages_and_memory_are_counted_once(powercap: Path) -> None:
    assert sum(counter.read_j() for counter in rapl_counters(powercap)) == pytest.approx(160)


def test_what_is_taken_is_told_since_the_last_time(powercap: Path, clock: Clock) -> None:
    meter = open_meter(CPU, 1, clock=clock, say=print, powercap=powercap)
    assert meter.source == "RAPL for all processors and memory of the machine"
    zone(powercap, "intel-rapl:0", "package-0", 130.0)
    assert meter.taken_j() is None  # a moment later it would be noise
    clock.now_s = 2.0
    assert meter.taken_j() == pytest.approx(30.0)
    zone(powercap, "intel-rapl:0:1", "dram", 11.5)
    clock.now_s = 4.0
    assert meter.taken_j() == pytest.approx(1.5)


def test_a_counter_that_begins_again_loses_nothing(powercap: Path, clock: Clock) -> None:
    zone(powercap, "intel-rapl:0", "package-0", RANGE_J - 5)
    meter = open_meter(CPU, 1, clock=clock, say=print, powercap=powercap)
    zone(powercap, "intel-rapl:0", "package-0", 20.0)
    clock.now_s = 2.0
    assert meter.taken_j() == pytest.approx(25.0)


def test_where_nothing_may_be_read_nothing_is_said_to_be_measured(
    tmp_path: Path, clock: Clock
) -> None:
    folder = zone(tmp_path, "intel-rapl:0", "package-0", 1.0)
    (folder / "energy_uj").unlink()
    (folder / "energy_uj").mkdir()  # root may read everything, but this not
    for powercap in (tmp_path, tmp_path / "absent"):
        meter = open_meter(CPU, 1, clock=clock, say=print, powercap=powercap)
        clock.now_s += 9.0
        assert (meter.source, meter.taken_j()) == (None, None)


def test_a_counter_that_fails_ends_the_measuring_and_not_the_training(
    powercap: Path, clock: Clock
) -> None:
    said: list[str] = []
    meter = open_meter(CPU, 1, clock=clock, say=said.append, powercap=powercap)
    (powercap / "intel-rapl:0" / "energy_uj").unlink()
    for clock.now_s in (2.0, 4.0, 6.0):
        assert meter.taken_j() is None
    assert len(said) == 1
    assert "not measured any more" in said[0]


class Driver:
    """NVML, as far as it counts energy."""

    NVMLError = type("NVMLError", (Exception,), {})

    def __init__(self) -> None:
        self.millijoules = {"GPU-a": 5_000_000, "GPU-b": 1_000_000}

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        if handle not in self.millijoules:
            raise self.NVMLError("Not Supported")
        return self.millijoules[handle]


def test_gpus_and_processors_are_counted_together(
    powercap: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA L4")
    driver = Driver()

    def counters(device: torch.device, processes: int) -> list[Counter]:
        return [Nvml(driver, handle) for handle in driver.millijoules]

    meter = open_meter(
        torch.device("cuda", 0), 2, clock=clock, say=print, powercap=powercap, nvml=counters
    )
    assert meter.hardware == "2 × NVIDIA L4"
    assert meter.source == "NVML for 2 GPUs and RAPL for processors and memory"
    driver.millijoules = {"GPU-a": 5_070_000, "GPU-b": 1_020_000}
    zone(powercap, "intel-rapl:1", "package-1", 60.0)
    clock.now_s = 2.0
    assert meter.taken_j() == pytest.approx(70 + 20 + 10)
    del driver.millijoules["GPU-b"]
    clock.now_s = 4.0
    assert meter.taken_j() is None


def test_a_processor_is_known_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A Fine CPU @ 2 GHz\n")
    assert hardware_name(CPU, cpuinfo=tmp_path / "cpuinfo").startswith("A Fine CPU @ 2 GHz, ")
    assert hardware_name(CPU, cpuinfo=tmp_path / "absent")


def row(step: int, seconds: float, **values: float | str) -> dict[str, float | str]:
    return {"step": step, "seconds": seconds, "loss": 1.0} | values


def test_sessions_add_up() -> None:
    rows = [
        row(1, 10.0, hardware="1 × T4", energy_source="NVML"),
        row(2, 20.0, energy_j=1.8e6),
        {"step": 2, "dev_wer": 0.5},
        row(3, 5.0, hardware="a CPU"),  # another machine, which measures nothing
        row(4, 12.0),
        row(5, 3.0, hardware="1 × T4", energy_source="NVML", energy_j=0.9e6),
        row(6, 4.0),
    ]
    found = spent(rows)
    assert (found.steps, found.seconds) == (6, 20 + 12 + 4)
    assert found.hardware == ("1 × T4", "a CPU")
    assert found.energy_kwh == pytest.approx(2.7e6 / JOULES_PER_KWH)
    assert (found.energy_source, found.measured_steps) == ("NVML", 4)


def test_a_run_of_an_earlier_version_measured_nothing() -> None:
    found = spent([row(1, 1.0), row(2, 2.0)])
    assert (found.energy_kwh, found.energy_source, found.hardware) == (None, None, ())


def test_training_notes_what_it_took_over_its_restarts(
    tiny_whisper, tiny_corpus, tmp_path: Path, powercap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real run, stopped and continued, on a machine whose counters rise with every reading."""
    from modersmal.config import parse_recipe
    from modersmal.errors import Stopped
    from modersmal.train import energy, train

    monkeypatch.setattr(energy, "_READ_EVERY_S", 0.0)
    real = energy.rapl_counters
    monkeypatch.setattr(energy, "rapl_counters", lambda _: real(powercap))
    taken = iter(range(200, 10_000, 36))
    recipe = parse_recipe(
        {"model": str(tiny_whisper(terse=True)),
         "train": {"max_steps": 4, "batch_s": 8.0, "save_every": 2, "evaluate_every": 4}}
    )  # fmt: skip

    def on_step(report: SimpleNamespace, stop_at: int | None = None) -> None:
        zone(powercap, "intel-rapl:0", "package-0", next(taken))
        if report.step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped):
        train.train(recipe, tiny_corpus(), tmp_path / "run", lambda report: on_step(report, 2))
    train.train(recipe, tiny_corpus(), tmp_path / "run", on_step)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    found = spent(rows)
    assert (found.steps, found.measured_steps) == (4, 4)
    assert found.energy_source == "RAPL for all processors and memory of the machine"
    assert len(found.hardware) == 1
    assert sum("hardware" in row for row in rows) == 2
    assert found.energy_kwh is not None
    assert found.energy_kwh * JOULES_PER_KWH >= 2 * 36
