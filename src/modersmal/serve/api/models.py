"""GET /v1/models: what is served, under the names that it answers to."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from modersmal.errors import nearest
from modersmal.serve.problems import Problem
from modersmal.serve.serving import Serving

# Names that programs have built in; to each the release here answers.
_STANDS_FOR = (
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-transcribe",
)


class ServedModel(BaseModel):
    """A name that can be asked for. `created` is when this server started, as UTC seconds."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "modersmal"


class ServedModels(BaseModel):
    object: Literal["list"] = "list"
    data: list[ServedModel]


def models_router(serving: Serving) -> APIRouter:
    """The list, and one of it."""
    router = APIRouter(prefix="/v1/models", tags=["models"])

    @router.get("")
    def all_models() -> ServedModels:
        """What is served: the release, and OpenAI's names for it."""
        return ServedModels(data=[_served(name, serving) for name in _names(serving)])

    @router.get("/{model:path}")
    def one_model(model: str) -> ServedModel:
        """One of them."""
        must_be_served(model, serving)
        return _served(model, serving)

    return router


def must_be_served(model: str, serving: Serving) -> None:
    """Raises Problem 404 for a model that is not the one here."""
    known = _names(serving)
    if model not in known:
        raise Problem(
            404,
            f"there is no model {model!r}{nearest(model, known)} here; there is {known[0]}",
            param="model",
            code="model_not_found",
        )


def _names(serving: Serving) -> list[str]:
    state = serving.engine.state()
    return list(dict.fromkeys(filter(None, (state.release, state.model, *_STANDS_FOR))))


def _served(name: str, serving: Serving) -> ServedModel:
    return ServedModel(id=name, created=int(serving.started_s))
