"""Say in plain tables what a corpus holds, and what was not let in."""

from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

from modersmal.corpus.checks import REASONS


def describe(info: dict[str, Any]) -> str:
    """The closing table of `prepare`, from `corpus.json`."""
    console = Console(width=100, color_system=None, force_terminal=False, file=None, record=True)
    with console.capture() as captured:
        console.print(_splits(info))
        for sentence in notes(info):
            console.print(sentence, soft_wrap=True, highlight=False, markup=False)
        for title, counts in (("Rejected", info["rejected"]), ("Flagged", info["flagged"])):
            if counts:
                console.print(_reasons(title, counts))
        if info["overlap"]:
            console.print(_overlap(info["overlap"]))
    return captured.get().rstrip()


def notes(info: dict[str, Any]) -> list[str]:
    """What a person should know before training."""
    found = []
    for name in ("train", "dev", "test"):
        if not info["splits"].get(name, {}).get("clips"):
            found.append(
                f"Note: {name} is empty; name splits in the source, or raise data.{name}_share."
                if name != "train"
                else "Note: train is empty; there is nothing to learn from."
            )
    for source in info["sources"]:
        licence = source["licence"] or "licence not known"
        may = {
            True: "may be passed on",
            False: "must not be passed on",
            None: "ask before passing on",
        }
        found.append(
            f"Source {source['name']}: {source['rows']:,} rows, {licence}, "
            f"{may[source['redistributable']]}."
        )
    return found


def _splits(info: dict[str, Any]) -> Table:
    table = _table("Split", "Clips", "Hours", "Speakers", "Rejected", "Flagged")
    names = [*info["splits"], *(name for name in info["rejected"] if name not in info["splits"])]
    for name in names:
        split = info["splits"].get(name, {"clips": 0, "duration_s": 0.0, "speakers": 0})
        table.add_row(
            name,
            f"{split['clips']:,}",
            f"{split['duration_s'] / 3600:,.2f}",
            f"{split['speakers']:,}" if split["speakers"] else "",
            f"{sum(info['rejected'].get(name, {}).values()):,}",
            f"{sum(info['flagged'].get(name, {}).values()):,}",
        )
    return table


def _reasons(title: str, counts: dict[str, dict[str, int]]) -> Table:
    table = _table(title, *counts, "Meaning")
    total = Counter[str]()
    for by_reason in counts.values():
        total.update(by_reason)
    for reason, _ in total.most_common():
        numbers = [f"{by_reason.get(reason, 0):,}" for by_reason in counts.values()]
        table.add_row(reason, *numbers, REASONS[reason])
    table.columns[-1].justify = "left"
    return table


def _overlap(overlap: list[dict[str, Any]]) -> Table:
    table = _table("In both", "Speakers", "Sentences", "Duplicates")
    for entry in overlap:
        numbers = [f"{entry[name]:,}" for name in ("speakers", "sentences", "duplicates")]
        table.add_row(" and ".join(entry["splits"]), *numbers)
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="")
    table.add_column(first)
    for title in others:
        table.add_column(title, justify="right")
    return table
