"""The batch that a device takes at a time is found, not guessed: it grows to what memory allows.

It begins with what surely fits. After a step that memory was measured at, the next one takes twice
as much where that fits too, until it does not, or until more does not pay. What was found at each
step is a decision of the journal, so that a run that goes back comes by the same sizes; which is
also how it is known when to stop: sizes rise, and the first that does not is the last.
"""

from itertools import pairwise, takewhile

from modersmal.train.journal import Journal
from modersmal.train.memory import Gauge

DEVICE_BATCH_S = "device_batch_s"

_MARGIN = 1.15  # samples of other lengths take somewhat more for a second
_FILLED = 0.7  # of a batch, from which on it tells what a full one takes
_WORTHWHILE = 1.2


class Growth:
    """Lets the device's batch grow to at most `most_s` seconds; without a gauge it stays."""

    def __init__(self, journal: Journal, gauge: Gauge | None, most_s: float) -> None:
        self._journal, self._gauge, self._most_s = journal, gauge, most_s

    def watch(self) -> None:
        """A step begins."""
        if self._gauge is not None:
            self._gauge.reset()

    def after(self, step: int, largest_s: float, parts: int) -> float | None:
        """Decide, `step` steps being done, how much the next one takes at a time.

        The last one took at most `largest_s` seconds of padded audio at a time, in so many parts.
        Returns the new size, None where it stays.
        """
        holding = self._journal.latest(step, DEVICE_BATCH_S)
        if self._gauge is None or holding is None or parts < 2:  # one part: more changes nothing
            return None
        size_s: float = holding.value
        if largest_s < _FILLED * size_s or not self._is_growing(step, holding.basis):
            return None
        grown_s = self._grown_s(size_s, largest_s)
        self._journal.record(step, DEVICE_BATCH_S, grown_s, holding.basis)
        return grown_s if grown_s != size_s else None

    def shrink(self, step: int, size_s: float) -> None:
        """Step number `step`, counted from 0, is to be done again with less; that ends it."""
        holding = self._journal.latest(step, DEVICE_BATCH_S)
        self._journal.record(step, DEVICE_BATCH_S, size_s, holding.basis if holding else "")

    def _is_growing(self, step: int, basis: str) -> bool:
        """Whether nothing was decided yet for what comes, and sizes have only risen so far."""
        decisions = self._journal.holding(DEVICE_BATCH_S)
        here = list(takewhile(lambda one: one.basis == basis, reversed(decisions)))
        rising = all(one.value > before.value for one, before in pairwise(here))
        return rising and here[0].step < step

    def _grown_s(self, size_s: float, largest_s: float) -> float:
        gauge = self._gauge
        if gauge is None:
            return size_s
        held = gauge.held()
        per_s = max(1.0, (gauge.peak() - held) / largest_s) * _MARGIN
        fitting_s = (gauge.usable() - held) / per_s
        grown_s = float(int(min(2 * size_s, fitting_s, self._most_s)))
        return grown_s if grown_s >= _WORTHWHILE * size_s else size_s
