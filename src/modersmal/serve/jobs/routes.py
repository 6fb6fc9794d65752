"""Jobs over HTTP: /jobs, and below it each job under the token of its private link.

What changes their text is in `editing.py`.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response, StreamingResponse

from modersmal.serve.api.upload import receive_form, request_folder
from modersmal.serve.jobs.documents import write_document
from modersmal.serve.jobs.job import Job, Segment
from modersmal.serve.jobs.jobs import Jobs, under_way
from modersmal.serve.jobs.shelf import Place
from modersmal.serve.problems import Problem
from modersmal.serve.serving import Serving

_KEEP_ALIVE_S = 15.0
_TITLE_LETTERS = 200
_TEXTS, _SWITCHES = ("title", "language", "prompt", "hotwords", "names"), ("words", "protected")
_YES, _NO = {"true", "1", "on", "yes"}, {"false", "0", "off", "no", ""}


def jobs_router(serving: Serving, jobs: Jobs) -> APIRouter:
    """The routes of `jobs`."""
    router = APIRouter(prefix="/jobs", tags=["jobs"])

    @router.post("", status_code=201, openapi_extra=_FORM)
    async def submit(request: Request) -> dict[str, str]:
        """Send a recording. What comes back is the private link to its text."""
        limits = serving.settings.limits
        async with request_folder(serving.requests_folder) as folder:
            upload = await receive_form(request, folder, max_bytes=limits.max_job_mib << 20)
            fields = upload.fields
            _check(fields)
            names = [*serving.settings.names, *_list(fields, "names")]
            wish = {
                "language": _one(fields, "language") or None,
                "prompt": _one(fields, "prompt"),
                "hotwords": _one(fields, "hotwords"),
                "names": names,
                "words": _bool(fields, "words", True),
            }
            title = (_one(fields, "title") or upload.filename or "recording")[:_TITLE_LETTERS]
            token = await jobs.submit(
                upload.file, wish, " ".join(title.split()), _bool(fields, "protected", False)
            )
        return {"token": token, "url": f"/#job={token}"}

    @router.get("/{token}")
    async def show(token: str) -> dict[str, Any]:
        """How far a job is, and its text."""
        place = await jobs.find(token)
        segments = await _segments(place)
        state = await _state(serving, jobs, place.job)
        return state | {"segments": [one.to_table() for one in segments]}

    @router.get("/{token}/events", response_class=StreamingResponse)
    async def events(token: str, request: Request) -> StreamingResponse:
        """Server-sent events: `segment` for each that is new or changed, `state`, and `end`."""
        await jobs.find(token)
        last = request.headers.get("last-event-id", "")
        after = int(last) if last.isdecimal() else -1
        return StreamingResponse(
            _events(serving, jobs, token, after),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    @router.get("/{token}/audio", response_class=FileResponse)
    async def audio(token: str) -> FileResponse:
        """The recording as FLAC at 16 kHz; parts of it where they are asked for."""
        place = await jobs.find(token)
        path = place.shelf.voices.audio(place.job.id)
        if not path.is_file():
            raise Problem(404, "the recording is not decoded yet")
        headers = {"Cache-Control": "private, no-cache"}
        return FileResponse(path, media_type="audio/flac", headers=headers)

    @router.get("/{token}/download", response_class=Response)
    async def download(token: str, format: str, words: bool = False) -> Response:
        """The text as a file: txt, srt, vtt, json, docx."""
        place = await jobs.find(token)
        document = write_document(place.job, await _segments(place), format, words=words)
        headers = {"Content-Disposition": document.disposition, "Cache-Control": "no-store"}
        return Response(document.data, media_type=document.type, headers=headers)

    @router.post("/{token}/cancel")
    async def cancel(token: str) -> dict[str, Any]:
        """Write no more; what is written stands."""
        place = await jobs.find(token)
        await jobs.cancel(place)
        return await _state(serving, jobs, (await jobs.find(token)).job)

    @router.delete("/{token}", status_code=204, response_class=Response)
    async def erase(token: str) -> Response:
        """Erase the recording, its text and all edits, at once."""
        await jobs.erase(await jobs.find(token))
        return Response(status_code=204)

    return router


_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        **{name: {"type": "string"} for name in _TEXTS},
                        **{name: {"type": "boolean"} for name in _SWITCHES},
                    },
                }
            }
        },
    }
}


async def _events(serving: Serving, jobs: Jobs, token: str, after: int) -> AsyncIterator[str]:
    while not jobs.stopping:
        try:
            place = await jobs.find(token)
        except Problem:
            yield _event("end", {})
            return
        job = place.job
        change = jobs.change_of(job.id)
        fresh = await _segments(place, after)
        for segment in fresh:
            yield _event("segment", segment.to_table())
        after = max([after, job.changes, *(segment.changed for segment in fresh)])
        yield _event("state", await _state(serving, jobs, job), after)
        if not under_way(job):
            yield _event("end", {})
            return
        while not await _set_within(change, _KEEP_ALIVE_S):
            yield ": still here\n\n"


async def _set_within(change: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await change.wait()
    except TimeoutError:
        return False
    return True


def _event(name: str, data: dict[str, Any], number: int | None = None) -> str:
    told = f"id: {number}\n" if number is not None else ""
    return f"{told}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


async def _state(serving: Serving, jobs: Jobs, job: Job) -> dict[str, Any]:
    engine = serving.engine.state()
    return {
        "title": job.title,
        "state": job.state,
        "duration_s": job.duration_s,
        "reached_s": job.reached_s,
        "left_s": jobs.left_s(job),
        "language": job.language or job.wish.get("language") or engine.language,
        "model": engine.release,
        "release": job.release or engine.release,
        "error": job.error,
        "protected": job.protected,
        "consent": await jobs.agreed(job),
        "expires": job.expires_s,
    }


async def _segments(place: Place, after: int = -1) -> list[Segment]:
    return await place.shelf.do(lambda ledger: ledger.segments(place.job.id, after=after))


def _check(fields: dict[str, list[str]]) -> None:
    """Refuse what is misspelt: who asks for protection has it, or hears that they have not."""
    for name in fields:
        if name not in (*_TEXTS, *_SWITCHES):
            known = ", ".join(("file", *_TEXTS, *_SWITCHES))
            raise Problem(400, f"there is no field {name!r}; there are {known}", param=name)


def _one(fields: dict[str, list[str]], name: str) -> str:
    values = fields.get(name, [""])
    if len(values) > 1:
        raise Problem(400, f"{name}: send it once", param=name, code="invalid_value")
    return values[0]


def _list(fields: dict[str, list[str]], name: str) -> list[str]:
    """Values that were sent one by one, or in lines."""
    lines = [line for value in fields.get(name, []) for line in value.splitlines()]
    return [" ".join(line.split()) for line in lines if line.strip()]


def _bool(fields: dict[str, list[str]], name: str, default: bool) -> bool:
    if name not in fields:
        return default
    value = _one(fields, name).lower()
    if value not in _YES | _NO:
        raise Problem(400, f"{name}: true or false, not {value!r}", param=name)
    return value in _YES
