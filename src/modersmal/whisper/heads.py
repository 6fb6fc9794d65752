"""Find the heads of a tuned model that follow the audio: runtimes take the times of words by them.

Fine-tuning moves them: a head that looked at each word as it was said may look elsewhere then.
Every cross-attention head is tried on audio whose times are known, and the few that together come
closest are kept, where they come closer than those that the model names already.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from modersmal.audio import SAMPLE_RATE
from modersmal.language import MAX_TOKENS, Vocabulary
from modersmal.logmel import WINDOW_FRAMES
from modersmal.whisper.load import Whisper
from modersmal.whisper.timing import POSITION_S, attention, first_positions
from modersmal.whisper.tokens import prompt_ids, text_ids

MOST_HEADS = 12
_LOST_S = 1.0  # who is further off than this is lost, and how far says nothing

Head = tuple[int, int]


@dataclass(frozen=True)
class Said:
    """A text, and when it is said in its window, in seconds."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class Timed:
    """At most 30 s of audio, (n,) float32 at 16 kHz, and what is said in it, in order."""

    samples: np.ndarray
    said: tuple[Said, ...]


@dataclass(frozen=True)
class FoundHeads:
    """Alignment heads, as (layer, head).

    `before_s` and `after_s` are medians of how far the times by the model's former heads and by
    these are from `edges` known ones, in windows that the heads were not chosen on.
    """

    heads: tuple[Head, ...]
    before_s: float
    after_s: float
    edges: int


def find_heads(
    whisper: Whisper, windows: Sequence[Timed], language_token: str | None = None
) -> FoundHeads:
    """Find the heads that best tell when the texts of `windows` are said.

    Every other window is what they are chosen on, and the others what they are measured on. Texts
    of more tokens than Whisper can write are left out. The model itself is not changed.

    Raises:
        ModelError: the model has no such language token.
        ValueError: there is no window with a text that fits.
    """
    tasks = _tasks(whisper, windows, language_token)
    if not tasks:
        raise ValueError("alignment heads are found by windows in which something is said")
    ranked = _ranked(whisper, tasks[::2])
    candidates = [_former(whisper), *(ranked[:count] for count in range(1, MOST_HEADS + 1))]
    errors_s = [_errors_s(whisper, task, candidates) for task in tasks]
    chosen_by = np.concatenate(errors_s[::2], axis=1)
    measured = np.concatenate(errors_s[1::2] or errors_s, axis=1)
    best = int(np.argmin(_badness(chosen_by)))
    if _badness(measured)[best] >= _badness(measured)[0]:
        best = 0
    medians_s = np.median(measured, axis=1)
    return FoundHeads(
        heads=tuple(sorted(candidates[best])),
        before_s=float(medians_s[0]),
        after_s=float(medians_s[best]),
        edges=measured.shape[1],
    )


def edge_errors_s(
    whisper: Whisper, windows: Sequence[Timed], heads: Sequence[Head], language_token: str | None
) -> np.ndarray:
    """How far the times by `heads` are from each known time of `windows`: (edges,) seconds.

    Raises:
        ModelError: the model has no such language token.
    """
    errors_s = [
        _errors_s(whisper, task, [list(heads)])[0]
        for task in _tasks(whisper, windows, language_token)
    ]
    return np.concatenate([np.empty(0), *errors_s])


def _tasks(whisper: Whisper, windows: Sequence[Timed], language_token: str | None) -> list["_Task"]:
    """Texts of more tokens than Whisper can write are left out."""
    if whisper.vocabulary is Vocabulary.ENGLISH:
        language_token = None
    prompt = prompt_ids(whisper.vocabulary, language_token)
    tasks = [_Task.of(window, prompt, whisper.tokenizer) for window in windows if window.said]
    return [task for task in tasks if len(prompt) + len(task.tokens) < MAX_TOKENS]


