"""How OpenAPI describes a route that reads its form itself."""

from typing import Any

from pydantic import BaseModel

from modersmal.serve.api.answers import Transcription, VerboseTranscription
from modersmal.serve.api.form import TranscriptionForm


class Told(BaseModel):
    """What is wrong, in a sentence, and where."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """The body of every error."""

    error: Told


def _form_schema() -> dict[str, Any]:
    schema = TranscriptionForm.model_json_schema(by_alias=True)
    file = {"type": "string", "format": "binary", "description": "The recording, or a video."}
    schema["properties"] = {"file": file, **schema["properties"]}
    schema["required"] = ["file"]
    return schema


ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "It cannot be done, and why.", "model": ErrorBody},
    503: {"description": "It cannot be done now.", "model": ErrorBody},
}

_ERRORS = {
    400: "The form, a field or the recording is wrong.",
    401: "A key is needed.",
    403: "Another site asked.",
    404: "There is no such model.",
    408: "The upload stood still.",
    413: "The recording is too large or too long.",
    415: "It is no form.",
    429: "Too much at once; `Retry-After` says when to try again.",
    503: "No model answers now.",
}

DESCRIBED: dict[str, Any] = {
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": _form_schema()}},
        }
    },
    "responses": {
        200: {
            "description": "The text, as `response_format` and `stream` say.",
            "model": Transcription | VerboseTranscription,
            "headers": {
                "x-model-release": {
                    "schema": {"type": "string"},
                    "description": "The release that wrote it.",
                }
            },
            "content": {
                "text/plain": {"schema": {"type": "string"}},
                "application/x-subrip": {"schema": {"type": "string"}},
                "text/vtt": {"schema": {"type": "string"}},
                "text/event-stream": {"schema": {"type": "string"}},
            },
        },
        **{status: {"description": says, "model": ErrorBody} for status, says in _ERRORS.items()},
    },
}
