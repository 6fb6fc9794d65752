"""Say in plain tables what a corpus holds, and what was not let in."""

from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

from modersmal.corpus.checks import REASONS

_LEAVE = {True: "may be passed on", False: "must not be passed on", None: "ask before passing on"}


def describe(info: dict[str, Any]) -> str:
    """The closing table of `prepare`, from `corpus.json`."""
    parts: list[Table | str] = [_splits(info)]
    for title, counts in (("Rejected", info["rejected"]), ("Flagged", info["flagged"])):
        if counts:
            parts.append(_reasons(title, counts))
    if info["overlap"]:
        parts.append(_overlap(info["overlap"]))
    parts.append("\n".join(notes(info)))
    return "\n\n".join(part if isinstance(part, str) else _rendered(part) for part in parts)


def notes(info: dict[str, Any]) -> list[str]:
    """What a person should know before training, one sentence each."""
    found = []
    if not _clips(info, "train"):
        found.append("Note: train is empty; there is nothing to learn from.")
    for name in ("dev", "test"):
        if not _clips(info, name):
            found.append(
                f"Note: {name} is empty; name splits in the source, or raise data.{name}_share."
            )
    if any(
        "train" in entry["splits"] and (entry["speakers"] or entry["sentences"])
        for entry in info["overlap"]
    ):
        found.append(
            "Note: train has speakers or sentences of another split, so scores may be too good; "
            "data.disjoint = true drops those clips from train."
        )
    for name, split in info["splits"].items():
        if split.get("recordings"):
            plural = "s" * (split["recordings"] > 1)
            found.append(
                f"Of {name}, {split['recorded_s'] / 3600:,.2f} h are clips of "
                f"{split['recordings']:,} long recording{plural}."
            )
    found += [_source(source) for source in info["sources"]]
    return found


def _source(source: dict[str, Any]) -> str:
    """One source in a line; corpora of earlier versions have no `licence_url`."""
    licence = source["licence"] or "licence not known"
    url = f" ({source['licence_url']})" if source.get("licence_url") else ""
    leave = _LEAVE[source["redistributable"]]
    return f"Source {source['name']}: {source['rows']:,} rows, {licence}{url}, {leave}."


def _clips(info: dict[str, Any], split: str) -> int:
    return info["splits"].get(split, {"clips": 0})["clips"]


def _splits(info: dict[str, Any]) -> Table:
    table = _table("Split", "Clips", "Hours", "Speakers", "Rejected", "Flags")
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


def describe_durations(histograms: dict[str, dict[str, int]]) -> str:
    """Counts of clips by their length in seconds, one column a split."""
    table = _table("Seconds", *histograms)
    for seconds in next(iter(histograms.values()), {}):
        counts = [histogram[seconds] for histogram in histograms.values()]
        if any(counts):
            table.add_row(seconds, *(f"{count:,}" for count in counts))
    return _rendered(table)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="")
    table.add_column(first)
    for title in others:
        table.add_column(title, justify="right")
    return table


def _rendered(table: Table) -> str:
    """Plain text, the same on every terminal and in a file."""
    console = Console(width=100, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
