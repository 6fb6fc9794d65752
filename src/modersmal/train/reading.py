"""From a planned step to its batch: clips are read and decoded, their texts become labels."""

import threading
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from modersmal import audio
from modersmal.corpus import Split
from modersmal.errors import CorpusError
from modersmal.language import Vocabulary
from modersmal.train.batch import StepBatch
from modersmal.train.plan import Plan
from modersmal.whisper.tokens import label_ids

_DRIFT_S = 0.1


class Reader:
    """Reads what the plan says; of every step, this process reads the clips in its `share`."""

    def __init__(
        self,
        split: Split,
        plan: Plan,
        tokenizer: Tokenizer,
        vocabulary: Vocabulary,
        language_token: str,
        share: slice = slice(None),
    ) -> None:
        self.split, self.plan, self._share = split, plan, share
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        self._language_token = language_token
        self._reading = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """All but the lock, which is each process's own."""
        return {name: value for name, value in vars(self).items() if name != "_reading"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._reading = threading.Lock()

    def load(self, step: int, *, whole: bool = False) -> StepBatch:
        """The batch of one step, now; if `whole`, with the clips of other processes too."""
        share = slice(None) if whole else self._share
        planned = self.plan.batch(step)
        rows = planned.rows[share].tolist()
        others = np.setdiff1d(planned.rows, rows)
        with self._reading:
            encoded = self.split.audio_bytes(rows) if rows else []
        texts = [self.split.texts[row] for row in planned.rows.tolist()]
        return StepBatch(
            planned,
            [self._decode(row, data) for row, data in zip(rows, encoded, strict=True)],
            label_ids(self._tokenizer, self._vocabulary, texts, self._language_token),
            share,
            float(self.split.durations_s[others].sum()),
        )

    def _decode(self, row: int, data: bytes) -> np.ndarray:
        name = f"clip {self.split.ids[row]}"
        clip = audio.decode(data, name=name)
        recorded_s = float(self.split.durations_s[row])
        if abs(clip.duration_s - recorded_s) > _DRIFT_S:
            raise CorpusError(
                f"{name} lasts {clip.duration_s:.2f} s, the corpus says {recorded_s:.2f} s; "
                "prepare the corpus again"
            )
        return clip.samples
