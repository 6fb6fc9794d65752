"""Read how runs stand from the store alone.

A run tells it in `status.json` (train.heartbeat), who holds it stands in `leases/`, and what is
safe is shown by the manifests of checkpoints. Of a run that an older version wrote, metrics.jsonl
and its newest checkpoint tell what can be known. What is broken is said in the run's notes.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modersmal.errors import StoreError, StoreMissing
from modersmal.status.runs import AT_WORK, Delivery, Holding, RunStatus, Status
from modersmal.store import MANIFEST, tokens
from modersmal.store.remote import Remote
from modersmal.store.retry import Backoff
from modersmal.train.heartbeat import STATUS, Heartbeat, scores_in

_RUNS, _METRICS, _RECIPE, _MODEL = "runs", "metrics.jsonl", "recipe.json", "model"
_CHECKPOINT = re.compile(rf"checkpoints/(step-(\d+)(?:\.t\d+)?)/{re.escape(MANIFEST)}")
_SILENT_AFTER_S = 120.0
_PATIENCE_S = 20.0  # for a store that does not answer
_SPEED_STEPS = 20  # so many of metrics.jsonl make up a speed
_DELIVERY: dict[bool | None, Delivery] = {
    None: "saved",
    True: "confirmed",
    False: "handed over, not confirmed",
}


class Watcher:
    """Reads the status of a store, as often as asked.

    A run whose news change from one reading to the next is heard, whatever the clock of its
    machine says. `now` is the time of day, `clock` seconds that only grow.
    """

    def __init__(
        self,
        place: Remote,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place, self._now, self._clock = place, now, clock
        self._ears: dict[str, _Ear] = {}

    @classmethod
    def open(cls, store: str) -> "Watcher":
        """Watch a folder, or whatever has a URL. Raises StoreError."""
        if "://" not in store and not Path(store).expanduser().is_dir():
            raise StoreError(f"there is no store at {store}; give what the recipe has as `store`")
        return cls(Remote.open(store, backoff=Backoff(within_s=_PATIENCE_S)))

    def read(self) -> Status:
        """How all runs stand now.

        Raises:
            StoreError: the store cannot be listed. What cannot be read in it is in the notes.
        """
        runs: dict[str, set[str]] = {}
        for path in self._place.list(_RUNS):
            _, name, *inside = path.split("/", 2)
            if inside:
                runs.setdefault(name, set()).update(inside)
        found = [self._run(name, names) for name, names in sorted(runs.items())]
        found.sort(key=lambda run: run.state not in AT_WORK)
        return Status(self._place.url, self._now(), tuple(found))

    def _run(self, name: str, names: set[str]) -> RunStatus:
        files = _Files(self._place.at(f"{_RUNS}/{name}"), names)
        beat, lease, newest = files.heartbeat(), files.lease(), files.newest_checkpoint()
        run = RunStatus(name, lease=lease)
        run = self._heard(_told(run, beat), beat) if beat else _pieced(run, files, newest)
        if lease and lease.lasts(self._now()) and not (beat and beat.token >= lease.token):
            run = replace(run, state="starting", left_s=None, why="")  # what it told is of before
        run = _with_checkpoint(run, newest, beat)
        return replace(run, notes=tuple(dict.fromkeys(files.notes)))

    def _heard(self, run: RunStatus, beat: Heartbeat) -> RunStatus:
        """When it was heard of last; one that should have spoken since is silent."""
        lease = run.lease if run.lease and run.lease.token == beat.token else None
        heard = max(beat.written, lease.renewed) if lease and lease.renewed else beat.written
        by_its_clock_s = max(0.0, (self._now() - heard).total_seconds())
        ear = self._ears.setdefault(run.name, _Ear())
        heard_s = min(by_its_clock_s, ear.listen((beat, lease), self._clock()))
        step_s = 1 / beat.steps_per_s if beat.steps_per_s else 0.0
        silent = heard_s > max(_SILENT_AFTER_S, 3 * beat.every_s, 5 * step_s)
        ended = lease is not None and lease.ended
        if run.state in AT_WORK and (silent or ended):
            why = "its process is gone" if ended else ""
            return replace(run, state="silent", heard_s=heard_s, left_s=None, why=why)
        left_s = None if beat.left_s is None else max(0.0, beat.left_s - heard_s)
        return replace(run, heard_s=heard_s, left_s=left_s)


class _Ear:
    """How long ago news last changed, by our own clock."""

    def __init__(self) -> None:
        self._news: object = None
        self._changed_s = float("-inf")

    def listen(self, news: object, at_s: float) -> float:
        if self._news is not None and news != self._news:
            self._changed_s = at_s
        self._news = news
        return at_s - self._changed_s


class _Files:
    """The files of a run, whose `names` were listed; what cannot be read makes a note."""

    def __init__(self, place: Remote, names: set[str]) -> None:
        self.names = names
        self.notes: list[str] = []
        self._place = place

    def read(self, name: str) -> bytes | None:
        """None where it is not there, or cannot be read."""
        with self._noting(name), suppress(StoreMissing):  # deleted since it was listed
            return self._place.read(name) if name in self.names else None
        return None

    def table(self, name: str) -> dict[str, Any]:
        """A JSON object; empty where there is none."""
        data = self.read(name)
        if data is not None:
            with self._noting(name):
                return dict(json.loads(data).items())
        return {}

    def heartbeat(self) -> Heartbeat | None:
        data = self.read(STATUS)
        if data is None:
            return None
        try:
            return Heartbeat.parse(data)
        except ValueError as error:
            self.notes.append(f"{STATUS} {error}")
            return None

    def lease(self) -> Holding | None:
        """Who took the newest lease."""
        with self._noting("leases/"):
            found = tokens.holder(self._place) if self._has("leases/") else None
            if found is not None:
                claim, alive = found
                return Holding(
                    holder=str(claim.holder),
                    token=int(claim.token),
                    renewed=_time(alive.get("at")),
                    ttl_s=_number(claim.ttl_s) or 0.0,
                    ended=alive.get("released") is True or claim.is_gone(),
                )
        return None

    def newest_checkpoint(self) -> tuple[int, str] | None:
        """The step and the name of the newest that counts and is whole: its manifest comes last."""
        found = (_CHECKPOINT.fullmatch(name) for name in self.names)
        steps = {match[1]: int(match[2]) for match in found if match}
        with self._noting("leases/"):
            counted = tokens.counted(self._place, steps) if self._has("leases/") else steps
            return max(((steps[name], name) for name in counted), default=None)
        return None

    @contextmanager
    def _noting(self, name: str) -> Iterator[None]:
        """Turn what cannot be read, or holds other types than it should, into a note."""
        try:
            yield
        except StoreError as error:
            self.notes.append(str(error))
        except (ValueError, TypeError, AttributeError):
            self.notes.append(f"{name} is broken or half written")

    def _has(self, folder: str) -> bool:
        return any(name.startswith(folder) for name in self.names)

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl that are whole."""
        rows, broken = [], 0
        for line in (self.read(_METRICS) or b"").splitlines():
            try:
                row = json.loads(line)
                row["step"] = int(row["step"])
                rows.append(row)
            except (ValueError, TypeError, KeyError):
                broken += 1
        if broken:
            self.notes.append(f"{_METRICS} is broken or half written in {broken} of its lines")
        return rows


