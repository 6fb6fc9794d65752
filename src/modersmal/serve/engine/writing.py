"""The model: parts of recordings to text, many at once, with the times of words on request."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer as Splitter
from faster_whisper.transcribe import merge_punctuations

from modersmal.audio import SAMPLE_RATE
from modersmal.language import Vocabulary, resolve
from modersmal.logmel import HOP_SAMPLES, clip_features
from modersmal.serve.engine.options import Task
from modersmal.serve.engine.results import Span, Spoken
from modersmal.transcribe.clips import Stretch, stretches_of
from modersmal.transcribe.engine import Device, compute_type_on, opened_on
from modersmal.transcribe.formats import Word
from modersmal.transcribe.speech import Part
from modersmal.whisper.convert import cached_ctranslate2, is_conversion
from modersmal.whisper.decode import token_cap
from modersmal.whisper.decode_ct2 import decoding_cores
from modersmal.whisper.load import Description, describe
from modersmal.whisper.tokens import prompt_ids, special_ids, text_ids, text_of

MOST_TOLD_TOKENS = 200  # of the 448 that Whisper reads and writes together
_REPEATS_RATIO = 2.4  # OpenAI's bounds: what compresses better is a loop,
_UNSURE_LOGPROB = -1.0  # what is less likely is drawn again,
_SILENT_PROB = 0.6  # and what is neither likely nor speech is silence
_AGAIN = (0.2, 0.4, 0.6, 0.8, 1.0)
_SEED = 0
_BEFORE, _BEHIND = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"


@dataclass(frozen=True)
class Text:
    """What was written of one part."""

    segments: tuple[Spoken, ...]
    language: str | None


@dataclass(frozen=True)
class _Draft:
    tokens: list[int]
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float

    @property
    def doubtful(self) -> bool:
        loops = self.compression_ratio > _REPEATS_RATIO
        return not self.silent and (loops or self.avg_logprob < _UNSURE_LOGPROB)

    @property
    def silent(self) -> bool:
        return self.no_speech_prob > _SILENT_PROB and self.avg_logprob < _UNSURE_LOGPROB


class Writing:
    """A model in memory, from the folder `converted`. `trained` says that modersmal trained it, and
    for which language."""

    def __init__(
        self, model: Description, whisper: WhisperModel, converted: Path, device: str
    ) -> None:
        self.about, self.converted, self.device = model, converted, device
        self.trained = model.language is not None
        self._windowed, self._whisper = whisper, whisper.model

    @classmethod
    def open(
        cls, model: str, device: Device, offline: bool, converted: Path | None = None
    ) -> "Writing":
        """Load a model from its cached conversion; which that is takes seconds to find out, unless
        it is `converted` still.

        Raises:
            ModelError, HubError: there is no such model.
            RecipeError: the GPU that is asked for cannot be used.
        """
        about = describe(model, offline=offline)

        def on(place: str) -> tuple[WhisperModel, Path, str]:
            kind = compute_type_on(about.folder, place)
            if converted and is_conversion(converted, kind):
                folder = converted
            else:
                folder = cached_ctranslate2(about.folder, kind)
            opened = WhisperModel(
                str(folder),
                device=place,
                compute_type=kind,
                cpu_threads=decoding_cores(),
            )
            if place != "cpu":  # libraries that are missing are missed only when they compute
                opened.encode(np.zeros((about.mels, 3000), np.float32))
            return opened, folder, place

        return cls(about, *opened_on(device, lambda sentence: None, on))

    def write(self, clips: Sequence[np.ndarray], spans: Sequence[Span], task: Task) -> list[Text]:
        """Transcribe parts of at most 30 s, each (n,) float32 at 16 kHz, found at `spans`.

        Raises:
            ModelError: the model has no such language.
        """
        features = clip_features(list(clips), self.about.mels, task.frames, "cpu").numpy()
        heard = self._whisper.encode(_view(features))
        languages = [task.language] * len(clips)
        if task.language is None and self.about.vocabulary is not Vocabulary.ENGLISH:
            languages = [found[0][0][2:-2] for found in self._whisper.detect_language(heard)]
        texts: dict[int, Text] = {}
        for language in dict.fromkeys(languages):
            rows = [row for row, spoken in enumerate(languages) if spoken == language]
            chosen = (
                heard if len(rows) == len(clips) else self._whisper.encode(_view(features[rows]))
            )
            written = self._written(chosen, [spans[row] for row in rows], task, language)
            texts.update(zip(rows, written, strict=True))
        return [texts[row] for row in range(len(clips))]

    def rehearse(
        self, clips: Sequence[np.ndarray], frames: int, language: str | None, most_tokens: int
    ) -> None:
        """Do the work of a batch whose texts have about `most_tokens`, for its time alone."""
        features = clip_features(list(clips), self.about.mels, frames, "cpu").numpy()
        prompt = prompt_ids(self.about.vocabulary, language)
        self._whisper.generate(
            _view(features),
            [prompt] * len(clips),
            max_length=2 * most_tokens,
        )

    def _written(
        self, heard: Any, spans: list[Span], task: Task, language: str | None
    ) -> list[Text]:
        prompt = self._prompt(task, language)
        drafts = self._drafts(heard, prompt, task, task.temperature)
        if not self.trained and task.temperature == 0.0:
            drafts = self._again(heard, prompt, task, drafts)
        segments = [
            [] if not self.trained and draft.silent else self._segments(draft, span)
            for draft, span in zip(drafts, spans, strict=True)
        ]
        if task.words and any(segments):
            segments = self._timed(heard, segments, spans, language)
        spoken = resolve(language).code if language and not self.about.language else None
        if self.about.language and language == self.about.language.token:
            spoken = self.about.language.code
        return [Text(tuple(found), spoken) for found in segments]

    def _prompt(self, task: Task, language: str | None) -> list[int]:
        model = self.about
        start = prompt_ids(model.vocabulary, language, task.timestamps)
        names, before = (
            text_ids(model.tokenizer, [text])[0] if text.strip() else []
            for text in (task.told, task.prompt)
        )
        room = MOST_TOLD_TOKENS - min(len(names), MOST_TOLD_TOKENS // 2)
        told = names[: MOST_TOLD_TOKENS // 2] + (before[-room:] if room else [])
        return [special_ids(model.vocabulary).start_of_previous, *told, *start] if told else start

    def _drafts(
        self, heard: Any, prompt: list[int], task: Task, temperature: float
    ) -> list[_Draft]:
        cap = token_cap(task.frames, len(prompt))
        options: dict[str, Any] = {"beam_size": task.beams}
        if temperature > 0:
            ctranslate2.set_random_seed(_SEED)
            options = {"beam_size": 1, "sampling_topk": 0, "sampling_temperature": temperature}
        results = self._whisper.generate(
            heard,
            [prompt] * heard.shape[0],
            max_length=2 * cap,  # it writes half of that at most
            return_scores=True,
            return_no_speech_prob=True,
            **options,
        )
        return [self._draft(result, temperature) for result in results]

    def _draft(self, result: Any, temperature: float) -> _Draft:
        tokens = result.sequences_ids[0]
        text = text_of(self.about.tokenizer, self.about.vocabulary, tokens).encode()
        return _Draft(
            tokens,
            float(result.scores[0]) * len(tokens) / (len(tokens) + 1),
            float(result.no_speech_prob),
            len(text) / len(zlib.compress(text)),
            temperature,
        )

    def _again(
        self, heard: Any, prompt: list[int], task: Task, drafts: list[_Draft]
    ) -> list[_Draft]:
        """Draw what a stock Whisper is not sure of again, warmer each time, as OpenAI's does."""
        for temperature in _AGAIN:
            if not any(draft.doubtful for draft in drafts):
                break
            drawn = self._drafts(heard, prompt, task, temperature)
            drafts = [new if old.doubtful else old for old, new in zip(drafts, drawn, strict=True)]
        return drafts

    def _segments(self, draft: _Draft, span: Span) -> list[Spoken]:
        part = Part(start=span.start, end=span.end)
        stretches = stretches_of(self.about.vocabulary, part, draft.tokens)
        return [found for one in stretches if (found := self._segment(one, draft)).text]

    def _segment(self, stretch: Stretch, draft: _Draft) -> Spoken:
        end = special_ids(self.about.vocabulary).end
        tokens = tuple(token for token in stretch.tokens if token < end)
        text = " ".join(text_of(self.about.tokenizer, self.about.vocabulary, tokens).split())
        return Spoken(
            start_s=round(stretch.start_s, 3),
            end_s=round(stretch.end_s, 3),
            text=text,
            words=(),
            tokens=tokens,
            avg_logprob=round(draft.avg_logprob, 4),
            no_speech_prob=round(draft.no_speech_prob, 4),
            compression_ratio=round(draft.compression_ratio, 4),
            temperature=draft.temperature,
        )

    def _timed(
        self,
        heard: Any,
        segments: list[list[Spoken]],
        spans: Sequence[Span],
        language: str | None,
    ) -> list[list[Spoken]]:
        """Segments with their words, by the model's alignment heads."""
        english = self.about.vocabulary is Vocabulary.ENGLISH
        splitter = Splitter(
            self.about.tokenizer, not english, task="transcribe", language=language or "en"
        )
        texts = [[token for one in found for token in one.tokens] for found in segments]
        frames = [-(-(span.end - span.start) // HOP_SAMPLES) for span in spans]
        found = self._windowed.find_alignment(splitter, texts, heard, frames)
        return [
            _with_words(spoken, alignment, span)
            for spoken, alignment, span in zip(segments, found, spans, strict=True)
        ]


def _view(features: np.ndarray) -> Any:
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(features))


def _with_words(
    segments: list[Spoken], alignment: list[dict[str, Any]], span: Span
) -> list[Spoken]:
    """Deal the words of one part to its segments, in order and within the part."""
    merge_punctuations(alignment, _BEFORE, _BEHIND)
    begin_s, end_s = span.start / SAMPLE_RATE, span.end / SAMPLE_RATE
    timed: list[Spoken] = []
    place, earliest_s = 0, begin_s
    for segment in segments:
        words: list[Word] = []
        taken = 0
        while place < len(alignment) and taken < len(segment.tokens):
            word = alignment[place]
            taken, place = taken + len(word["tokens"]), place + 1
            if not word["word"].strip():
                continue
            first_s = min(max(begin_s + float(word["start"]), earliest_s), end_s)
            last_s = min(max(begin_s + float(word["end"]), first_s), end_s)
            probability = round(float(word["probability"]), 4)
            text = word["word"].strip()
            words.append(Word(round(first_s, 3), round(last_s, 3), text, probability))
            earliest_s = last_s
        timed.append(_spoken(segment, words))
    return timed


def _spoken(segment: Spoken, words: list[Word]) -> Spoken:
    if not words:
        return segment
    return replace(
        segment,
        words=tuple(words),
        start_s=min(segment.start_s, words[0].start_s),
        end_s=max(segment.end_s, words[-1].end_s),
    )
