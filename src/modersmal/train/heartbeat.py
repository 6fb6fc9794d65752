"""What a run tells those who watch it: `status.json`, small, whole, and written again and again.

It is written at every event, and else at most every ten seconds. Threads carry it to the disk and
to a remote, so that neither a slow disk nor a store that is away holds up a step; what is overtaken
by newer news is not delivered.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from modersmal import __version__, store
from modersmal.errors import Held, ModersmalError, Stopped

STATUS = "status.json"
EVERY_S = 10.0
_FORMAT = 1
_SMOOTHING = 0.9
_LAST_WORDS_S = 2.0  # how long the end of a run waits for its news to arrive

Phase = Literal["starting", "training", "scoring", "paused", "finished", "failed"]


@dataclass(frozen=True)
class Mark:
    """A checkpoint's step, and when something became true of it."""

    step: int
    at: AwareDatetime


@dataclass(frozen=True)
class Score:
    """A dev score: its step, and its rate as a share."""

    step: int
    rate: float


@dataclass(frozen=True)
class Heartbeat:
    """A run at one moment, as status.json has it.

    `saved` is the newest checkpoint on the disk of the machine that trains, `confirmed` the newest
    that the remote has; `confirms` says whether that was proven (True), only handed over (False),
    or whether there is no remote (None). `every_s` is how often news is to be expected, `why` the
    reason of a pause or a failure. Rates are shares; `left_s` counts from `written`.
    """

    phase: Phase
    written: AwareDatetime
    step: int
    max_steps: int
    token: int = 1
    epoch: float | None = None
    loss: float | None = None
    audio_s_per_s: float | None = None
    steps_per_s: float | None = None
    left_s: float | None = None
    saved: Mark | None = None
    confirmed: Mark | None = None
    confirms: bool | None = None
    metric: str = "wer"
    scores: tuple[Score, ...] = ()
    every_s: float = EVERY_S
    why: str = ""
    modersmal: str = __version__
    format: int = _FORMAT

    @classmethod
    def parse(cls, data: bytes) -> "Heartbeat":
        """Read what `encode` wrote. Raises ValueError, saying what it is instead."""
        try:
            table = json.loads(data)
            if isinstance(table, dict) and table.get("format", _FORMAT) != _FORMAT:
                raise ValueError("was written by another version of modersmal")
            return _HEARTBEAT.validate_python(table)
        except (json.JSONDecodeError, UnicodeDecodeError, ValidationError):
            raise ValueError("is broken or half written") from None

    def encode(self) -> bytes:
        return _HEARTBEAT.dump_json(self) + b"\n"


_HEARTBEAT = TypeAdapter(Heartbeat)


def merge_scores(*series: Iterable[Score], until: int) -> tuple[Score, ...]:
    """Scores up to step `until`, rising, one a step; a later series wins."""
    found = {score.step: score for scores in series for score in scores if score.step <= until}
    return tuple(found[step] for step in sorted(found))


def scores_in(rows: Iterable[Mapping[str, Any]], metric: str) -> tuple[Score, ...]:
    """The dev scores among rows of metrics.jsonl."""
    found = [(row["step"], row.get(f"dev_{metric}")) for row in rows]
    return tuple(Score(step, rate) for step, rate in found if isinstance(rate, int | float))


