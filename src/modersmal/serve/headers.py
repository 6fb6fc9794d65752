"""Headers of every answer, which tell a browser what it must not do with it."""

from collections.abc import Sequence

from starlette.datastructures import MutableHeaders

_PAGE = (
    "default-src 'self'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; "  # Gradio starts so, and compiles templates
    "style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors {frames}"
)
_NO_PAGE = "default-src 'none'; frame-ancestors 'none'"
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # an address may hold a job's token
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def add_security_headers(headers: MutableHeaders, shown_within: Sequence[str] = ()) -> None:
    """Set what the answer has not set itself. Sites `shown_within` may show pages in a frame."""
    kind = headers.get("content-type", "")
    page = kind.startswith("text/html") or "javascript" in kind  # a script may be a worker
    policy = _PAGE.format(frames=" ".join(shown_within) or "'none'") if page else _NO_PAGE
    headers.setdefault("Content-Security-Policy", policy)
    if not (page and shown_within):
        headers.setdefault("X-Frame-Options", "DENY")  # what older browsers obey
    headers.setdefault("Cache-Control", "no-store")
    for name, value in _ALWAYS.items():
        headers.setdefault(name, value)
