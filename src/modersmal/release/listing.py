"""What a store has released: numbers, rates, sizes, dates, and which one is deployed."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from modersmal.errors import StoreError
from modersmal.release.facts import Release
from modersmal.store.releases import Entry, Releases

_WIDTH = 120


@dataclass(frozen=True)
class Row:
    """One release. Of a half-written one, and where release.json cannot be read, little is known.

    `state` is "latest", "complete" or "half-written"; `wer` and its interval are shares, of the
    test split; `parent` is the release that was deployed when this one was made.
    """

    number: int
    state: str
    size_bytes: int
    wer: float | None = None
    wer_low: float | None = None
    wer_high: float | None = None
    made: datetime | None = None
    parent: int | None = None
    base: str | None = None
    language: str | None = None
    formats: tuple[str, ...] = ()
    forced: str | None = None


@dataclass(frozen=True)
class Listing:
    """The releases of `store`, by number."""

    store: str
    rows: tuple[Row, ...]

    @property
    def latest(self) -> int | None:
        return next((row.number for row in self.rows if row.state == "latest"), None)

    def to_json(self) -> dict[str, Any]:
        rows = [
            asdict(row) | {"made": row.made.isoformat() if row.made else None} for row in self.rows
        ]
        return {"store": self.store, "latest": self.latest, "releases": rows}

    def __str__(self) -> str:
        if not self.rows:
            return f"{self.store} has no release yet; `modersmal release RUN --to STORE` makes one."
        table = Table(box=None, pad_edge=False, header_style="")
        for title in ("Release", "WER % (95 %)", "Size", "Made (UTC)", "Parent", "Base"):
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("State", no_wrap=True)
        for row in self.rows:
            table.add_row(*_cells(row))
        console = Console(width=_WIDTH, color_system=None)
        with console.capture() as captured:
            console.print(table)
        return "\n".join(line.rstrip() for line in captured.get().splitlines())


def releases(store: str | Path) -> Listing:
    """List what was released to `store`: a folder, or any URL.

    Raises:
        StoreError: there is no such store, or it cannot be reached.
    """
    opened = open_store(store)
    return Listing(opened.url, tuple(map(_row, opened.list())))


def open_store(store: str | Path) -> Releases:
    """The releases of a store that exists. Raises StoreError."""
    if "://" not in str(store) and not Path(store).expanduser().is_dir():
        raise StoreError(f"there is no store at {store}; give what the recipe has as `store`")
    return Releases.open(str(store))


def _row(entry: Entry) -> Row:
    row = Row(entry.number, entry.state, entry.size_bytes)
    try:
        facts = Release.model_validate(entry.facts)
    except ValidationError:
        return row
    wer = facts.test.wer if facts.test else None
    return replace(
        row,
        wer=wer.value if wer else None,
        wer_low=wer.low if wer else None,
        wer_high=wer.high if wer else None,
        made=facts.made,
        parent=facts.parent,
        base=facts.base,
        language=facts.language,
        formats=tuple(verdict.format for verdict in facts.formats),
        forced=facts.forced,
    )


def _cells(row: Row) -> tuple[str, ...]:
    return (
        str(row.number),
        _rate(row),
        f"{row.size_bytes / 1e6:,.0f} MB",
        f"{row.made:%Y-%m-%d %H:%M}" if row.made else "",
        "" if row.parent is None else str(row.parent),
        row.base or "",
        f"{row.state}, forced" if row.forced else row.state,
    )


def _rate(row: Row) -> str:
    if row.wer is None:
        return ""
    if row.wer_low is None or row.wer_high is None:
        return f"{100 * row.wer:.2f}"
    return f"{100 * row.wer:.2f} ({100 * row.wer_low:.2f}-{100 * row.wer_high:.2f})"
