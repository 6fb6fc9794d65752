"""POST /v1/audio/transcriptions: one recording in, its text out, while the client waits."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from modersmal.errors import Busy
from modersmal.serve.api.answers import segments_of, subtitles, text_of, transcription, verbose
from modersmal.serve.api.description import DESCRIBED
from modersmal.serve.api.events import events, with_beats
from modersmal.serve.api.form import TranscriptionForm, read_form
from modersmal.serve.api.models import must_be_served
from modersmal.serve.api.upload import Upload, receive_form, request_folder
from modersmal.serve.engine.results import Heard, Piece
from modersmal.serve.serving import Serving

RELEASE_HEADER = "x-model-release"

_MIB = 1 << 20
_MOST_AT_ONCE = 256
_RETRY_S = 1

Result = TypeVar("Result")


def transcriptions_router(serving: Serving) -> APIRouter:
    """The one route."""
    router = APIRouter(prefix="/v1/audio", tags=["transcription"])
    room = _Room(_MOST_AT_ONCE)

    async def own_folder() -> AsyncIterator[Path]:
        """Gone when the answer has been sent, or nobody waits for it any more."""
        async with room.one(), request_folder(serving.requests_folder) as folder:
            yield folder

    @router.post("/transcriptions", response_model=None, **DESCRIBED)
    async def transcribe(
        request: Request, folder: Annotated[Path, Depends(own_folder)]
    ) -> Response:
        """Transcribe a recording.

        Any client of OpenAI's can ask for it. It is cancelled when the client leaves.
        """
        upload = await receive_form(
            request, folder, max_bytes=serving.settings.limits.max_upload_mib * _MIB
        )
        form = read_form(upload.fields)
        must_be_served(form.model, serving)
        asked = _Asked(serving, upload, form)
        if form.stream:
            return await while_connected(request, asked.stream())
        return await while_connected(request, asked.whole())

    return router


class _Asked:
    """One request, its form received."""

    def __init__(self, serving: Serving, upload: Upload, form: TranscriptionForm) -> None:
        self._serving, self._upload, self._form = serving, upload, form

    async def whole(self) -> Response:
        heard, coming = await self._begin()
        async with aclosing(coming):
            pieces = [piece async for piece in coming]
        headers = {RELEASE_HEADER: self._release(pieces[-1] if pieces else None)}
        return _body(self._form, heard, pieces, headers)

    async def stream(self) -> Response:
        """Answer once the first piece is there, which names its release, or is long in coming."""
        _, coming = await self._begin()
        beaten = with_beats(coming)
        try:
            first = await anext(beaten, None)
        except BaseException:
            await beaten.aclose()
            raise
        return StreamingResponse(
            events(first, beaten, logprobs=self._form.logprobs),
            media_type="text/event-stream",
            headers={RELEASE_HEADER: self._release(first), "X-Accel-Buffering": "no"},
        )

    async def _begin(self) -> tuple[Heard, AsyncGenerator[Piece, None]]:
        engine, settings = self._serving.engine, self._serving.settings
        wish = self._form.wish(settings.names, engine.state().language)
        heard = await engine.hear(
            self._upload.file,
            self._upload.file.parent,
            max_bytes=settings.limits.max_upload_mib * _MIB,
        )
        return heard, engine.transcribe(heard, wish)

    def _release(self, piece: Piece | None) -> str:
        return piece.release if piece else self._serving.engine.state().release or ""


class _Room:
    """For so many requests at once, whether they send, decode or wait."""

    def __init__(self, most: int) -> None:
        self._free = most

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        if not self._free:
            raise Busy(f"too many are being served; try again in {_RETRY_S} s", _RETRY_S)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


async def while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Do `work`, whose request was received whole, for as long as the client stays.

    Raises:
        ClientDisconnect: it has left, and the work was cancelled.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _body(
    form: TranscriptionForm, heard: Heard, pieces: list[Piece], headers: dict[str, str]
) -> Response:
    kind = form.response_format
    if kind == "text":
        return PlainTextResponse(f"{text_of(segments_of(pieces))}\n", headers=headers)
    if kind == "srt":
        return Response(subtitles(pieces, kind), 200, headers, "application/x-subrip")
    if kind == "vtt":
        return Response(subtitles(pieces, kind), 200, headers, "text/vtt")
    body: BaseModel
    if kind == "verbose_json":
        body = verbose(heard, pieces, segments=form.segments, words=form.words)
    else:
        body = transcription(heard, pieces, logprobs=form.logprobs)
    return JSONResponse(body.model_dump(exclude_none=True), headers=headers)
