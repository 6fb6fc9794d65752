"""Whether a model writes the same text in plain `transformers` and in plain faster-whisper."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

from modersmal.logmel import HOP_SAMPLES, WINDOW_FRAMES
from modersmal.whisper.convert import to_ctranslate2

RATE = 16_000


def texts_of_transformers(folder: Path, clips: Sequence[np.ndarray], language: str) -> list[str]:
    """What plain `transformers` writes, greedy, float32, with what lies in the folder alone."""
    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype="float32").eval()
    tokenizer = WhisperTokenizer.from_pretrained(folder)
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    texts = []
    for first in range(0, len(clips), 10):
        batch = list(clips[first : first + 10])
        features = extractor(batch, sampling_rate=RATE, return_tensors="pt").input_features
        ids = model.generate(features, language=language, task="transcribe", num_beams=1)
        texts += [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
    return texts


def texts_of_faster_whisper(
    folder: Path, clips: Sequence[np.ndarray], language: str, *, silence: bool = True
) -> list[str]:
    """What plain faster-whisper writes, greedy, float32, without fallback.

    Clips are padded to 30 s with silence, as `transformers` does it; without `silence`
    faster-whisper pads their features with zeros.
    """
    from faster_whisper import WhisperModel

    with tempfile.TemporaryDirectory() as place:
        converted = to_ctranslate2(str(folder), Path(place) / "ct2", "float32")
        engine = WhisperModel(str(converted), device="cpu", compute_type="float32", cpu_threads=1)
    texts = []
    for clip in clips:
        samples_behind = WINDOW_FRAMES * HOP_SAMPLES - len(clip) if silence else 0
        segments, _ = engine.transcribe(
            np.pad(clip, (0, samples_behind)),
            language=language,
            beam_size=1,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
            no_speech_threshold=None,
            log_prob_threshold=None,
            compression_ratio_threshold=None,
        )
        texts.append(" ".join(segment.text.strip() for segment in segments))
    return texts


def agreement(folder: Path, clips: Sequence[np.ndarray], language: str) -> float:
    """Share of clips of at most 30 s, (n,) float32 at 16 kHz, whose texts are the same."""
    ours = texts_of_transformers(folder, clips, language)
    theirs = texts_of_faster_whisper(folder, clips, language)
    return sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(clips)
