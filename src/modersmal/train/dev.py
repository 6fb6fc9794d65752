"""Dev scores: real decoding of a few clips, chosen once, by which the best model is chosen."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from modersmal import audio
from modersmal.config import EvaluateConfig
from modersmal.corpus import Split
from modersmal.evaluate.metrics import Score, score
from modersmal.whisper.decode import decode_lazily
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
        found = self._score(whisper, on_progress)
        return DevScore(found.metric, found.deciding.rate, found.wer, found.cer, found.clips)

    def _score(self, whisper: Whisper, on_progress: Callable[[int], None]) -> Score:
        def read(numbers: list[int]) -> list:
            encoded = self.split.audio_bytes(self.rows[number] for number in numbers)
            return [audio.decode(data).samples for data in encoded]

        hypotheses = decode_lazily(
            whisper,
            [float(self.split.durations_s[row]) for row in self.rows],
            read,
            language_token=self.language_token,
            context=self.config.context,
            batch_s=self.config.batch_s,
            beams=self.config.beams,
            on_progress=on_progress,
        )
        return score(
            [self.split.texts[row] for row in self.rows],
            [hypothesis.text for hypothesis in hypotheses],
            [self.split.speakers[row] for row in self.rows],
            language=self.language,
            config=self.config,
        )


def _hash(clip_id: str) -> bytes:
    return hashlib.sha256(clip_id.encode()).digest()
