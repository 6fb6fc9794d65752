"""Where jobs are kept: a ledger that threads work on, and the recordings that belong to it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from modersmal.database import Database
from modersmal.serve.jobs.job import Job
from modersmal.serve.jobs.ledger import Ledger
from modersmal.serve.voices import Voices

_Result = TypeVar("_Result")
_THREADS = 4


@dataclass(frozen=True)
class Shelf:
    """A ledger and its recordings. `lasting` ones outlive the server."""

    ledger: Ledger
    voices: Voices
    threads: ThreadPoolExecutor
    lasting: bool

    @classmethod
    def lasting_at(cls, database: Database, folder: Path) -> "Shelf":
        """What is kept in the server's database and below its folder."""
        threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="jobs")
        return cls(Ledger(database), Voices(folder), threads, lasting=True)

    @classmethod
    def fleeting(cls, folder: Path) -> "Shelf":
        """What is kept in memory, and whose recordings go with the server."""
        # A database in memory is that of the one thread that has opened it.
        threads = ThreadPoolExecutor(1, thread_name_prefix="protected")
        ledger = threads.submit(lambda: Ledger(Database.open("sqlite://"))).result()
        return cls(ledger, Voices(folder), threads, lasting=False)

    async def do(self, work: Callable[[Ledger], _Result]) -> _Result:
        """Work on the ledger, while others are served."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, work, self.ledger)

    async def handle(self, work: Callable[[Voices], _Result]) -> _Result:
        """Work on the recordings, while others are served."""
        return await asyncio.to_thread(work, self.voices)

    def close(self) -> None:
        self.threads.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class Place:
    """A job, and where it is kept."""

    job: Job
    shelf: Shelf
