"""Being asked to stop: the first SIGINT or SIGTERM is a wish, the second SIGINT an order."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


class StopNow(BaseException):
    """A stop was asked for where it need not wait; no `except Exception` takes it for a fault."""


@dataclass
class Wish:
    """Whether a stop was asked for."""

    asked: bool = False
    _raised: bool = False

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Around work that leaves nothing to save: there a stop comes as StopNow, and at once."""
        self._raised = True
        try:
            if self.asked:
                raise StopNow
            yield
        finally:
            self._raised = False

    def ask(self) -> None:
        """Ask for a stop. Raises StopNow where it need not wait."""
        self.asked = True
        if self._raised:
            self._raised = False
            raise StopNow


@contextmanager
def stop_signals(say: Callable[[str], None]) -> Iterator[Wish]:
    """Within it, the first signal sets the wish; what runs looks at it when it can stop well.

    Outside the main thread, where Python allows no handlers, nothing changes.
    """
    wish = Wish()

    def handle(number: int, frame: FrameType | None) -> None:
        if wish.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not wish.asked:
            say("Stopping: saving a checkpoint first (interrupt again to stop at once)")
            wish.ask()

    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, handle) for number in signals}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
