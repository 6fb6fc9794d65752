"""The course of a training as pictures, and its TensorBoard logs, for the page of a release."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from modersmal import store
from modersmal.language import is_spaced
from modersmal.release.source import BASE_SCORE
from modersmal.train.keeping import RECIPE
from modersmal.train.log import read_metrics

CURVES = "curves"
TENSORBOARD = "tensorboard"
_EVENTS = "*tfevents*"
_INCHES = 8.0, 4.5
_DOTS_PER_INCH = 110
_SMOOTHING = 0.95
_BLUE, _FAINT, _GREY = "#1f5fa8", "#bcd3ec", "#777777"


def write_curves(run: Path, to: Path) -> list[Path]:
    """Draw what the metrics of `run` have into the folder `to`; returns the pictures.

    `curves/loss.png` is there wherever a step was taken, `curves/dev-wer.png` (dev-cer where words
    are not spaced) wherever dev was scored, with the base's rate where that was scored, too. The
    logs for TensorBoard go to `tensorboard/`. The same run gives the same files.

    Raises:
        StoreError: `to` cannot be written.
    """
    rows = read_metrics(run)
    metric = _metric(run)
    losses = {int(row["step"]): row["loss"] for row in rows if "loss" in row}
    rates = {int(row["step"]): row[f"dev_{metric}"] for row in rows if f"dev_{metric}" in row}
    folder = to / CURVES
    drawn = []
    with store.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if losses:
            drawn.append(_save(_loss(losses), folder / "loss.png"))
        if rates:
            figure = _dev(rates, metric, _base_rate(run, metric))
            drawn.append(_save(figure, folder / f"dev-{metric}.png"))
    if rows:
        _keep_logs(rows, run / TENSORBOARD, to / TENSORBOARD)
    return drawn


def _loss(losses: dict[int, float]) -> Figure:
    """The loss of each step, faint, and its course."""
    figure, axes = _figure("loss per token")
    axes.plot(list(losses), list(losses.values()), color=_FAINT, linewidth=1, label="each step")
    smooth = list(_smoothed(losses.values()))
    axes.plot(list(losses), smooth, color=_BLUE, linewidth=2, label="smoothed")
    axes.legend(frameon=False)
    return figure


def _dev(rates: dict[int, float], metric: str, base: float | None) -> Figure:
    figure, axes = _figure(f"{metric.upper()} on dev, %")
    shown = [100 * rate for rate in rates.values()]
    axes.plot(list(rates), shown, color=_BLUE, linewidth=2, marker="o", label="this model")
    if base is not None:
        axes.axhline(100 * base, color=_GREY, linestyle="--", label=f"its base: {100 * base:.1f} %")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return figure


def _figure(label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    with store.replacing(path) as file:
        figure.savefig(file, format="png", metadata={"Software": None})
    return path


def _smoothed(values: Iterable[float]) -> Iterator[float]:
    """An exponential mean that does not begin at zero."""
    total = weight = 0.0
    for value in values:
        total = _SMOOTHING * total + (1 - _SMOOTHING) * value
        weight = _SMOOTHING * weight + (1 - _SMOOTHING)
        yield total / weight


def _metric(run: Path) -> str:
    """The rate that decides in the language of the run."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        language = json.loads((run / RECIPE).read_text(encoding="utf-8"))["recipe"]["language"]
        return "wer" if is_spaced(language) else "cer"
    return "wer"


def _base_rate(run: Path, metric: str) -> float | None:
    """What the base scored on dev, where `modersmal run` had that decoded."""
    with suppress(OSError, ValueError, KeyError, IndexError, TypeError):
        scores = json.loads((run / BASE_SCORE).read_text(encoding="utf-8"))["scores"]
        return float(scores[0]["result"]["score"]["normalised"][metric]["rate"])
    return None


def _keep_logs(rows: Iterable[Mapping[str, Any]], logs: Path, to: Path) -> None:
    """Copy TensorBoard's files, under names that do not tell the machine's. Stores far away do not
    have them: there they are written anew, as of the metrics."""
    with store.writing(to), TemporaryDirectory() as made:
        shutil.rmtree(to, ignore_errors=True)
        found = sorted(logs.glob(_EVENTS)) or _written(rows, Path(made))
        for number, log in enumerate(found):
            to.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log, to / f"events.out.tfevents.{log.name.split('.')[3]}.{number}")


def _written(rows: Iterable[Mapping[str, Any]], folder: Path) -> list[Path]:
    with SummaryWriter(str(folder)) as board:
        for row in rows:
            for name, value in row.items():
                if name != "step" and not isinstance(value, str):
                    board.add_scalar(name, value, int(row["step"]))
    return sorted(folder.glob(_EVENTS))
