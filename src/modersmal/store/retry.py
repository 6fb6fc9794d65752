"""Try again, in this one place: exponential backoff with full jitter, bounded by time."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from modersmal.store.trouble import asked_to_wait_s, passing

T = TypeVar("T")


@dataclass(frozen=True)
class Backoff:
    """How long to go on trying. `clock`, `sleep` and `jitter` (0 to 1) come in from outside.

    The n-th wait is drawn between 0 and `first_s` times 2 to the n, at most `longest_s`, so that
    machines which lost the same server do not all come back at once. A server that says how long
    to wait is obeyed.
    """

    first_s: float = 0.5
    longest_s: float = 20.0
    within_s: float = 60.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    jitter: Callable[[], float] = random.random

    def wait_s(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, counted from 0."""
        return self.jitter() * min(self.longest_s, self.first_s * 2.0 ** min(failures, 30))

    def run(self, attempt: Callable[[], T]) -> T:
        """Call `attempt` until it succeeds, fails for good, or `within_s` seconds have passed.

        Raises what the last attempt raised.
        """
        ends_s = self.clock() + self.within_s
        failures = 0
        while True:
            try:
                return attempt()
            except Exception as error:
                wait_s = max(self.wait_s(failures), asked_to_wait_s(error))
                if not passing(error) or self.clock() + wait_s > ends_s:
                    raise
            self.sleep(wait_s)
            failures += 1
