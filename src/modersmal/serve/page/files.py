"""The page's own scripts and styles, at an address that changes when they do."""

import hashlib
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC = Path(__file__).parent / "static"
A_YEAR = "private, max-age=31536000, immutable"


class Unchanging(StaticFiles):
    """Files that a browser may keep, because their address names what is in them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = A_YEAR
        return response


def static_version() -> str:
    """A short name for the content of all files together."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
