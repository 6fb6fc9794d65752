"""An estimate as values, and how it is shown."""

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from modersmal.progress import duration


@dataclass(frozen=True)
class Span:
    """A time in seconds, and between which it is believed to lie."""

    low_s: float
    expected_s: float
    high_s: float

    @classmethod
    def within(cls, seconds: float, factor: float) -> "Span":
        """So many seconds, give or take a factor."""
        return cls(seconds / factor, seconds, seconds * factor)

    def __add__(self, other: "Span") -> "Span":
        """Both, where what makes one longer makes the other longer too."""
        return Span(
            self.low_s + other.low_s,
            self.expected_s + other.expected_s,
            self.high_s + other.high_s,
        )


@dataclass(frozen=True)
class Stage:
    """A stage of a run, and how long it takes; None where that is not known, and `why` not."""

    name: str
    time: Span | None
    why: str = ""


@dataclass(frozen=True)
class Estimate:
    """What a recipe takes from its beginning, on `hardware`.

    `rehearsed` says that it comes of a rehearsal there; else of a table. `basis` is a sentence that
    says which, and how sure that is. `price_per_hour` is what the person gave, in any currency.
    """

    name: str
    model: str
    hardware: str
    rehearsed: bool
    basis: str
    stages: tuple[Stage, ...]
    price_per_hour: float | None = None

    @property
    def total(self) -> Span:
        """All stages whose time is known."""
        return sum((stage.time for stage in self.stages if stage.time), Span(0.0, 0.0, 0.0))

    @property
    def unknown(self) -> tuple[str, ...]:
        """Stages whose time is not known."""
        return tuple(stage.name for stage in self.stages if stage.time is None)

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        more = f", and what {' and '.join(self.unknown)} take" if self.unknown else ""
        source = "as rehearsed" if self.rehearsed else "by a table, not measured there"
        return f"{self.name} takes {shown(self.total)} on {self.hardware}{more} ({source})"

    def to_json(self) -> dict[str, Any]:
        """JSON's types; times in seconds."""
        return asdict(self) | {"total": asdict(self.total), "price": self._prices()}

    def _prices(self) -> list[float] | None:
        if self.price_per_hour is None:
            return None
        total = self.total
        seconds = (total.low_s, total.expected_s, total.high_s)
        return [round(self.price_per_hour * one / 3600, 2) for one in seconds]

    def __str__(self) -> str:
        table = Table(box=None, pad_edge=False, header_style="")
        table.add_column("Stage")
        for title in ("expected", "at least", "at most"):
            table.add_column(title, justify="right")
        for stage in self.stages:
            table.add_row(stage.name, *_cells(stage.time))
        table.add_row("In all", *_cells(self.total))
        console = Console(width=100, color_system=None)
        with console.capture() as captured:
            console.print(table)
        parts = [
            f"{self.name} ({self.model}) on {self.hardware}, from its beginning:",
            "\n".join(line.rstrip() for line in captured.get().splitlines()),
            "\n".join([self.basis, *self._notes()]),
        ]
        return "\n\n".join(parts)

    def _notes(self) -> list[str]:
        notes = []
        for why in dict.fromkeys(stage.why for stage in self.stages if stage.time is None):
            named = [one.name for one in self.stages if one.time is None and one.why == why]
            notes.append(f"Not known: {', '.join(named)}, {why}.")
        if prices := self._prices():
            low, expected, high = prices
            notes.append(
                f"At {self.price_per_hour:g} an hour that is {expected:.2f} ({low:.2f} to "
                f"{high:.2f}), if nothing is billed beside the hours."
            )
        return notes


def shown(span: Span) -> str:
    """A time with its uncertainty, as in "1 h 05 min (26 min 00 s to 2 h 42 min)"."""
    return f"{duration(span.expected_s)} ({duration(span.low_s)} to {duration(span.high_s)})"


def _cells(span: Span | None) -> tuple[str, str, str]:
    if span is None:
        return "?", "", ""
    return duration(span.expected_s), duration(span.low_s), duration(span.high_s)
