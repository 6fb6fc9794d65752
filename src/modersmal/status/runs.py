"""How the runs of a store stand, as values: what `modersmal status` returns and prints."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from modersmal.train.heartbeat import Score

State = Literal[
    "not begun", "starting", "training", "scoring", "paused", "finished", "failed", "silent",
    "unknown",
]  # fmt: skip
Delivery = Literal["saved", "confirmed", "handed over, not confirmed"]
AT_WORK = ("starting", "training", "scoring")


@dataclass(frozen=True)
class Holding:
    """Who took a run's lease last, under which token, and when it was renewed, for `ttl_s`.

    `ended` says that it was given up, or that its process, on this machine, is not there any more.
    """

    holder: str
    token: int
    renewed: datetime | None
    ttl_s: float
    ended: bool

    @property
    def until(self) -> datetime | None:
        """When it runs out unless it is renewed."""
        if self.ended or self.renewed is None:
            return None
        return self.renewed + timedelta(seconds=self.ttl_s)

    def lasts(self, now: datetime) -> bool:
        return self.until is not None and self.until > now


@dataclass(frozen=True)
class RunStatus:
    """One run. What is not known is None.

    `heard_s` is how long ago it was last heard of. `checkpoint` is the newest that is whole in the
    store, `delivered` how surely; `on_its_way` a newer one that only the machine that trains has.
    Rates are shares. `why` is the reason of a pause or a failure; `notes` say what is broken.
    """

    name: str
    state: State = "not begun"
    heard_s: float | None = None
    step: int | None = None
    max_steps: int | None = None
    epoch: float | None = None
    loss: float | None = None
    audio_s_per_s: float | None = None
    steps_per_s: float | None = None
    left_s: float | None = None
    checkpoint: int | None = None
    delivered: Delivery | None = None
    on_its_way: int | None = None
    lease: Holding | None = None
    metric: str = "wer"
    scores: tuple[Score, ...] = ()
    why: str = ""
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> Score | None:
        """The best dev score; of equal ones the latest, as training takes it."""
        return min(self.scores, key=lambda score: (score.rate, -score.step), default=None)


@dataclass(frozen=True)
class Status:
    """The runs of `store` at the moment `taken`, those at work first."""

    store: str
    taken: datetime
    runs: tuple[RunStatus, ...]

    def __str__(self) -> str:
        from modersmal.status.page import as_text

        return as_text(self)

    def to_json(self) -> dict[str, Any]:
        """JSON's types, with each run's best score; times as ISO 8601."""
        runs = [
            asdict(run)
            | {
                "best": asdict(run.best) if run.best else None,
                "lease": _lease_json(run.lease) if run.lease else None,
            }
            for run in self.runs
        ]
        return {"store": self.store, "taken": self.taken.isoformat(), "runs": runs}


def _lease_json(lease: Holding) -> dict[str, Any]:
    return {
        "holder": lease.holder,
        "token": lease.token,
        "until": lease.until.isoformat() if lease.until else None,
        "ended": lease.ended,
    }
