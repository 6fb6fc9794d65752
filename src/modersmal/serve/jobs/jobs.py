"""The jobs of a server: each goes on by itself, whoever looks, and whatever ends midway.

A job whose source is protected is kept in memory, and its recording in a folder that is emptied
when the server starts: it is gone when its person erases it, an hour after they last looked, or
with the server.
"""

import asyncio
import logging
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modersmal.audio import SAMPLE_RATE
from modersmal.errors import Busy, ModersmalError, StoreDamaged, Unavailable
from modersmal.serve.engine.options import Wish
from modersmal.serve.engine.results import HEARD_FILE, SAMPLES_FILE, Heard, Piece
from modersmal.serve.jobs.follower import Follower
from modersmal.serve.jobs.job import UNDER_WAY, Job
from modersmal.serve.jobs.shelf import Place, Shelf
from modersmal.serve.problems import Problem
from modersmal.serve.serving import Serving
from modersmal.serve.voices import UPLOAD_FILE

MOST_UNDER_WAY = 200
PROTECTED_IDLE_S = 3600.0
_LOG = logging.getLogger("modersmal.serve")
_DAY_S = 24 * 3600.0
_SWEEP_EVERY_S = 60.0
_TRIES, _REST_S = 5, 5.0  # while no model is loaded
_TOKEN_BYTES = 32
_BUSY_S = 60
_FAULT = "the server failed at this; its log says why"


@dataclass(frozen=True)
class Pace:
    """When a job's text was begun, and how far it was then."""

    begun_s: float
    reached_s: float

    def left_s(self, job: Job, now_s: float) -> float | None:
        """Seconds until its text is whole, as it went so far."""
        done_s, took_s = job.reached_s - self.reached_s, now_s - self.begun_s
        if job.duration_s is None or done_s <= 0 or took_s <= 0:
            return None
        return max(0.0, job.duration_s - job.reached_s) * took_s / done_s


