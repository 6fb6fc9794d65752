"""The corrections of a server: they follow the text of its jobs, and are erased in time."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakValueDictionary

from modersmal.corpus.corrections.book import Book
from modersmal.corpus.corrections.collection import Collection
from modersmal.corpus.corrections.correction import Consent, Ground, Terms, Voice
from modersmal.corpus.corrections.voices import Voices
from modersmal.errors import ModersmalError
from modersmal.serve.corrections.plan import plan
from modersmal.serve.jobs.job import Job, Segment
from modersmal.serve.jobs.ledger import Ledger
from modersmal.serve.jobs.shelf import Place
from modersmal.serve.problems import Problem, log_fault
from modersmal.serve.serving import CORRECTIONS_FOLDER, Serving
from modersmal.serve.voices import Voices as Recordings

_LOG = logging.getLogger("modersmal.serve")
_SWEEP_EVERY_S = 60.0
_FORGET_EVERY_S = 600.0  # a whole store is read for it, so not for each edit that is taken back
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Erased:
    """What a person is told when all that they have corrected is gone.

    `releases` learned from it. Where `pending`, a store still holds traces, and is being rid of
    them.
    """

    corrections: int
    releases: list[str]
    pending: bool


class Corrections:
    """Keeps what people correct, where they have agreed to it."""

    def __init__(self, serving: Serving, now: Callable[[], float] = time.time) -> None:
        settings = serving.settings.corrections
        self.enabled = settings.enabled
        self.terms = Terms(
            settings.purpose.strip(), settings.consent.strip(), settings.retention_days
        )
        self.book = Book(serving.database, now)
        self.collection = Collection(self.book, Voices(serving.folder / CORRECTIONS_FOLDER))
        self._ledger = Ledger(serving.database)
        self._recordings = Recordings(serving.recordings_folder)
        self._forgetting = serving.forgetting
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._behind: set[str] = set()  # recordings whose corrections could not follow
        self._sweeper: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._forget_at_s = 0.0  # as time.monotonic counts

    async def start(self) -> None:
        """End what an earlier server had begun, and erase what was to be erased meanwhile."""
        await _thread(self.collection.unite)
        if self.enabled:
            await _thread(self.book.note_voices, self.collection.voices.folder)
            self._behind.update(await _thread(self.book.consented))
        self._sweeper = asyncio.create_task(self._sweep_again_and_again())

    async def stop(self) -> None:
        if self._sweeper:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)

    # Consent

    async def agree(
        self, place: Place, version: str, voice: Voice, ground: Ground, key: str | None
    ) -> str:
        """Keep what is corrected in a job from now on, and what was so far; returns a person's key.

        Raises:
            Problem: 403 for a protected source; 409 where the terms are others by now, or somebody
                else has agreed.
        """
        if place.job.protected:
            raise Problem(403, "of a protected source nothing is kept", code="protected")
        if version != self.terms.version:
            raise OtherTerms(self.terms)
        async with self._lock(place.job.id):
            given = await _thread(self.book.consent, place.job.id)
            person_id = await _thread(self.book.person, key) if key else None
            if given and given.person_id != person_id:
                raise Problem(409, "somebody else has agreed already; withdraw that first")
            key = await _thread(self.book.agree, place.job.id, self.terms, voice, ground, key)
        await self.edited(place)
        return key

    async def withdraw(self, job: Job) -> None:
        """Keep nothing of a job any more, and erase what was kept."""
        async with self._lock(job.id):
            await _thread(self.collection.withdraw, job.id)
        self._forget_now()

    async def agreed(self, job: Job) -> bool:
        if job.protected:
            return False
        return await _thread(self.book.consent, job.id) is not None

    # What follows jobs

    async def edited(self, place: Place) -> None:
        """Let the corrections follow the segments. Where that fails, it is tried again."""
        if self.enabled and not place.job.protected:
            try:
                await self._follow(place.job.id)
            except Exception as error:
                self._behind.add(place.job.id)
                if not isinstance(error, ModersmalError):
                    raise
                log_fault(error)

    async def erased(self, job: Job) -> None:
        if not job.protected:
            await self.withdraw(job)

    async def expired(self, job: Job) -> None:
        if not job.protected:
            await _thread(self.book.end_consents, [job.id])

    async def _follow(self, recording: str) -> None:
        async with self._lock(recording):
            consent = await _thread(self.book.consent, recording)
            job = await _thread(self._ledger.get, recording) if consent else None
            if consent and job:
                segments = await _thread(self._ledger.corrected, recording)
                await _thread(self._settle, job, segments, consent)

    def _settle(self, job: Job, segments: list[Segment], consent: Consent) -> None:
        terms = self.book.terms(consent.version)
        if terms is None:
            return  # its person was erased meanwhile
        known = self.book.of_recording(job.id)
        made = plan(job, segments, consent, terms, known, self.book.now())
        audio = {
            name: self._recordings.span(job.id, *span_s) for name, span_s in made.spans.items()
        }
        self.collection.settle(job.id, made.saved, made.gone, audio)

    # People

    async def erase_person(self, person_id: str) -> Erased:
        """Erase all that a person has corrected, and what they have agreed to."""
        ids = [one.id for one in await _thread(self.book.of_person, person_id)]
        releases = await self._learned(ids)
        erased = await _thread(self.collection.erase_person, person_id)
        _LOG.info(
            "a person was erased, with %d corrections; releases that learned from them: %s",
            len(erased),
            ", ".join(releases) or "none that is known",
        )
        self._forget_now()
        pending = self._forgetting is not None and bool(erased)
        return Erased(len(erased), releases, pending)

    async def _learned(self, ids: list[str]) -> list[str]:
        """Which releases learned from these. A store that is away must keep nobody from leaving."""
        if self._forgetting is None or not ids:
            return []
        try:
            return await _thread(self._forgetting.learned, ids)
        except ModersmalError as error:
            log_fault(error)
            return ["unknown: the store does not answer"]

    # Time

    async def sweep(self) -> None:
        """Erase what has expired, follow what could not be followed, and clear the store."""
        await _thread(self._erase_expired)
        for recording in list(self._behind):
            await self._follow(recording)
            self._behind.discard(recording)
        if self._forgetting and time.monotonic() >= self._forget_at_s:
            erased = await _thread(self.book.unforgotten)
            if erased:
                self._forget_at_s = time.monotonic() + _FORGET_EVERY_S
                await _thread(self._forgetting.forget, erased)
                await _thread(self.book.note_forgotten, erased)

    def _forget_now(self) -> None:
        """Somebody has asked for it: let the store wait for nothing."""
        self._forget_at_s = 0.0
        self._wake.set()

    def _erase_expired(self) -> None:
        self.collection.erase(self.book.expired())
        self.book.end_consents(set(self.book.consented()) - self._ledger.ids())
        self.book.remove_unused()
        self.book.database.scrub()

    async def _sweep_again_and_again(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self.sweep()
            except Exception as error:  # it is tried again in a minute
                log_fault(error)
            try:
                async with asyncio.timeout(_SWEEP_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _lock(self, recording: str) -> asyncio.Lock:
        """Held by whoever changes the corrections of a recording."""
        return self._locks.setdefault(recording, asyncio.Lock())


class OtherTerms(Problem):
    """Somebody agrees to terms that are not those of now; the answer is what those are."""

    def __init__(self, terms: Terms) -> None:
        super().__init__(409, "the terms have changed; read them again", code="other_terms")
        self._terms = terms

    def body(self) -> dict[str, object]:
        return super().body() | {"terms": terms_table(self._terms)}


def terms_table(terms: Terms) -> dict[str, object]:
    """As the page is told of them."""
    return {
        "enabled": True,
        "purpose": terms.purpose,
        "consent": terms.consent,
        "version": terms.version,
        "retention_days": terms.retention_days,
    }


async def _thread(work: Callable[..., _Result], *arguments: object) -> _Result:
    """Do it while others are served."""
    return await asyncio.to_thread(work, *arguments)
