"""Recordings of any length: times in order, no text from silence, the model's own language."""

import json
from pathlib import Path

import numpy as np
import pytest

from modersmal.errors import LanguageError, ModelError, RecipeError
from modersmal.transcribe import engine as engine_module
from modersmal.transcribe.engine import Engine

RATE = 16_000


@pytest.fixture(scope="module")
def recording(speech) -> np.ndarray:
    """45 s: eight sentences with pauses of three seconds, and a long one of ten."""
    parts = []
    for number, clip in enumerate(speech[:8]):
        parts += [clip, np.zeros((10 if number == 3 else 3) * RATE, np.float32)]
    return np.concatenate(parts)


def test_silence_and_noise_give_no_text(engine: Engine) -> None:
    hiss = np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32)

    for quiet in (np.zeros(4 * RATE, np.float32), 0.003 * hiss, np.zeros(10, np.float32)):
        assert engine.transcribe(quiet).segments == []


def test_segments_come_in_order_where_there_is_speech(engine: Engine, recording) -> None:
    reached: list[float] = []

    found = engine.transcribe(recording, words=True, beams=1, on_progress=reached.append)

    assert found.duration_s == len(recording) / RATE
    assert found.language == "sv"
    edges = [edge for segment in found.segments for edge in (segment.start_s, segment.end_s)]
    assert edges == sorted(edges)
    assert 0 <= edges[0] < 3
    assert edges[-1] <= found.duration_s
    assert reached
    assert max(reached) <= found.duration_s
    words = [word for segment in found.segments for word in segment.words]
    times = [time for word in words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    for segment in found.segments:
        assert "".join(segment.text.split()) == "".join(word.text for word in segment.words)
        assert segment.words[0].start_s >= segment.start_s
        assert segment.words[-1].end_s <= segment.end_s


def test_the_same_recording_gives_the_same_text(engine: Engine, recording) -> None:
    part = recording[: 12 * RATE]
    assert engine.transcribe(part) == engine.transcribe(part)


def test_blocks_join_without_a_seam(engine: Engine, recording, monkeypatch) -> None:
    monkeypatch.setattr(engine_module, "_BLOCK_S", 6.0)
    blocks = list(engine_module._blocks(recording))

    assert len(blocks) > 2
    parts = [part for block in blocks for part in block]
    edges = [edge for part in parts for edge in (part["start"], part["end"])]
    assert edges == sorted(edges)
    assert all(sum(p["end"] - p["start"] for p in block) <= 7 * RATE for block in blocks)
    monkeypatch.setattr(engine_module, "_PIECE_S", 18.0)
    in_pieces = [part for block in engine_module._blocks(recording) for part in block]
    assert len(in_pieces) == len(parts)
    for one, other in zip(in_pieces, parts, strict=True):
        assert abs(one["start"] - other["start"]) < RATE / 10
        assert abs(one["end"] - other["end"]) < RATE / 10
    found = engine.transcribe(recording, beams=1)
    starts = [segment.start_s for segment in found.segments]
    assert starts == sorted(starts)
    assert starts[-1] > 35  # the last block's times are of the whole recording


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

    assert opened._model.model.device == "cpu"
    assert len(sentences) == 1
    assert "so the CPU transcribes" in sentences[0]
    with pytest.raises(RecipeError, match="cannot use the GPU"):
        Engine.open(str(tiny_whisper()), device="cuda")


def test_the_cpu_computes_in_int8_from_the_smallest_real_size_up(tiny_whisper) -> None:
    real = tiny_whisper(width=384, encoder_layers=1, decoder_layers=1)

    assert Engine.open(str(real))._model.model.compute_type.startswith("int8")
    assert Engine.open("bundled")._model.model.compute_type == "float32"
