"""The runtimes that people use a release in, each as its own documentation has it.

Nothing of modersmal's decoding is between: a release is proven by what a stranger's program would
read. All search greedily, without fallback to other temperatures; clips are written without
timestamps, and are heard as 30 s of audio.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import ctranslate2
import numpy as np
import torch
from faster_whisper import WhisperModel
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import (
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
)

from modersmal.audio import SAMPLE_RATE
from modersmal.errors import ModelError
from modersmal.release.exports import Runtime as Name
from modersmal.transcribe.formats import Segment
from modersmal.whisper.decode_ct2 import decoding_cores

Device = Literal["cpu", "cuda"]

_WINDOW_SAMPLES = 30 * SAMPLE_RATE
_CLIPS_AT_ONCE = 2  # transformers has what it keeps of them twice at the end
_NEVER = 2.0  # a probability that nothing has
_TRIAL = "import sys; from pywhispercpp.model import Model; Model(sys.argv[1]).print_timings()"


class Runtime(Protocol):
    """A model in the hands of a runtime; `arithmetic` is the number format it computes in."""

    @property
    def name(self) -> Name: ...
    @property
    def arithmetic(self) -> str: ...

    def transcribe(self, clips: Sequence[np.ndarray], language_token: str) -> list[str]:
        """The text of each clip, at most 30 s of (n,) float32 at 16 kHz."""
        ...

    def long(self, samples: np.ndarray, language_token: str) -> list[Segment]:
        """What is said when in a recording of any length, as the runtime itself goes through it."""
        ...


def open_runtime(name: Name, place: Path, device: Device = "cpu") -> Runtime:
    """Open what a release holds in one format: `place` is a folder, or for whisper.cpp a file.

    CTranslate2 computes in what comes closest to a format's own numbers on this device, and
    `arithmetic` says what that is. whisper.cpp computes on the CPU.

    Raises:
        ModelError: the runtime is not installed, or cannot open the model.
    """
    check_installed(name)
    try:
        return _OPEN[name](place, device)
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"{name} cannot open {place}: {reason}") from error


def check_installed(name: Name) -> None:
    """Say now what would be missed only when everything is exported. Raises ModelError."""
    if name == "whisper.cpp" and find_spec("pywhispercpp") is None:
        raise ModelError(
            "pywhispercpp, which proves the ggml files, is not installed; install "
            "modersmal[release], or leave ggml out of the formats"
        )


class _Transformers:
    name: Name = "transformers"

    def __init__(self, folder: Path, device: Device) -> None:
        dtype = torch.float16 if device == "cuda" else torch.float32
        self.arithmetic = str(dtype).removeprefix("torch.")
        self._model = WhisperForConditionalGeneration.from_pretrained(
            folder, dtype=dtype, local_files_only=True
        )
        torch.nn.Module.to(self._model, device)
        self._multilingual = self._model.generation_config.to_dict()["is_multilingual"]
        self._processor = WhisperProcessor.from_pretrained(folder, local_files_only=True)

    def transcribe(self, clips: Sequence[np.ndarray], language_token: str) -> list[str]:
        texts: list[str] = []
        for batch in _batches(clips):
            ids = self._generate(batch, language_token)
            texts += self._processor.batch_decode(ids, skip_special_tokens=True)
        return [text.strip() for text in texts]

    def long(self, samples: np.ndarray, language_token: str) -> list[Segment]:
        found = self._generate(
            [samples],
            language_token,
            truncation=False,
            return_timestamps=True,
            return_segments=True,
        )
        texts = [
            self._processor.decode(one["tokens"], skip_special_tokens=True).strip()
            for one in found["segments"][0]
        ]
        return [
            Segment(float(one["start"]), float(one["end"]), text)
            for one, text in zip(found["segments"][0], texts, strict=True)
            if text
        ]

    def _generate(
        self,
        clips: Sequence[np.ndarray],
        language_token: str,
        *,
        truncation: bool = True,
        **options: Any,
    ) -> Any:
        heard = self._processor(
            list(clips),
            sampling_rate=SAMPLE_RATE,
            return_tensors="pt",
            truncation=truncation,
            return_attention_mask=True,
        ).to(self._model.device, self._model.dtype)
        if self._multilingual:
            options |= {"language": language_token, "task": "transcribe"}
        return self._model.generate(**heard, num_beams=1, do_sample=False, **options)


class _CTranslate2:
    name: Name = "ctranslate2"

    def __init__(self, folder: Path, device: Device) -> None:
        torch_threads = torch.get_num_threads()
        self._model = ctranslate2.models.Whisper(
            str(folder), device=device, intra_threads=decoding_cores()
        )
        torch.set_num_threads(torch_threads)  # CTranslate2 sets it for all of OpenMP
        self.arithmetic = self._model.compute_type
        self._extractor = WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
        self._tokenizer = _tokenizer(folder)
        self._end = self._tokenizer.get_vocab()["<|endoftext|>"]

    def transcribe(self, clips: Sequence[np.ndarray], language_token: str) -> list[str]:
        prompt = ["<|startoftranscript|>"]
        if self._model.is_multilingual:
            prompt += [f"<|{language_token}|>", "<|transcribe|>"]
        prompt.append("<|notimestamps|>")
        texts: list[str] = []
        for batch in _batches(clips):
            heard = self._extractor(list(batch), sampling_rate=SAMPLE_RATE, return_tensors="np")
            features = ctranslate2.StorageView.from_array(heard.input_features)
            results = self._model.generate(features, [prompt] * len(batch), beam_size=1)
            texts += [self._text(result.sequences_ids[0]) for result in results]
        return texts

    def long(self, samples: np.ndarray, language_token: str) -> list[Segment]:
        """One window of 30 s after the other: CTranslate2 leaves it to others to cut better."""
        starts = range(0, len(samples), _WINDOW_SAMPLES)
        windows = [samples[start : start + _WINDOW_SAMPLES] for start in starts]
        texts = self.transcribe(windows, language_token)
        return [
            Segment(start / SAMPLE_RATE, (start + len(window)) / SAMPLE_RATE, text)
            for start, window, text in zip(starts, windows, texts, strict=True)
            if text
        ]

    def _text(self, ids: list[int]) -> str:
        return self._tokenizer.decode([id_ for id_ in ids if id_ < self._end]).strip()


class _FasterWhisper:
    name: Name = "faster-whisper"

    def __init__(self, folder: Path, device: Device) -> None:
        _tokenizer(folder)  # faster-whisper would look for a missing one on the Hub
        torch_threads = torch.get_num_threads()
        self._model = WhisperModel(str(folder), device=device, cpu_threads=decoding_cores())
        torch.set_num_threads(torch_threads)
        self.arithmetic = self._model.model.compute_type

    def transcribe(self, clips: Sequence[np.ndarray], language_token: str) -> list[str]:
        """Clips are given padded to 30 s: what faster-whisper itself puts behind one that is
        shorter is no silence, but features of zeros."""
        texts = []
        for clip in clips:
            segments, _ = self._model.transcribe(
                np.pad(clip, (0, _WINDOW_SAMPLES - len(clip))),
                language=language_token,
                beam_size=1,
                temperature=0.0,
                without_timestamps=True,
                condition_on_previous_text=False,
                no_speech_threshold=None,
                log_prob_threshold=None,
                compression_ratio_threshold=None,
            )
            texts.append("".join(segment.text for segment in segments).strip())
        return texts

    def long(self, samples: np.ndarray, language_token: str) -> list[Segment]:
        """With its own voice activity detection, so that silence gives no text."""
        segments, _ = self._model.transcribe(
            samples,
            language=language_token,
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            vad_filter=True,
        )
        return [Segment(one.start, one.end, one.text.strip()) for one in segments]


class _WhisperCpp:
    name: Name = "whisper.cpp"
    arithmetic = "float16 and float32"

    def __init__(self, file: Path, device: Device) -> None:
        from pywhispercpp.model import Model  # an extra: those who do without ggml lack it

        _try_ggml(file)
        self._model = Model(
            str(file),
            redirect_whispercpp_logs_to=None,
            # Its flash attention hears 36 positions of padding behind the 1,500, unmasked.
            context_params={"flash_attn": False},
            n_threads=decoding_cores(),
            print_progress=False,
            print_timestamps=False,
            greedy={"best_of": 1},
            temperature=0.0,
            temperature_inc=0.0,  # no fallback
            no_context=True,
            suppress_blank=True,
            suppress_nst=True,  # the symbols that Whisper's own suppress_tokens are made of
        )

    def transcribe(self, clips: Sequence[np.ndarray], language_token: str) -> list[str]:
        texts = []
        for clip in clips:
            segments = self._model.transcribe(
                np.ascontiguousarray(clip, np.float32),
                language=language_token,
                no_timestamps=True,
                single_segment=True,
                no_speech_thold=_NEVER,
            )
            texts.append(" ".join(segment.text for segment in segments).strip())
        return texts

    def long(self, samples: np.ndarray, language_token: str) -> list[Segment]:
        """Decoders of two layers are given no timestamps, whoever asks for them: whisper.cpp takes
        such a model for one that was distilled without."""
        segments = self._model.transcribe(
            np.ascontiguousarray(samples, np.float32),
            language=language_token,
            no_timestamps=False,
            single_segment=False,
            n_max_text_ctx=0,  # no_context forgets what earlier calls wrote, not earlier windows
            no_speech_thold=0.6,
        )
        return [
            Segment(_begin_s(one.t0, one.t1), one.t1 / 100, one.text)
            for one in segments
            if one.text
        ]


def _begin_s(t0: int, t1: int) -> float:
    """When a segment begins, in seconds of centiseconds: the whole window, where that is no time,
    as it is without timestamps."""
    window = 100 * _WINDOW_SAMPLES // SAMPLE_RATE
    return (t0 if max(0, t1 - window) <= t0 <= t1 else max(0, t1 - window)) / 100


_OPEN: dict[Name, Callable[[Path, Device], Runtime]] = {
    "transformers": _Transformers,
    "ctranslate2": _CTranslate2,
    "faster-whisper": _FasterWhisper,
    "whisper.cpp": _WhisperCpp,
}


def _batches(clips: Sequence[np.ndarray]) -> Iterator[Sequence[np.ndarray]]:
    for first in range(0, len(clips), _CLIPS_AT_ONCE):
        yield clips[first : first + _CLIPS_AT_ONCE]


def _try_ggml(file: Path) -> None:
    """Open a file in another process first: pywhispercpp takes no notice when whisper.cpp refuses
    one, and the process ends where it is used."""
    if not file.is_file():
        raise FileNotFoundError("there is no such file")  # it would look for it on the Hub
    tried = subprocess.run(
        [sys.executable, "-c", _TRIAL, str(file)], capture_output=True, text=True, errors="replace"
    )
    if tried.returncode:
        said = [line for line in tried.stderr.splitlines() if line.startswith("whisper_model_load")]
        raise ValueError(said[-1] if said else f"a process that opened it ended: {tried.stderr}")


def _tokenizer(folder: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # tokenizers raises plain Exception
        raise ValueError(f"tokenizer.json cannot be read: {error}") from error
