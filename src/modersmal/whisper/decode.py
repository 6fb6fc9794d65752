"""Decode clips in batches, through whatever engine is at hand: what models are scored on.

Clips are sorted by length and batched with those that share their context, so what is decoded for
a clip depends on the clip alone. The encoder runs once per batch, over as many frames as the clips
need.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import numpy as np
from torch import Tensor

from modersmal.audio import SAMPLE_RATE
from modersmal.errors import AudioError
from modersmal.language import MAX_TOKENS
from modersmal.logmel import FRAMES_PER_S, HOP_SAMPLES, WINDOW_FRAMES, clip_features
from modersmal.whisper.load import CONTEXT_FLOOR_S, Described
from modersmal.whisper.tokens import prompt_ids, text_of

Context = Literal["dynamic", "full"]
Read = Callable[[list[int]], list[np.ndarray]]
OnProgress = Callable[[int], None]

WINDOW_S = WINDOW_FRAMES / FRAMES_PER_S
CONTEXT_STEP_S = 1
BATCH_S = 240.0
# People speak below 8 tokens a second, and scripts of many bytes a letter stay below 20: what
# runs longer is a loop, and would cost up to 448 steps for a clip of one second.
TOKEN_FLOOR = 32
TOKENS_PER_S = 24

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Hypothesis:
    """What was decoded for one clip.

    `tokens` are the generated ids, timestamps included, without prompt and end-of-text;
    `avg_logprob` is the mean natural logarithm of their probabilities, end-of-text included; None
    with beams.
    """

    text: str
    tokens: tuple[int, ...]
    avg_logprob: float | None


@dataclass(frozen=True)
class Search:
    """How texts are looked for. `prompt` is what the decoder is given before it writes; at most
    `most_tokens` are written, end-of-text included."""

    prompt: list[int]
    beams: int
    timestamps: bool
    most_tokens: int


@dataclass(frozen=True)
class Written:
    """Ids that were written, without prompt and end-of-text, and the mean of their logarithms."""

    tokens: list[int]
    avg_logprob: float | None


class Decoder(Protocol):
    """A model in an engine that decodes it.

    `precision` is the name of the number format; `lanes` batches are decoded at once, each in a
    thread of its own where they are more than one; features lie on `device`, a torch device, and
    the model computes on `computes_on`, another where the engine moves them itself.
    """

    @property
    def engine(self) -> str: ...
    @property
    def model(self) -> Described: ...
    @property
    def precision(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def computes_on(self) -> str: ...
    @property
    def lanes(self) -> int: ...

    def write(self, features: Tensor, search: Search) -> list[Written]:
        """Decode log-mel features (clips, mels, frames), float32."""
        ...


@dataclass(frozen=True)
class Batch:
    """Clips, by number, that share a context of `frames` log-mel frames."""

    clips: list[int]
    frames: int


Hear = Callable[[Batch], Tensor]


def decode(
    decoder: Decoder,
    clips: Sequence[np.ndarray],
    *,
    language_token: str | None,
    context: Context = "dynamic",
    batch_s: float = BATCH_S,
    beams: int = 1,
    timestamps: bool = False,
    on_progress: OnProgress | None = None,
) -> list[Hypothesis]:
    """Decode clips of at most 30 s, each (n,) float32 at 16 kHz; the order is kept.

    `batch_s` is the padded audio that is decoded at once, in seconds. `on_progress` is called
    with the number of clips done since the last call.

    Raises:
        AudioError: a clip is longer than 30 s.
        ModelError: the model has no such language token.
    """
    return decode_lazily(
        decoder,
        [len(clip) / SAMPLE_RATE for clip in clips],
        hearing(lambda numbers: [clips[number] for number in numbers], decoder),
        language_token=language_token,
        context=context,
        batch_s=batch_s,
        beams=beams,
        timestamps=timestamps,
        on_progress=on_progress,
    )


def hearing(read: Read, decoder: Decoder) -> Hear:
    """Hear clips by their samples, which `read` takes numbers of clips for."""
    return lambda batch: clip_features(
        read(batch.clips), decoder.model.mels, batch.frames, decoder.device
    )


def decode_lazily(
    decoder: Decoder,
    durations_s: Sequence[float],
    hear: Hear,
    *,
    language_token: str | None,
    context: Context = "dynamic",
    batch_s: float = BATCH_S,
    beams: int = 1,
    timestamps: bool = False,
    on_progress: OnProgress | None = None,
) -> list[Hypothesis]:
    """Like `decode`, for clips that are heard when their turn comes.

    `hear` gives the features (clips, mels, frames) of a batch; it runs in other threads, ahead of
    the model.
    """
    plan = plan_batches(durations_s, context, batch_s, decoder.model.context_floor_s)
    prompt = prompt_ids(decoder.model.vocabulary, language_token, timestamps)

    def write(batch: Batch, features: Tensor) -> list[Written]:
        cap = token_cap(batch.frames, len(prompt))
        return decoder.write(features, Search(prompt, beams, timestamps, cap))

    written: dict[int, Written] = {}
    for batch, found in _decoded(plan, hear, write, decoder.lanes):
        written.update(zip(batch.clips, found, strict=True))
        if on_progress:
            on_progress(len(batch.clips))
    return [_hypothesis(decoder.model, written[number]) for number in range(len(durations_s))]


def plan_batches(
    durations_s: Sequence[float],
    context: Context,
    batch_s: float,
    floor_s: float = CONTEXT_FLOOR_S,
) -> list[Batch]:
    """Group clips by context, the longest first, so that too large a batch fails at once.

    Raises:
        AudioError: a clip is longer than 30 s.
    """
    by_context: dict[int, list[int]] = {}
    for number in sorted(range(len(durations_s)), key=lambda number: -durations_s[number]):
        frames = context_frames(durations_s[number], context, floor_s)
        by_context.setdefault(frames, []).append(number)
    batches = []
    for frames, numbers in by_context.items():
        size = max(1, int(batch_s * FRAMES_PER_S / frames))
        batches += [Batch(numbers[i : i + size], frames) for i in range(0, len(numbers), size)]
    return batches


def context_frames(duration_s: float, context: Context, floor_s: float = CONTEXT_FLOOR_S) -> int:
    """Log-mel frames that the encoder sees of a clip: whole seconds from `floor_s` up, or always
    30 s.

    Raises:
        AudioError: it is longer than 30 s.
    """
    samples = round(duration_s * SAMPLE_RATE)
    if samples > WINDOW_FRAMES * HOP_SAMPLES:
        raise AudioError(
            f"a clip of {duration_s:.1f} s is longer than Whisper's window of {WINDOW_S:g} s"
        )
    if context == "full":
        return WINDOW_FRAMES
    steps = max(-(-samples // (CONTEXT_STEP_S * SAMPLE_RATE)), math.ceil(floor_s / CONTEXT_STEP_S))
    return steps * CONTEXT_STEP_S * FRAMES_PER_S


def token_cap(frames: int, prompt_length: int) -> int:
    """How many tokens are written at most for a context of `frames`, end-of-text included."""
    wanted = TOKEN_FLOOR + TOKENS_PER_S * frames // FRAMES_PER_S
    return min(wanted, MAX_TOKENS - prompt_length)


def _decoded(
    plan: list[Batch],
    hear: Hear,
    write: Callable[[Batch, Tensor], list[Written]],
    lanes: int,
) -> Iterator[tuple[Batch, list[Written]]]:
    """Batches and what was written, in order; with one lane, in the caller's own thread."""
    if lanes == 1:
        heard = _ahead(lambda batch: (batch, hear(batch)), plan, 1)
        return ((batch, write(batch, features)) for batch, features in heard)
    return _ahead(lambda batch: (batch, write(batch, hear(batch))), plan, lanes)


def _ahead(
    work: Callable[[_Item], _Result], items: Iterable[_Item], workers: int
) -> Iterator[_Result]:
    """Results in order, `workers` of which are being worked on while the caller has one."""
    pool = ThreadPoolExecutor(max_workers=workers)
    coming: deque[Future[_Result]] = deque()
    try:
        for item in items:
            coming.append(pool.submit(work, item))
            if len(coming) > workers:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:  # who is interrupted does not wait for what nobody will hear
        pool.shutdown(wait=False, cancel_futures=True)


def _hypothesis(model: Described, written: Written) -> Hypothesis:
    text = text_of(model.tokenizer, model.vocabulary, written.tokens)
    return Hypothesis(text, tuple(written.tokens), written.avg_logprob)
