"""Batches ahead of time: coming steps are read in threads or processes while training goes on.

Threads cost nothing to start and share what they have read, and decoding leaves Python's lock. A
process of its own pays where there are cores to spare and a fast device to feed: what holds the
lock there then no longer holds up the training (benchmarks/loader.py measures both).
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Literal

from modersmal.corpus.pool import available_cores
from modersmal.train.batch import StepBatch
from modersmal.train.reader_process import CAN_BE_USED, ReaderProcess
from modersmal.train.reading import Reader

Load = Callable[[int], StepBatch]

_CORES_FOR_PROCESSES = 4  # with fewer, each takes from the training what it gives
_MOST_WORKERS = 8


@dataclass(frozen=True)
class Workers:
    """How many read ahead, and whether each is a process or a thread; 0: the training itself."""

    count: int
    processes: bool = False

    @classmethod
    def choose(
        cls,
        setting: int | Literal["auto"],
        *,
        cores: int | None = None,
        env: Mapping[str, str] = os.environ,
    ) -> "Workers":
        """What the recipe asks for; "auto": one thread on few cores, else processes on half of
        those that are this training's (of several that torchrun has started, each has its part)."""
        mine = (cores or available_cores()) // int(env.get("LOCAL_WORLD_SIZE", "1"))
        processes = CAN_BE_USED and mine >= _CORES_FOR_PROCESSES
        if setting != "auto":
            return cls(setting, processes and setting > 0)
        return cls(min(_MOST_WORKERS, mine // 2) if processes else 1, processes)


class Loader:
    """Has the batches of coming steps read by `workers`.

    Where `finish` is set, it is called with every batch ahead of time too, in a thread.
    """

    def __init__(
        self,
        reader: Reader,
        workers: Workers,
        finish: Callable[[StepBatch], StepBatch] | None = None,
    ) -> None:
        self.reader, self.workers, self._finish = reader, workers, finish

    def steps(self, first: int, last: int) -> Generator[StepBatch, None, None]:
        """The batches of steps `first` to `last - 1`, a few of them ahead of time, in order.

        Raises:
            TrainingError: a process that reads was killed.
            Exception: what reading the step raised, when it is this step's turn.
        """
        if self.workers.count == 0:
            yield from map(self._finished(self.reader.load), range(first, last))
            return
        ahead: deque[Future[StepBatch]] = deque()
        with self._loading() as load:
            for step in range(first, last):
                ahead.append(load(step))
                if len(ahead) > self.workers.count:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    @contextmanager
    def _loading(self) -> Iterator[Callable[[int], Future[StepBatch]]]:
        """What has a step read: in a thread, or in a process that a thread waits for."""
        free: SimpleQueue[ReaderProcess] = SimpleQueue()

        def load_elsewhere(step: int) -> StepBatch:
            process = free.get()
            try:
                return process.load(step)
            finally:
                free.put(process)

        load = self._finished(load_elsewhere if self.workers.processes else self.reader.load)
        pool = ThreadPoolExecutor(self.workers.count, thread_name_prefix="loader")
        with ExitStack() as ending:
            processes: list[ReaderProcess] = []
            for _ in range(self.workers.count if self.workers.processes else 0):
                processes.append(ReaderProcess(self.reader))
                ending.callback(processes[-1].close)
                free.put(processes[-1])
            ending.callback(pool.shutdown, wait=True, cancel_futures=True)
            for process in processes:
                ending.callback(process.kill)  # first of all, so that no thread waits for it
            yield lambda step: pool.submit(load, step)

    def _finished(self, load: Load) -> Load:
        finish = self._finish
        return (lambda step: finish(load(step))) if finish else load
