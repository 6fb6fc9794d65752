"""Which model answers: the latest of a store or the Hub, swapped in when it has proven itself."""

import asyncio

from modersmal.allocator import KEEP_ALL_FREED
from modersmal.errors import ModersmalError, Unavailable
from modersmal.serve.engine.child import Child
from modersmal.serve.engine.choices import Choice, Choices, choices_of
from modersmal.serve.engine.writer import MODULE, Writer

_AGAIN_S = (1.0, 5.0, 30.0, 120.0, 600.0)  # between tries of what did not load


class Models:
    """The process with the model, another that stands ready, and a watch on where it came from."""

    def __init__(
        self, model: str, *, release: int | None, watch_s: float, device: str, offline: bool
    ) -> None:
        self._model, self._pinned, self._watch_s = model, release, watch_s
        self._device, self._offline = device, offline
        self._choices: Choices | None = None
        self._writer: Writer | None = None
        self._choice: Choice | None = None
        self._spare: Child | None = None
        self._restart = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self.trouble: str | None = None
        self.swaps = self.restarts = 0

    async def start(self) -> None:
        """Load the model. Raises ModersmalError where there is none to serve."""
        self._choices = await asyncio.to_thread(
            choices_of, self._model, self._pinned, offline=self._offline
        )
        choice = await asyncio.to_thread(self._source.chosen)
        child = await Child.start(MODULE, KEEP_ALL_FREED)
        try:
            self._writer = await self._load(child, choice)
        except BaseException:
            await child.close()
            raise
        self._choice = choice
        await self._stand_by()
        if self._choices.changes:
            self._watching = asyncio.create_task(self._watch())

    @property
    def name(self) -> str:
        """What is served, without the folders that it lies in."""
        return self._source.name

    @property
    def current(self) -> Writer:
        """The model that answers now. Raises Unavailable where none does."""
        if self._writer is None:
            raise Unavailable("no model is loaded; try again in a moment")
        return self._writer

    @property
    def ready(self) -> bool:
        return self._writer is not None and self._writer.child.alive

    @property
    def pids(self) -> list[int]:
        children = [self._writer.child if self._writer else None, self._spare]
        return [child.pid for child in children if child and child.alive]

    async def revived(self) -> Writer:
        """The model, in another process where its own has ended.

        Raises:
            Unavailable: it could not be loaded again.
        """
        async with self._restart:
            writer = self.current
            if writer.child.alive:
                return writer
            choice = self._choice
            if choice is None:
                raise Unavailable("no model is loaded; try again in a moment")
            await writer.child.close()
            self.restarts += 1
            child = await self._taken_spare()
            try:
                loaded = await self._load(child, choice, before=writer)
            except ModersmalError as error:
                await child.close()
                self.trouble = f"{choice.release} could not be loaded again: {error}"
                raise Unavailable(self.trouble) from error
            self._writer = loaded
        await self._stand_by()
        return loaded

    async def close(self) -> None:
        if self._watching:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        for child in (self._writer.child if self._writer else None, self._spare):
            if child:
                await child.close()

    async def look(self) -> bool:
        """Look where it came from once; True where another release answers from now on.

        What cannot be loaded leaves the one that answers where it is, and is told in `trouble`.
        """
        try:
            choice = await asyncio.to_thread(self._source.chosen)
            if choice == self._choice:
                self.trouble = None
                return False
            child = await self._taken_spare()
            try:
                fresh = await self._load(child, choice)
            except BaseException:
                await child.close()
                raise
        except ModersmalError as error:
            self.trouble = f"the newest release does not answer, the former one does: {error}"
            return False
        async with self._restart:
            before, self._writer, self._choice = self._writer, fresh, choice
        self.trouble = None
        self.swaps += 1
        if before:
            await before.child.retire()
        await self._stand_by()
        return True

    async def _watch(self) -> None:
        failed = 0
        while True:
            await asyncio.sleep(max(self._watch_s, _AGAIN_S[min(failed, 4)] if failed else 0.0))
            await self.look()
            failed = failed + 1 if self.trouble else 0

    async def _load(self, child: Child, choice: Choice, before: Writer | None = None) -> Writer:
        return await Writer.load(
            child,
            choice.model,
            choice.release,
            device=self._device,
            offline=self._offline,
            before=before,
        )

    async def _taken_spare(self) -> Child:
        spare, self._spare = self._spare, None
        return spare if spare and spare.alive else await Child.start(MODULE, KEEP_ALL_FREED)

    async def _stand_by(self) -> None:
        """Have a process ready that has imported all it needs."""
        if self._spare is None or not self._spare.alive:
            self._spare = await Child.start(MODULE, KEEP_ALL_FREED)

    @property
    def _source(self) -> Choices:
        if self._choices is None:
            raise Unavailable("no model is loaded; try again in a moment")
        return self._choices
