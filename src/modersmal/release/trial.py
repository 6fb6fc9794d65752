"""What a runtime makes of the golden set: nothing is judged here."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from modersmal.audio import SAMPLE_RATE
from modersmal.errors import ModelError
from modersmal.progress import Advance
from modersmal.release.exports import Runtime
from modersmal.release.golden import Golden
from modersmal.release.runtimes import Runtime as Opened
from modersmal.transcribe.formats import Segment

_AT_ONCE = 4  # on a CPU, what a model keeps of 8 that it hears as 30 s is as large as itself


@dataclass(frozen=True)
class Trial:
    """What a runtime made of the golden set; `speed` in seconds of clips per second."""

    runtime: Runtime
    arithmetic: str
    texts: list[str]
    recording: str
    silences: list[str]
    long_silences: list[str]
    speed: float


def try_out(opened: Opened, golden: Golden, token: str, advance: Advance) -> Trial:
    """Have a runtime decode all of it; `advance` is told of clips. Raises ModelError."""
    texts: list[str] = []
    seconds = audio_s = 0.0
    for batch in batches(golden.clips):
        names = golden.names[len(texts) : len(texts) + len(batch)]
        began_s = time.monotonic()
        with _telling(f"clips {names[0]} to {names[-1]}"):
            texts += opened.transcribe(batch, token)
        seconds += time.monotonic() - began_s
        audio_s += sum(map(len, batch)) / SAMPLE_RATE
        advance(len(batch), note=opened.name)
    with _telling("the recording"):
        recording = opened.long(golden.recording, token)
    with _telling("silence"):
        silences = opened.transcribe(golden.silences, token)
        long_silences = [opened.long(silence, token) for silence in golden.silences]
    return Trial(
        runtime=opened.name,
        arithmetic=opened.arithmetic,
        texts=texts,
        recording=joined(recording),
        silences=silences,
        long_silences=[joined(one) for one in long_silences],
        speed=audio_s / seconds,
    )


@contextmanager
def _telling(what: str) -> Iterator[None]:
    """Say of an error what was being decoded."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{what}: {error}") from error


def joined(segments: Sequence[Segment]) -> str:
    """The text of a recording in one line."""
    return " ".join(filter(None, (segment.text.strip() for segment in segments)))


def batches(clips: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Few clips at a time, since clips are decoded when they are asked for."""
    for first in range(0, len(clips), _AT_ONCE):
        yield list(clips[first : first + _AT_ONCE])