@dataclass(frozen=True)
class _Edge:
    """A time that is known: token `row` begins from `earliest_s` to `latest_s`."""

    row: int
    earliest_s: float
    latest_s: float


@dataclass(frozen=True)
class _Task:
    """What a model is to write, and what is known of when."""

    samples: np.ndarray
    prompt: list[int]
    tokens: list[int]
    edges: tuple[_Edge, ...]

    @classmethod
    def of(cls, window: Timed, prompt: list[int], tokenizer: Tokenizer) -> "_Task":
        """The first text's beginning is not asked for: before it, every path is at 0.

        A text ends with its last letter: what is written behind it begins in the pause.
        """
        texts = text_ids(tokenizer, [said.text for said in window.said])
        ends = np.cumsum([len(ids) for ids in texts])
        edges = []
        for said, following, ids, row in zip(
            window.said, [*window.said[1:], None], texts, ends.tolist(), strict=True
        ):
            unspoken = _unspoken(ids, tokenizer)
            latest_s = following.start_s if following else len(window.samples) / SAMPLE_RATE
            if unspoken or not following:
                edges.append(_Edge(row - unspoken, said.end_s, max(said.end_s, latest_s)))
            if following:
                edges.append(_Edge(row, following.start_s, following.start_s))
        return cls(window.samples, prompt, [id_ for ids in texts for id_ in ids], tuple(edges))

    def errors_s(self, scores: np.ndarray) -> np.ndarray:
        """How far paths are from the known times: scores (ways, tokens + 1, positions) to
        (ways, edges) seconds."""
        begins_s = first_positions(scores)[:, [edge.row for edge in self.edges]] * POSITION_S
        earliest_s = np.array([edge.earliest_s for edge in self.edges])
        latest_s = np.array([edge.latest_s for edge in self.edges])
        return np.maximum(0.0, np.maximum(earliest_s - begins_s, begins_s - latest_s))


def _unspoken(ids: list[int], tokenizer: Tokenizer) -> int:
    """How many tokens at the end of a text are punctuation."""
    count = 0
    for id_ in reversed(ids):
        written = tokenizer.decode([id_], skip_special_tokens=False)
        if "\ufffd" in written or any(letter.isalnum() for letter in written):
            break
        count += 1
    return count


def _all(whisper: Whisper) -> list[Head]:
    config = whisper.model.config
    heads = range(config.decoder_attention_heads)
    return [(layer, head) for layer in range(config.decoder_layers) for head in heads]


def _former(whisper: Whisper) -> list[Head]:
    """Those that the model names and has: some name a larger one's."""
    named = whisper.generation.to_dict()["alignment_heads"]
    there = _all(whisper)
    return [(layer, head) for layer, head in named if (layer, head) in there] or there


def _ranked(whisper: Whisper, tasks: Sequence[_Task]) -> list[Head]:
    """All heads, the one whose times are best by itself first."""
    heads = _all(whisper)
    errors_s = []
    for task in tasks:
        layers = attention(whisper, task.samples, WINDOW_FRAMES, task.prompt, task.tokens, heads)
        errors_s.append(np.concatenate([task.errors_s(scores) for scores in layers]))
    order = np.argsort(_badness(np.concatenate(errors_s, axis=1)), kind="stable")
    return [heads[place] for place in order]


def _errors_s(whisper: Whisper, task: _Task, candidates: list[list[Head]]) -> np.ndarray:
    """How far the times by each group of heads together are off: (groups, edges) seconds."""
    heads = sorted({head for group in candidates for head in group})
    layers = attention(whisper, task.samples, WINDOW_FRAMES, task.prompt, task.tokens, heads)
    scores = np.concatenate(list(layers))
    together = [scores[[heads.index(head) for head in group]].mean(0) for group in candidates]
    return task.errors_s(np.stack(together))


def _badness(errors_s: np.ndarray) -> np.ndarray:
    """Mean error of each row, of which none counts more than being lost."""
    return np.minimum(errors_s, _LOST_S).mean(axis=1)
