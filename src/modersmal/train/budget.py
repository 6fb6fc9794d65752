"""How long a session may last, what the work in it costs, and when to stop so that all fits.

Budget is arithmetic: its clock and every duration are given to it. pace.py asks it before each
piece of work, and tells it how long each took.
"""

import math
import os
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from modersmal.errors import RecipeError

Work = Literal["step", "save", "upload", "evaluation"]

_RECENT = 128
_MARGIN = 1.5  # how much longer than the longest recent one the next is allowed to take
_WORKS: tuple[Work, ...] = ("step", "save", "upload", "evaluation")
_DISK_BYTES_PER_S = 100e6  # assumed until the first checkpoint was written, and uploaded
_UPLOAD_BYTES_PER_S = 10e6

_DURATION = re.compile(
    r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?"
)
_SECONDS = {"h": 3600, "m": 60, "s": 1}
_PLATFORM_S = 120.0  # by which a platform may end a session too early
_ENDING_S = 3.0  # to end the processes and give back the lease
_REMOTE_ENDING_S = 10.0  # and to bring the last news to a remote


@dataclass(frozen=True)
class Limit:
    """When a session ends, on the clock `now_s`, and who says so."""

    at_s: float
    reason: str


def now_s() -> float:
    """Seconds on a clock that never jumps and, on Linux, goes on while the machine sleeps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def parse_budget(text: str) -> float:
    """Seconds of a duration such as "2h50m", "90m", "1.5h" or "45s". Raises RecipeError."""
    found = _DURATION.fullmatch(text.strip().lower())
    parts = found.groupdict(default="0") if found else {}
    seconds = sum(float(count) * _SECONDS[unit] for unit, count in parts.items())
    if not seconds:
        raise RecipeError(f"{text!r} is no length of time; write it as in 2h50m, 90m or 45s")
    return seconds


def parse_deadline(text: str) -> datetime:
    """A moment such as "2026-12-24T18:00+01:00"; without an offset it is local time.

    Raises:
        RecipeError: it is no such moment, or has no time of day.
    """
    wanted = "write it as in 2026-12-24T18:00 or 2026-12-24T18:00+01:00"
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise RecipeError(f"the deadline {text!r} is no date and time; {wanted}") from None
    if ":" not in text:
        raise RecipeError(f"the deadline {text!r} has no time of day; {wanted}")
    return moment.astimezone()


def platform_limit(
    env: Mapping[str, str],
    *,
    age_s: float = 0.0,
    clock: Callable[[], float] = now_s,
    wall: Callable[[], float] = time.time,
) -> Limit | None:
    """The end that the platform sets to this session, told from its environment variables.

    `age_s` is for how long the session has been going on. None where no limit is known, or where
    the session has outlived it, so that it does not hold here.
    """
    slurm_end = env.get("SLURM_JOB_END_TIME", "")
    if slurm_end.isdigit():
        left_s = int(slurm_end) - wall()
        reason = "the end of the Slurm job (SLURM_JOB_END_TIME)"
    elif "COLAB_RELEASE_TAG" in env or "COLAB_BACKEND_VERSION" in env:
        left_s = 12 * 3600 - age_s
        reason = "Colab ends sessions after 12 h; it promises no length, and may end one earlier"
    elif "KAGGLE_KERNEL_RUN_TYPE" in env:
        left_s = 12 * 3600 - age_s
        reason = "Kaggle ends sessions after 12 h"
    elif "MODAL_TASK_ID" in env:
        left_s = 24 * 3600.0  # counted anew for every call, however old the container is
        reason = "Modal ends calls after 24 h; where timeout= is shorter, set a budget"
    else:
        return None
    if left_s <= 0:
        return None
    return Limit(clock() + left_s - _PLATFORM_S, reason)


def session_limit(
    budget: str | None,
    deadline: str | None,
    env: Mapping[str, str],
    *,
    age_s: float = 0.0,
    clock: Callable[[], float] = now_s,
    wall: Callable[[], float] = time.time,
) -> Limit | None:
    """The earliest of the budget, which counts from now, the deadline and the platform's limit.

    Raises:
        RecipeError: one of them cannot be read, or the deadline has passed.
    """
    limits = []
    if budget is not None:
        limits.append(Limit(clock() + parse_budget(budget), f"the budget of {budget}"))
    if deadline is not None:
        left_s = parse_deadline(deadline).timestamp() - wall()
        if left_s <= 0:
            raise RecipeError(f"the deadline {deadline} has passed; set a later one, or none")
        limits.append(Limit(clock() + left_s, f"the deadline {deadline}"))
    if platform := platform_limit(env, age_s=age_s, clock=clock, wall=wall):
        limits.append(platform)
    return min(limits, key=lambda limit: limit.at_s, default=None)


def session_age_s(process: Path = Path("/proc/1/stat")) -> float:
    """For how long this machine or container has been up; 0 where that is unknown."""
    try:
        fields = process.read_text().rpartition(")")[2].split()
        began_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22 of proc(5): starttime
        return max(0.0, now_s() - began_s)
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0


class Budget:
    """The time until `ends_s` on `clock`, and what each kind of work takes of it.

    The next piece of any kind may take up to 1.5 times as long as the longest of the last 128. As
    long as none takes longer, who asks `fits` before each piece, and closes where it says no, has
    closed in time.

    `uploads` says whether checkpoints must be uploaded too. `unwritten` and `unconfirmed` are for
    the caller to keep: how many are still being written, and are still being uploaded.
    """

    def __init__(
        self, ends_s: float, clock: Callable[[], float] = now_s, *, uploads: bool = False
    ) -> None:
        self._ends_s, self._clock, self._uploads = ends_s, clock, uploads
        self._recent: dict[Work, deque[float]] = {work: deque(maxlen=_RECENT) for work in _WORKS}
        self._assumed: dict[Work, float] = dict.fromkeys(_WORKS, 0.0)
        self.steps = 0
        self.unwritten = self.unconfirmed = 0

    @property
    def left_s(self) -> float:
        """Time left; below zero when it is over."""
        return self._ends_s - self._clock()

    def took(self, work: Work, seconds: float) -> None:
        """A piece of work is done, and took so long."""
        if work == "step":
            self.steps += 1
            if self.steps == 2:  # the first one compiled and warmed up: it is not like the others
                self._recent["step"].clear()
        self._recent[work].append(seconds)

    def assume(self, work: Work, seconds: float) -> None:
        """Such work takes so long, as long as none was measured."""
        self._assumed[work] = seconds

    def assume_checkpoint(self, size: int) -> None:
        """Checkpoints have `size` bytes, and disk and network are slow, as long as none was
        measured."""
        self.assume("save", size / _DISK_BYTES_PER_S)
        self.assume("upload", size / _UPLOAD_BYTES_PER_S)

    def slow_s(self, work: Work) -> float:
        """What the next piece may take."""
        return _MARGIN * max(self._recent[work], default=self._assumed[work])

    def usual_s(self, work: Work) -> float:
        """The mean of recent pieces."""
        recent = self._recent[work]
        return math.fsum(recent) / len(recent) if recent else self._assumed[work]

    def closing_s(self, saves: int = 1, evaluations: float = 0.0) -> float:
        """What it may take to evaluate, to save, with all that waits, to have it confirmed, and
        to end."""
        seconds = evaluations * self.slow_s("evaluation")
        seconds += (saves + self.unwritten) * self.slow_s("save") + _ENDING_S
        if self._uploads:
            seconds += (saves + self.unconfirmed) * self.slow_s("upload") + _REMOTE_ENDING_S
        return seconds

    def fits(self, *works: Work, saves: int = 1, evaluations: float = 0.0) -> bool:
        """Whether these pieces of work, and closing after them, end in time."""
        return sum(map(self.slow_s, works)) + self.closing_s(saves, evaluations) <= self.left_s

    def steps_that_fit(self, evaluate_every: int, saves: int, evaluations: float) -> int:
        """How many steps go in before closing, at the usual speed, with the dev scores between.

        Two slow steps are kept free, so that `fits("step", "step")` holds until the last but one.
        """
        each_s = self.usual_s("step")
        if evaluate_every:
            each_s += self.usual_s("evaluation") / evaluate_every
        room_s = self.left_s - self.closing_s(saves, evaluations) - 2 * self.slow_s("step")
        return max(0, int(room_s / max(each_s, 1e-9)))
