"""Decode a split of a corpus as its scores need it: in order, and whatever its clips are like."""

from collections.abc import Sequence

import numpy as np

from modersmal.audio import SAMPLE_RATE, decode
from modersmal.config import EvaluateConfig
from modersmal.corpus import Split
from modersmal.logmel import HOP_SAMPLES, WINDOW_FRAMES
from modersmal.whisper.decode import Context, Decoder, OnProgress, decode_lazily, hearing
from modersmal.whisper.load import Described

_WINDOW_SAMPLES = WINDOW_FRAMES * HOP_SAMPLES


def decode_split(
    decoder: Decoder,
    split: Split,
    indices: Sequence[int],
    *,
    language_token: str,
    config: EvaluateConfig,
    on_progress: OnProgress | None = None,
) -> list[str]:
    """Texts of the clips at `indices`, in their order.

    A clip of more than 30 s, which dev and test may hold, is decoded in equal parts and their
    texts are joined. `on_progress` is called with the number of parts done since the last call.
    """
    parts = _parts(split.durations_s[list(indices)])

    def read(numbers: list[int]) -> list[np.ndarray]:
        encoded = split.audio_bytes(indices[parts[number][0]] for number in numbers)
        return [
            decode(data, name=split.ids[indices[clip]]).samples[start:stop]
            for data, (clip, start, stop) in zip(
                encoded, (parts[number] for number in numbers), strict=True
            )
        ]

    hypotheses = decode_lazily(
        decoder,
        [(stop - start) / SAMPLE_RATE for _, start, stop in parts],
        hearing(read, decoder),
        language_token=language_token,
        context=context_for(decoder.model, config),
        batch_s=config.batch_s,
        beams=config.beams,
        on_progress=on_progress,
    )
    texts: list[list[str]] = [[] for _ in indices]
    for (clip, _, _), hypothesis in zip(parts, hypotheses, strict=True):
        texts[clip].append(hypothesis.text)
    return [" ".join(filter(None, pieces)) for pieces in texts]


def context_for(model: Described, config: EvaluateConfig) -> Context:
    """The context in which to score a model: short ones only if it was trained on them.

    A stock Whisper has seen nothing but 30 s windows, and makes things up on less.
    """
    return "dynamic" if config.context == model.context == "dynamic" else "full"


def _parts(durations_s: np.ndarray) -> list[tuple[int, int, int]]:
    """Cut clips into windows: (clip, first sample, last sample + 1) for each."""
    parts = []
    for clip, duration_s in enumerate(durations_s):
        samples = round(float(duration_s) * SAMPLE_RATE)
        count = max(1, -(-samples // _WINDOW_SAMPLES))
        edges = [samples * edge // count for edge in range(count + 1)]
        parts += [(clip, edges[part], edges[part + 1]) for part in range(count)]
    return parts
