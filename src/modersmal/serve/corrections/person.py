"""A person's own data, over HTTP: all of it as one file, or erased, by the key they were given."""

import asyncio
from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from modersmal.serve.api.upload import request_folder
from modersmal.serve.corrections.corrections import Corrections
from modersmal.serve.corrections.export import write_export
from modersmal.serve.corrections.routes import MOST_KEY_LETTERS
from modersmal.serve.problems import Problem
from modersmal.serve.serving import Serving

Key = Annotated[str, Header(alias="X-Person-Key", max_length=MOST_KEY_LETTERS)]

_EXPORT_FILE = "corrections.zip"


def person_router(corrections: Corrections, serving: Serving) -> APIRouter:
    """The routes of `person`. They open what is there also where nothing new is kept."""
    router = APIRouter(prefix="/person", tags=["corrections"])

    @router.get("/export", response_class=FileResponse)
    async def export(key: Key) -> FileResponse:
        """All that a person has corrected: a zip of JSON and FLAC."""
        person_id = await _person(key)
        async with AsyncExitStack() as opened:
            folder = await opened.enter_async_context(request_folder(serving.requests_folder))
            path = folder / _EXPORT_FILE
            await asyncio.to_thread(write_export, path, corrections.collection, person_id)
            until_sent = opened.pop_all()
        return FileResponse(
            path,
            media_type="application/zip",
            filename=_EXPORT_FILE,
            headers={"Cache-Control": "no-store"},
            background=BackgroundTask(until_sent.aclose),
        )

    @router.delete("")
    async def erase(key: Key) -> dict[str, Any]:
        """Erase all that a person has corrected, at once; says which releases learned from it."""
        erased = await corrections.erase_person(await _person(key))
        return {
            "corrections": erased.corrections,
            "releases": erased.releases,
            "pending": erased.pending,
        }

    async def _person(key: str) -> str:
        person_id = await asyncio.to_thread(corrections.book.person, key.strip())
        if person_id is None:
            raise Problem(404, "nobody has that key: it is not whole, or all was erased")
        return person_id

    return router
