"""What a run, or the report of an evaluation, has to show when it is held against others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from modersmal.evaluate.metrics import Metric
from modersmal.evaluate.records import Conditions
from modersmal.evaluate.results import Speed
from modersmal.evaluate.significance import Clusters


@dataclass(frozen=True)
class Rate:
    """An error rate as a share, and the ends of its 95 % interval where they are known."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Clips:
    """Errors and reference units of every clip, each (clips,) int64, and which are one group."""

    errors: np.ndarray
    units: np.ndarray
    groups: Clusters


@dataclass(frozen=True)
class Score:
    """What was decoded and scored, of a split, in the rate that decides.

    `before` is that of the model that training began with. `clips` are None where the file with
    them is gone.
    """

    metric: Metric
    rate: Rate
    conditions: Conditions
    clips: Clips | None = None
    speed: Speed | None = None
    before: Rate | None = None


@dataclass(frozen=True)
class DevScore:
    """A dev score within a run, after `step` steps that had taken `train_s` seconds."""

    step: int
    train_s: float
    rate: Rate


@dataclass(frozen=True)
class Contender:
    """A run, or the report of an evaluation; what is not known is None, or empty.

    `model` is what training began with, or what was scored. `train_s` is what all steps have taken,
    without scores and saving, on `hardware`. `alike` is what dev scores must share to be compared,
    in words that name it.
    """

    name: str
    model: str
    parameters: int | None = None
    weights_bytes: int | None = None
    steps: int | None = None
    max_steps: int | None = None
    train_s: float | None = None
    hardware: tuple[str, ...] = ()
    metric: Metric = "wer"
    test: Score | None = None
    dev: tuple[DevScore, ...] = ()
    alike: Mapping[str, Any] | None = None

    @property
    def best_dev(self) -> DevScore | None:
        """The best dev score; of equal ones the earliest, since less training is less to pay."""
        return self.best_dev_within()

    def best_dev_within(self, *, step: float = np.inf, train_s: float = np.inf) -> DevScore | None:
        """The best dev score of those within so many steps and so much time."""
        taken = [one for one in self.dev if one.step <= step and one.train_s <= train_s]
        return min(taken, key=lambda one: (one.rate.value, one.step), default=None)
