"""What goes wrong with a request, as OpenAI's clients expect to be told it."""

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from modersmal.errors import (
    AudioError,
    Busy,
    LanguageError,
    LongAudioError,
    ModersmalError,
    RecipeError,
    Unavailable,
)

_LOG = logging.getLogger("modersmal.serve")
_CLIENT_GONE = 499  # nginx's number for an answer that nobody waits for
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}


class Problem(ModersmalError):
    """A request that is answered with `status` and one sentence.

    `param` names the part of the request that is at fault, `code` is for programs to read.
    """

    def __init__(
        self,
        status: int,
        sentence: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status, self.param, self.code = status, param, code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """`{"error": {message, type, param, code}}`."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {
            "error": {
                "message": str(self),
                "type": _TYPES.get(self.status, kind),
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.status, self.headers)


def problem_of(error: Exception) -> Problem:
    """What is told of an error. Of those that are not the asker's, nothing that is ours alone."""
    match error:
        case Problem():
            return error
        case Busy():
            retry = {"Retry-After": str(error.retry_after_s)}
            return Problem(429, str(error), code="busy", headers=retry)
        case Unavailable():
            return Problem(503, str(error), code="unavailable", headers={"Retry-After": "5"})
        case LongAudioError():
            return Problem(413, str(error), param="file", code="audio_too_long")
        case AudioError():
            return Problem(400, str(error), param="file", code="invalid_audio")
        case LanguageError():
            return Problem(400, str(error), param="language", code="invalid_language")
        case RecipeError():
            return Problem(400, str(error), code="invalid_value")
        case HTTPException():
            return Problem(error.status_code, str(error.detail), headers=error.headers)
        case RequestValidationError():
            return _invalid(error)
        case ClientDisconnect():
            return Problem(_CLIENT_GONE, "the client has left")
        case _:
            return Problem(500, "the server failed at this; its log says why", code="fault")


def add_handlers(app: FastAPI) -> None:
    """Let `app` answer every error of a route in OpenAI's form."""
    for kind in (ModersmalError, HTTPException, RequestValidationError, ClientDisconnect):
        app.add_exception_handler(kind, _answer)


async def _answer(request: Request, error: Exception) -> JSONResponse:
    problem = problem_of(error)
    if problem.status == 500:
        log_fault(error)
    return problem.response()


def log_fault(error: Exception) -> None:
    """Note an error that is the server's own."""
    _LOG.error("%s", type(error).__name__, exc_info=error)


def _invalid(error: RequestValidationError) -> Problem:
    first = error.errors()[0]
    *_, name = [str(part) for part in first["loc"] if isinstance(part, str)] or ["request"]
    return Problem(400, f"{name}: {first['msg']}", param=name, code="invalid_value")
