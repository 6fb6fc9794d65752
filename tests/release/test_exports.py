"""A release's formats: where they lie, what they weigh, and what is refused."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file
from small_models import random_whisper

from modersmal.errors import ConversionError, ModelError, RecipeError
from modersmal.release.exports import FORMATS, export, formats_of
from modersmal.whisper.load import load
from modersmal.whisper.save import save_complete


def test_formats_are_named_by_family_or_one_by_one() -> None:
    assert [one.name for one in formats_of(["ct2-int8"])] == ["hf", "ct2-int8"]
    assert [one.name for one in formats_of(["ggml", "hf"])] == [
        "hf", "ggml-f16", "ggml-q8_0", "ggml-q5_0",
    ]  # fmt: skip
    assert formats_of(["hf", "ct2", "ggml"]) == tuple(FORMATS.values())
    with pytest.raises(RecipeError, match=r"'ggml-q8'.*did you mean 'ggml-q8_0'"):
        formats_of(["ggml-q8"])


def test_every_format_lies_in_its_place_and_is_smaller(tmp_path: Path) -> None:
    random_whisper(tmp_path / "model", "multilingual-v3", 128)
    release = tmp_path / "release"
    for name, format in FORMATS.items():
        assert export(tmp_path / "model", release, name) == format.within(release)
    assert (release / "model.safetensors").is_file()
    assert {path.name for path in (release / "ct2").iterdir()} == {
        "int8", "int8_float16", "float16",
    }  # fmt: skip
    config = json.loads((release / "ct2" / "int8" / "preprocessor_config.json").read_text())
    assert config["feature_size"] == 128
    sizes = {name: (release / format.place / "model.bin").stat().st_size
             for name, format in FORMATS.items() if format.family == "ct2"}  # fmt: skip
    sizes |= {name: format.size_bytes(release)
              for name, format in FORMATS.items() if format.family == "ggml"}  # fmt: skip
    assert sizes["ct2-int8_float16"] <= sizes["ct2-int8"] < sizes["ct2-float16"]
    assert sizes["ggml-q5_0"] < sizes["ggml-q8_0"] < sizes["ggml-f16"]


def test_an_export_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    whisper = random_whisper(tmp_path / "model", "multilingual")
    export(tmp_path / "model", tmp_path / "release", "ct2-int8")
    before = (tmp_path / "release/ct2/int8/model.bin").read_bytes()
    whisper.model.model.decoder.layer_norm.bias.data += 1
    save_complete(whisper, tmp_path / "model", None)
    export(tmp_path / "model", tmp_path / "release", "ct2-int8")
    assert (tmp_path / "release/ct2/int8/model.bin").read_bytes() != before


def test_large_weights_are_written_in_parts_that_load(tmp_path: Path) -> None:
    whisper = random_whisper(tmp_path / "model", "multilingual")
    save_complete(whisper, tmp_path / "parts", None, shard_bytes=4_000_000)
    parts = sorted(path.name for path in (tmp_path / "parts").glob("*.safetensors"))
    assert len(parts) > 1
    assert parts[0] == f"model-00001-of-{len(parts):05}.safetensors"
    whole = load_file(tmp_path / "model" / "model.safetensors")
    again = load(str(tmp_path / "parts")).model.state_dict()
    assert all(again[name].equal(value) for name, value in whole.items())


@pytest.mark.parametrize("name", ["hf", "ct2-int8", "ggml-f16"])
def test_a_tokenizer_that_does_not_fit_the_weights_is_refused(tmp_path: Path, name: str) -> None:
    """Weights of 51,866 rows with the tokenizer of v2 convert without a word, and speak garbage."""
    random_whisper(tmp_path / "model", "multilingual-v3", 128)
    random_whisper(tmp_path / "other", "multilingual")
    tokenizer = (tmp_path / "other" / "tokenizer.json").read_bytes()
    (tmp_path / "model" / "tokenizer.json").write_bytes(tokenizer)
    with pytest.raises(ModelError, match="do not belong together"):
        export(tmp_path / "model", tmp_path / "release", name)
    assert not list((tmp_path / "release").rglob("*model*"))


def test_a_model_that_ggml_cannot_hold_leaves_the_other_formats_alone(tmp_path: Path) -> None:
    random_whisper(tmp_path / "model", "multilingual", decoder_ffn_dim=128)
    export(tmp_path / "model", tmp_path / "release", "ct2-int8")
    with pytest.raises(ConversionError, match="feed-forward"):
        export(tmp_path / "model", tmp_path / "release", "ggml-q8_0")
    assert (tmp_path / "release/ct2/int8/model.bin").is_file()
