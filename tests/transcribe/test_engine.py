"""Recordings of any length: times in order, no text from silence, the model's own language."""

import json
from pathlib import Path

import numpy as np
import pytest

from modersmal.errors import LanguageError, ModelError, RecipeError
from modersmal.transcribe import engine as engine_module
from modersmal.transcribe import speech as speech_module
from modersmal.transcribe.engine import Engine

RATE = 16_000


@pytest.fixture(scope="module")
def spans(speech) -> list[tuple[float, float]]:
    """When each of eight sentences is spoken, in seconds: after pauses of three, once of ten."""
    spans, now_s = [], 0.0
    for number, clip in enumerate(speech[:8]):
        spans.append((now_s, now_s + len(clip) / RATE))
        now_s = spans[-1][1] + (10 if number == 3 else 3)
    return spans


@pytest.fixture(scope="module")
def recording(speech, spans) -> np.ndarray:
    samples = np.zeros(round((spans[-1][1] + 3) * RATE), np.float32)
    for clip, (start_s, _) in zip(speech, spans, strict=False):
        first = round(start_s * RATE)
        samples[first : first + len(clip)] = clip
    return samples


def test_silence_and_noise_give_no_text(engine: Engine) -> None:
    hiss = np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32)

    for quiet in (np.zeros(4 * RATE, np.float32), 0.003 * hiss, np.zeros(10, np.float32)):
        assert engine.transcribe(quiet).segments == []


def test_segments_and_words_are_where_the_speech_is(engine: Engine, recording, spans) -> None:
    reached: list[float] = []

    found = engine.transcribe(recording, words=True, beams=1, on_progress=reached.append)

    assert (found.duration_s, found.language) == (len(recording) / RATE, "sv")
    assert len(found.segments) == len(spans)
    assert reached == sorted(reached)
    for segment, (start_s, end_s) in zip(found.segments, spans, strict=True):
        assert start_s - 0.4 <= segment.start_s < segment.end_s <= end_s + 0.4
        times = [time for word in segment.words for time in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert segment.start_s <= times[0] < times[-1] <= segment.end_s
        assert segment.text.split() == [word.text for word in segment.words]


def test_the_same_recording_gives_the_same_text(engine: Engine, recording) -> None:
    part = recording[: 12 * RATE]
    assert engine.transcribe(part) == engine.transcribe(part)


def test_long_recordings_are_taken_in_pieces(engine: Engine, recording, monkeypatch) -> None:
    whole = engine.transcribe(recording, beams=1).segments
    monkeypatch.setattr(speech_module, "_PIECE_S", 21.0)

    in_pieces = engine.transcribe(recording, beams=1).segments

    assert len(in_pieces) == len(whole)
    for one, other in zip(in_pieces, whole, strict=True):
        assert abs(one.start_s - other.start_s) < 0.1
        assert abs(one.end_s - other.end_s) < 0.1


def test_stock_models_are_given_windows_in_blocks(
    tiny_whisper, recording, spans, monkeypatch
) -> None:
    stock = Engine.open(str(tiny_whisper()), language="sv")
    assert not stock.trained
    monkeypatch.setattr(speech_module, "_BLOCK_S", 6.0)
    blocks = list(speech_module.blocks(recording))

    assert len(blocks) > 2
    parts = [part for block in blocks for part in block]
    edges = [edge for part in parts for edge in (part["start"], part["end"])]
    assert edges == sorted(edges)
    assert all(sum(p["end"] - p["start"] for p in block) <= 7 * RATE for block in blocks)
    found = stock.transcribe(recording[: 20 * RATE], beams=1)
    edges = [edge for segment in found.segments for edge in (segment.start_s, segment.end_s)]
    assert edges == sorted(edges)


def test_writes_the_language_it_was_trained_for(tiny_whisper, tmp_path: Path) -> None:
    assert Engine.open("bundled").language.code == "sv"
    sami = tmp_path / "model"
    sami.mkdir()
    for path in tiny_whisper().iterdir():
        (sami / path.name).write_bytes(path.read_bytes())
    card = json.loads((sami / "modersmal.json").read_text())
    (sami / "modersmal.json").write_text(
        json.dumps(card | {"language": "se", "language_token": "fi"}), "utf-8"
    )

    assert Engine.open(str(sami)).language.token == "fi"
    assert Engine.open(str(sami)).transcribe(np.zeros(RATE, np.float32)).language == "se"
    assert Engine.open(str(sami), language="de").language.code == "de"
    assert Engine.open(str(tiny_whisper())).language is None  # a stock model: detected


def test_detects_the_language_of_a_stock_model(tiny_whisper, speech) -> None:
    stock = Engine.open(str(tiny_whisper()))

    assert len(stock.transcribe(np.concatenate(speech[:2]), beams=1).language) >= 2


def test_refuses_a_language_that_the_model_lacks(tiny_whisper) -> None:
    english = str(tiny_whisper("english"))

    assert Engine.open(english).language.code == "en"
    with pytest.raises(ModelError, match="English-only"):
        Engine.open(english, language="sv")
    with pytest.raises(ModelError, match="no token for Cantonese"):
        Engine.open(str(tiny_whisper()), language="yue")
    with pytest.raises(LanguageError, match="borrow"):
        Engine.open(english, language="se")
    with pytest.raises(ModelError, match="there is no model at"):
        Engine.open("nowhere")
    with pytest.raises(RecipeError, match="none of auto, cpu, cuda"):
        Engine.open(english, device="tpu")


def test_says_that_a_gpu_cannot_be_used(monkeypatch, tiny_whisper) -> None:
    """CTranslate2 built for CUDA counts GPUs whose libraries are missing."""
    monkeypatch.setattr(engine_module.ctranslate2, "get_cuda_device_count", lambda: 1)
    monkeypatch.setattr(
        engine_module.ctranslate2, "get_supported_compute_types", lambda device: {"float16"}
    )
    sentences: list[str] = []

    opened = Engine.open(str(tiny_whisper()), warn=sentences.append)

    assert opened.windowed.model.device == "cpu"
    assert len(sentences) == 1
    assert "so the CPU transcribes" in sentences[0]
    with pytest.raises(RecipeError, match="cannot use the GPU"):
        Engine.open(str(tiny_whisper()), device="cuda")


def test_the_cpu_computes_in_int8_from_the_smallest_real_size_up(tiny_whisper) -> None:
    real = tiny_whisper(width=384, encoder_layers=1, decoder_layers=1)

    assert Engine.open(str(real)).windowed.model.compute_type.startswith("int8")
    assert Engine.open("bundled").decoder.precision == "float32"
