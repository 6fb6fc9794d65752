"""Uploads to samples and the speech in them, in processes that stand ready and can be killed."""

import asyncio
from pathlib import Path

from modersmal.config import LimitsConfig
from modersmal.corpus.pool import available_cores
from modersmal.errors import AudioError, Unavailable
from modersmal.serve.engine.child import Answer, Child, ChildEnded, Question
from modersmal.serve.engine.results import SAMPLES_FILE, Heard, Span

_MODULE = "modersmal.serve.engine.hearing_process"
_MOST_AT_ONCE = 4
_TRIES = 2 * _MOST_AT_ONCE  # somebody may have killed all that stand ready, and once more


class Hearing:
    """Processes that decode, one file each at a time."""

    def __init__(self, limits: LimitsConfig) -> None:
        self._limits = limits
        self._ready: asyncio.LifoQueue[Child] = asyncio.LifoQueue()
        self._children: set[Child] = set()

    async def start(self) -> None:
        for _ in range(min(available_cores(), _MOST_AT_ONCE)):
            await self._add()

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in self._children]

    async def hear(self, upload: Path, folder: Path, *, max_bytes: int) -> Heard:
        """Decode `upload` into `folder`, which is there; again where a process was killed.

        Raises:
            AudioError: it is no audio, damaged, or over a cap on bytes, seconds or time.
            Unavailable: whatever decodes is killed again and again.
        """
        samples = folder / SAMPLES_FILE
        question = {
            "upload": str(upload),
            "samples": str(samples),
            "max_bytes": max_bytes,
            "max_duration_s": self._limits.max_hours * 3600,
        }
        for _ in range(_TRIES):
            answer = await self._answer(question)
            if answer is not None:
                parts = tuple(Span(start, end) for start, end in answer["parts"])
                return Heard(samples, answer["duration_s"], parts)
        raise Unavailable("the file was not decoded: what decodes is being killed; try again")

    async def close(self) -> None:
        for child in list(self._children):
            await child.close()
        self._children.clear()

    async def _answer(self, question: Question) -> Answer | None:
        """What one process answers; None where somebody has killed it. Raises AudioError."""
        child = await self._ready.get()
        try:
            return await child.ask(question, within_s=self._limits.decode_wall_s)
        except TimeoutError:
            raise AudioError(
                f"the file took over {self._limits.decode_wall_s:g} s to decode and was given up"
            ) from None
        except ChildEnded as ended:
            if ended.killed:
                return None
            raise AudioError(
                "the file cannot be decoded: the process that tried was ended by it"
            ) from None
        finally:
            await self._back(child)

    async def _back(self, child: Child) -> None:
        """Let the next file have it, or a new one in its place."""
        if child.alive and child in self._children:
            self._ready.put_nowait(child)
        elif child in self._children:
            self._children.discard(child)
            await asyncio.shield(self._add())

    async def _add(self) -> None:
        child = await Child.start(_MODULE)
        self._children.add(child)
        self._ready.put_nowait(child)
