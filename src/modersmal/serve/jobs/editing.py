"""What a person does to the text of a job, over HTTP, under the token of its private link.

Whoever changes a segment says which version of it they have seen; where that is not the one that
stands, the answer is 409 and the segment as it is.
"""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from modersmal.serve.jobs.edits import MOST_LETTERS, replaced, retold
from modersmal.serve.jobs.job import Segment
from modersmal.serve.jobs.jobs import Jobs
from modersmal.serve.jobs.shelf import Place

Version = Annotated[int, Field(ge=1)]
Text = Annotated[str, Field(max_length=MOST_LETTERS)]


_CHANGED_MEANWHILE: dict[int | str, dict[str, Any]] = {
    409: {
        "description": "Somebody has changed the segment meanwhile; the segment as it is.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Retext(_Body):
    """Another text for a segment in that version."""

    text: Text
    version: Version


class Split(_Body):
    """Where in its text a segment is parted."""

    at_char: Annotated[int, Field(ge=0, le=MOST_LETTERS)]
    version: Version


class Versioned(_Body):
    version: Version


class Replace(_Body):
    """What is replaced by what, in all segments."""

    find: Text
    replace: Text
    match_case: bool = False
    whole_words: bool = False


def editing_router(jobs: Jobs) -> APIRouter:
    """The routes below `jobs/{token}` that change its text."""
    router = APIRouter(prefix="/jobs/{token}", tags=["jobs"], responses=_CHANGED_MEANWHILE)

    @router.patch("/segments/{segment}")
    async def retext(token: str, segment: str, body: Retext) -> dict[str, Any]:
        """Change the text of a segment."""
        place = await jobs.find(token)
        saved = await place.shelf.do(
            lambda ledger: ledger.edit(
                place.job.id, segment, body.version, lambda before: retold(before, body.text)
            )
        )
        return (await _changed(jobs, place, [saved]))[0]

    @router.post("/segments/{segment}/split")
    async def split(token: str, segment: str, body: Split) -> dict[str, Any]:
        """Part a segment in two."""
        place = await jobs.find(token)
        parts = await place.shelf.do(
            lambda ledger: ledger.split(place.job.id, segment, body.version, body.at_char)
        )
        return {"segments": await _changed(jobs, place, parts)}

    @router.post("/segments/{segment}/merge")
    async def merge(token: str, segment: str, body: Versioned) -> dict[str, Any]:
        """Join a segment and the next."""
        place = await jobs.find(token)
        saved = await place.shelf.do(
            lambda ledger: ledger.merge(place.job.id, segment, body.version)
        )
        return (await _changed(jobs, place, [saved]))[0]

    @router.post("/replace")
    async def replace(token: str, body: Replace) -> dict[str, Any]:
        """Find and replace in the whole text."""
        place = await jobs.find(token)
        changed = await place.shelf.do(
            lambda ledger: ledger.edit_all(
                place.job.id,
                lambda text: replaced(
                    text,
                    body.find,
                    body.replace,
                    match_case=body.match_case,
                    whole_words=body.whole_words,
                ),
            )
        )
        return {"segments": await _changed(jobs, place, changed)}

    return router


async def _changed(jobs: Jobs, place: Place, segments: list[Segment]) -> list[dict[str, Any]]:
    """Say that these have changed, to who listens and to who asked."""
    await jobs.edited(place)
    return [one.to_table() for one in segments]
