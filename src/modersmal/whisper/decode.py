"""Decode clips in batches with `transformers`: what training is scored on.

Clips are sorted by length and batched with those that share their context, so what is decoded for
a clip depends on the clip alone. The encoder runs once per batch, over as many frames as the clips
need, and the decoder keeps its keys and values.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    GenerationMixin,
    LogitsProcessor,
    LogitsProcessorList,
    WhisperTimeStampLogitsProcessor,
)
from transformers.modeling_outputs import BaseModelOutput

from modersmal.audio import SAMPLE_RATE
from modersmal.errors import AudioError
from modersmal.language import MAX_TOKENS
from modersmal.logmel import FRAMES_PER_S, HOP_SAMPLES, WINDOW_FRAMES, clip_features
from modersmal.whisper.load import Whisper
from modersmal.whisper.tokens import prompt_ids, special_ids, text_of

Context = Literal["dynamic", "full"]
Read = Callable[[list[int]], list[np.ndarray]]
OnProgress = Callable[[int], None]

WINDOW_S = WINDOW_FRAMES / FRAMES_PER_S
CONTEXT_FLOOR_S = 2
CONTEXT_STEP_S = 1
# People speak below 8 tokens a second, and scripts of many bytes a letter stay below 20: what
# runs longer is a loop, and would cost up to 448 steps for a clip of one second.
TOKEN_FLOOR = 32
TOKENS_PER_S = 24


@dataclass(frozen=True)
class Hypothesis:
    """What was decoded for one clip.

    `tokens` are the generated ids, timestamps included, without prompt and end-of-text;
    `avg_logprob` is the mean natural logarithm of their probabilities, end-of-text included; None
    with beams, for which `generate` would keep the scores of the whole vocabulary.
    """

    text: str
    tokens: tuple[int, ...]
    avg_logprob: float | None


@dataclass(frozen=True)
class Batch:
    """Clips, by number, that share a context of `frames` log-mel frames."""

    clips: list[int]
    frames: int


def decode(
    whisper: Whisper,
    clips: Sequence[np.ndarray],
    *,
    language_token: str | None,
    context: Context = "dynamic",
    batch_s: float = 120.0,
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
        whisper,
        [len(clip) / SAMPLE_RATE for clip in clips],
        lambda numbers: [clips[number] for number in numbers],
        language_token=language_token,
        context=context,
        batch_s=batch_s,
        beams=beams,
        timestamps=timestamps,
        on_progress=on_progress,
    )


def decode_lazily(
    whisper: Whisper,
    durations_s: Sequence[float],
    read: Read,
    *,
    language_token: str | None,
    context: Context = "dynamic",
    batch_s: float = 120.0,
    beams: int = 1,
    timestamps: bool = False,
    on_progress: OnProgress | None = None,
) -> list[Hypothesis]:
    """Like `decode`, for clips that are read when their turn comes.

    `read` takes numbers of clips and returns their samples; it runs in another thread, one batch
    ahead of the model.
    """
    plan = plan_batches(durations_s, context, batch_s)
    prompt = prompt_ids(whisper.vocabulary, language_token, timestamps)
    hypotheses: dict[int, Hypothesis] = {}
    was_training = whisper.model.training
    whisper.model.eval()
    try:
        for batch, clips in _read_ahead(plan, read):
            decoded = _decode_batch(whisper, clips, batch.frames, prompt, beams, timestamps)
            hypotheses.update(zip(batch.clips, decoded, strict=True))
            if on_progress:
                on_progress(len(clips))
    finally:
        whisper.model.train(was_training)
    return [hypotheses[number] for number in range(len(durations_s))]


def plan_batches(durations_s: Sequence[float], context: Context, batch_s: float) -> list[Batch]:
    """Group clips by context, the longest first, so that too large a batch fails at once.

    Raises:
        AudioError: a clip is longer than 30 s.
    """
    by_context: dict[int, list[int]] = {}
    for number in sorted(range(len(durations_s)), key=lambda number: -durations_s[number]):
        frames = context_frames(durations_s[number], context)
        by_context.setdefault(frames, []).append(number)
    batches = []
    for frames, numbers in by_context.items():
        size = max(1, int(batch_s * FRAMES_PER_S / frames))
        batches += [Batch(numbers[i : i + size], frames) for i in range(0, len(numbers), size)]
    return batches


def context_frames(duration_s: float, context: Context) -> int:
    """Log-mel frames that the encoder sees of a clip: whole seconds, or always 30 s.

    Raises:
        AudioError: it is longer than 30 s.
    """
    if round(duration_s * SAMPLE_RATE) > WINDOW_FRAMES * HOP_SAMPLES:
        raise AudioError(
            f"a clip of {duration_s:.1f} s is longer than Whisper's window of {WINDOW_S:g} s"
        )
    if context == "full":
        return WINDOW_FRAMES
    samples = round(duration_s * SAMPLE_RATE)
    steps = -(-samples // (CONTEXT_STEP_S * SAMPLE_RATE))
    return max(CONTEXT_FLOOR_S, steps * CONTEXT_STEP_S) * FRAMES_PER_S


def token_cap(frames: int, prompt_length: int) -> int:
    """How many tokens are written at most for a context of `frames`, end-of-text included."""
    wanted = TOKEN_FLOOR + TOKENS_PER_S * frames // FRAMES_PER_S
    return min(wanted, MAX_TOKENS - prompt_length)


def _read_ahead(plan: list[Batch], read: Read) -> Iterator[tuple[Batch, list[np.ndarray]]]:
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = [pool.submit(read, batch.clips) for batch in plan[:1]]
        for place, batch in enumerate(plan):
            clips = coming.pop().result()
            coming = [pool.submit(read, later.clips) for later in plan[place + 1 : place + 2]]
            yield batch, clips


def _decode_batch(
    whisper: Whisper,
    clips: list[np.ndarray],
    frames: int,
    prompt: list[int],
    beams: int,
    timestamps: bool,
) -> list[Hypothesis]:
    """Decode one batch; in halves where the GPU's memory does not hold it."""
    try:
        return _generate(whisper, clips, frames, prompt, beams, timestamps)
    except torch.OutOfMemoryError:
        if len(clips) == 1:
            raise
    torch.cuda.empty_cache()
    middle = len(clips) // 2
    return [
        hypothesis
        for half in (clips[:middle], clips[middle:])
        for hypothesis in _decode_batch(whisper, half, frames, prompt, beams, timestamps)
    ]


