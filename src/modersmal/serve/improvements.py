"""What people's corrections have made of the model that answers, for the page to tell."""

from fastapi import APIRouter
from pydantic import BaseModel

from modersmal.corpus.corrections.improvements import Improvements
from modersmal.language import is_spaced
from modersmal.serve.problems import Problem
from modersmal.serve.serving import Serving


class Announcement(BaseModel):
    """`corrections` of them took the rate `metric` from `before` to `after`, in percent, measured
    on `clips` that were set aside; `low` and `high` are the 95 % interval of the difference, in
    points. `release` is the one that answers."""

    corrections: int
    metric: str
    before: float
    after: float
    low: float
    high: float
    clips: int
    release: int


def improvements_router(serving: Serving) -> APIRouter:
    """GET /improvements/latest."""
    router = APIRouter(prefix="/improvements", tags=["corrections"])
    improvements = Improvements(serving.database)

    @router.get("/latest")
    def latest() -> Announcement:
        """What corrections have made of the release that answers now; 404 where they made none."""
        state = serving.engine.state()
        for one in improvements.all("live"):
            if one.release is not None and state.release == f"release-{one.release}":
                return Announcement(
                    corrections=one.corrections,
                    metric="wer" if is_spaced(state.language or "") else "cer",
                    before=one.wer_before,
                    after=one.wer_after,
                    low=one.difference_low,
                    high=one.difference_high,
                    clips=one.clips,
                    release=one.release,
                )
        raise Problem(404, "the release that answers was not made of corrections")

    return router
