"""Whether the server lives, whether it can answer, and its numbers."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from modersmal.serve.metrics import Metrics
from modersmal.serve.serving import Serving

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Health(BaseModel):
    """`trouble` says why a newer release does not answer, or why none does, to who may know."""

    status: Literal["ok", "trouble"]
    ready: bool
    model: str
    release: str | None
    trouble: str | None


def health_router(serving: Serving, metrics: Metrics) -> APIRouter:
    """GET /health, /ready and /metrics."""
    router = APIRouter(tags=["health"])

    @router.get("/health")
    def health(request: Request) -> Health:
        """How the server stands. It answers as long as it lives."""
        return _health(request, serving)

    @router.get("/ready", responses={503: {"model": Health}})
    def ready(request: Request, response: Response) -> Health:
        """Whether a transcription would be answered now: 200, or 503."""
        found = _health(request, serving)
        response.status_code = 200 if found.ready else 503
        return found

    @router.get("/metrics", response_class=Response)
    def numbers() -> Response:
        """Counts and times, for Prometheus."""
        return Response(metrics.text(), media_type=_PROMETHEUS)

    return router


def _health(request: Request, serving: Serving) -> Health:
    state = serving.engine.state()
    known = getattr(request.state, "caller", None) is not None
    return Health(
        status="trouble" if state.trouble or not state.ready else "ok",
        ready=state.ready,
        model=state.model,
        release=state.release,
        trouble=state.trouble if known else None,
    )
