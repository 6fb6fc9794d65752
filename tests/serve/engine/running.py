"""An engine that runs beside a test, in a loop of its own, and stores of releases to run."""

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from modersmal.config import LimitsConfig
from modersmal.serve.engine.engine import Engine
from modersmal.serve.engine.options import Wish
from modersmal.serve.engine.results import Heard, Piece, Spoken

Result = TypeVar("Result")


class Running:
    """The loop; `run` waits for what is done in it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(240)

    def start(self, model: str, **options: Any) -> Engine:
        return self.run(Engine.start(model, **{"limits": LimitsConfig(), **options}))

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def hear(engine: Engine, path: Path, folder: Path, max_bytes: int = 1 << 30) -> Heard:
    folder.mkdir(parents=True)
    return await engine.hear(path, folder, max_bytes=max_bytes)


async def pieces(
    engine: Engine, heard: Heard, wish: Wish | None = None, **options: Any
) -> list[Piece]:
    return [piece async for piece in engine.transcribe(heard, wish or Wish(), **options)]


def segments(found: list[Piece]) -> list[Spoken]:
    return [segment for piece in found for segment in piece.segments]


def texts(found: list[Piece]) -> list[str]:
    return [segment.text for segment in segments(found)]
