import json
import resource
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from modersmal.errors import ModelError, StoreError
from modersmal.language import resolve
from modersmal.whisper.load import describe, load, read_card
from modersmal.whisper.save import save_complete

KINDS = [("multilingual", 80), ("multilingual-v3", 128), ("english", 80)]
FILES = {
    "config.json", "model.safetensors", "generation_config.json", "preprocessor_config.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "modersmal.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def sound():
    """Four seconds of a chord that changes."""
    times = np.arange(4 * 16_000) / 16_000
    return (0.2 * np.sin(2 * np.pi * (200 + 80 * times) * times)).astype(np.float32)


@pytest.mark.parametrize(("vocabulary", "mels"), KINDS)
def test_a_bare_base_becomes_a_complete_folder(tiny_whisper, tmp_path, vocabulary, mels):
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in ("config.json", "model.safetensors"):
        (bare / file).write_bytes((tiny_whisper(vocabulary, mels) / file).read_bytes())
    language = resolve("en") if vocabulary == "english" else resolve("se", "fi")
    save_complete(load(str(bare)), tmp_path / "saved", language)

    assert {path.name for path in (tmp_path / "saved").iterdir()} == FILES
    generation = json.loads((tmp_path / "saved" / "generation_config.json").read_text())
    assert "forced_decoder_ids" not in generation
    assert generation["no_timestamps_token_id"] == {"english": 50362, "multilingual": 50363}.get(
        vocabulary, 50364
    )
    assert generation["alignment_heads"] == [[1, 0], [1, 1]]  # all of the upper half
    assert len(generation["suppress_tokens"]) > 80
    assert generation["is_multilingual"] == (vocabulary != "english")
    assert ("lang_to_id" in generation) == ("task_to_id" in generation) == (vocabulary != "english")
    card = json.loads((tmp_path / "saved" / "modersmal.json").read_text())
    assert card["language"] == language.code
    again = load(str(tmp_path / "saved"))
    assert again.language == language
    assert again.base == str(bare)


def test_a_generation_config_that_came_of_the_models_is_read_whole(tiny_whisper, tmp_path):
    """As older fine-tunings have it: transformers would leave out what it does not know."""
    base = shutil.copytree(tiny_whisper(), tmp_path / "base")
    path = base / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"_from_model_config": True}))
    save_complete(load(str(base)), tmp_path / "saved", None)
    saved = WhisperForConditionalGeneration.from_pretrained(tmp_path / "saved")
    assert saved.generation_config.is_multilingual
    assert "<|sv|>" in saved.generation_config.lang_to_id


def test_openai_sizes_get_openai_alignment_heads():
    from transformers import WhisperConfig

    from modersmal.whisper.generation import alignment_heads

    small = WhisperConfig(d_model=768, decoder_layers=12, decoder_attention_heads=12)
    assert alignment_heads(small)[:3] == [[5, 3], [5, 9], [8, 0]]
    turbo = WhisperConfig(
        d_model=1280, decoder_layers=4, decoder_attention_heads=20, vocab_size=51866
    )
    assert alignment_heads(turbo) == [[2, 4], [2, 11], [3, 3], [3, 6], [3, 11], [3, 14]]


def test_the_suppressed_tokens_are_openai_s(tiny_whisper):
    """The list that openai/whisper-small has in its generation config, its ends checked."""
    tokens = load(str(tiny_whisper())).generation.suppress_tokens
    assert tokens[:10] == [1, 2, 7, 8, 9, 10, 14, 25, 26, 27]
    assert tokens[-8:] == [49870, 50254, 50258, 50358, 50359, 50360, 50361, 50362]
    assert load(str(tiny_whisper())).generation.begin_suppress_tokens == [220, 50257]


@pytest.mark.parametrize(("vocabulary", "mels"), KINDS)
def test_plain_transformers_loads_it_and_writes_text(tiny_whisper, sound, vocabulary, mels):
    folder = tiny_whisper(vocabulary, mels)
    processor = WhisperProcessor.from_pretrained(folder)
    plain = WhisperForConditionalGeneration.from_pretrained(folder)
    assert type(plain.model.encoder).__name__ == "WhisperEncoder"
    features = processor(sound, sampling_rate=16_000, return_tensors="pt").input_features
    assert features.shape == (1, mels, 3000)
    asked = {} if vocabulary == "english" else {"language": "sv", "task": "transcribe"}
    written = plain.generate(features, max_new_tokens=6, **asked)
    text = processor.batch_decode(written, skip_special_tokens=True)[0]
    assert text
    assert text == load(str(folder)).tokenizer.decode(written[0].tolist())
    assert processor.tokenizer.decode(processor.tokenizer("Hej, du!").input_ids).endswith(
        "Hej, du!<|endoftext|>"
    )


