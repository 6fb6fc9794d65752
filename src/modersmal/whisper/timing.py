"""Hear a window of audio and tell when each letter is said, by the model's own cross-attention.

Some heads of Whisper's decoder look at the audio of the token that comes next (openai/whisper,
timing.py). The path through their attention on which time never runs back gives every token its
frames.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from modersmal.audio import SAMPLE_RATE
from modersmal.language import Vocabulary
from modersmal.logmel import FRAMES_PER_S, HOP_SAMPLES, clip_features
from modersmal.whisper.decode import Context, Decoder, context_frames, decode
from modersmal.whisper.decoders import open_decoder
from modersmal.whisper.encoder import FRAMES_PER_POSITION
from modersmal.whisper.load import Whisper, load
from modersmal.whisper.tokens import prompt_ids, special_ids

POSITION_S = FRAMES_PER_POSITION / FRAMES_PER_S
_SMOOTHED_POSITIONS = 7
_WINDOW_S, _LONG_WINDOW_S = 10.0, 28.0


@dataclass(frozen=True)
class Heard:
    """What was heard in a window: `text`, and when each of its characters begins and ends.

    Times are (characters,) float64, in seconds from the window's beginning.
    """

    text: str
    starts_s: np.ndarray
    ends_s: np.ndarray


@dataclass(frozen=True)
class Ears:
    """`decoder` writes down what is said, and `whisper`, the same model, tells when."""

    decoder: Decoder
    whisper: Whisper
    language_token: str | None

    @classmethod
    def open(cls, model: str, language_token: str | None) -> "Ears":
        """Load a model, as `load` does, where there is room for it. Raises as `load`."""
        decoder = open_decoder(model)
        loaded = decoder.model
        whisper = loaded if isinstance(loaded, Whisper) else load(model, device=decoder.device)
        english = whisper.vocabulary is Vocabulary.ENGLISH
        return cls(decoder, whisper, None if english else language_token)

    @property
    def window_s(self) -> float:
        """How long a window may be: those that learned from short clips hear short ones best."""
        return _LONG_WINDOW_S if self._context == "full" or self.whisper.windows else _WINDOW_S

    def hear(self, windows: Sequence[np.ndarray]) -> list[Heard]:
        """Recognise windows of at most 30 s, each (n,) float32 at 16 kHz, greedily.

        Raises:
            AudioError: a window is longer than 30 s.
            ModelError: the model has no such language token.
        """
        hypotheses = decode(
            self.decoder, windows, language_token=self.language_token, context=self._context
        )
        heard = []
        for window, hypothesis in zip(windows, hypotheses, strict=True):
            end = special_ids(self.whisper.vocabulary).end
            tokens = [id_ for id_ in hypothesis.tokens if id_ < end]
            heard.append(_heard(self.whisper, tokens, self._bounds_s(window, tokens)))
        return heard

    @property
    def _context(self) -> Context:
        return "dynamic" if self.whisper.context == "dynamic" else "full"

    def _bounds_s(self, window: np.ndarray, tokens: list[int]) -> np.ndarray:
        seconds = len(window) / SAMPLE_RATE
        frames = context_frames(seconds, self._context, self.whisper.context_floor_s)
        prompt = prompt_ids(self.whisper.vocabulary, self.language_token)
        return _token_bounds_s(self.whisper, window, frames, prompt, tokens)


def _heard(whisper: Whisper, tokens: list[int], bounds_s: np.ndarray) -> Heard:
    """Spread the time of every token evenly over the characters that it adds."""
    starts_s: list[float] = []
    ends_s: list[float] = []
    text = ""
    begin_s = float(bounds_s[0])
    for number in range(len(tokens)):
        longer = whisper.tokenizer.decode(tokens[: number + 1], skip_special_tokens=False)
        if longer.endswith("\ufffd"):  # the rest of the character is in the next token
            continue
        new, end_s = len(longer) - len(text), float(bounds_s[number + 1])
        edges_s = np.linspace(begin_s, end_s, max(new, 0) + 1)
        starts_s += edges_s[:-1].tolist()
        ends_s += edges_s[1:].tolist()
        text, begin_s = longer, end_s
    return Heard(text, np.array(starts_s), np.array(ends_s))


def _token_bounds_s(
    whisper: Whisper, window: np.ndarray, frames: int, prompt: list[int], tokens: list[int]
) -> np.ndarray:
    """When each token begins, and at last when the last one ends: (tokens + 1,) seconds."""
    if not tokens:
        return np.zeros(1)
    heads = whisper.generation.to_dict()["alignment_heads"]
    layers = attention(whisper, window, frames, prompt, tokens, heads)
    return first_positions(np.concatenate(list(layers)).mean(0)) * POSITION_S


@torch.inference_mode()
def attention(
    whisper: Whisper,
    window: np.ndarray,
    frames: int,
    prompt: list[int],
    tokens: list[int],
    heads: Sequence[Sequence[int]],
) -> Iterator[np.ndarray]:
    """How much of the audio each token to come is looked for at, while `tokens` are written.

    `heads` are pairs of layer and head. For each layer of them, rising, this gives one array of its
    heads: (heads, tokens + 1, positions) float32, the end being the last row. Rows are put against
    each other in every position, and smoothed along time.
    """
    device = whisper.device
    features = clip_features([window], whisper.mels, frames, str(device)).to(whisper.model.dtype)
    ids = torch.tensor([[*prompt, *tokens]], device=device)
    with _compared(whisper, heads) as layers:
        whisper.model.model(input_features=features, decoder_input_ids=ids, use_cache=False)
    used = -(-len(window) // (HOP_SAMPLES * FRAMES_PER_POSITION))
    positions = min(used, frames // FRAMES_PER_POSITION)
    for layer in layers:
        weights = layer.scores()[..., :positions].softmax(-1)  # (heads, tokens, positions)
        weights = (weights - weights.mean(-2, keepdim=True)) / (
            weights.std(-2, keepdim=True) + 1e-6
        )
        yield _median(weights)[:, len(prompt) - 1 :].cpu().numpy()


class _Layer:
    """Queries and keys of one layer's cross-attention, and the heads of it that are of use."""

    def __init__(self, heads: list[int], count: int) -> None:
        self.heads, self.count = heads, count
        self.queries = self.keys = torch.empty(0)

    def scores(self) -> Tensor:
        """Scores of each head: (heads, tokens, positions) float32."""
        split = [
            one[0].unflatten(-1, (self.count, -1)).transpose(0, 1)[self.heads].float()
            for one in (self.queries, self.keys)
        ]
        return split[0] @ split[1].transpose(-1, -2) * split[0].shape[-1] ** -0.5


