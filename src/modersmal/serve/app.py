"""The application: all routes, behind what every request passes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from modersmal import __version__
from modersmal.serve.api.description import ERRORS
from modersmal.serve.api.docs import docs_router
from modersmal.serve.api.health import health_router
from modersmal.serve.api.models import models_router
from modersmal.serve.api.transcriptions import transcriptions_router
from modersmal.serve.corrections.corrections import Corrections
from modersmal.serve.corrections.person import person_router
from modersmal.serve.corrections.review import review_router
from modersmal.serve.corrections.routes import corrections_router
from modersmal.serve.guard import Guard
from modersmal.serve.improvements import improvements_router
from modersmal.serve.jobs.editing import editing_router
from modersmal.serve.jobs.jobs import Jobs
from modersmal.serve.jobs.routes import jobs_router
from modersmal.serve.login import login_router
from modersmal.serve.metrics import Metrics
from modersmal.serve.observe import Observe
from modersmal.serve.page import mount
from modersmal.serve.problems import add_handlers
from modersmal.serve.serving import Serving


def create_app(serving: Serving) -> FastAPI:
    """The page and the API over one engine, as an ASGI application."""
    corrections = Corrections(serving)
    jobs = Jobs(serving, corrections)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        await corrections.start()
        await jobs.start()
        try:
            yield
        finally:
            await jobs.stop()
            await corrections.stop()

    app = FastAPI(
        title="modersmal",
        version=__version__,
        summary="Speech to text by the latest release, as OpenAI's clients ask for it.",
        docs_url=None,
        redoc_url=None,
        lifespan=running,
        responses=ERRORS,
    )
    metrics = Metrics(serving.engine)
    add_handlers(app)
    app.include_router(transcriptions_router(serving))
    app.include_router(models_router(serving))
    app.include_router(health_router(serving, metrics))
    app.include_router(docs_router(app))
    app.include_router(login_router(serving.access))
    app.include_router(jobs_router(serving, jobs))
    app.include_router(editing_router(jobs))
    app.include_router(corrections_router(corrections, jobs))
    app.include_router(review_router(corrections, serving.access))
    app.include_router(person_router(corrections, serving))
    app.include_router(improvements_router(serving))
    mount(app, serving)
    app.add_middleware(Guard, serving=serving)  # what is added later stands outside
    app.add_middleware(Observe, metrics=metrics, shown_within=serving.settings.shown_within)
    return app
