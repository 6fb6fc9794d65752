"""Windows of a corpus in which it is known when somebody speaks: what alignment heads are found by.

Clips that were cut from recordings know the times of their segments. Of others it is heard when
speech begins and ends, and they are joined with pauses between them.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from modersmal.audio import SAMPLE_RATE, decode
from modersmal.corpus.shards import Split
from modersmal.train.bounds import room_tone, speech_bounds_s
from modersmal.whisper.heads import Said, Timed

WINDOWS = 24
_LONGEST_S = 28.0
_PAUSES_S = (0.3, 1.2)


def timed_windows(split: Split, most: int = WINDOWS) -> list[Timed]:
    """At most `most` windows of clips without flags; the same split gives the same windows.

    Raises CorpusError where a shard cannot be read.
    """
    return list(islice(_windows(split), most))


def _windows(split: Split) -> Iterator[Timed]:
    window = Timed(np.empty(0, np.float32), ())
    random = np.random.default_rng(0)
    for clip in _clips(split, random):
        if window.said and len(window.samples) + len(clip.samples) > _LONGEST_S * SAMPLE_RATE:
            yield window
            window = Timed(np.empty(0, np.float32), ())
        window = _joined(window, clip, random)
    if window.said:
        yield window


def _clips(split: Split, random: np.random.Generator) -> Iterator[Timed]:
    """Clips in no order, so that many speakers are heard."""
    segments = split.column("segments") if split.has_recordings else [None] * len(split)
    for row in random.permutation(len(split)).tolist():
        if split.flags[row]:
            continue
        [data] = split.audio_bytes([row])
        samples = decode(data).samples
        if known := segments[row]:
            said = tuple(Said(one["start"], one["end"], one["text"]) for one in known)
        else:
            said = (Said(*speech_bounds_s(samples), split.texts[row]),)
        yield Timed(samples, said)


def _joined(window: Timed, clip: Timed, random: np.random.Generator) -> Timed:
    """A window with one clip more, and a pause as quiet as that behind it."""
    begin_s = len(window.samples) / SAMPLE_RATE
    said = (
        replace(one, start_s=begin_s + one.start_s, end_s=begin_s + one.end_s) for one in clip.said
    )
    pause = room_tone(clip.samples, round(random.uniform(*_PAUSES_S) * SAMPLE_RATE), random)
    samples = np.concatenate([window.samples, clip.samples, pause])
    return Timed(samples[: 30 * SAMPLE_RATE], (*window.said, *said))
