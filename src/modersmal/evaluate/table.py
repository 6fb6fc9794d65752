"""An evaluation as a table for people."""

import io
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from modersmal.evaluate.metrics import ErrorRate
from modersmal.evaluate.results import Comparison, CorpusScore, Scored
from modersmal.evaluate.significance import Interval

_WIDTH = 120


def render(scores: Sequence[CorpusScore], output: Path | None) -> str:
    """Tables with rates in percent and their 95 % intervals, and a sentence per comparison."""
    page = io.StringIO()
    console = Console(file=page, width=_WIDTH, highlight=False, color_system=None)
    for entry in scores:
        table = Table(title=f"{entry.corpus.name}, {entry.split}", title_justify="left")
        for heading in (
            "system",
            "WER % [95 %]",
            "CER % [95 %]",
            "sub",
            "del",
            "ins",
            "as written",
        ):
            table.add_column(heading, justify="left" if heading == "system" else "right")
        if entry.comparison:
            table.add_row(*_row(entry.comparison.baseline))
        table.add_row(*_row(entry.result))
        console.print(table)
        console.print(_footnote(entry.result), markup=False)
        if entry.comparison:
            console.print(sentence(entry.comparison), markup=False)
    if output:
        console.print(f"Every reference and hypothesis: {output}", markup=False, soft_wrap=True)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def sentence(comparison: Comparison) -> str:
    """Say what a comparison shows, and whether it could be chance."""
    change = comparison.difference
    points = f"{100 * change.difference:+.1f} points"
    if change.interval:
        points += f" [{100 * change.interval.low:+.1f}, {100 * change.interval.high:+.1f}]"
    if change.difference == 0:
        verdict = "the same"
    elif change.interval and not change.interval.low <= 0 <= change.interval.high:
        verdict = "better" if change.difference < 0 else "worse"
    else:
        verdict = "a difference that may be chance"
    p = "" if change.p is None else ", p ≤ 0.001" if change.p <= 0.001 else f", p = {change.p:.2g}"
    return (
        f"Against {comparison.baseline.system.name}: {comparison.metric.upper()} {points}{p}: "
        f"{verdict}. {comparison.better:,} clips better, {comparison.worse:,} worse, "
        f"{comparison.equal:,} equal."
    )


def _row(scored: Scored) -> list[str]:
    score = scored.score
    deciding = score.deciding
    written = score.orthographic.of(score.metric)
    return [
        scored.system.name,
        _percent(score.normalised.wer),
        _percent(score.normalised.cer),
        *(f"{n:,}" for n in (deciding.substitutions, deciding.deletions, deciding.insertions)),
        f"{100 * written.rate:.1f}",
    ]


def _percent(rate: ErrorRate) -> str:
    return f"{100 * rate.rate:.1f}{_bounds(rate.interval)}"


def _bounds(interval: Interval | None) -> str:
    return f" [{100 * interval.low:.1f}, {100 * interval.high:.1f}]" if interval else ""


def _footnote(scored: Scored) -> str:
    score = scored.score
    what = "words" if score.metric == "wer" else "characters"
    by = score.intervals_by
    reason = "" if by == "speaker" else " (fewer than 5 speakers are known)"
    system = scored.system
    how = f"; context {system.context}" if system.context else ""
    how += f", {system.engine} in {system.precision}" if system.engine else ""
    return (
        f"{score.metric.upper()} decides: {score.deciding.reference_units:,} {what} in "
        f"{score.clips:,} clips, normaliser {score.normaliser}; intervals by {by}{reason}{how}."
    )
