"""What a model that modersmal trained is given: stretches of speech, many of them at once.

Utterances in the context that it was trained in, or, where it has learned them, windows of 30 s
with the times of what is said in them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from modersmal.audio import SAMPLE_RATE
from modersmal.language import TIMESTAMP_STEP_S, Vocabulary
from modersmal.transcribe.formats import Segment
from modersmal.transcribe.speech import Part
from modersmal.whisper.decode import Context, Decoder, Hypothesis, decode
from modersmal.whisper.tokens import special_ids, text_of

_BATCH_S = 120.0  # each beam takes as much memory as a clip


def decode_parts(
    decoder: Decoder,
    stretches: Sequence[np.ndarray],
    *,
    language_token: str,
    beams: int,
    timestamps: bool,
    on_progress: Callable[[int], None],
) -> list[Hypothesis]:
    """Decode stretches of at most 30 s, (n,) float32 at 16 kHz; `on_progress` is told how many
    are done. With `timestamps` they are windows, and padded to 30 s."""
    short: Context = "full" if timestamps or decoder.model.context == "full" else "dynamic"
    return decode(
        decoder,
        stretches,
        language_token=language_token,
        context=short,
        batch_s=_BATCH_S,
        beams=beams,
        timestamps=timestamps,
        on_progress=on_progress,
    )


def segments_of(decoder: Decoder, part: Part, written: Hypothesis) -> list[Segment]:
    """What was said in a part of a recording and when, from timestamps where there are any."""
    model = decoder.model
    segments = []
    for stretch in stretches_of(model.vocabulary, part, written.tokens):
        text = " ".join(text_of(model.tokenizer, model.vocabulary, stretch.tokens).split())
        if text:
            segments.append(Segment(stretch.start_s, stretch.end_s, text))
    return segments


@dataclass(frozen=True)
class Stretch:
    """Tokens of text, and when they were said, in seconds from the start of the recording."""

    start_s: float
    end_s: float
    tokens: tuple[int, ...]


def stretches_of(vocabulary: Vocabulary, part: Part, tokens: Sequence[int]) -> list[Stretch]:
    """Tokens between the timestamps of a part of a recording; without any, all of it."""
    first = special_ids(vocabulary).first_timestamp
    start_s, end_s = part["start"] / SAMPLE_RATE, part["end"] / SAMPLE_RATE
    stretches: list[Stretch] = []
    begun_s, heard = start_s, list[int]()

    def close(until_s: float) -> None:
        if heard:
            stretches.append(Stretch(begun_s, max(begun_s, until_s), tuple(heard)))
        heard.clear()

    for token in tokens:
        if token < first:
            heard.append(token)
            continue
        time_s = min(end_s, start_s + (token - first) * TIMESTAMP_STEP_S)
        close(time_s)
        begun_s = time_s
    close(end_s)
    return stretches
