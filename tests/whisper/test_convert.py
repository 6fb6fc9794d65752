"""A conversion is complete, made once, never half there, and writes what `transformers` writes."""

import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from modersmal.errors import ModelError, StoreError
from modersmal.whisper import convert
from modersmal.whisper.convert import cache_folder, cached_ctranslate2, model_hash, to_ctranslate2
from modersmal.whisper.decode import decode
from modersmal.whisper.decode_torch import TransformersDecoder
from modersmal.whisper.load import load
from modersmal.whisper.save import save_complete
from modersmal.whisper.tokens import special_ids
from talkative import noise, stir


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODERSMAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_was_converted_is_not_in_memory_afterwards(
    tiny_whisper, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, load = [], convert.load

    def loaded(model: str):
        whisper = load(model)
        models.append(weakref.ref(whisper.model))
        return whisper

    monkeypatch.setattr(convert, "load", loaded)
    cached_ctranslate2(tiny_whisper())
    assert [model() for model in models] == [None]


def copy_of(folder: Path, to: Path) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


@pytest.mark.parametrize(
    ("vocabulary", "mels", "language"),
    [("multilingual", 80, "sv"), ("multilingual-v3", 128, "yue"), ("english", 80, "en")],
)
def test_faster_whisper_writes_what_transformers_writes(
    tiny_whisper, tmp_path: Path, vocabulary: str, mels: int, language: str
) -> None:
    from faster_whisper import WhisperModel

    whisper = stir(load(str(tiny_whisper(vocabulary, mels))))
    save_complete(whisper, tmp_path / "model", None)
    # To 30 s: faster-whisper pads the features of shorter clips with what is no silence.
    spoken = [noise(duration_s, seed) for seed, duration_s in enumerate([3.0, 30.0, 7.7, 12.0])]
    clips = [np.pad(clip, (0, 480_000 - len(clip))) for clip in spoken]
    plain = decode(TransformersDecoder(whisper), clips, language_token=language, context="full")

    folder = to_ctranslate2(str(tmp_path / "model"), tmp_path / "ct2")
    engine = WhisperModel(str(folder), device="cpu", compute_type="float32", cpu_threads=1)
    texts = []
    for clip in clips:
        segments, _ = engine.transcribe(
            clip, language=language, beam_size=1, temperature=0, without_timestamps=True,
            max_new_tokens=4, no_speech_threshold=None,
        )  # fmt: skip
        texts.append([token for segment in segments for token in segment.tokens])

    # A random model is soon a matter of rounding; its first tokens are not.
    end = special_ids(whisper.vocabulary).end
    written = [[token for token in tokens if token < end] for tokens in texts]
    assert written == [
        list(hypothesis.tokens[: len(tokens)])
        for hypothesis, tokens in zip(plain, written, strict=True)
    ]
    assert min(map(len, written)) > 1
    assert len({tuple(tokens) for tokens in written}) > 1
    config = json.loads((folder / "config.json").read_text())
    assert config["alignment_heads"] == whisper.generation.alignment_heads
    assert config["suppress_ids"] == whisper.generation.suppress_tokens
    assert json.loads((folder / "preprocessor_config.json").read_text())["feature_size"] == mels


def test_converts_once_for_the_same_content(tiny_whisper, tmp_path: Path, cache: Path) -> None:
    model = copy_of(tiny_whisper(), tmp_path / "model")

    first = cached_ctranslate2(model)
    made = (first / "model.bin").stat().st_mtime_ns
    elsewhere = cached_ctranslate2(copy_of(model, tmp_path / "elsewhere"))

    assert first.parent == cache / "ctranslate2"
    assert elsewhere == first
    assert (first / "model.bin").stat().st_mtime_ns == made
    smaller = cached_ctranslate2(model, "int8")
    assert (smaller / "model.bin").stat().st_size < (first / "model.bin").stat().st_size / 2
    weights = load_file(model / "model.safetensors")
    weights["model.decoder.layer_norm.bias"] += 1
    save_file(weights, model / "model.safetensors")
    assert cached_ctranslate2(model) != first
    assert not list(first.parent.glob(".converting-*"))


@pytest.mark.chaos
def test_processes_that_convert_at_once_do_not_disturb_each_other(
    tiny_whisper, cache: Path
) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from modersmal.whisper.convert import cached_ctranslate2;"
        "print(cached_ctranslate2(Path(sys.argv[1])))"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tiny_whisper())], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    folders = {racer.communicate()[0].strip() for racer in racers}

    assert [racer.returncode for racer in racers] == [0, 0]
    assert len(folders) == 1
    assert {path.name for path in (cache / "ctranslate2").iterdir()} == {Path(folders.pop()).name}


def test_leaves_nothing_half_made(tiny_whisper, tmp_path: Path, cache: Path) -> None:
    abandoned = cache / "ctranslate2" / ".converting-old"
    abandoned.mkdir(parents=True)
    os.utime(abandoned, (0, 0))
    running = cache / "ctranslate2" / ".converting-new"
    running.mkdir()
    model = copy_of(tiny_whisper(), tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    weights["model.decoder.embed_tokens.weight"] = weights["model.decoder.embed_tokens.weight"][:-1]
    save_file(weights, model / "model.safetensors")

    with pytest.raises(ModelError, match=r"its config\.json says"):  # 51,864 tokens for 51,865
        cached_ctranslate2(model)

    assert [path.name for path in (cache / "ctranslate2").iterdir()] == [".converting-new"]


def test_refuses_a_tokenizer_of_another_vocabulary(tiny_whisper, tmp_path: Path) -> None:
    model = copy_of(tiny_whisper(), tmp_path / "model")
    other = tiny_whisper("multilingual-v3") / "tokenizer.json"
    (model / "tokenizer.json").write_bytes(other.read_bytes())

    with pytest.raises(ModelError, match="do not belong together"):
        to_ctranslate2(str(model), tmp_path / "ct2")

    assert not (tmp_path / "ct2").exists()


def test_says_where_it_cannot_write(tiny_whisper, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match="cannot be written"):
        to_ctranslate2(str(tiny_whisper()), tmp_path / "file" / "ct2")


def test_the_hash_is_of_what_the_model_writes(tiny_whisper, tmp_path: Path) -> None:
    model = copy_of(tiny_whisper(), tmp_path / "model")
    before = model_hash(model)
    (model / "README.md").write_text("A card.")
    (model / "modersmal.json").write_text("{}")
    assert model_hash(model) == before
    (model / "generation_config.json").write_text("{}")
    assert model_hash(model) != before
    (model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no safetensors"):
        model_hash(model)


def test_the_cache_lies_where_the_platform_keeps_caches(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MODERSMAL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder() == tmp_path / "modersmal"
    monkeypatch.setenv("MODERSMAL_CACHE", "~/here")
    assert cache_folder() == Path.home() / "here"
