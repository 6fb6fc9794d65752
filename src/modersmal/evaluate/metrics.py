"""Word and character error rates of what was decoded, with what was wrong and how sure it is.

Orthographic scores compare texts as they are written; normalised ones after the normaliser. Rates
are shares of the reference: 0.2 is 20 %, and insertions can push them above 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import jiwer
import numpy as np

from modersmal.config import EvaluateConfig
from modersmal.errors import CorpusError
from modersmal.evaluate.significance import Clusters, Interval, clusters, rate_interval
from modersmal.language import is_spaced
from modersmal.text import clean, normaliser

Metric = Literal["wer", "cer"]


@dataclass(frozen=True)
class Edits:
    """What turns each reference into its hypothesis: counts per clip, each (clips,) int64."""

    hits: np.ndarray
    substitutions: np.ndarray
    deletions: np.ndarray
    insertions: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        return self.substitutions + self.deletions + self.insertions

    @property
    def units(self) -> np.ndarray:
        """Words or characters of each reference."""
        return self.hits + self.substitutions + self.deletions


@dataclass(frozen=True)
class ErrorRate:
    """An error rate over all clips, and what it is made of."""

    rate: float
    interval: Interval | None
    substitutions: int
    deletions: int
    insertions: int
    reference_units: int


@dataclass(frozen=True)
class Rates:
    """Both rates of texts that were prepared in one way, with the edits of every clip."""

    wer: ErrorRate
    cer: ErrorRate
    word_edits: Edits = field(repr=False)
    character_edits: Edits = field(repr=False)

    def of(self, metric: Metric) -> ErrorRate:
        return self.wer if metric == "wer" else self.cer

    def edits(self, metric: Metric) -> Edits:
        return self.word_edits if metric == "wer" else self.character_edits


@dataclass(frozen=True)
class Score:
    """How well hypotheses match their references.

    `metric` is the rate that decides: WER, or CER in languages written without spaces.
    Intervals draw whole speakers where enough are known, else clips: `groups`.
    """

    metric: Metric
    normalised: Rates
    orthographic: Rates
    language: str
    normaliser: str
    clips: int
    empty_references: int
    empty_hypotheses: int
    intervals_by: Literal["speaker", "clip"]
    groups: Clusters = field(repr=False)

    @property
    def wer(self) -> float:
        return self.normalised.wer.rate

    @property
    def cer(self) -> float:
        return self.normalised.cer.rate

    @property
    def deciding(self) -> ErrorRate:
        return self.normalised.of(self.metric)


def score(
    references: Sequence[str],
    hypotheses: Sequence[str],
    speakers: Sequence[str | None],
    *,
    language: str,
    config: EvaluateConfig,
) -> Score:
    """Score hypotheses against references in the same order.

    Raises:
        CorpusError: no reference holds a word, so that there is nothing to score.
        RecipeError: the normaliser's rules are wrong.
    """
    if not len(references) == len(hypotheses) == len(speakers):
        raise ValueError("references, hypotheses and speakers differ in number")
    iron = normaliser(config.normaliser, language=language, rules=config.rules)
    groups = clusters(speakers)
    spaced = is_spaced(language)
    plain = [[clean(text) for text in texts] for texts in (references, hypotheses)]
    ironed = [[clean(iron(text)) for text in texts] for texts in plain]
    if not any(ironed[0]):
        raise CorpusError(
            f"none of the {len(references):,} references holds a word after the normaliser "
            f"{iron.version}; there is nothing to score"
        )
    return Score(
        metric="wer" if spaced else "cer",
        normalised=_rates(ironed[0], ironed[1], groups, spaced),
        orthographic=_rates(plain[0], plain[1], groups, spaced),
        language=language,
        normaliser=iron.version,
        clips=len(references),
        empty_references=sum(not text for text in ironed[0]),
        empty_hypotheses=sum(not text for text in ironed[1]),
        intervals_by=groups.unit,
        groups=groups,
    )


def word_edits(references: Sequence[str], hypotheses: Sequence[str]) -> Edits:
    """Align words; texts have single spaces."""
    return _edits(jiwer.process_words(list(references), list(hypotheses)).alignments)


def character_edits(
    references: Sequence[str], hypotheses: Sequence[str], *, spaced: bool = True
) -> Edits:
    """Align characters; spaces count as one in languages that are written with them."""
    texts = [list(references), list(hypotheses)]
    if not spaced:
        texts = [["".join(text.split()) for text in side] for side in texts]
    return _edits(jiwer.process_characters(texts[0], texts[1]).alignments)


def _edits(alignments: list[list[jiwer.AlignmentChunk]]) -> Edits:
    kinds = {"equal": 0, "substitute": 1, "delete": 2, "insert": 3}
    counts = np.zeros((4, len(alignments)), dtype=np.int64)
    for clip, chunks in enumerate(alignments):
        for chunk in chunks:
            length = max(
                chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx
            )
            counts[kinds[chunk.type], clip] += length
    return Edits(*counts)


def _rates(references: list[str], hypotheses: list[str], groups: Clusters, spaced: bool) -> Rates:
    words = word_edits(references, hypotheses)
    characters = character_edits(references, hypotheses, spaced=spaced)
    return Rates(_rate(words, groups), _rate(characters, groups), words, characters)


def _rate(edits: Edits, groups: Clusters) -> ErrorRate:
    return ErrorRate(
        rate=float(edits.errors.sum() / edits.units.sum()),
        interval=rate_interval(edits.errors, edits.units, groups),
        substitutions=int(edits.substitutions.sum()),
        deletions=int(edits.deletions.sum()),
        insertions=int(edits.insertions.sum()),
        reference_units=int(edits.units.sum()),
    )
