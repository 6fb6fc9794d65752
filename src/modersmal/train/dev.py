"""Dev scores: real decoding of a few clips, chosen once, by which the best model is chosen."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from modersmal import audio
from modersmal.config import EvaluateConfig
from modersmal.corpus import Split
from modersmal.evaluate.decoding import score_model
from modersmal.whisper.load import Whisper


@dataclass(frozen=True)
class DevScore:
    """A score on dev. `rate` is what decides, as a share: WER, or CER without spaces."""

    metric: str
    rate: float
    wer: float
    cer: float
    clips: int


@dataclass(frozen=True)
class DevSet:
    """The dev clips of a run, the same for every score."""

    split: Split
    rows: list[int]
    language: str
    language_token: str
    config: EvaluateConfig

    @classmethod
    def choose(
        cls,
        split: Split,
        count: int,
        *,
        language: str,
        language_token: str,
        config: EvaluateConfig,
    ) -> "DevSet":
        """Take the `count` clips whose ids hash lowest: a choice that more clips hardly change.

        Clips over 30 s cannot be decoded in one go and are left out.
        """
        order = sorted(range(len(split)), key=lambda row: _hash(split.ids[row]))
        fitting = [row for row in order if split.durations_s[row] <= audio.CHUNK_S]
        return cls(split, sorted(fitting[:count]), language, language_token, config)

    def score(self, whisper: Whisper, on_progress: Callable[[int], None]) -> DevScore:
        """Decode and score. Raises CorpusError where no reference holds a word."""
        found = score_model(
            whisper,
            self.split,
            self.rows,
            language_token=self.language_token,
            language=self.language,
            config=self.config,
            on_progress=on_progress,
        )
        return DevScore(found.metric, found.deciding.rate, found.wer, found.cer, found.clips)


def _hash(clip_id: str) -> bytes:
    return hashlib.sha256(clip_id.encode()).digest()
