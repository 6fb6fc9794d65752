"""Recordings of any length to segments, through CTranslate2 and faster-whisper.

What is not speech is cut out first (Silero VAD), so that silence gives no text. A model that
modersmal trained is given utterances, or windows of 30 s where it has learned them, many at once;
a stock Whisper is given 30 s windows one after the other, in blocks of some minutes. Little more
than the samples themselves is held in memory.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.transcribe import restore_speech_timestamps

from modersmal.audio import SAMPLE_RATE
from modersmal.errors import ModelError, RecipeError
from modersmal.language import Language, Vocabulary, resolve
from modersmal.logmel import FRAMES_PER_S, HOP_SAMPLES, WINDOW_SAMPLES
from modersmal.transcribe.clips import decode_parts, segments_of
from modersmal.transcribe.formats import Segment, Word
from modersmal.transcribe.speech import blocks, utterances, windows
from modersmal.whisper.convert import Quantization, cached_ctranslate2
from modersmal.whisper.decode import WINDOW_S, context_frames
from modersmal.whisper.decode_ct2 import CTranslate2Decoder, decoding_cores
from modersmal.whisper.load import Description, describe

Device = Literal["auto", "cpu", "cuda"]
Warn = Callable[[str], None]
OnProgress = Callable[[float], None]

BEAMS = 5
_SEED = 0
_TINY_WIDTH = 384

_Opened = TypeVar("_Opened")


class Engine:
    """A model, ready to transcribe. `language` is None where each recording's is detected.

    `trained` says that it was trained by modersmal, and is given stretches of speech, many at once.
    """

    def __init__(
        self, model: Description, language: Language | None, device: Device, warn: Warn
    ) -> None:
        self.name, self.language = model.name, language
        self.trained = model.language is not None
        self._about, self._device, self._warn = model, device, warn

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
        about = describe(model, offline=offline)
        spoken = resolve(language, language_token) if language else about.language
        if about.vocabulary is Vocabulary.ENGLISH:
            spoken = spoken or resolve("en")
            if spoken.token != "en":
                raise ModelError(
                    f"{model} is English-only (.en) and cannot write {spoken.name}; take the "
                    "multilingual model of the same size"
                )
        elif spoken and about.tokenizer.token_to_id(f"<|{spoken.token}|>") is None:
            raise ModelError(f"{model} has no token for {spoken.name} ({spoken.token!r})")
        engine = cls(about, spoken, device, warn)
        _ = engine.decoder if engine.trained else engine.windowed  # what is wrong shows now
        return engine

    @cached_property
    def decoder(self) -> CTranslate2Decoder:
        """For stretches of speech, many at once."""
        folder, model = self._about.folder, self._about
        return opened_on(
            self._device, self._warn, lambda device: _open_decoder(folder, model, device)
        )

    @cached_property
    def windowed(self) -> "_Model":
        """For one window after the other, and for the times of words."""
        folder = self._about.folder
        opened = opened_on(self._device, self._warn, lambda device: _open_windows(folder, device))
        opened.own_context = self._about.context == "dynamic"
        opened.floor_s = self._about.context_floor_s
        return opened

    def transcribe(
        self,
        samples: np.ndarray,
        *,
        words: bool = False,
        beams: int = BEAMS,
        on_progress: OnProgress | None = None,
    ) -> "Transcription":
        """Transcribe (n,) float32 samples at 16 kHz; `on_progress` is told seconds reached.

        Segments come in order and do not overlap. The same samples give the same segments.
        """
        if self.trained and not words:
            return self.transcribe_all([samples], beams=beams, on_progress=on_progress)[0]
        return self._one_by_one(samples, words, beams, on_progress or (lambda reached_s: None))

    def transcribe_all(
        self,
        recordings: Sequence[np.ndarray],
        *,
        beams: int = BEAMS,
        on_progress: OnProgress | None = None,
    ) -> list["Transcription"]:
        """Transcribe several recordings at once, with a model that modersmal has trained.

        `on_progress` is told seconds of all together.
        """
        language = self.language
        if language is None or not self.trained:
            raise ValueError("a stock model is given one recording at a time")
        in_windows = [self._in_windows(samples) for samples in recordings]
        parts = [
            list(windows(samples) if whole else utterances(samples))
            for samples, whole in zip(recordings, in_windows, strict=True)
        ]
        durations_s = [len(samples) / SAMPLE_RATE for samples in recordings]
        share = _Share(sum(durations_s), sum(map(len, parts)), on_progress)
        segments: list[list[Segment]] = [[] for _ in recordings]
        for timestamps in (False, True):
            chosen = [
                (number, part)
                for number, found in enumerate(parts)
                for part in found
                if in_windows[number] == timestamps
            ]
            hypotheses = decode_parts(
                self.decoder,
                [recordings[number][part["start"] : part["end"]] for number, part in chosen],
                language_token=language.token,
                beams=beams,
                timestamps=timestamps,
                on_progress=share.advance,
            )
            for (number, part), written in zip(chosen, hypotheses, strict=True):
                segments[number] += segments_of(self.decoder, part, written)
        share.finish()
        return [
            Transcription(_in_order(found, duration_s), language.code, duration_s)
            for found, duration_s in zip(segments, durations_s, strict=True)
        ]

    def _in_windows(self, samples: np.ndarray) -> bool:
        """Whether a recording is read in windows of 30 s with timestamps."""
        return self._about.windows and len(samples) > WINDOW_S * SAMPLE_RATE

    def _one_by_one(
        self, samples: np.ndarray, words: bool, beams: int, on_progress: OnProgress
    ) -> "Transcription":
        duration_s = len(samples) / SAMPLE_RATE
        language = self.language.token if self.language else None
        ctranslate2.set_random_seed(_SEED)  # sampling, where beam search was not sure
        segments: list[Segment] = []
        given = ([part] for part in utterances(samples)) if self.trained else blocks(samples)
        for block in given:
            found, info = self.windowed.transcribe(
                np.concatenate([samples[part["start"] : part["end"]] for part in block]),
                language=language,
                beam_size=beams,
                word_timestamps=words,
                without_timestamps=self.trained,  # its times are the utterance's
                # A loop in one window would go on in all that follow.
                condition_on_previous_text=False,
            )
            language = info.language
            if self.trained:  # with words, faster-whisper would read its tail once more
                found = islice(found, 1)
            for raw in restore_speech_timestamps(found, block, SAMPLE_RATE):
                segments += _tidy(raw, segments[-1].end_s if segments else 0.0, duration_s)
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
    floor_s = WINDOW_S

    def transcribe(self, audio: np.ndarray, **options: Any) -> Any:
        return super().transcribe(np.pad(audio, (0, WINDOW_SAMPLES)), **options)

    def encode(self, features: np.ndarray) -> Any:
        heard = features.any(axis=0)
        if heard.any() and not heard.all():
            silence = max(features[:, heard].max() - 2.0, -1.5)
            features = np.where(heard, features, np.float32(silence))
            if self.own_context:
                spoken = np.count_nonzero(heard) - WINDOW_SAMPLES // HOP_SAMPLES
                frames = context_frames(spoken / FRAMES_PER_S, "dynamic", self.floor_s)
                features = np.ascontiguousarray(features[:, :frames])
        return super().encode(features)


def opened_on(device: Device, warn: Warn, open_on: Callable[[str], _Opened]) -> _Opened:
    """Open on a GPU, if there is one that CTranslate2 can use, else on the CPU."""
    if device not in ("auto", "cpu", "cuda"):
        raise RecipeError(f"device {device!r} is none of auto, cpu, cuda")
    if device == "cuda" or (device == "auto" and ctranslate2.get_cuda_device_count()):
        try:
            return open_on("cuda")
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            if device == "cuda":
                raise RecipeError(
                    f"CTranslate2 cannot use the GPU ({reason}); `modersmal doctor` says what "
                    "is missing"
                ) from error
            warn(f"CTranslate2 cannot use the GPU ({reason}), so the CPU transcribes")
    return open_on("cpu")


def _open_decoder(folder: Path, model: Description, device: str) -> CTranslate2Decoder:
    kind = compute_type_on(folder, device)
    converted = cached_ctranslate2(folder, kind)
    return CTranslate2Decoder(converted, model, device=device, compute_type=kind)


def _open_windows(folder: Path, device: str) -> _Model:
    kind = compute_type_on(folder, device)
    opened = _Model(
        str(cached_ctranslate2(folder, kind)),
        device=device,
        compute_type=kind,
        cpu_threads=decoding_cores(),
    )
    if device == "cuda":  # libraries that are missing are missed only when they compute
        mels = opened.feature_extractor.mel_filters.shape[0]
        opened.encode(np.ones((mels, 3000), dtype=np.float32))
    return opened


def compute_type_on(folder: Path, device: str) -> Quantization:
    """What CTranslate2 computes a model in, on the CPU or on a GPU."""
    return _cuda_type() if device == "cuda" else _cpu_type(folder)


def _cpu_type(folder: Path) -> Quantization:
    """int8 takes half the time of float32; only models below Whisper's sizes lose words to it."""
    width = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("d_model", 0)
    return "int8" if width >= _TINY_WIDTH else "float32"


def _cuda_type() -> Quantization:
    return "float16" if "float16" in ctranslate2.get_supported_compute_types("cuda") else "float32"


class _Share:
    """Tells how many seconds are reached, of clips that are done in any order."""

    def __init__(self, total_s: float, clips: int, tell: OnProgress | None) -> None:
        self._total_s, self._clips, self._tell, self._done = total_s, clips, tell, 0

    def advance(self, clips: int) -> None:
        self._done += clips
        if self._tell:
            self._tell(self._total_s * self._done / self._clips)

    def finish(self) -> None:
        if self._tell:
            self._tell(self._total_s)


def _in_order(segments: list[Segment], duration_s: float) -> list[Segment]:
    """Segments within the recording, none of which begins before the one before has ended."""
    tidy: list[Segment] = []
    for segment in segments:
        start_s = min(max(segment.start_s, tidy[-1].end_s if tidy else 0.0), duration_s)
        tidy.append(replace(segment, start_s=start_s, end_s=max(start_s, segment.end_s)))
    return tidy


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
