"""A comparison of sizes as one picture: error rates, with their 95 % intervals, against the cost.

Above, the scores that decide against training time, size and decoding speed; below, the dev scores
on the way, against steps and against time, with a line at what all were given.
"""

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modersmal import store
from modersmal.compare.compare import Row, SizeComparison
from modersmal.compare.contender import Contender, DevScore, Rate
from modersmal.progress import duration

_INCHES = 11.0, 7.5
_DOTS_PER_INCH = 110
_COLOURS = ("#1f5fa8", "#c8553d", "#3a8f5c", "#8a5aa8", "#b58900", "#4d4d4d")
_MARKS = "osD^vP"
_GREY, _FAINT = "#777777", 0.15
_LAYOUT = "ttzzvv;sssmmm"  # time, size, speed; steps, time


def draw(found: SizeComparison, path: Path) -> None:
    """Write the PNG. The same comparison gives the same file. Raises StoreError."""
    figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    panels = figure.subplot_mosaic(_LAYOUT)
    rate = f"{found.metric.upper()} on {found.split}, %"
    unit, unit_s = _unit(found)
    _scores(panels["t"], found, f"training time, {unit}", rate, lambda row: _in(row, unit_s))
    _scores(panels["z"], found, "parameters, millions", rate, _millions)
    _scores(panels["v"], found, "decoding, audio s per s", rate, lambda row: row.audio_s_per_s)
    on_dev = f"{found.metric.upper()} on dev, %"
    _course(panels["s"], found, "steps", on_dev, lambda score: float(score.step))
    _course(panels["m"], found, f"training time, {unit}", on_dev, lambda one: one.train_s / unit_s)
    if found.steps:
        _limit(panels["s"], found.steps.limit, f"equal steps: {found.steps.limit:,.0f}")
    if found.time:
        _limit(panels["m"], found.time.limit / unit_s, f"equal time: {duration(found.time.limit)}")
    handles, names = panels["t"].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3, frameon=False)
    with store.replacing(path) as file:
        figure.savefig(file, format="png", metadata={"Software": None})


def _unit(found: SizeComparison) -> tuple[str, float]:
    """What times are told in, and its seconds: the largest of which the longest has two."""
    longest_s = max((row.train_s or 0.0 for row in found.rows), default=0.0)
    units = {"h": 3600.0, "min": 60.0}
    return next(((unit, s) for unit, s in units.items() if longest_s >= 2 * s), ("s", 1.0))


def _in(row: Row, unit_s: float) -> float | None:
    return None if row.train_s is None else row.train_s / unit_s


def _millions(row: Row) -> float | None:
    return None if row.parameters is None else row.parameters / 1e6


def _scores(
    axes: Axes, found: SizeComparison, x: str, y: str, of: Callable[[Row], float | None]
) -> None:
    """One point for each contender, with its interval; where `of` is not known there is none."""
    _dress(axes, x, y)
    known = False
    for number, one in enumerate(found.contenders):
        row = next(row for row in found.rows if row.name == one.name)
        value, colour = of(row), _COLOURS[number % len(_COLOURS)]
        mark = _MARKS[number % len(_MARKS)]
        known |= value is not None
        axes.errorbar(
            [] if value is None else [value],
            [] if value is None else [100 * row.rate.value],
            yerr=None if value is None else _bars(row.rate),
            color=colour, marker=mark, linestyle="none", capsize=4, label=row.name,
        )  # fmt: skip
    if not known:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=_GREY)
    axes.margins(x=0.2)
    axes.set_xlim(left=0)


def _course(
    axes: Axes, found: SizeComparison, x: str, y: str, of: Callable[[DevScore], float]
) -> None:
    """The dev scores of each run, with their intervals as a band."""
    _dress(axes, x, y)
    for number, one in enumerate(found.contenders):
        _line(axes, one, of, _COLOURS[number % len(_COLOURS)], _MARKS[number % len(_MARKS)])
    if not any(one.dev for one in found.contenders):
        axes.text(0.5, 0.5, "no dev scores", transform=axes.transAxes, ha="center", color=_GREY)
    axes.set_xlim(left=0)


def _line(
    axes: Axes, one: Contender, of: Callable[[DevScore], float], colour: str, mark: str
) -> None:
    places = [of(score) for score in one.dev]
    axes.plot(
        places, [100 * score.rate.value for score in one.dev], color=colour, marker=mark,
        linewidth=2, markersize=4,
    )  # fmt: skip
    sure = [score for score in one.dev if score.rate.low is not None]
    axes.fill_between(
        [of(score) for score in sure],
        [100 * (score.rate.low or 0.0) for score in sure],
        [100 * (score.rate.high or 0.0) for score in sure],
        color=colour, alpha=_FAINT, linewidth=0,
    )  # fmt: skip


def _limit(axes: Axes, place: float, label: str) -> None:
    axes.axvline(place, color=_GREY, linestyle="--", label=label)
    axes.legend(frameon=False)


def _bars(rate: Rate) -> list[list[float]] | None:
    """Below and above the rate, in percent."""
    if rate.low is None or rate.high is None:
        return None
    return [[100 * (rate.value - rate.low)], [100 * (rate.high - rate.value)]]


def _dress(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
