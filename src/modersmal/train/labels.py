"""What the decoder is given, and what it learns to write.

A label is what was said before (in some), the prompt, the text with or without times, end-of-text.
Learned are the language, the times, the text and its end. What whoever asks the model always gives
is not: the text before, the task, and that no times are wanted. In silence the first token that is
learned is that nobody speaks, which runtimes look at to leave a window out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor

from modersmal.language import MAX_TOKENS, Vocabulary
from modersmal.whisper.tokens import given_ids, prompt_ids, special_ids, text_ids

NOT_LEARNED = -100
MAX_PREVIOUS_TOKENS = MAX_TOKENS // 2 - 1


class Utterance(NamedTuple):
    """A text, and when it is said in its sample; `end_s` None: it goes on behind the edge."""

    text: str
    start_s: float
    end_s: float | None


@dataclass(frozen=True)
class Label:
    """Token ids that go in, and those that each of them predicts: of the same length.

    Targets are NOT_LEARNED where nothing is learned. `ids` is the whole, end-of-text included.
    """

    ids: list[int]
    targets: list[int]

    @property
    def inputs(self) -> list[int]:
        return self.ids[:-1]

    @property
    def learned(self) -> int:
        """How many tokens are learned."""
        return len(self.targets) - self.targets.count(NOT_LEARNED)


class Labeller:
    """Writes labels for a model's tokenizer, vocabulary and language token.

    Raises:
        ModelError: the model has no such language token.
    """

    def __init__(self, tokenizer: Tokenizer, vocabulary: Vocabulary, language_token: str) -> None:
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        self._ids, self._given = special_ids(vocabulary), given_ids(vocabulary)
        self._prompts = {
            timestamps: prompt_ids(vocabulary, language_token, timestamps)
            for timestamps in (False, True)
        }

    @property
    def special(self) -> Tensor:
        """Which tokens beside text a label may hold: (vocabulary,) bool."""
        held = torch.zeros(self._vocabulary.size, dtype=torch.bool)
        held[[*self._prompts[False], self._ids.end, self._ids.start_of_previous]] = True
        held[[self._ids.no_speech, *range(self._ids.first_timestamp, len(held))]] = True
        return held

    def label(
        self,
        utterances: Sequence[Utterance],
        *,
        timestamps: bool = False,
        previous: Sequence[str] = (),
    ) -> Label:
        """The label of a sample; without utterances it is silence.

        What was said before is cut from its beginning to what fits. The rest is not: see `fitting`.
        """
        written = [*self._prompts[timestamps], *self._written(utterances, timestamps)]
        before = self._before(previous, MAX_TOKENS - len(written) - 1)
        ids = [*before, *written, self._ids.end]
        targets = [NOT_LEARNED if token in self._given else token for token in ids[1:]]
        targets[: len(before)] = [NOT_LEARNED] * len(before)
        if not utterances:
            targets[len(before)] = self._ids.no_speech
        return Label(ids, targets)

    def fitting(self, utterances: Sequence[Utterance], *, timestamps: bool) -> int:
        """How many of the utterances, from the first, have room in a label."""
        room = MAX_TOKENS - len(self._prompts[timestamps]) - 1
        for count, ids in enumerate(self._each(utterances, timestamps)):
            room -= len(ids)
            if room < 0:
                return count
        return len(utterances)

    def _written(self, utterances: Sequence[Utterance], timestamps: bool) -> list[int]:
        if timestamps and not utterances:
            return [self._ids.first_timestamp]  # which runtimes demand before anything else
        return [token for ids in self._each(utterances, timestamps) for token in ids]

    def _each(self, utterances: Sequence[Utterance], timestamps: bool) -> list[list[int]]:
        texts = text_ids(self._tokenizer, [said.text for said in utterances])
        if not timestamps:
            return texts
        time = self._ids.timestamp
        return [
            [time(said.start_s)]
            if said.end_s is None
            else [time(said.start_s), *ids, time(said.end_s)]
            for said, ids in zip(utterances, texts, strict=True)
        ]

    def _before(self, previous: Sequence[str], room: int) -> list[int]:
        ids = [token for text in text_ids(self._tokenizer, previous) for token in text]
        kept = min(len(ids), MAX_PREVIOUS_TOKENS, room - 1)
        return [self._ids.start_of_previous, *ids[-kept:]] if kept > 0 else []
