"""Recordings of any length to segments, through CTranslate2 and faster-whisper.

What is not speech is cut out first (Silero VAD), so that silence gives no text. A model that
modersmal trained has learned single clips and is given one utterance at a time, in the context it
was trained in; a stock Whisper is given 30 s windows, in blocks of some minutes. Little more than
the samples themselves is held in memory.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.transcribe import restore_speech_timestamps
from faster_whisper.vad import VadOptions, get_speech_timestamps

from modersmal.audio import SAMPLE_RATE
from modersmal.errors import ModelError, RecipeError
from modersmal.language import Language, resolve
from modersmal.logmel import FRAMES_PER_S, HOP_SAMPLES, WINDOW_SAMPLES
from modersmal.transcribe.formats import Segment, Word
from modersmal.whisper.convert import Quantization, cached_ctranslate2
from modersmal.whisper.decode import context_frames
from modersmal.whisper.load import locate, read_card

Device = Literal["auto", "cpu", "cuda"]
Warn = Callable[[str], None]
Part = dict[str, int]  # `start` and `end`, in samples

BEAMS = 5
# Utterances end in a pause of half a second; a speaker who makes none in 20 s is interrupted in
# the last short one.
_UTTERANCES = VadOptions(max_speech_duration_s=20.0, min_silence_duration_ms=500, speech_pad_ms=250)
_BLOCK_S = 600.0
_STRETCHES = VadOptions(max_speech_duration_s=_BLOCK_S)
_PIECE_S = 1800.0  # three blocks: what is left to the next piece is never all of it
_SEED = 0
_TINY_WIDTH = 384


class Engine:
    """A model, ready to transcribe. `language` is None where each recording's is detected."""

    def __init__(
        self, model: "_Model", name: str, language: Language | None, *, by_utterance: bool
    ) -> None:
        self.name, self.language, self.by_utterance = name, language, by_utterance
        self._model = model

    @classmethod
    def open(
        cls,
        model: str,
        *,
        language: str | None = None,
        language_token: str | None = None,
        device: Device = "auto",
        offline: bool = False,
        warn: Warn = lambda sentence: None,
    ) -> "Engine":
        """Load a model (a Hub id, a folder, a run, "bundled") from its cached conversion.

        Without `language` it is the one the model was fine-tuned for, if it says so. `warn` is
        told if a GPU that is there cannot be used.

        Raises:
            ModelError, HubError: there is no such model, or it lacks the language's token.
            LanguageError: Whisper lacks the language and no token is borrowed.
        """
        folder = locate(model, offline=offline)
        card = read_card(folder)
        spoken = resolve(language, language_token) if language else card.language
        opened = _load(folder, device, warn)
        opened.own_context = card.context == "dynamic"
        if not opened.model.is_multilingual:
            spoken = spoken or resolve("en")
            if spoken.token != "en":
                raise ModelError(
                    f"{model} is English-only (.en) and cannot write {spoken.name}; take the "
                    "multilingual model of the same size"
                )
        elif spoken and opened.hf_tokenizer.token_to_id(f"<|{spoken.token}|>") is None:
            raise ModelError(f"{model} has no token for {spoken.name} ({spoken.token!r})")
        return cls(opened, model, spoken, by_utterance=card.language is not None)

    def transcribe(
        self,
        samples: np.ndarray,
        *,
        words: bool = False,
        beams: int = BEAMS,
        on_progress: Callable[[float], None] | None = None,
    ) -> "Transcription":
        """Transcribe (n,) float32 samples at 16 kHz; `on_progress` is told seconds reached.

        Segments come in order and do not overlap. The same samples give the same segments.
        """
        duration_s = len(samples) / SAMPLE_RATE
        language = self.language.token if self.language else None
        ctranslate2.set_random_seed(_SEED)  # sampling, where beam search was not sure
        segments: list[Segment] = []
        for block in _utterances(samples) if self.by_utterance else _blocks(samples):
            found, info = self._model.transcribe(
                np.concatenate([samples[part["start"] : part["end"]] for part in block]),
                language=language,
                beam_size=beams,
                word_timestamps=words,
                without_timestamps=self.by_utterance,  # its times are the utterance's
                # A loop in one window would go on in all that follow.
                condition_on_previous_text=False,
            )
            language = info.language
            if self.by_utterance:  # with words, faster-whisper would read its tail once more
                found = islice(found, 1)
            for raw in restore_speech_timestamps(found, block, SAMPLE_RATE):
                segments += _tidy(raw, segments[-1].end_s if segments else 0.0, duration_s)
                if on_progress:
                    on_progress(min(float(raw.end), duration_s))
        if self.language:
            language = self.language.code
        return Transcription(segments, language, duration_s)


@dataclass(frozen=True)
class Transcription:
    """Segments of one recording; `language` is None where nothing was said to tell it by."""

    segments: list[Segment]
    language: str | None
    duration_s: float


