"""What the page says of the server: the model, how long things are kept, what fits."""

from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from fastapi import APIRouter

    from modersmal.serve.serving import Serving


class About(BaseModel):
    """What a person can know before anything is put in.

    `release` is None while no model is loaded; `language` where the model hears which it is.
    `keys` says that people log in, and `reviewer` that this one may judge corrections.
    """

    release: str | None
    language: str | None
    languages: list[str]
    ready: bool
    retention_days: float
    max_job_mib: int
    max_hours: float
    keys: bool
    reviewer: bool


def about_router(serving: "Serving") -> "APIRouter":
    """GET /page/about, and /review for who types it."""
    from fastapi import APIRouter, Request
    from fastapi.responses import RedirectResponse

    router = APIRouter(include_in_schema=False)

    @router.get("/review")
    def review() -> RedirectResponse:
        return RedirectResponse("./#review")

    @router.get("/page/about")
    def about(request: Request) -> About:
        state, settings = serving.engine.state(), serving.settings
        caller = serving.access.caller(request)
        return About(
            release=state.release,
            language=state.language,
            languages=list(state.languages),
            ready=state.ready,
            retention_days=settings.retention_days,
            max_job_mib=settings.limits.max_job_mib,
            max_hours=settings.limits.max_hours,
            keys=caller.key_id is not None,
            reviewer=caller.role == "reviewer",
        )

    return router
