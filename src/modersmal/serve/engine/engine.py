"""The engine: recordings in, text out in their order, whatever ends midway."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from modersmal.config import LimitsConfig
from modersmal.errors import Busy, ModersmalError, Unavailable
from modersmal.serve.engine.batching import Batch, CannotError, Queue, Ticket
from modersmal.serve.engine.child import ChildEnded
from modersmal.serve.engine.hearing import Hearing
from modersmal.serve.engine.models import Models
from modersmal.serve.engine.options import Wish
from modersmal.serve.engine.results import Heard, Piece
from modersmal.serve.engine.writer import Writer, Wrote

_TRIES, _PATIENT_TRIES = 2, 3  # of one part, each in a new process
_REST_S = 2.0  # before a model that could not be loaded is tried again
_LONGEST_WAIT_S = 60
_RECENT = 0.2  # the weight of the last batch in the speed


@dataclass(frozen=True)
class EngineState:
    """How the engine stands. `model` names what was asked to be served; `speed` is seconds of
    speech a second, of late; `trouble` says in a sentence why a newer release does not answer;
    `measured` is seconds a clip, by batch."""

    model: str
    release: str | None
    language: str | None
    languages: tuple[str, ...]
    device: str | None
    ready: bool
    trouble: str | None
    waiting: int
    waiting_s: float
    speed: float
    pids: tuple[int, ...]
    batches: int
    speech_s: float
    swaps: int
    restarts: int
    measured: dict[str, float] = field(default_factory=dict)


class Engine:
    """Processes that decode, one with the model, and who waits for it. Made by `start`."""

    def __init__(self, hearing: Hearing, models: Models, limits: LimitsConfig) -> None:
        self._hearing, self._models, self._limits = hearing, models, limits
        self._queue = Queue()
        self._wake = asyncio.Event()
        self._working: asyncio.Task[None] | None = None
        self._speed = 1.0
        self._batches, self._speech_s = 0, 0.0

    @classmethod
    async def start(
        cls,
        model: str,
        *,
        limits: LimitsConfig,
        release: int | None = None,
        watch_s: float = 10.0,
        device: str = "auto",
        offline: bool = False,
    ) -> "Engine":
        """Load `model`: a Hub id, a folder, a run, a release, "bundled", or a store.

        Of a store it is the latest release, also when that changes, or `release` for good.

        Raises:
            ModersmalError: there is no such model, or it does not work.
        """
        hearing = Hearing(limits)
        models = Models(model, release=release, watch_s=watch_s, device=device, offline=offline)
        engine = cls(hearing, models, limits)
        try:
            await asyncio.gather(hearing.start(), models.start())
        except BaseException:
            await engine.close()
            raise
        engine._working = asyncio.create_task(engine._work())
        return engine

    async def hear(self, upload: Path, folder: Path, *, max_bytes: int) -> Heard:
        """Decode a file into `folder`, and find where somebody speaks.

        Raises:
            AudioError: it is no audio, damaged, or over a cap on bytes, seconds or time.
        """
        return await self._hearing.hear(upload, folder, max_bytes=max_bytes)

    def transcribe(
        self, heard: Heard, wish: Wish, *, first_part: int = 0, patient: bool = False
    ) -> AsyncGenerator[Piece, None]:
        """The text of a recording from its part `first_part` on, in order, as it is written.

        Closing the iterator cancels what is left. Who is not `patient` is refused where too many
        wait; while it is iterated over, it raises Unavailable where the model's process ended
        again and again over one part.

        Raises:
            Busy: too much waits already.
            RecipeError: the model does not write that language.
        """
        self._models.current.about.token_of(wish.language)
        ticket = Ticket(heard, wish, first_part, patient)
        if not patient:
            self._must_have_room(ticket)
        return self._pieces(ticket)

    def state(self) -> EngineState:
        """How it stands now."""
        models = self._models
        writer = models.current if models.ready else None
        about = writer.about if writer else None
        own = (about.language,) if about and about.language else ()
        return EngineState(
            model=models.name,
            release=about.release if about else None,
            language=about.language if about else None,
            languages=own or tuple(sorted(about.tokens)) if about else (),
            device=about.device if about else None,
            ready=models.ready and self._working is not None and not self._working.done(),
            trouble=models.trouble,
            waiting=sum(1 for _ in self._queue),
            waiting_s=self._queue.waiting_s(patient=False) + self._queue.waiting_s(patient=True),
            speed=self._speed,
            pids=(*models.pids, *self._hearing.pids),
            batches=self._batches,
            speech_s=self._speech_s,
            swaps=models.swaps,
            restarts=models.restarts,
            measured=writer.measured() if writer else {},
        )

    async def look(self) -> bool:
        """Look at the store now, rather than when it is time. See `Models.look`."""
        return await self._models.look()

    async def close(self) -> None:
        """End all processes; who still waits is told."""
        if self._working:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)
        await self._models.close()
        await self._hearing.close()

    def _must_have_room(self, ticket: Ticket) -> None:
        waiting_s = self._queue.waiting_s(patient=False)
        room_s = self._limits.queue_minutes * 60
        if waiting_s and waiting_s + ticket.waiting_s > room_s:
            wait_s = min(_LONGEST_WAIT_S, max(1, math.ceil(waiting_s / self._speed / 2)))
            raise Busy(f"too much is waiting; try again in {wait_s} s", wait_s)

    async def _pieces(self, ticket: Ticket) -> AsyncGenerator[Piece, None]:
        if ticket.next_part >= len(ticket.heard.parts):
            return
        self._queue.add(ticket)
        self._wake.set()
        try:
            while (told := await ticket.told.get()) is not None:
                if isinstance(told, ModersmalError):
                    raise told
                yield told
        finally:
            self._queue.remove(ticket)

    async def _work(self) -> None:
        try:
            while True:
                try:
                    await self._one_step()
                except Unavailable as error:
                    self._give_up(error)
                    await asyncio.sleep(_REST_S)
        finally:  # nobody waits for what will not come
            for ticket in self._queue:
                self._fail(ticket, Unavailable("the server is being stopped"))

    async def _one_step(self) -> None:
        """Write one batch; where nobody waits, measure something, or wait for somebody."""
        writer = self._models.current
        if not writer.child.alive:
            writer = await self._models.revived()
        if self._queue:
            try:
                batch = self._queue.take(writer.about, writer.best_clips)
            except CannotError as error:
                self._fail(error.ticket, error.reason)
                return
            if batch:
                await self._write(writer, batch)
            return
        if (unmeasured := writer.unmeasured()) is not None:
            with suppress(ChildEnded):  # the next step sees it
                await writer.measure(*unmeasured)
            return
        self._wake.clear()
        await self._wake.wait()

    async def _write(self, writer: Writer, batch: Batch) -> None:
        began_s = time.monotonic()
        parts = [(str(ticket.heard.samples), group.span) for ticket, group in batch.parts]
        try:
            written = await writer.write(parts, batch.task)
        except ChildEnded:
            for ticket in {ticket: None for ticket, _ in batch.parts}:
                ticket.tries += 1
                if ticket.tries >= (_PATIENT_TRIES if ticket.patient else _TRIES):
                    self._fail(ticket, Unavailable("transcribing it ended its process; try again"))
            return
        except ModersmalError as error:
            for ticket in {ticket: None for ticket, _ in batch.parts}:
                self._fail(ticket, error)
            return
        self._deliver(writer, batch, written)
        took_s = max(time.monotonic() - began_s, 1e-3)
        self._speed += _RECENT * (batch.length_s / took_s - self._speed)
        self._batches += 1
        self._speech_s += batch.length_s

    def _deliver(self, writer: Writer, batch: Batch, written: list[Wrote]) -> None:
        for (ticket, group), wrote in zip(batch.parts, written, strict=True):
            piece = Piece(
                part=group.part,
                next_part=group.next_part,
                segments=wrote.segments,
                language=wrote.language,
                release=writer.about.release,
            )
            ticket.take(piece)
            if ticket.next_part >= len(ticket.heard.parts):
                self._queue.remove(ticket)

    def _fail(self, ticket: Ticket, error: ModersmalError) -> None:
        self._queue.remove(ticket)
        ticket.told.put_nowait(error)

    def _give_up(self, error: Unavailable) -> None:
        """Tell those who are not patient that there is no model now."""
        for ticket in self._queue:
            if not ticket.patient:
                self._fail(ticket, error)
