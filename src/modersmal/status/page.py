"""The status of a store as people see it: a block for each run, in any width."""

import io
import shutil
from collections.abc import Iterator
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from modersmal.progress import duration
from modersmal.status.chart import chart
from modersmal.status.runs import Holding, RunStatus, Status

_WIDEST = 100
_CHART_WIDTH = 64
_LABEL_WIDTH = 10
_COLOURS = {"training": "green", "scoring": "green", "finished": "blue", "failed": "red",
            "silent": "red", "paused": "yellow"}  # fmt: skip


def as_text(status: Status, width: int | None = None) -> str:
    """The page without colours, as wide as the terminal."""
    sheet = io.StringIO()
    width = width or min(shutil.get_terminal_size().columns, _WIDEST)
    console = Console(file=sheet, width=width, color_system=None, force_terminal=False)
    console.print(page(status, width))
    return "\n".join(line.rstrip() for line in sheet.getvalue().splitlines())


def page(status: Status, width: int) -> RenderableType:
    """The page for rich, at most `width` columns wide."""
    count = len(status.runs)
    runs = "no runs yet" if not count else "1 run" if count == 1 else f"{count} runs"
    parts: list[RenderableType] = [
        Text(f"{status.store}, {runs} at {status.taken.astimezone():%Y-%m-%d %H:%M:%S}")
    ]
    for run in status.runs:
        parts += [Text(), _heading(run), _facts(run, status.taken, width)]
    return Group(*parts)


def line(run: RunStatus) -> str:
    """A run in one line."""
    parts = [f"{run.name}: {headline(run)}"]
    if run.step is not None:
        parts.append(f"step {_step(run)}")
    if run.left_s is not None:
        parts.append(f"{duration(run.left_s)} left")
    if run.best:
        parts.append(f"best dev {run.metric.upper()} {run.best.rate:.1%}")
    return ", ".join(parts)


def headline(run: RunStatus) -> str:
    """What a run is doing, or why it does nothing."""
    ago = "" if run.heard_s is None else f" {duration(run.heard_s)} ago"
    why = f": {run.why}" if run.why else ""
    match run.state:
        case "not begun":
            return "no training yet"
        case "scoring":
            return "scoring dev"
        case "paused" | "failed" | "finished":
            return f"{run.state}{ago}{why}"
        case "silent":
            return f"nothing heard for {duration(run.heard_s or 0)}{why}"
        case "unknown":
            return "whether it is at work is not known"
    return run.state


def _heading(run: RunStatus) -> Text:
    return Text.assemble((run.name, "bold"), "  ", (headline(run), _COLOURS.get(run.state, "")))


def _facts(run: RunStatus, now: datetime, width: int) -> Table:
    table = Table.grid(padding=(0, 1), expand=False)
    table.add_column(width=_LABEL_WIDTH, no_wrap=True)
    table.add_column(overflow="fold", max_width=max(1, width - _LABEL_WIDTH - 1))
    for label, text in _rows(run, now):
        table.add_row(f"  {label}", Text(text))
    table.add_row(Text(), Text("\n".join(_curve(run, width - _LABEL_WIDTH - 1)), no_wrap=True))
    return table


def _rows(run: RunStatus, now: datetime) -> Iterator[tuple[str, str]]:
    """Labels of at most eight letters, and what is known under them."""
    if run.step is not None:
        epoch = "" if run.epoch is None else f", epoch {run.epoch:.1f}"
        loss = "" if run.loss is None else f", loss {run.loss:.2f}"
        yield "step", f"{_step(run)}{epoch}{loss}"
    if run.audio_s_per_s is not None:
        steps = "" if run.steps_per_s is None else f", {run.steps_per_s:.3g} steps/s"
        yield "speed", f"{run.audio_s_per_s:,.0f} audio s/s{steps}"
    if run.left_s is not None:
        yield "left", duration(run.left_s)
    if run.step is not None or run.checkpoint is not None:
        yield "saved", _saved(run)
    if run.lease:
        yield "lease", _lease(run.lease, now)
    if run.best:
        yield "best dev", f"{run.metric.upper()} {run.best.rate:.1%} after step {run.best.step:,}"
    for note in run.notes:
        yield "note", note


def _step(run: RunStatus) -> str:
    if not run.max_steps:
        return f"{run.step or 0:,}"
    return f"{run.step or 0:,} of {run.max_steps:,} ({(run.step or 0) / run.max_steps:.0%})"


def _saved(run: RunStatus) -> str:
    there = "nothing yet" if run.checkpoint is None else f"step {run.checkpoint:,}, {run.delivered}"
    coming = "" if run.on_its_way is None else f"; step {run.on_its_way:,} is on its way"
    return there + coming


def _lease(lease: Holding, now: datetime) -> str:
    who = f"{lease.holder} (token {lease.token})"
    if lease.until is None:
        return f"{who}, ended" if lease.ended else who
    until, now = lease.until.astimezone(), now.astimezone()
    moment = f"{until:%H:%M:%S}" if until.date() == now.date() else f"{until:%Y-%m-%d %H:%M:%S}"
    return f"{who}, {'until' if until > now else 'ran out at'} {moment}"


def _curve(run: RunStatus, width: int) -> list[str]:
    points = [(float(score.step), score.rate) for score in run.scores]
    return chart(points, width=min(width, _CHART_WIDTH))
