"""Which of Gradio's addresses can be reached: those that show the page, and no other.

Gradio would also take uploads, serve files, run queues. The page needs none of that.
"""

from collections.abc import Sequence

from starlette.datastructures import MutableHeaders
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modersmal.serve.page.files import A_YEAR
from modersmal.serve.problems import Problem

_OPEN = {"/", "/theme.css", "/config", "/manifest.json", "/favicon.ico", "/robots.txt"}
_METHODS, _FULL = ("GET", "POST", "PUT", "PATCH", "DELETE"), Match.FULL
_OPEN_FOLDERS = ("/assets/", "/static/")


class Doors:
    """An application of which only the page can be reached, by GET and HEAD.

    It comes behind all `routes`, so what it does not know is answered as they would.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app, self._routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _open(scope):
            await self._refusal(scope).response()(scope, receive, send)
        elif scope["type"] != "websocket":
            named_by_content = scope["type"] == "http" and "/assets/" in scope["path"]
            await self._app(scope, receive, _kept(send) if named_by_content else send)

    def _refusal(self, scope: Scope) -> Problem:
        methods = [
            method
            for method in _METHODS
            if any(route.matches({**scope, "method": method})[0] is _FULL for route in self._routes)
        ]
        if not methods:
            return Problem(404, "there is nothing at this address", code="not_found")
        allowed = ", ".join(methods)
        return Problem(
            405, f"this address takes {allowed}", code="method_not_allowed",
            headers={"Allow": allowed},
        )  # fmt: skip


def _open(scope: Scope) -> bool:
    path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
    return scope["method"] in ("GET", "HEAD") and (path in _OPEN or path.startswith(_OPEN_FOLDERS))


def _kept(send: Send) -> Send:
    """Tell the browser that it may keep what is sent."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            MutableHeaders(scope=message)["Cache-Control"] = A_YEAR
        await send(message)

    return sending
