"""Dev scores: real decoding of a few clips, chosen once, by which the best model is chosen."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from modersmal import audio
from modersmal.config import EvaluateConfig
from modersmal.corpus import Split
from modersmal.evaluate.decoding import context_for
from modersmal.evaluate.metrics import Metric, score
from modersmal.language import is_spaced
from modersmal.text import clean
from modersmal.train.say import say
from modersmal.whisper.decode import Batch, Decoder, Hear, decode_lazily
from modersmal.whisper.decoders import live_decoder
from modersmal.whisper.features import KeptFeatures
from modersmal.whisper.load import Whisper

INTERVAL = 0.025  # half of the 95 % interval that is aimed at, as a share
TYPICAL_CLIPS = 300  # that it takes, of a corpus like Common Voice
_TYPICAL_RATE = 0.2
_Z = 1.96
# Errors come in clips: how much wider the interval is than that of as many independent units,
# squared. Measured with the bundled base on 550 clips: 2.6 and 2.8 for words, 5.0 and 5.5 for
# characters. That of whole speakers is wider, but the same for every checkpoint of a run.
_DESIGN_EFFECT: dict[Metric, float] = {"wer": 2.7, "cer": 5.2}


@dataclass(frozen=True)
class DevScore:
    """A score on dev. `rate` is what decides, as a share: WER, or CER without spaces.

    `low` and `high` are the ends of its 95 % interval, `normaliser` the one it was taken after,
    with its version; earlier versions of modersmal noted neither.
    """

    metric: str
    rate: float
    wer: float
    cer: float
    clips: int
    low: float | None = None
    high: float | None = None
    normaliser: str | None = None


@dataclass(frozen=True)
class DevSet:
    """The dev clips of a run, the same for every score; what is heard of them is kept.

    Of `shown` clips, every score says what was read aloud and what was heard.
    """

    split: Split
    rows: list[int]
    language: str
    language_token: str
    config: EvaluateConfig
    shown: int = 0
    features: KeptFeatures = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", KeptFeatures(self._samples))

    @classmethod
    def choose(
        cls,
        split: Split,
        count: int | None,
        *,
        language: str,
        language_token: str,
        config: EvaluateConfig,
        shown: int = 0,
    ) -> "DevSet":
        """Take the `count` clips whose ids hash lowest: a choice that more clips hardly change.

        Without `count`, as many as make the interval of the rate about ± `INTERVAL` where it is
        20 %. Clips over 30 s cannot be decoded in one go and are left out.
        """
        order = sorted(range(len(split)), key=lambda row: _hash(split.ids[row]))
        fitting = [row for row in order if split.durations_s[row] <= audio.CHUNK_S]
        if count is None:
            count = _enough([_units(split.texts[row], language) for row in fitting], language)
        return cls(split, sorted(fitting[:count]), language, language_token, config, shown)

    @property
    def interval(self) -> float:
        """Half of the 95 % interval that is to be expected where the rate is 20 %, as a share."""
        units = sum(_units(self.split.texts[row], self.language) for row in self.rows)
        return _half_interval(units, metric_of(self.language))

    def __str__(self) -> str:
        metric = metric_of(self.language).upper()
        return f"{len(self.rows)} dev clips: {metric} ± {100 * self.interval:.1f} points at 20 %"

    def score(
        self,
        whisper: Whisper,
        on_progress: Callable[[int], None],
        *,
        spare_memory: bool = False,
    ) -> DevScore:
        """Decode and score; to `spare_memory`, the model is set aside on disk where that helps.

        Raises CorpusError where no reference holds a word.
        """
        engine = self.config.engine
        with live_decoder(whisper, engine, say, spare_memory=spare_memory) as decoder:
            hypotheses = decode_lazily(
                decoder,
                self.split.durations_s[self.rows].tolist(),
                self._hear(decoder),
                language_token=self.language_token,
                context=context_for(whisper, self.config),
                batch_s=self.config.batch_s,
                beams=self.config.beams,
                on_progress=on_progress,
            )
        self._show([hypothesis.text for hypothesis in hypotheses])
        found = score(
            [self.split.texts[row] for row in self.rows],
            [hypothesis.text for hypothesis in hypotheses],
            [self.split.speakers[row] for row in self.rows],
            language=self.language,
            config=self.config,
        )
        interval = found.deciding.interval
        return DevScore(
            metric=found.metric,
            rate=found.deciding.rate,
            wer=found.wer,
            cer=found.cer,
            clips=found.clips,
            low=interval.low if interval else None,
            high=interval.high if interval else None,
            normaliser=found.normaliser,
        )

    def _show(self, heard: list[str]) -> None:
        ids = [self.split.ids[row] for row in self.rows]
        for place in sorted(range(len(ids)), key=lambda place: _hash(ids[place]))[: self.shown]:
            say(f"  read aloud  {self.split.texts[self.rows[place]]}")
            say(f"  heard       {heard[place]}")

    def _hear(self, decoder: Decoder) -> Hear:
        def hear(batch: Batch) -> Tensor:
            return self.features.batch(batch, decoder.model.mels).to(decoder.device)

        return hear

    def _samples(self, places: list[int]) -> list[np.ndarray]:
        rows = [self.rows[place] for place in places]
        return [
            audio.decode(data, name=self.split.ids[row]).samples
            for data, row in zip(self.split.audio_bytes(rows), rows, strict=True)
        ]


def metric_of(language: str) -> Metric:
    """The rate that decides in a language."""
    return "wer" if is_spaced(language) else "cer"


def _enough(units: list[int], language: str) -> int:
    """How many clips, of so many words or characters each, make the interval that is aimed at."""
    metric, heard = metric_of(language), 0
    for clips, more in enumerate(units):
        if heard and _half_interval(heard, metric) <= INTERVAL:
            return clips
        heard += more
    return len(units)


def _half_interval(units: int, metric: Metric) -> float:
    variance = _DESIGN_EFFECT[metric] * _TYPICAL_RATE * (1 - _TYPICAL_RATE) / max(1, units)
    return _Z * math.sqrt(variance)


def _units(text: str, language: str) -> int:
    """Words of a text, or its characters, as the rate that decides counts them."""
    words = clean(text).split()
    return len(words) if is_spaced(language) else sum(map(len, words))


def _hash(clip_id: str) -> bytes:
    return hashlib.sha256(clip_id.encode()).digest()