@contextmanager
def _compared(whisper: Whisper, heads: Sequence[Sequence[int]]) -> Iterator[list[_Layer]]:
    """Keep what some heads compare while the model runs, whatever its attention kernel."""
    by_layer: dict[int, list[int]] = {}
    for number, head in heads:
        by_layer.setdefault(number, []).append(head)
    kept, hooks = [], []
    for number, chosen in sorted(by_layer.items()):
        module = whisper.model.model.decoder.layers[number].encoder_attn
        layer = _Layer(chosen, module.num_heads)
        kept.append(layer)
        for name, part in (("queries", module.q_proj), ("keys", module.k_proj)):
            hooks.append(
                part.register_forward_hook(
                    lambda module, inputs, output, layer=layer, name=name: setattr(
                        layer, name, output
                    )
                )
            )
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()


def _median(weights: Tensor) -> Tensor:
    """Median over neighbouring positions: (…, positions), of the same shape."""
    side = _SMOOTHED_POSITIONS // 2
    if weights.shape[-1] <= side:
        return weights
    padded = torch.nn.functional.pad(weights, (side, side), mode="reflect")
    return padded.unfold(-1, _SMOOTHED_POSITIONS, 1).median(-1).values


def first_positions(scores: np.ndarray) -> np.ndarray:
    """First position of every row but the first, and before it 0: the best path by which rows
    follow each other, each with one position at least.

    `scores` are (…, rows, positions), one row more than there are tokens: the last one is the end.
    The path of each of the leading dimensions is its own: (…, rows) float64.
    """
    *leading, rows, positions = scores.shape
    if rows > positions:
        return np.broadcast_to(np.linspace(0, positions, rows), (*leading, rows)).copy()
    scores = scores.reshape(-1, rows, positions)
    best = np.full((len(scores), rows), -np.inf)
    best[:, 0] = scores[:, 0, 0]
    moved = np.zeros((positions, len(scores), rows), bool)
    before = np.full_like(best, -np.inf)
    for position in range(1, positions):
        before[:, 1:] = best[:, :-1]
        moved[position] = before > best
        best = np.maximum(best, before) + scores[:, :, position]
    begins = np.zeros((len(scores), rows))
    paths = np.arange(len(scores))
    row = np.full(len(scores), rows - 1)
    for position in range(positions - 1, 0, -1):
        entered = moved[position, paths, row]
        begins[paths[entered], row[entered]] = position
        row = row - entered
    return begins.reshape(*leading, rows)