class HeartbeatWriter:
    """Keeps a run's status.json, as a context around the training.

    Leaving it says how the run ended: finished, paused (Stopped), or failed. `send` carries the
    same bytes to a remote, at most every `send_every_s` between events; it may take its time and
    raise ModersmalError. `clock` gives seconds that only grow, `now` the time of day.
    """

    def __init__(
        self,
        run: Path,
        *,
        max_steps: int,
        token: int = 1,
        send: Callable[[bytes], None] | None = None,
        send_every_s: float = EVERY_S,
        confirms: bool | None = None,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clock, self._now = clock, now
        path = run / STATUS
        self._couriers = [
            _Courier(lambda data: store.write_bytes(path, data), str(path), EVERY_S, say)
        ]
        if send:
            self._couriers.append(_Courier(send, "the store's status.json", send_every_s, say))
        self.beat = Heartbeat(
            phase="starting",
            written=now(),
            step=0,
            max_steps=max_steps,
            token=token,
            confirms=confirms,
            every_s=max(courier.every_s for courier in self._couriers),
        )
        self._pace = _Pace()
        self._begun = False

    def begin(self, step: int, *, metric: str = "wer", earlier: Iterable[Score] = ()) -> None:
        """The run goes on from `step`; `earlier` are the scores of before.

        Until then nothing is written, so that a start that fails leaves what was known.
        """
        self._begun = True
        scores = merge_scores(earlier, until=step)
        self._set(event=True, step=step, metric=metric, scores=scores)

    def step(self, step: int, *, took_s: float, audio_s: float, epoch: float, loss: float) -> None:
        """One more step is done, which took `took_s` for `audio_s` of audio."""
        pace = self._pace
        pace.add(self._clock(), took_s, audio_s)
        self._set(
            phase="training",
            step=step,
            epoch=epoch,
            loss=loss,
            audio_s_per_s=pace.audio_s_per_s,
            steps_per_s=pace.steps_per_s,
            left_s=pace.left_s(self.beat.max_steps - step),
        )

    def planned(self, max_steps: int) -> None:
        """The run is to end after so many steps, which differs from what was said before."""
        self._set(event=True, max_steps=max_steps)

    def scoring(self) -> None:
        """Dev is being decoded; call it as often as clips are done."""
        self._set(phase="scoring")

    def scored(self, step: int, metric: str, rate: float) -> None:
        scores = merge_scores(self.beat.scores, [Score(step, rate)], until=step)
        self._set(event=True, phase="training", metric=metric, scores=scores)

    def saved(self, step: int) -> None:
        """A checkpoint is whole on this machine's disk."""
        self._set(event=True, saved=Mark(step, self._now()))

    def confirmed(self, step: int) -> None:
        """A checkpoint is in the remote, as surely as `confirms` says."""
        self._set(event=True, confirmed=Mark(step, self._now()))

    def __enter__(self) -> "HeartbeatWriter":
        for courier in self._couriers:
            courier.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._begun and not isinstance(error, Held):  # else it is another's to speak of
            phase, why = _ending(error)
            self._set(event=True, phase=phase, why=why, left_s=None)
        for courier in self._couriers:
            courier.close(_LAST_WORDS_S)

    def _set(self, *, event: bool = False, **changes: object) -> None:
        """Take up changes, and hand them to the couriers that are due."""
        self.beat = replace(self.beat, **changes, written=self._now())  # type: ignore[arg-type]
        at_s = self._clock()
        due = [courier for courier in self._couriers if event or courier.is_due(at_s)]
        if due:
            data = self.beat.encode()
            for courier in due:
                courier.post(data, at_s)


def _ending(error: BaseException | None) -> tuple[Phase, str]:
    if error is None:
        return "finished", ""
    if isinstance(error, Stopped):
        return "paused", str(error)
    if isinstance(error, ModersmalError):
        return "failed", str(error)
    if isinstance(error, KeyboardInterrupt):
        return "paused", "interrupted, without saving first"
    return "failed", f"a fault of ours ({type(error).__name__})"  # its text may hold secrets


class _Pace:
    """How fast a run is: by its steps alone, and all in all, with scoring and saving."""

    def __init__(self) -> None:
        self._took_s = self._audio_s = 0.0
        self._first_s: float | None = None
        self._last_s = 0.0
        self._steps = 0

    def add(self, at_s: float, took_s: float, audio_s: float) -> None:
        share = 1 - _SMOOTHING if self._steps else 1.0
        self._took_s += share * (took_s - self._took_s)
        self._audio_s += share * (audio_s - self._audio_s)
        if self._first_s is None:
            self._first_s = at_s  # the first step also compiles and warms up: not counted
        self._last_s = at_s
        self._steps += 1

    @property
    def steps_per_s(self) -> float:
        return 1 / max(self._took_s, 1e-9)

    @property
    def audio_s_per_s(self) -> float:
        return self._audio_s * self.steps_per_s

    def left_s(self, steps: int) -> float | None:
        if self._first_s is None or self._steps < 2:
            return None
        return steps * (self._last_s - self._first_s) / (self._steps - 1)


class _Courier:
    """A thread that brings the newest bytes to one place."""

    def __init__(
        self,
        deliver: Callable[[bytes], None],
        where: str,
        every_s: float,
        say: Callable[[str], None],
    ) -> None:
        self.every_s = every_s
        self._deliver, self._where, self._say = deliver, where, say
        self._changed = threading.Condition()
        self._newest: bytes | None = None
        self._closed = self._failing = False
        self._posted_s = float("-inf")
        self._thread = threading.Thread(target=self._work, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_due(self, at_s: float) -> bool:
        return at_s - self._posted_s >= self.every_s

    def post(self, data: bytes, at_s: float) -> None:
        self._posted_s = at_s
        with self._changed:
            self._newest = data
            self._changed.notify()

    def close(self, timeout_s: float) -> None:
        """Bring what is waiting, for at most `timeout_s`."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._closed)
                data, self._newest = self._newest, None
            if data is None:
                return
            try:
                self._deliver(data)
            except ModersmalError as error:
                self._tell(failing=True, sentence=f"{error}; training goes on without it")
            else:
                self._tell(failing=False, sentence=f"{self._where} is written again")

    def _tell(self, *, failing: bool, sentence: str) -> None:
        """Say it once when it begins to fail, and once when it works again."""
        if failing != self._failing:
            self._failing = failing
            self._say(sentence)
