"""Where there is speech in a recording (Silero VAD), in the stretches that models are given."""

from collections.abc import Iterator
from typing import TypedDict

import numpy as np
from faster_whisper.vad import VadOptions, get_speech_timestamps

from modersmal.audio import SAMPLE_RATE
from modersmal.whisper.decode import WINDOW_S

# Utterances end in a pause of half a second; a speaker who makes none in 20 s is interrupted in
# the last short one.
_UTTERANCES = VadOptions(max_speech_duration_s=20.0, min_silence_duration_ms=500, speech_pad_ms=250)
_LONGEST_PAUSE_S = 3.0  # within a window
_BLOCK_S = 600.0
_STRETCHES = VadOptions(max_speech_duration_s=_BLOCK_S)
_PIECE_S = 1800.0  # three blocks: what is left to the next piece is never all of it


class Part(TypedDict):
    """A stretch of a recording, in samples."""

    start: int
    end: int


def utterances(samples: np.ndarray) -> Iterator[Part]:
    """Speech between pauses, of at most 20 s and a little."""
    return _speech(samples, _UTTERANCES)


def windows(samples: np.ndarray) -> Iterator[Part]:
    """Utterances with the pauses between them, as many as 30 s hold; long pauses part them."""
    window: Part | None = None
    for part in utterances(samples):
        if window is not None:
            pause_s = (part["start"] - window["end"]) / SAMPLE_RATE
            length_s = (part["end"] - window["start"]) / SAMPLE_RATE
            if pause_s <= _LONGEST_PAUSE_S and length_s <= WINDOW_S:
                window = Part(start=window["start"], end=part["end"])
                continue
            yield window
        window = part
    if window is not None:
        yield window


def blocks(samples: np.ndarray) -> Iterator[list[Part]]:
    """Speech in lists of at most ten minutes."""
    block: list[Part] = []
    length = 0
    for part in _speech(samples, _STRETCHES):
        if block and length + part["end"] - part["start"] > _BLOCK_S * SAMPLE_RATE:
            yield block
            block, length = [], 0
        block.append(part)
        length += part["end"] - part["start"]
    if block:
        yield block


def _speech(samples: np.ndarray, options: VadOptions) -> Iterator[Part]:
    """Stretches of speech in order, from pieces of the recording of half an hour.

    One that may go on behind its piece is left to the next, which begins with it.
    """
    length = int(_PIECE_S * SAMPLE_RATE)
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
