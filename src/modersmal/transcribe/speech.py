"""Where there is speech in a recording (Silero VAD), in the stretches that models are given."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypedDict

import numpy as np
from faster_whisper.vad import VadOptions, get_speech_timestamps

from modersmal.audio import CHUNK_S, SAMPLE_RATE

# Utterances end in a pause of half a second; a speaker who makes none in 20 s is interrupted in
# the last short one.
_UTTERANCES = VadOptions(max_speech_duration_s=20.0, min_silence_duration_ms=500, speech_pad_ms=250)
_LONGEST_PAUSE_S = 3.0  # within a window
_BLOCK_S = 600.0
_STRETCHES = VadOptions(max_speech_duration_s=_BLOCK_S)
_PIECE_S = 1800.0  # three blocks: what is left to the next piece is never all of it


class Samples(Protocol):
    """A recording, (n,) float32 at 16 kHz, in memory or read as it is needed."""

    def __len__(self) -> int: ...

    def __getitem__(self, stretch: slice, /) -> np.ndarray: ...


class Part(TypedDict):
    """A stretch of a recording, in samples."""

    start: int
    end: int


def utterances(samples: Samples, *, piece_s: float = _PIECE_S) -> Iterator[Part]:
    """Speech between pauses, of at most 20 s and a little.

    Looking for it takes some three times the memory of `piece_s` seconds of samples.
    """
    return _speech(samples, _UTTERANCES, piece_s)


def windows(samples: Samples) -> Iterator[Part]:
    """Utterances with the pauses between them, as many as 30 s hold; long pauses part them."""
    return joined(utterances(samples))


def joined(parts: Iterable[Part]) -> Iterator[Part]:
    """Utterances, in order, as windows."""
    window: Part | None = None
    for part in parts:
        if window is not None:
            pause_s = (part["start"] - window["end"]) / SAMPLE_RATE
            length_s = (part["end"] - window["start"]) / SAMPLE_RATE
            if pause_s <= _LONGEST_PAUSE_S and length_s <= CHUNK_S:
                window = Part(start=window["start"], end=part["end"])
                continue
            yield window
        window = part
    if window is not None:
        yield window


def blocks(samples: Samples) -> Iterator[list[Part]]:
    """Speech in lists of at most ten minutes."""
    block: list[Part] = []
    length = 0
    for part in _speech(samples, _STRETCHES, _PIECE_S):
        if block and length + part["end"] - part["start"] > _BLOCK_S * SAMPLE_RATE:
            yield block
            block, length = [], 0
        block.append(part)
        length += part["end"] - part["start"]
    if block:
        yield block


def _speech(samples: Samples, options: VadOptions, piece_s: float) -> Iterator[Part]:
    """Stretches of speech in order, from pieces of the recording of `piece_s` seconds.

    One that may go on behind its piece is left to the next, which begins with it.
    """
    length = int(piece_s * SAMPLE_RATE)
    first = 0
    while first < len(samples):
        piece = samples[first : first + length]
        following = first + len(piece)
        parts = get_speech_timestamps(piece, options)
        pause = options.min_silence_duration_ms * SAMPLE_RATE // 1000
        if following < len(samples) and parts and parts[-1]["end"] + pause > len(piece):
            following = first + parts.pop()["start"]
        for part in parts:
            yield Part(start=first + part["start"], end=first + part["end"])
        first = following