@torch.inference_mode()
def _generate(
    whisper: Whisper,
    clips: list[np.ndarray],
    frames: int,
    prompt: list[int],
    beams: int,
    timestamps: bool,
) -> list[Hypothesis]:
    model, device = whisper.model, whisper.device
    features = clip_features(clips, whisper.mels, frames, str(device)).to(model.dtype)
    encoded: BaseModelOutput = model.model.encoder(features)
    settings = _settings(whisper, len(prompt), frames, beams)
    processors = LogitsProcessorList()
    if timestamps:
        processors.append(WhisperTimeStampLogitsProcessor(whisper.generation, len(prompt)))
    chosen = _ChosenLogprobs()
    if beams == 1:
        processors.append(chosen)
    # Whisper's own `generate` pads to 30 s; this is the loop beneath it.
    output: Any = GenerationMixin.generate(
        cast(Any, model),
        generation_config=settings,
        logits_processor=processors,
        encoder_outputs=encoded,
        attention_mask=torch.ones(len(clips), frames, dtype=torch.long, device=device),
        decoder_input_ids=torch.tensor([prompt] * len(clips), device=device),
    )
    generated = output.sequences[:, len(prompt) :].tolist()
    logprobs = chosen.means(generated, whisper) if beams == 1 else [None] * len(clips)
    return [
        _hypothesis(whisper, ids, logprob) for ids, logprob in zip(generated, logprobs, strict=True)
    ]


def _settings(whisper: Whisper, prompt_length: int, frames: int, beams: int) -> GenerationConfig:
    ids = special_ids(whisper.vocabulary)
    return GenerationConfig(
        max_length=prompt_length + token_cap(frames, prompt_length),
        num_beams=beams,
        do_sample=False,
        use_cache=True,
        bos_token_id=ids.end,
        eos_token_id=ids.end,
        pad_token_id=ids.end,
        decoder_start_token_id=ids.start,
        suppress_tokens=whisper.generation.suppress_tokens,
        begin_suppress_tokens=whisper.generation.begin_suppress_tokens,
        return_dict_in_generate=True,
    )


class _ChosenLogprobs(LogitsProcessor):
    """Keeps the log-probability of the token that greedy search takes, and changes nothing."""

    def __init__(self) -> None:
        self.steps: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.steps.append(scores.amax(-1) - scores.logsumexp(-1))
        return scores

    def means(self, generated: list[list[int]], whisper: Whisper) -> list[float]:
        """Mean per row, up to its first end-of-text."""
        end = special_ids(whisper.vocabulary).end
        rows = torch.stack(self.steps, dim=1).tolist()
        lengths = [ids.index(end) + 1 if end in ids else len(ids) for ids in generated]
        return [sum(row[:length]) / length for row, length in zip(rows, lengths, strict=True)]


def _hypothesis(whisper: Whisper, ids: list[int], avg_logprob: float | None) -> Hypothesis:
    end = special_ids(whisper.vocabulary).end
    tokens = ids[: ids.index(end)] if end in ids else ids
    text = text_of(whisper.tokenizer, whisper.vocabulary, tokens)
    return Hypothesis(text, tuple(tokens), avg_logprob)
