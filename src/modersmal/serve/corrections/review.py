"""Corrections before a reviewer, over HTTP: heard, and accepted or rejected, the most uncertain
first."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from modersmal.corpus.corrections.book import Verdict
from modersmal.corpus.corrections.correction import Correction
from modersmal.errors import StoreError
from modersmal.serve.access import Access, Caller
from modersmal.serve.corrections.corrections import Corrections
from modersmal.serve.corrections.routes import refuse_while_off
from modersmal.serve.jobs.edits import MOST_LETTERS
from modersmal.serve.problems import Problem
from modersmal.text import clean

_MOST_ITEMS = 100


class Judgement(BaseModel):
    """A verdict, on a correction in the version that was seen; `text` is what it should say."""

    model_config = ConfigDict(extra="forbid")

    verdict: Verdict
    text: Annotated[str | None, Field(max_length=MOST_LETTERS)] = None
    version: Annotated[int | None, Field(ge=1)] = None


def review_router(corrections: Corrections, access: Access) -> APIRouter:
    """The routes of `review`, for reviewers."""
    router = APIRouter(prefix="/review", tags=["corrections"])
    book, voices = corrections.book, corrections.collection.voices

    def reviewer(request: Request) -> Caller:
        refuse_while_off(corrections)
        caller = access.caller(request)
        if caller.role != "reviewer":
            raise Problem(403, "only who has a reviewer's key can review")
        return caller

    @router.get("/queue")
    def queue(
        request: Request, limit: Annotated[int, Query(ge=1, le=_MOST_ITEMS)] = 20
    ) -> dict[str, Any]:
        """What waits, the most uncertain first, and how much there is."""
        reviewer(request)
        items = [_item(one) for one in book.waiting(limit)]
        return {"items": items, "waiting": book.count_waiting()}

    @router.get("/{correction}/audio", response_class=FileResponse)
    def audio(correction: str, request: Request) -> FileResponse:
        """What was said, as FLAC at 16 kHz."""
        reviewer(request)
        path = voices.path(_found(correction).id)
        if not path.is_file():
            raise StoreError(f"{path} is missing, though its correction is known")
        return FileResponse(path, media_type="audio/flac", headers={"Cache-Control": "no-store"})

    @router.post("/{correction}")
    def judge(correction: str, body: Judgement, request: Request) -> dict[str, Any]:
        """Accept or reject a correction that waits; 409 where it has changed meanwhile."""
        caller = reviewer(request)
        seen = _found(correction)
        text = None if body.text is None else clean(body.text)
        if text == "":
            raise Problem(400, "a correction without a text is rejected, not accepted")
        other = body.version is not None and body.version != seen.segment_version
        if other or not book.judge(seen, body.verdict, caller.name, text):
            raise Problem(409, "it was changed or judged meanwhile; look at it again")
        return _item(_found(correction))

    def _found(correction: str) -> Correction:
        found = book.get(correction)
        if found is None:
            raise Problem(404, "there is no such correction; it may have been erased")
        return found

    return router


def _item(one: Correction) -> dict[str, Any]:
    return {
        "id": one.id,
        "version": one.segment_version,
        "text": one.text,
        "hypothesis": one.hypothesis,
        "release": one.release,
        "probability": one.probability,
        "duration_s": one.duration_s,
        "language": one.language,
        "voice": one.voice,
        "ground": one.ground,
        "state": one.state,
        "trained_on": "unknown" not in (one.voice, one.ground),
    }