@pytest.mark.parametrize(("vocabulary", "mels"), KINDS)
def test_ctranslate2_converts_it_and_faster_whisper_writes_the_same(
    tiny_whisper, sound, tmp_path, vocabulary, mels
):
    from ctranslate2.converters import TransformersConverter
    from faster_whisper import WhisperModel

    folder = tiny_whisper(vocabulary, mels)
    copied = ["tokenizer.json", "preprocessor_config.json"]
    TransformersConverter(str(folder), copy_files=copied).convert(str(tmp_path / "ct2"))
    runtime = WhisperModel(str(tmp_path / "ct2"), device="cpu", compute_type="float32",
                           cpu_threads=1)  # fmt: skip
    assert runtime.model.is_multilingual == (vocabulary != "english")
    segments, _ = runtime.transcribe(
        sound, language="en", beam_size=1, temperature=0.0, without_timestamps=True,
        condition_on_previous_text=False, max_new_tokens=8, no_speech_threshold=None,
        log_prob_threshold=None, compression_ratio_threshold=None,
    )  # fmt: skip
    fast = " ".join(segment.text for segment in segments).strip()

    plain = WhisperForConditionalGeneration.from_pretrained(folder)
    processor = WhisperProcessor.from_pretrained(folder)
    features = processor(sound, sampling_rate=16_000, return_tensors="pt").input_features
    asked = {} if vocabulary == "english" else {"language": "en", "task": "transcribe"}
    written = plain.generate(features, max_new_tokens=8, **asked)
    # faster-whisper counts the prompt as new tokens, so it stops a little earlier.
    assert fast
    assert processor.batch_decode(written, skip_special_tokens=True)[0].strip().startswith(fast)


def test_half_precision_stays_half(tiny_whisper, tmp_path):
    whisper = load(str(tiny_whisper()), dtype=torch.float16)
    save_complete(whisper, tmp_path / "half", None)
    assert (tmp_path / "half" / "model.safetensors").stat().st_size < 0.6 * (
        tiny_whisper() / "model.safetensors"
    ).stat().st_size
    again = load(str(tmp_path / "half")).model.state_dict()
    before = whisper.model.state_dict()
    assert all(torch.equal(again[name], value.float()) for name, value in before.items())


def test_the_base_is_remembered_over_generations(tiny_whisper, tmp_path):
    first = replace(load(str(tiny_whisper())), base="openai/whisper-tiny")
    save_complete(first, tmp_path / "one", resolve("sv"))
    save_complete(load(str(tmp_path / "one")), tmp_path / "two", None)
    assert load(str(tmp_path / "two")).base == "openai/whisper-tiny"
    assert load(str(tmp_path / "two")).language == resolve("sv")


def test_a_full_disk_is_one_plain_sentence(tiny_whisper, tmp_path):
    whisper = load(str(tiny_whisper()))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, before[1]))
        with pytest.raises(StoreError, match="the disk is full"):
            save_complete(whisper, tmp_path / "saved", None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_card_says_what_the_model_can_be_given(tiny_whisper, tmp_path) -> None:
    stock = load(str(tiny_whisper()))
    assert (stock.context, stock.windows) == ("full", False)
    trained = replace(stock, context="dynamic", context_floor_s=3.5, windows=True)

    save_complete(trained, tmp_path, resolve("sv"))

    card = json.loads((tmp_path / "modersmal.json").read_text())
    assert (card["context"], card["context_floor_s"], card["windows"]) == ("dynamic", 3.5, True)
    for found in (load(str(tmp_path)), describe(str(tmp_path)), read_card(tmp_path)):
        assert (found.context, found.context_floor_s, found.windows) == ("dynamic", 3.5, True)
    again = tmp_path / "again"
    save_complete(load(str(tmp_path)), again, None)
    assert read_card(again) == read_card(tmp_path)
    for floor in (0, 31, "2", None):
        (tmp_path / "modersmal.json").write_text(json.dumps(card | {"context_floor_s": floor}))
        with pytest.raises(ModelError, match=r"context_floor_s is .*; it is from 0 to 30 s"):
            read_card(tmp_path)
