"""How far long work has come, on standard error: a live bar on a terminal and in Jupyter, one line
every 30 seconds elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY_S = 30.0


class Advance(Protocol):
    """Says that `count` more units are done; `note` stands behind the numbers until the next."""

    def __call__(self, count: float = 1, *, note: str | None = None) -> None: ...


@contextmanager
def progress(
    title: str,
    *,
    total: float | None = None,
    unit: str = "",
    done: float = 0,
    line_every_s: float = LINE_EVERY_S,
) -> Iterator[Advance]:
    """Show work of `total` units, of which `done` were finished before (a restart).

    Where the total is unknown (None), the count and the rate are shown without time left.
    """
    console = Console(stderr=True)
    if console.is_terminal or console.is_jupyter:
        with _bar(console, unit) as bar:
            task = bar.add_task(title, total=total, note="", rate="")
            counter = _Counter(done, total, unit)
            bar.update(task, completed=done)

            def advance(count: float = 1, *, note: str | None = None) -> None:
                counter.add(count, note)
                bar.update(
                    task, completed=counter.done, note=counter.note, rate=counter.rate_text()
                )

            yield advance
    else:
        with _lines(console, title, _Counter(done, total, unit), line_every_s) as advance_lines:
            yield advance_lines


class _Counter:
    """Counts, and knows the rate since it began."""

    def __init__(self, done: float, total: float | None, unit: str) -> None:
        self.done, self.total, self.unit, self.note = done, total, unit, ""
        self._before = done
        self._began_s = time.monotonic()

    def add(self, count: float, note: str | None) -> None:
        self.done += count
        self.note = self.note if note is None else note

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    @property
    def rate(self) -> float:
        """Units per second since the beginning; 0 before the first."""
        return (self.done - self._before) / max(self.elapsed_s, 1e-9)

    def rate_text(self) -> str:
        number = f"{self.rate:.3g}" if self.rate < 100 else f"{self.rate:,.0f}"
        return f"{number} {self.unit}/s"

    def line(self) -> str:
        of_total = share = left = ""
        if self.total:
            of_total = f" of {self.total:,.0f}"
            share = f" ({self.done / self.total:.0%})"
            if self.rate > 0:
                left = f", {duration((self.total - self.done) / self.rate)} left"
        note = f"; {self.note}" if self.note else ""
        return f"{self.done:,.0f}{of_total} {self.unit}{share}, {self.rate_text()}{left}{note}"


def duration(seconds: float) -> str:
    """Write a duration as people say it: 41 s, 3 min 20 s, 2 h 05 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _bar(console: Console, unit: str) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn(f"{{task.completed:,.0f}} {unit}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )


@contextmanager
def _lines(
    console: Console, title: str, counter: _Counter, line_every_s: float
) -> Iterator[Advance]:
    spoken_s = 0.0

    def say(text: str) -> None:
        console.print(f"{title}: {text}", soft_wrap=True, markup=False, highlight=False)

    def advance(count: float = 1, *, note: str | None = None) -> None:
        nonlocal spoken_s
        counter.add(count, note)
        if counter.elapsed_s - spoken_s >= line_every_s:
            spoken_s = counter.elapsed_s
            say(counter.line())

    yield advance
    note = f"; {counter.note}" if counter.note else ""
    say(f"{counter.done:,.0f} {counter.unit} in {duration(counter.elapsed_s)}{note}")
