"""Every answer gets its id and headers, is counted, and leaves one line in the log.

Lines and labels name the route and never the address, in which a job's token may stand.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modersmal.serve.headers import add_security_headers
from modersmal.serve.metrics import Metrics
from modersmal.serve.problems import log_fault, problem_of

_LOG = logging.getLogger("modersmal.serve")
_GONE = 499
_LINGER_BYTES, _LINGER_S = 64 << 20, 10.0
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class Observe:
    """Stands outside everything else, so that nothing is answered past it."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        shown_within: Sequence[str] = (),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._metrics, self._now = app, metrics, now
        self._shown_within = shown_within

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s, request_id = self._now(), f"req_{secrets.token_hex(12)}"
        scope.setdefault("state", {})["request_id"] = request_id
        status, body = 0, _Body(scope, receive)

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status >= 400:
                    await body.finish()
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                add_security_headers(headers, self._shown_within)
            await send(message)

        try:
            await self._app(scope, body.receive, sent)
        except Exception as error:
            log_fault(error)
            if not status:
                await problem_of(error).response()(scope, body.receive, sent)
        finally:
            self._note(scope, status or _GONE, self._now() - began_s, request_id)

    def _note(self, scope: Scope, status: int, took_s: float, request_id: str) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = _route(scope)
        self._metrics.answered(method, route, status, took_s)
        _LOG.info("%s %s %d %.0f ms %s", method, route, status, 1000 * took_s, request_id)


class _Body:
    """What a client sends, and whether all of it was received."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive, self._complete = receive, False
        # It sends its body only if it is asked to go on, which receiving does.
        self._held_back = any(name == b"expect" for name, _ in scope["headers"])

    async def receive(self) -> Message:
        message = await self._receive()
        self._held_back = False
        self._complete = message["type"] != "http.request" or not message.get("more_body")
        return message

    async def finish(self) -> None:
        """Let a client that is refused finish sending, within reason.

        One that is cut off would not read why.
        """
        received = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while not (self._complete or self._held_back) and received < _LINGER_BYTES:
                    received += len((await self.receive()).get("body", b""))


def _route(scope: Scope) -> str:
    """The template of the route that answered, as in /jobs/{token}."""
    return str(getattr(scope.get("route"), "path", "")) or "other"
