"""A transcription as server-sent events: text as it is written, then the whole."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from anyio import CancelScope

from modersmal.errors import ModersmalError
from modersmal.serve.api.answers import languages_of, logprobs_of, segments_of, text_of
from modersmal.serve.engine.results import Piece
from modersmal.serve.problems import log_fault, problem_of

BEAT_S = 10.0
_BEAT = ": still at it\n\n"
_DONE = "data: [DONE]\n\n"


async def with_beats(
    pieces: AsyncGenerator[Piece, None], every_s: float = BEAT_S
) -> AsyncGenerator[Piece | None, None]:
    """The pieces, and None whenever none came for `every_s`. Closing it closes them."""
    coming: asyncio.Task[Piece] | None = None
    try:
        while True:
            if coming is None:
                coming = asyncio.ensure_future(anext(pieces))
            done, _ = await asyncio.wait({coming}, timeout=every_s)
            if not done:
                yield None
                continue
            (finished,) = done
            coming = None
            try:
                piece = finished.result()
            except StopAsyncIteration:
                return
            yield piece
    finally:
        with CancelScope(shield=True):
            if coming is not None:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
            await pieces.aclose()


async def events(
    first: Piece | None, rest: AsyncGenerator[Piece | None, None], *, logprobs: bool
) -> AsyncGenerator[str, None]:
    """The lines that are sent. An error midway is an event too, and ends it."""
    pieces: list[Piece] = []
    try:
        if first is not None:
            pieces.append(first)
            yield _delta(pieces, logprobs)
        async for piece in rest:
            if piece is None:
                yield _BEAT
                continue
            pieces.append(piece)
            yield _delta(pieces, logprobs)
    except ModersmalError as error:
        yield _line(problem_of(error).body())
        return
    except Exception as error:
        log_fault(error)
        yield _line(problem_of(error).body())
        return
    finally:
        await rest.aclose()
    yield _line(_whole(pieces, logprobs))
    yield _DONE


def _delta(pieces: list[Piece], logprobs: bool) -> str:
    """What the last piece adds, with the space before it; nothing where that is silence."""
    text = text_of(pieces[-1].segments)
    if not text:
        return ""
    before = any(piece.segments for piece in pieces[:-1])
    event: dict[str, Any] = {
        "type": "transcript.text.delta",
        "delta": f" {text}" if before else text,
    }
    if logprobs:
        event["logprobs"] = [one.model_dump() for one in logprobs_of(pieces[-1].segments)]
    return _line(event)


def _whole(pieces: list[Piece], logprobs: bool) -> dict[str, Any]:
    segments = segments_of(pieces)
    event: dict[str, Any] = {
        "type": "transcript.text.done",
        "text": text_of(segments),
        "languages": [one.model_dump() for one in languages_of(pieces)],
    }
    if logprobs:
        event["logprobs"] = [one.model_dump() for one in logprobs_of(segments)]
    return event


def _line(event: dict[str, Any]) -> str:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n"
