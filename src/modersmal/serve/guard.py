"""What every request passes before a route sees it: who asks, how often, from where, how much."""

import asyncio
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modersmal.serve.access import address_of
from modersmal.serve.pace import Pace, neighbourhood
from modersmal.serve.problems import Problem
from modersmal.serve.serving import Serving

OPEN_TO_ALL = frozenset({"/health", "/ready", "/login", "/logout"})

_HARMLESS = {"GET", "HEAD", "OPTIONS"}
_FILES = ("/assets/", "/static/", "/page/", "/theme.css")  # a visit to the page asks for fifty
_FORMS = {"/v1/audio/transcriptions", "/jobs"}  # they cap their own bodies
_MOST_BODY_BYTES = 1 << 20
_LOG_INS_PER_MINUTE = 10
_IDLE_S = 60.0


class Guard:
    """Lets a request in, with its `Caller` in the request's state, or answers it."""

    def __init__(
        self, app: ASGIApp, serving: Serving, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._app, self._access = app, serving.access
        self._pace = Pace(serving.settings.limits.requests_per_minute, now)
        self._log_ins = Pace(_LOG_INS_PER_MINUTE, now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        try:
            _refuse_other_sites(scope["method"], request.headers)
            _refuse_large(request)
            await self._admit(request)
        except Problem as problem:
            await _answer(request, problem)(scope, receive, send)
            return
        capped = receive if _path(scope) in _FORMS else _capped(receive)
        await self._app(scope, capped, send)

    async def _admit(self, request: HTTPConnection) -> None:
        """Put the caller into the request's state, unless that is left open or comes too fast."""
        path = _path(request.scope)
        address = neighbourhood(address_of(request))
        if path == "/login" and request.scope["method"] == "POST":
            _keep_pace(self._log_ins, address)
        try:
            caller = await run_in_threadpool(self._access.caller, request)
        except Problem:
            _keep_pace(self._pace, address)
            if path not in OPEN_TO_ALL:
                raise
            return
        if path not in OPEN_TO_ALL and not path.startswith(_FILES):
            _keep_pace(self._pace, caller.key_id or address)
        request.scope.setdefault("state", {})["caller"] = caller


def _keep_pace(pace: Pace, who: str) -> None:
    if wait_s := pace.wait_s(who):
        raise Problem(
            429,
            f"too many requests; try again in {wait_s} s",
            code="rate_limit_exceeded",
            headers={"Retry-After": str(wait_s)},
        )


def _refuse_other_sites(method: str, headers: Headers) -> None:
    """A page of another site may lead here, and change nothing."""
    if method in _HARMLESS:
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    ours = site in ("same-origin", "none") if site else _same(origin, headers.get("host", ""))
    if not ours:
        raise Problem(403, "another site may not change anything here", code="cross_site")


def _same(origin: str | None, host: str) -> bool:
    if origin is None:
        return True
    parts = urlsplit(origin)
    default = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    return parts.netloc.lower().removesuffix(default) == host.lower().removesuffix(default)


def _refuse_large(request: HTTPConnection) -> None:
    declared = request.headers.get("content-length", "")
    if _path(request.scope) in _FORMS or not declared.isdecimal():
        return
    if int(declared) > _MOST_BODY_BYTES:
        raise Problem(413, "the body is larger than 1 MiB", code="too_large")


def _capped(receive: Receive) -> Receive:
    """A body that is refused where it is larger than a request without a file needs, or stalls.

    In the errors that FastAPI hands on from within its reading of a body.
    """
    received, complete = 0, False

    async def capped() -> Message:
        nonlocal received, complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout(_IDLE_S):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, f"nothing came for {_IDLE_S:g} s") from None
        complete = not message.get("more_body")
        received += len(message.get("body", b""))
        if received > _MOST_BODY_BYTES:
            raise HTTPException(413, "the body is larger than 1 MiB")
        return message

    return capped


def _answer(request: HTTPConnection, problem: Problem) -> Response:
    """The problem; or, to a browser that shows pages, the page where one logs in."""
    shows_pages = "text/html" in request.headers.get("accept", "")
    if problem.status == 401 and shows_pages and request.scope["method"] == "GET":
        return RedirectResponse(f"{request.scope.get('root_path', '')}/login", 303)
    return problem.response()


def _path(scope: Scope) -> str:
    return str(scope["path"]).removeprefix(scope.get("root_path", "")) or "/"
