"""Run shards in worker processes: a bounded number at a time, none left behind when we are killed.

Workers start afresh ("spawn"), on every platform alike, and begin to import while the plan is
still being made.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from types import ModuleType
from typing import Any

from modersmal.errors import ModersmalError

Task = Callable[..., int]


class WorkerPool:
    """`with WorkerPool(2) as pool: for rows in pool.run(function, tasks): …`

    One worker means this very process.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._executor: ProcessPoolExecutor | None = None
        if workers > 1:
            self._executor = ProcessPoolExecutor(workers, get_context("spawn"), _begin)
            with hidden_main():
                for _ in range(workers):
                    self._executor.submit(_warm_up)

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *raised: Any) -> None:
        if self._executor:
            self._executor.shutdown(cancel_futures=True)

    def run(self, function: Task, tasks: Iterable[tuple[Any, ...]]) -> Iterator[int]:
        """Call `function(*task)` for each task, yielding results as they come.

        At most one task more than there are workers is taken ahead, since tasks carry audio.

        Raises:
            ModersmalError: what a task raised, or that a worker was killed.
        """
        if self._executor is None:
            for task in tasks:
                yield function(*task)
            return
        pending: set[Future[int]] = set()
        try:
            for task in tasks:
                pending.add(self._executor.submit(function, *task))
                if len(pending) > self.workers:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool:
            raise ModersmalError(
                "a worker process was killed, most likely for want of memory; start the same "
                "command again with fewer workers, it goes on where it was"
            ) from None


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def hidden_main() -> Iterator[None]:
    """Keep new processes from running the caller's script again, as they would without need.

    So a script may call us outside `if __name__ == "__main__"`, and workers start faster.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _begin() -> None:
    """Leave Ctrl-C to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _warm_up() -> int:
    """Import what a worker needs."""
    import modersmal.corpus.worker

    return len(modersmal.corpus.worker.__name__)
