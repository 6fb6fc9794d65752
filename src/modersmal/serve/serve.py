"""`modersmal serve`: from a model's name to a server that answers, and its end."""

import asyncio
import logging
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout

from modersmal.config import ServeConfig
from modersmal.database import Database
from modersmal.errors import RecipeError, StoreError
from modersmal.progress import duration
from modersmal.serve.access import Access, is_loopback
from modersmal.serve.app import create_app
from modersmal.serve.corrections.forgetting import Forgetting
from modersmal.serve.engine.engine import Engine
from modersmal.serve.notify import tell_systemd
from modersmal.serve.serving import LOCK_FILE, REQUESTS_FOLDER, Serving, database_address

_BACKLOG = 2048
_GRACE_S = 5  # for answers under way when it is told to end; pages listen for hours


@dataclass(frozen=True)
class Served:
    """Where it answered, what answered last, and how long, in seconds."""

    address: str
    release: str | None
    up_s: float

    def __str__(self) -> str:
        return f"Served {self.release} at {self.address} for {duration(self.up_s)}."


def serve(
    model: str,
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    database: str | None = None,
    settings: ServeConfig | None = None,
    offline: bool = False,
    forgetting: Forgetting | None = None,
) -> Served:
    """Answer until a signal ends it. Addresses and warnings go to standard error.

    `forgetting` erases what people have corrected, when they ask for that, from stores.

    Raises:
        RecipeError: the address cannot be listened at.
        StoreError: the folder cannot be written, or another server has it.
        ModersmalError: there is no such model, or it does not work.
    """
    chosen = settings or ServeConfig()
    folder = Path(chosen.folder).resolve()
    with _listening(host, port) as listener, _owned(folder), _logged():
        opened = Database.open(database_address(chosen, database))
        try:
            access = Access(opened, loopback=is_loopback(host))
            if not is_loopback(host) and not access.on:
                _say(
                    f"warning: whoever reaches {host} can use this server; `modersmal keys add "
                    "NAME` gives it a key, and lets nobody in without one"
                )
            return asyncio.run(
                _serve(model, listener, chosen, opened, folder, access, offline, forgetting)
            )
        finally:
            opened.close()


async def _serve(
    model: str,
    listener: socket.socket,
    settings: ServeConfig,
    database: Database,
    folder: Path,
    access: Access,
    offline: bool,
    forgetting: Forgetting | None,
) -> Served:
    began_s = time.monotonic()
    _say(f"loading {model}")
    engine = await Engine.start(
        model,
        limits=settings.limits,
        release=settings.release,
        watch_s=settings.watch_s,
        offline=offline,
    )
    try:
        serving = Serving(settings, engine, database, folder, access, forgetting=forgetting)
        server = _Server(
            uvicorn.Config(
                create_app(serving),
                lifespan="on",
                log_config=None,
                access_log=False,  # its lines would hold addresses, and those tokens
                server_header=False,
                forwarded_allow_ips=settings.proxies,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        address = _address(listener)
        _say(f"{engine.state().release} is served at {address} (Ctrl-C ends it)")
        _end_on_signals(server)
        await server.serve([listener])
        return Served(address, engine.state().release, time.monotonic() - began_s)
    finally:
        await engine.close()


class _Server(uvicorn.Server):
    """One that leaves signals to us: its own way would end the process before the engine."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            tell_systemd("READY=1")

    def capture_signals(self):
        return nullcontext()


def _end_on_signals(server: uvicorn.Server) -> None:
    def end() -> None:
        server.force_exit = server.should_exit  # asked for twice
        server.should_exit = True

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, end)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """The address, taken before anything slow is done."""
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(
            place[:2],
            family=family,
            backlog=_BACKLOG,
        )
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RecipeError(f"{host} port {port} cannot be listened at: {reason}") from error
    with listener:
        yield listener


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """The server's folder, which it alone uses, without what requests of a former one left."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_FILE)
        lock.acquire(timeout=0)
    except Timeout:
        raise StoreError(
            f"another server uses {folder}; give each its own `serve.folder` in its recipe"
        ) from None
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror}") from error
    try:
        shutil.rmtree(folder / REQUESTS_FOLDER, ignore_errors=True)
        yield
    finally:
        lock.release()


@contextmanager
def _logged() -> Iterator[None]:
    """One line for each answer, on standard error."""
    log, handler = logging.getLogger("modersmal.serve"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