def _told(run: RunStatus, beat: Heartbeat) -> RunStatus:
    """A run as its own status.json tells it."""
    return replace(
        run,
        state=beat.phase,
        step=beat.step,
        max_steps=beat.max_steps,
        epoch=beat.epoch,
        loss=beat.loss,
        audio_s_per_s=beat.audio_s_per_s,
        steps_per_s=beat.steps_per_s,
        metric=beat.metric,
        scores=beat.scores,
        why=beat.why,
    )


def _pieced(run: RunStatus, files: _Files, newest: tuple[int, str] | None) -> RunStatus:
    """A run without a sound status.json; when it wrote what it wrote is not known."""
    rows = files.metrics()
    if not rows and newest is None:
        return run
    saved = files.table(f"checkpoints/{newest[1]}/state.json") if newest else {}
    recipe = _inner(saved, "recipe") or _inner(files.table(_RECIPE), "recipe")
    max_steps = _number(_inner(recipe, "train").get("max_steps"))
    metric = str(_inner(saved, "best").get("metric") or "wer")
    steps = [row for row in rows if "loss" in row]
    step = max((row["step"] for row in steps), default=newest[0] if newest else 0)
    speeds = [_number(row.get("audio_s_per_s")) for row in steps[-_SPEED_STEPS:]]
    known = [speed for speed in speeds if speed is not None]
    done = f"{_MODEL}/{MANIFEST}" in files.names and max_steps is not None and step >= max_steps
    return replace(
        run,
        state="finished" if done else "unknown",
        step=step,
        max_steps=None if max_steps is None else int(max_steps),
        epoch=_number(steps[-1].get("epoch")) if steps else None,
        loss=_number(steps[-1].get("loss")) if steps else None,
        audio_s_per_s=sum(known) / len(known) if known else None,
        metric=metric,
        scores=scores_in(rows, metric),
    )


def _with_checkpoint(
    run: RunStatus, newest: tuple[int, str] | None, beat: Heartbeat | None
) -> RunStatus:
    step = newest[0] if newest else None
    delivered = _DELIVERY[beat.confirms if beat else None]
    saved = beat.saved.step if beat and beat.saved else None
    return replace(
        run,
        checkpoint=step,
        delivered=None if step is None else delivered,
        on_its_way=saved if saved is not None and saved > (step or 0) else None,
    )


def _inner(table: dict[str, Any], key: str) -> dict[str, Any]:
    inner = table.get(key)
    return inner if isinstance(inner, dict) else {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value == value else None


def _time(value: object) -> datetime | None:
    """A moment from ISO 8601 with its zone."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else None
