"""Which clips of a split can be learned from, and which tokens they use."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from modersmal import audio
from modersmal.corpus import Split
from modersmal.errors import TrainingError
from modersmal.language import MAX_TOKENS
from modersmal.whisper.load import Whisper
from modersmal.whisper.tokens import label_ids


@dataclass(frozen=True)
class Examples:
    """`takes_part` (rows,) bool are the rows to learn from, `left_out` says how many are not and
    why, `used` (vocabulary,) bool which tokens their labels hold, special ones aside."""

    takes_part: np.ndarray
    left_out: dict[str, int]
    used: Tensor


def find_examples(split: Split, whisper: Whisper, language_token: str) -> Examples:
    """Take every clip with a text that fits Whisper.

    Raises:
        TrainingError: there is none.
        ModelError: the model has no such language token.
    """
    used = torch.zeros(whisper.vocabulary.size, dtype=torch.bool)
    takes_part = np.zeros(len(split), dtype=bool)
    left_out = {"no text": 0, "over 30 s": 0, f"over {MAX_TOKENS} tokens": 0}
    no_text, too_long, too_many_tokens = left_out
    for first, texts in _chunks(split):
        labels = label_ids(whisper.tokenizer, whisper.vocabulary, texts, language_token)
        for row, (text, label) in enumerate(zip(texts, labels, strict=True), start=first):
            if not text.strip():
                left_out[no_text] += 1
            elif split.durations_s[row] > audio.CHUNK_S:
                left_out[too_long] += 1
            elif len(label) > MAX_TOKENS:
                left_out[too_many_tokens] += 1
            else:
                takes_part[row] = True
                used[label] = True
    if not takes_part.any():
        raise TrainingError(f"split {split.name!r} of {split.folder} has no clip to learn from")
    return Examples(takes_part, {why: n for why, n in left_out.items() if n}, used)


def _chunks(split: Split) -> Iterator[tuple[int, list[str]]]:
    """First rows and texts, a shard at a time."""
    first = 0
    for texts in split.values("text"):
        yield first, texts
        first += len(texts)
