"""GET /docs: the HTTP interface as a page, which needs no script and no other host."""

from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: HTTP interface</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }}
code, pre {{ font-family: ui-monospace, monospace; font-size: .9em; }}
section {{ border-top: 1px solid #8888; margin-top: 1.5rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; }}
</style>
<main>
<h1>{title} {version}</h1>
<p>{summary} <a href="openapi.json">openapi.json</a> describes it for programs.</p>
{routes}
</main>
</html>
"""
_METHODS = ("get", "post", "put", "patch", "delete")


def docs_router(app: FastAPI) -> APIRouter:
    """The page, written from `app`'s OpenAPI description."""
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi()), headers={"Content-Security-Policy": _POLICY})

    return router


def docs_page(description: dict[str, Any]) -> str:
    """An OpenAPI description as HTML."""
    about = description["info"]
    routes = [
        _route(method, path, route[method])
        for path, route in description["paths"].items()
        for method in _METHODS
        if method in route
    ]
    return _PAGE.format(
        title=escape(about["title"]),
        version=escape(about["version"]),
        summary=escape(about.get("summary", "")),
        routes="\n".join(routes),
    )


def _route(method: str, path: str, route: dict[str, Any]) -> str:
    says = route.get("description") or route.get("summary") or ""
    return "\n".join(
        [
            f"<section><h2><code>{method.upper()} {escape(path)}</code></h2>",
            *(f"<p>{escape(part)}</p>" for part in says.split("\n\n")),
            _table("given", _given(route)),
            _table("answers", _answers(route)),
            "</section>",
        ]
    )


def _given(route: dict[str, Any]) -> list[tuple[str, str, str]]:
    rows = [
        (one["name"], one["in"], one.get("description", "")) for one in route.get("parameters", [])
    ]
    for kind, media in route.get("requestBody", {}).get("content", {}).items():
        fields = media.get("schema", {}).get("properties", {})
        rows += [(name, kind, field.get("description", "")) for name, field in fields.items()]
    return rows


def _answers(route: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (status, ", ".join(answer.get("content", {})), answer.get("description", ""))
        for status, answer in sorted(route["responses"].items())
    ]


def _table(title: str, rows: list[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    cells = [
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(kind)}</td><td>{escape(says)}</td>"
        for name, kind, says in rows
    ]
    return (
        f"<table><thead><tr><th colspan=3>{title}</th></thead>\n" + "\n".join(cells) + "\n</table>"
    )
