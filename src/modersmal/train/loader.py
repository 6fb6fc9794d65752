"""Batches ahead of time: coming steps are read in threads while training goes on."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

from modersmal.train.batch import StepBatch
from modersmal.train.reading import Reader


class Loader:
    """Has the batches of coming steps read in `workers` threads; 0: when asked for."""

    def __init__(self, reader: Reader, workers: int) -> None:
        self.reader, self._workers = reader, workers

    def steps(self, first: int, last: int) -> Generator[StepBatch, None, None]:
        """The batches of steps `first` to `last - 1`, a few decoded ahead."""
        if self._workers == 0:
            yield from map(self.reader.load, range(first, last))
            return
        ahead: deque[Future[StepBatch]] = deque()
        with ThreadPoolExecutor(self._workers, thread_name_prefix="loader") as pool:
            try:
                for step in range(first, last):
                    ahead.append(pool.submit(self.reader.load, step))
                    if len(ahead) > self._workers:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
