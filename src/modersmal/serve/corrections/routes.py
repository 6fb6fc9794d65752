"""Consent over HTTP, and the text that somebody has confirmed as right."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from modersmal.corpus.corrections.correction import Ground, Voice
from modersmal.serve.corrections.corrections import Corrections, terms_table
from modersmal.serve.jobs.editing import Versioned
from modersmal.serve.jobs.jobs import Jobs
from modersmal.serve.problems import Problem

MOST_KEY_LETTERS = 256


class Agreement(BaseModel):
    """To which terms somebody agrees, whose voice it is, and on what ground it may be used."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[str, Field(max_length=64)]
    voice: Voice
    ground: Ground
    person_key: Annotated[str | None, Field(max_length=MOST_KEY_LETTERS)] = None


def corrections_router(corrections: Corrections, jobs: Jobs) -> APIRouter:
    """The terms, consent for a job, and its confirmed segments."""
    router = APIRouter(tags=["corrections"])

    @router.get("/corrections/terms")
    def terms() -> dict[str, Any]:
        """What corrections are kept for, and for how long, where they are."""
        return terms_table(corrections.terms) if corrections.enabled else {"enabled": False}

    @router.post("/jobs/{token}/consent")
    async def agree(token: str, body: Agreement) -> dict[str, str]:
        """Agree that what is corrected in a job is kept. The key opens what a person has
        corrected; it is given out here alone."""
        refuse_while_off(corrections)
        place = await jobs.find(token)
        key = await corrections.agree(place, body.version, body.voice, body.ground, body.person_key)
        return {"person_key": key}

    @router.delete("/jobs/{token}/consent", status_code=204, response_class=Response)
    async def withdraw(token: str) -> Response:
        """Take consent back: what was corrected in that job is erased, at once."""
        place = await jobs.find(token)
        if not await corrections.agreed(place.job):
            raise Problem(404, "nobody has agreed to anything here")
        await corrections.withdraw(place.job)
        return Response(status_code=204)

    @router.post("/jobs/{token}/segments/{segment}/confirm")
    async def confirm(token: str, segment: str, body: Versioned) -> dict[str, Any]:
        """Say that a segment is right as it stands."""
        refuse_while_off(corrections)
        place = await jobs.find(token)
        if not await corrections.agreed(place.job):
            raise Problem(409, "what is right is kept only where somebody has agreed to that")
        saved = await place.shelf.do(
            lambda ledger: ledger.edit(
                place.job.id, segment, body.version, lambda before: replace(before, confirmed=True)
            )
        )
        await jobs.edited(place)
        return saved.to_table()

    return router


def refuse_while_off(corrections: Corrections) -> None:
    """Raises Problem 404 where no administrator has said what corrections are kept for."""
    if not corrections.enabled:
        raise Problem(404, "this server keeps no corrections")
