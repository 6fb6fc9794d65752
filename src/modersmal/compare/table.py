"""A comparison of sizes as tables and a sentence, for people."""

import io
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from modersmal.compare.compare import Equal, Row, SizeComparison
from modersmal.compare.contender import Rate
from modersmal.progress import duration

_WIDTH = 120


def render(found: SizeComparison) -> str:
    """The contenders, how they stand on equal terms, and what that comes to."""
    page = io.StringIO()
    console = Console(file=page, width=_WIDTH, highlight=False, color_system=None)
    console.print(_contenders(found))
    console.print(verdict(found), markup=False)
    for equal, limit in (
        (found.steps, f"{found.steps.limit:,.0f} steps" if found.steps else ""),
        (found.time, f"{duration(found.time.limit)} of training" if found.time else ""),
    ):
        if equal:
            console.print()
            console.print(_equal(equal, f"On dev within {limit}", found.metric.upper()))
    for remark in _notes(found):
        console.print(remark, markup=False)
    if found.picture:
        console.print(f"Picture: {found.picture}", markup=False, soft_wrap=True)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def verdict(found: SizeComparison) -> str:
    """What the best costs against each other one, in facts."""
    best, *others = found.rows
    metric = found.metric.upper()
    sentences = [f"{best.name} has the lowest {metric}: {shown(best.rate)} %."]
    sentences += [" ".join(_against(other, best, metric)) for other in others]
    return "\n".join(sentences)


def _against(other: Row, best: Row, metric: str) -> Iterator[str]:
    behind = other.behind
    points = 100 * (behind.difference if behind else other.rate.value - best.rate.value)
    ends, chance = "", ""
    if behind and behind.low is not None and behind.high is not None:
        ends = f" [{100 * behind.low:+.1f}, {100 * behind.high:+.1f}]"
        chance = ", which may be chance" if behind.low <= 0 else ""
    yield f"{other.name}: {metric} {points:+.1f} points{ends}{chance}"
    facts = []
    if other.train_s and best.train_s:
        facts.append(f"{other.train_s / best.train_s:.2g} × the training time")
    if other.parameters and best.parameters:
        facts.append(f"{other.parameters / best.parameters:.2g} × the size")
    if other.audio_s_per_s and best.audio_s_per_s:
        facts.append(f"decodes {other.audio_s_per_s / best.audio_s_per_s:.2g} × as fast")
    yield f"({', '.join(facts)})." if facts else "."


def _contenders(found: SizeComparison) -> Table:
    metric = found.metric.upper()
    table = Table(title=f"On {found.split}", title_justify="left")
    for heading in (
        "", "from", f"{metric} % [95 %]", "before", "parameters", "weights", "steps", "training",
        "audio s/s",
    ):  # fmt: skip
        table.add_column(heading, justify="left" if heading in ("", "from") else "right")
    for row in found.rows:
        table.add_row(
            row.name,
            row.model,
            shown(row.rate),
            "" if row.before is None else f"{100 * row.before.value:.1f}",
            "" if row.parameters is None else f"{row.parameters / 1e6:,.1f} M",
            "" if row.weights_bytes is None else f"{row.weights_bytes / 1e6:,.0f} MB",
            "" if row.steps is None else f"{row.steps:,}",
            "" if row.train_s is None else duration(row.train_s),
            "" if row.audio_s_per_s is None else f"{row.audio_s_per_s:,.1f}",
        )
    return table


def _equal(equal: Equal, title: str, metric: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in (f"{metric} % [95 %]", "after step", "training"):
        table.add_column(heading, justify="right")
    for run in equal.runs:
        table.add_row(run.name, shown(run.rate), f"{run.step:,}", duration(run.train_s))
    return table


def _notes(found: SizeComparison) -> Iterator[str]:
    if found.split == "dev":
        yield "Dev also chose each run's best step, so these rates flatter all of them."
    if found.steps or found.time:
        yield (
            "A run that was planned for more steps had not decayed its learning rate there yet: "
            "only the shortest is seen at its end."
        )
    yield from found.remarks


def shown(rate: Rate) -> str:
    """A rate in percent, with its interval."""
    ends = ""
    if rate.low is not None and rate.high is not None:
        ends = f" [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
    return f"{100 * rate.value:.1f}{ends}"
