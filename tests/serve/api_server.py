"""A server of the real parts, on loopback, beside a test."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from modersmal.config import ServeConfig
from modersmal.database import Database
from modersmal.serve.access import Access
from modersmal.serve.app import create_app
from modersmal.serve.corrections.forgetting import Forgetting
from modersmal.serve.engine.engine import Engine
from modersmal.serve.keys import Keys
from modersmal.serve.serving import Serving

SPEECH = Path(__file__).parents[1] / "data" / "speech"
CLIP = SPEECH / "03.ogg"
SAID = "Klockan är halv nio."


@dataclass(frozen=True)
class Running:
    """A server that answers at `url`."""

    url: str
    serving: Serving
    keys: Keys
    loop: asyncio.AbstractEventLoop = field(repr=False)


@contextmanager
def running(
    folder: Path, settings: ServeConfig | None = None, *, model: str = "bundled"
) -> Iterator[Running]:
    """Serve a model from a thread of its own, until the end."""
    chosen = settings or ServeConfig()

    async def serve(told: Callable[[Running], None], ended: asyncio.Event) -> None:
        engine = await Engine.start(
            model, limits=chosen.limits, release=chosen.release, watch_s=chosen.watch_s
        )
        try:
            await _answer(engine, folder, chosen, None, None, told, ended)
        finally:
            await engine.close()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        with _running(loop, serve) as found:
            yield found
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)


@contextmanager
def running_beside(
    other: Running,
    folder: Path,
    settings: ServeConfig,
    *,
    database: str | None = None,
    forgetting: Forgetting | None = None,
) -> Iterator[Running]:
    """Another server by the engine of one that runs, which is what takes long to start."""

    async def serve(told: Callable[[Running], None], ended: asyncio.Event) -> None:
        engine = other.serving.engine
        await _answer(engine, folder, settings, database, forgetting, told, ended)

    with _running(other.loop, serve) as found:
        yield found


@contextmanager
def _running(
    loop: asyncio.AbstractEventLoop,
    serve: Callable[[Callable[[Running], None], asyncio.Event], Coroutine[Any, Any, None]],
) -> Iterator[Running]:
    """Let `serve` work in a loop of another thread, from when it answers until the end."""
    begun: Future[Running] = Future()
    ended = asyncio.Event()
    working = asyncio.run_coroutine_threadsafe(serve(begun.set_result, ended), loop)
    wait([begun, working], return_when=FIRST_COMPLETED)  # however slow the machine is
    if not begun.done():
        working.result()
    try:
        yield begun.result()
    finally:
        loop.call_soon_threadsafe(ended.set)
        working.result(60)


async def _answer(
    engine: Engine,
    folder: Path,
    settings: ServeConfig,
    database: str | None,
    forgetting: Forgetting | None,
    told: Callable[[Running], None],
    ended: asyncio.Event,
) -> None:
    opened = Database.open(database or f"sqlite:///{folder / 'serve.db'}")
    access = Access(opened, loopback=True)
    serving = Serving(settings, engine, opened, folder, access, forgetting=forgetting)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(serving),
            port=0,
            log_level="warning",
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=1,
        )
    )
    working = asyncio.create_task(server.serve())
    try:
        while not server.started and not working.done():
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        told(Running(url, serving, Keys(opened), asyncio.get_running_loop()))
        await ended.wait()
    finally:
        server.should_exit = True
        await working
        opened.close()