class Jobs:
    """Takes recordings, transcribes them, and erases them when their time is over."""

    def __init__(
        self, serving: Serving, follower: Follower, now: Callable[[], float] = time.time
    ) -> None:
        self._serving, self._follower, self._now = serving, follower, now
        self._protected_folder = serving.requests_folder / "protected"
        self._shelves: list[Shelf] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed: dict[str, asyncio.Event] = {}
        self._paces: dict[str, Pace] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self.stopping = False

    async def start(self) -> None:
        """Go on with what an earlier server had begun, and erase what it had not."""
        folder = self._protected_folder
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        await asyncio.to_thread(lambda: folder.mkdir(mode=0o700, parents=True))
        lasting = Shelf.lasting_at(self._serving.database, self._serving.recordings_folder)
        self._shelves = [lasting, Shelf.fleeting(folder)]
        await self._erase_again(lasting)
        await self._erase_unknown(lasting)
        for job in await lasting.do(lambda ledger: ledger.under_way()):
            self._begin(Place(job, lasting))
        self._sweeper = asyncio.create_task(self._sweep_again_and_again())

    async def stop(self) -> None:
        """Leave what is under way to the next start; protected jobs go."""
        self.stopping = True
        tasks = [*self._tasks.values(), *filter(None, [self._sweeper])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for job_id in list(self._changed):
            self.tell(job_id)
        for shelf in self._shelves:
            shelf.close()
        await asyncio.to_thread(shutil.rmtree, self._protected_folder, ignore_errors=True)

    async def submit(self, upload: Path, wish: dict[str, Any], title: str, protected: bool) -> str:
        """Take a recording that came in; returns the token of its private link.

        Raises:
            LanguageError, RecipeError: the wish is none.
            Busy: too many are under way.
        """
        Wish(**_told(wish))
        if len(self._tasks) >= MOST_UNDER_WAY:
            raise Busy(
                f"{MOST_UNDER_WAY} recordings are under way; try again in {_BUSY_S} s", _BUSY_S
            )
        shelf = self._shelves[1 if protected else 0]
        token, now_s = secrets.token_urlsafe(_TOKEN_BYTES), self._now()
        lasts_s = PROTECTED_IDLE_S if protected else self._serving.settings.retention_days * _DAY_S
        job = Job(
            id=secrets.token_hex(16),
            title=title,
            state="waiting",
            wish=wish,
            protected=protected,
            created_s=now_s,
            expires_s=now_s + lasts_s,
            duration_s=None,
            reached_s=0.0,
            next_part=0,
            language=None,
            release=None,
            error=None,
            changes=0,
        )
        await shelf.handle(lambda voices: voices.make(job.id))
        await shelf.handle(lambda voices: voices.take(upload, job.id))
        await shelf.do(lambda ledger: ledger.add(job, token))
        self._begin(Place(job, shelf))
        return token

    async def find(self, token: str) -> Place:
        """The job that a private link leads to. Raises Problem 404 where there is none."""
        for shelf in self._shelves:
            job = await shelf.do(lambda ledger: ledger.find(token))
            if job is not None:
                return await self._looked_at(Place(job, shelf))
        raise Problem(404, "there is no such recording: it was erased, or the link is not whole")

    async def agreed(self, job: Job) -> bool:
        """Whether its person has agreed that their corrections are kept."""
        return await self._follower.agreed(job)

    def left_s(self, job: Job) -> float | None:
        """Seconds until a job's text is whole; None where that is not known yet."""
        pace = self._paces.get(job.id)
        return pace.left_s(job, time.monotonic()) if pace and job.state == "writing" else None

    async def cancel(self, place: Place) -> None:
        """Let what is written stand, and write no more."""
        await place.shelf.do(lambda ledger: ledger.move(place.job.id, "cancelled"))
        await self._end(place.job.id)
        await place.shelf.handle(lambda voices: _remove_work(voices.folder(place.job.id)))
        self.tell(place.job.id)

    async def edited(self, place: Place) -> None:
        """Say that somebody has changed the text of a job."""
        self.tell(place.job.id)
        await self._follower.edited(place)

    async def erase(self, place: Place) -> None:
        """Remove all that there is of a job, at once, and what its person has corrected."""
        await self._follower.erased(place.job)
        if place.shelf.lasting:
            await place.shelf.handle(lambda voices: voices.tombstones.bury([place.job.id]))
        await self._remove(place)
        await self._follower.erased(place.job)  # of what was agreed to in between

    async def _remove(self, place: Place) -> None:
        await self._end(place.job.id)
        await place.shelf.do(lambda ledger: ledger.erase(place.job.id))
        await place.shelf.handle(lambda voices: voices.erase(place.job.id))
        self.tell(place.job.id)

    async def sweep(self) -> None:
        """Erase what has expired."""
        for shelf in self._shelves:
            for job_id in await shelf.do(lambda ledger: ledger.expired(self._now())):
                await self._erase_expired(shelf, job_id)

    def change_of(self, job_id: str) -> asyncio.Event:
        """Set when something of a job has changed after this call."""
        return self._changed.setdefault(job_id, asyncio.Event())

    def tell(self, job_id: str) -> None:
        """Say that something of a job has changed."""
        if event := self._changed.pop(job_id, None):
            event.set()

    async def _looked_at(self, place: Place) -> Place:
        """Let a protected job stay a while longer."""
        if place.job.protected:
            expires_s = self._now() + PROTECTED_IDLE_S
            await place.shelf.do(lambda ledger: ledger.update(place.job.id, expires_s=expires_s))
        return place

    async def _erase_expired(self, shelf: Shelf, job_id: str) -> None:
        job = await shelf.do(lambda ledger: ledger.get(job_id))
        if job is not None:
            await self._remove(Place(job, shelf))
            await self._follower.expired(job)

    async def _erase_again(self, shelf: Shelf) -> None:
        """Remove what its person had erased, and a backup has brought back."""
        erased = await shelf.handle(lambda voices: voices.tombstones.buried())
        for job in await shelf.do(lambda ledger: [ledger.get(one) for one in erased]):
            if job is not None:
                await self._follower.erased(job)
                await self._remove(Place(job, shelf))

    async def _erase_unknown(self, shelf: Shelf) -> None:
        """Remove recordings that no job is known of: a server was stopped at a bad moment."""
        known = await shelf.do(lambda ledger: ledger.ids())
        await shelf.handle(lambda voices: voices.keep_only(known))

    def _begin(self, place: Place) -> None:
        task = asyncio.create_task(self._run(place))
        self._tasks[place.job.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(place.job.id, None))

    async def _end(self, job_id: str) -> None:
        if task := self._tasks.get(job_id):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self, place: Place) -> None:
        job, shelf = place.job, place.shelf
        try:
            await self._transcribe(place)
            await shelf.do(lambda ledger: ledger.move(job.id, "done"))
        except ModersmalError as error:
            sentence = str(error)
            await shelf.do(lambda ledger: ledger.move(job.id, "failed", error=sentence))
        except Exception as error:
            _LOG.error("a job failed: %s", type(error).__name__, exc_info=error)
            await shelf.do(lambda ledger: ledger.move(job.id, "failed", error=_FAULT))
        finally:
            self._paces.pop(job.id, None)
            self.tell(job.id)
        await shelf.handle(lambda voices: _remove_work(voices.folder(job.id)))

    async def _transcribe(self, place: Place) -> None:
        job, shelf = place.job, place.shelf
        heard = await self._heard(place)
        if not await shelf.do(lambda ledger: ledger.move(job.id, "writing")):
            return
        self.tell(job.id)
        self._paces[job.id] = Pace(time.monotonic(), job.reached_s)
        wish = Wish(**_told(job.wish))
        for attempt in range(_TRIES):
            try:
                pieces = self._serving.engine.transcribe(
                    heard, wish, first_part=job.next_part, patient=True
                )
                break
            except Unavailable:
                if attempt == _TRIES - 1:
                    raise
                await asyncio.sleep(_REST_S)
        async with aclosing(pieces) as opened:
            async for piece in opened:
                if not await self._keep(place, heard, piece):
                    return

    async def _keep(self, place: Place, heard: Heard, piece: Piece) -> bool:
        """Keep a piece of text; False where the job is not under way any more."""
        reached_s = heard.parts[piece.next_part - 1].end / SAMPLE_RATE
        kept = await place.shelf.do(lambda ledger: ledger.write(place.job.id, piece, reached_s))
        self.tell(place.job.id)
        return kept

    async def _heard(self, place: Place) -> Heard:
        """The recording as samples, which are kept until its text is whole."""
        job, shelf = place.job, place.shelf
        folder = shelf.voices.folder(job.id)
        with suppress(StoreDamaged):
            return await asyncio.to_thread(Heard.load, folder)
        await shelf.do(lambda ledger: ledger.move(job.id, "hearing"))
        self.tell(job.id)
        heard = await self._serving.engine.hear(
            folder / UPLOAD_FILE,
            folder,
            max_bytes=self._serving.settings.limits.max_job_mib << 20,
        )
        await shelf.handle(lambda voices: voices.encode(heard, job.id))
        await asyncio.to_thread(heard.save)
        (folder / UPLOAD_FILE).unlink(missing_ok=True)
        await shelf.do(lambda ledger: ledger.update(job.id, duration_s=heard.duration_s))
        return heard

    async def _sweep_again_and_again(self) -> None:
        while True:
            try:
                await self.sweep()
            except ModersmalError as error:
                _LOG.error("what has expired could not be erased: %s", error)
            await asyncio.sleep(_SWEEP_EVERY_S)


def under_way(job: Job) -> bool:
    return job.state in UNDER_WAY


def _told(wish: dict[str, Any]) -> dict[str, Any]:
    return wish | {"names": tuple(wish.get("names", ()))}


def _remove_work(folder: Path) -> None:
    """Remove what is needed no more once a text is whole, or will not be."""
    for name in (UPLOAD_FILE, SAMPLES_FILE, HEARD_FILE):
        (folder / name).unlink(missing_ok=True)