class _Model(WhisperModel):
    """faster-whisper's model, hearing silence behind the end, as with OpenAI and `transformers`.

    faster-whisper reflects the end into the last frames, and pads log-mels with zeros, which in
    Whisper's scale is a loud noise. Frames of zeros do not occur in real features. With
    `own_context`, what is shorter than 30 s is not padded to it.
    """

    own_context = False

    def transcribe(self, audio: np.ndarray, **options: Any) -> Any:
        return super().transcribe(np.pad(audio, (0, WINDOW_SAMPLES)), **options)

    def encode(self, features: np.ndarray) -> Any:
        heard = features.any(axis=0)
        if heard.any() and not heard.all():
            silence = max(features[:, heard].max() - 2.0, -1.5)
            features = np.where(heard, features, np.float32(silence))
            if self.own_context:
                spoken = np.count_nonzero(heard) - WINDOW_SAMPLES // HOP_SAMPLES
                frames = context_frames(spoken / FRAMES_PER_S, "dynamic")
                features = np.ascontiguousarray(features[:, :frames])
        return super().encode(features)


def _load(folder: Path, device: Device, warn: Warn) -> _Model:
    if device not in ("auto", "cpu", "cuda"):
        raise RecipeError(f"device {device!r} is none of auto, cpu, cuda")
    if device == "cuda" or (device == "auto" and ctranslate2.get_cuda_device_count()):
        try:
            return _on(folder, "cuda", _cuda_type())
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            if device == "cuda":
                raise RecipeError(
                    f"CTranslate2 cannot use the GPU ({reason}); `modersmal doctor` says what "
                    "is missing"
                ) from error
            warn(f"CTranslate2 cannot use the GPU ({reason}), so the CPU transcribes")
    return _on(folder, "cpu", _cpu_type(folder))


def _on(folder: Path, device: str, kind: Quantization) -> _Model:
    threads = 0 if "OMP_NUM_THREADS" in os.environ else os.cpu_count() or 0
    opened = _Model(
        str(cached_ctranslate2(folder, kind)),
        device=device,
        compute_type=kind,
        cpu_threads=threads,
    )
    if device == "cuda":  # libraries that are missing are missed only when they compute
        mels = opened.feature_extractor.mel_filters.shape[0]
        opened.encode(np.ones((mels, 3000), dtype=np.float32))
    return opened


def _cpu_type(folder: Path) -> Quantization:
    """int8 takes half the time of float32; only models below Whisper's sizes lose words to it."""
    width = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("d_model", 0)
    return "int8" if width >= _TINY_WIDTH else "float32"


def _cuda_type() -> Quantization:
    return "float16" if "float16" in ctranslate2.get_supported_compute_types("cuda") else "float32"


def _utterances(samples: np.ndarray) -> Iterator[list[Part]]:
    """Speech between pauses, one at a time."""
    return ([part] for part in _speech(samples, _UTTERANCES))


def _blocks(samples: np.ndarray) -> Iterator[list[Part]]:
    """Speech in lists of at most ten minutes."""
    block: list[Part] = []
    length = 0
    for part in _speech(samples, _STRETCHES):
        if block and length + part["end"] - part["start"] > _BLOCK_S * SAMPLE_RATE:
            yield block
            block, length = [], 0
        block.append(part)
        length += part["end"] - part["start"]
    if block:
        yield block


def _speech(samples: np.ndarray, options: VadOptions) -> Iterator[Part]:
    """Stretches of speech in order, from pieces of the recording of half an hour.

    One that may go on behind its piece is left to the next, which begins with it.
    """
    length = int(_PIECE_S * SAMPLE_RATE)
    first = 0
    while first < len(samples):
        piece = samples[first : first + length]
        following = first + len(piece)
        parts = get_speech_timestamps(piece, options)
        pause = options.min_silence_duration_ms * SAMPLE_RATE // 1000
        if following < len(samples) and parts and parts[-1]["end"] + pause > len(piece):
            following = first + parts.pop()["start"]
        for part in parts:
            yield {"start": first + part["start"], "end": first + part["end"]}
        first = following


def _tidy(raw: Any, earliest_s: float, duration_s: float) -> list[Segment]:
    """A segment within the recording that begins after the one before; none without text."""
    text = " ".join(raw.text.split())
    if not text:
        return []
    start = min(max(float(raw.start), earliest_s), duration_s)
    end = min(max(float(raw.end), start), duration_s)
    words: list[Word] = []
    for word in raw.words or ():
        first = min(max(float(word.start), words[-1].end_s if words else start), end)
        last = min(max(float(word.end), first), end)
        words.append(Word(first, last, word.word.strip(), round(float(word.probability), 4)))
    return [Segment(start, end, text, tuple(words))]
