"""What a rehearsal found, and how it is shown."""

from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from modersmal.progress import duration

_DOMINATES = 0.3  # of all hours, from which a part is worth a sentence


@dataclass(frozen=True)
class Part:
    """Something that a stage does `count` times, and that takes `each_s` seconds on average."""

    what: str
    count: int
    each_s: float

    @property
    def seconds(self) -> float:
        return self.count * self.each_s


@dataclass(frozen=True)
class Stage:
    """A stage: how long rehearsing it took, and what the real one is made of."""

    name: str
    rehearsed_s: float
    parts: tuple[Part, ...]

    @property
    def expected_s(self) -> float:
        return sum(part.seconds for part in self.parts)


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal found.

    `disk` is what the real run keeps on this machine when it keeps most, by what it is, in bytes;
    an early model that stays the best makes it `disk_most_bytes`. `download` is what a machine
    that has nothing yet downloads. `hardware` is what it was timed on, `splits` are clips and
    seconds of audio of all the data. `folder` is None where the rehearsal was removed.
    """

    name: str
    clips: int
    total_clips: int
    seconds: float
    stages: tuple[Stage, ...]
    disk: dict[str, int]
    disk_most_bytes: int
    free_bytes: int
    download: dict[str, int]
    upload: dict[str, int] = field(default_factory=dict)
    hardware: str = ""
    splits: dict[str, tuple[int, float]] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def expected_s(self) -> float:
        return sum(stage.expected_s for stage in self.stages)

    @property
    def disk_bytes(self) -> int:
        return sum(self.disk.values())

    @property
    def download_bytes(self) -> int:
        return sum(self.download.values())

    def __str__(self) -> str:
        head = (
            f"Rehearsed {self.name} with {self.clips} of {self.total_clips:,} clips in "
            f"{duration(self.seconds)}. The real run, from its beginning:"
        )
        lines = [
            _sum_line("Disk", self.disk),
            _sum_line("Download, where nothing is here yet", self.download),
            *([_sum_line("Upload", self.upload)] if self.upload else []),
            *self._remarks(),
        ]
        return "\n\n".join([head, _table(self), "\n".join(lines)])

    def _remarks(self) -> list[str]:
        parts = [(part, stage) for stage in self.stages for part in stage.parts]
        most, stage = max(parts, key=lambda pair: pair[0].seconds)
        share = most.seconds / max(self.expected_s, 1e-9)
        remarks = []
        if share >= _DOMINATES:
            remarks.append(f"Most of the time, {share:.0%}, goes to {stage.name}: {most.what}.")
        if self.disk_most_bytes > self.free_bytes:
            remarks.append(
                f"This does not fit: {size(self.disk_most_bytes)} may be needed and "
                f"{size(self.free_bytes)} are free; take another store, or lower train.keep."
            )
        elif self.disk_most_bytes > self.disk_bytes:
            remarks.append(
                f"Where an early model stays the best, it is {size(self.disk_most_bytes)} of disk; "
                f"{size(self.free_bytes)} are free."
            )
        if self.folder:
            remarks.append(f"What the rehearsal made is in {self.folder}")
        return remarks


def size(count: float) -> str:
    """Bytes as people say them: 61 MB, 2.9 GB."""
    for unit, bytes_of in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= bytes_of:
            number = count / bytes_of
            return f"{number:.1f} {unit}" if number < 10 else f"{number:,.0f} {unit}"
    return f"{count:.0f} B"


def _sum_line(title: str, parts: dict[str, int]) -> str:
    total = size(sum(parts.values()))
    named = ", ".join(f"{what} {size(count)}" for what, count in parts.items() if count)
    return f"{title}: {total}" + (f" ({named})" if named else "")


def _table(rehearsal: Rehearsal) -> str:
    table = Table(box=None, pad_edge=False, header_style="")
    table.add_column("Stage")
    for title in ("rehearsed", "each", "times", "expected"):
        table.add_column(title, justify="right")
    for stage in rehearsal.stages:
        table.add_row(stage.name, duration(stage.rehearsed_s), "", "", duration(stage.expected_s))
        for part in stage.parts:
            numbers = (_briefly(part.each_s), f"{part.count:,}", duration(part.seconds))
            table.add_row(f"  {part.what}", "", *numbers)
    table.add_row("In all", duration(rehearsal.seconds), "", "", duration(rehearsal.expected_s))
    console = Console(width=100, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _briefly(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)
