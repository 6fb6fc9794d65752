"""The page where one logs in with a key, for browsers, which cannot send one."""

from html import escape
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from modersmal.serve.access import COOKIE, Access
from modersmal.serve.keys import SESSION_S
from modersmal.serve.problems import Problem

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>modersmal</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; display: grid; place-items: center;
  min-height: 90vh; margin: 0; }}
form {{ display: grid; gap: .75rem; width: min(22rem, 90vw); }}
input, button {{ font: inherit; padding: .6rem; }}
p {{ margin: 0; min-height: 1.5em; }}
</style>
<main>
<form method="post">
<h1>modersmal</h1>
<label for="key">Nyckel · Key</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>
<button>Logga in · Log in</button>
<p role="alert">{trouble}</p>
</form>
</main>
</html>
"""


def login_router(access: Access) -> APIRouter:
    """GET and POST /login, GET /logout."""
    router = APIRouter(include_in_schema=False)

    @router.get("/login")
    def form() -> Response:
        return _page("")

    @router.post("/login")
    def log_in(request: Request, key: Annotated[str, Form(max_length=256)]) -> Response:
        try:
            session = access.log_in(key)
        except Problem:
            return _page("Den nyckeln finns inte. There is no such key.", 401)
        home = RedirectResponse(f"{request.scope.get('root_path', '')}/", 303)
        home.set_cookie(
            COOKIE,
            session,
            max_age=round(SESSION_S),
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return home

    @router.get("/logout")
    def log_out(request: Request) -> Response:
        if session := request.cookies.get(COOKIE):
            access.log_out(session)
        out = RedirectResponse(f"{request.scope.get('root_path', '')}/login", 303)
        out.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return out

    return router


def _page(trouble: str, status: int = 200) -> HTMLResponse:
    policy = {"Content-Security-Policy": _POLICY}
    return HTMLResponse(_PAGE.format(trouble=escape(trouble)), status, policy)
