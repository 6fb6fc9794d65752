"""Files for whisper.cpp: their bytes are ggml's own, and hold the model that they were made of."""

import ctypes
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import dequantised, random_whisper, read_ggml

from modersmal.errors import ConversionError, StoreError
from modersmal.language import Vocabulary
from modersmal.logmel import mel_filters
from modersmal.release.ggml import Q5_0, Q8_0, quantise_q5_0, quantise_q8_0, write_ggml
from modersmal.whisper.load import load
from modersmal.whisper.tokens import special_ids


@pytest.fixture(scope="module")
def ggml() -> ctypes.CDLL:
    """ggml itself, as pywhispercpp brings it."""
    library = next(file for file in metadata.files("pywhispercpp") if "ggml-base" in file.name)
    return ctypes.CDLL(str(library.locate()))


def quantised_by(ggml: ctypes.CDLL, kind: str, values: np.ndarray) -> bytes:
    blocks = np.zeros(len(values) // 32, Q8_0 if kind == "q8_0" else Q5_0)
    function = getattr(ggml, f"quantize_row_{kind}_ref")
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    function(values.ctypes.data, blocks.ctypes.data, len(values))
    return blocks.tobytes()


@pytest.mark.parametrize(("kind", "quantise"), [("q8_0", quantise_q8_0), ("q5_0", quantise_q5_0)])
@given(seed=st.integers(0, 2**32), log_size=st.floats(-6, 4), zeros=st.floats(0, 1))
def test_blocks_are_those_of_ggml(ggml, kind: str, quantise, seed, log_size, zeros) -> None:
    random = np.random.default_rng(seed)
    values = random.standard_normal(32 * 50).astype(np.float32) * np.float32(10**log_size)
    values[random.random(len(values)) < zeros] = 0
    values[:32] = 0
    assert quantise(values).tobytes() == quantised_by(ggml, kind, values)


@pytest.mark.parametrize(("quantise", "steps"), [(quantise_q8_0, 127), (quantise_q5_0, 16)])
@given(seed=st.integers(0, 2**32))
def test_no_value_moves_by_more_than_a_step(quantise, steps: int, seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal((50, 32)).astype(np.float32)
    found = dequantised(quantise(values.reshape(-1))).reshape(values.shape)
    largest = np.abs(values).max(axis=1, keepdims=True)
    assert np.all(np.abs(found - values) <= 1.01 * largest / steps)


@pytest.mark.parametrize(
    ("vocabulary", "mels"), [("multilingual", 80), ("multilingual-v3", 128), ("english", 80)]
)
def test_a_file_holds_all_of_a_model(tmp_path: Path, vocabulary: str, mels: int) -> None:
    whisper = random_whisper(tmp_path / "model", vocabulary, mels)
    write_ggml(whisper, tmp_path / "model.bin", "f16")
    file = read_ggml(tmp_path / "model.bin")

    kind = Vocabulary(vocabulary)
    assert file.sizes == (kind.size, 1500, 64, 2, 2, 448, 64, 2, 3, mels, 1)
    assert np.array_equal(file.filters, mel_filters(mels).T.astype(np.float32))
    assert len(file.tokens) == special_ids(kind).end
    for text in ("Å, Ångström på ön! 1 000 €", " naïve «日本語» 🙂"):
        ids = whisper.tokenizer.encode(text, add_special_tokens=False).ids
        assert b"".join(file.tokens[id_] for id_ in ids).decode() == text

    state = dict(whisper.model.state_dict())
    del state["proj_out.weight"]
    assert len(file.tensors) == len(state)
    for ours, theirs in {
        "encoder.conv1.weight": "encoder.conv1.weight",
        "encoder.positional_embedding": "encoder.embed_positions.weight",
        "encoder.blocks.1.attn.key.weight": "encoder.layers.1.self_attn.k_proj.weight",
        "encoder.ln_post.bias": "encoder.layer_norm.bias",
        "decoder.token_embedding.weight": "decoder.embed_tokens.weight",
        "decoder.blocks.2.cross_attn.query.weight": "decoder.layers.2.encoder_attn.q_proj.weight",
        "decoder.blocks.0.cross_attn_ln.weight": "decoder.layers.0.encoder_attn_layer_norm.weight",
        "decoder.blocks.0.mlp.2.bias": "decoder.layers.0.fc2.bias",
        "decoder.blocks.1.mlp_ln.weight": "decoder.layers.1.final_layer_norm.weight",
    }.items():
        weight = state[f"model.{theirs}"]
        assert np.allclose(file.tensors[ours], weight.numpy(), rtol=1e-3, atol=1e-6)
    assert file.tensors["encoder.conv1.bias"].shape == (64, 1)


@pytest.mark.parametrize(
    ("kind", "file_type", "weight_type"), [("q8_0", 2007, 8), ("q5_0", 2008, 6)]
)
def test_quantised_are_the_matrices_and_no_more(
    tmp_path: Path, kind: str, file_type: int, weight_type: int
) -> None:
    whisper = random_whisper(tmp_path / "model", "multilingual")
    write_ggml(whisper, tmp_path / "model.bin", kind)
    file = read_ggml(tmp_path / "model.bin")
    assert file.sizes[-1] == file_type
    matrices = {name for name, found in file.types.items() if found == weight_type}
    assert "decoder.token_embedding.weight" in matrices
    assert matrices == {
        name for name, values in file.tensors.items()
        if values.ndim == 2 and values.shape[1] > 1 and "positional" not in name
    }  # fmt: skip
    assert {file.types[name] for name in file.tensors if ".conv" in name} == {0, 1}


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    whisper = random_whisper(tmp_path / "model", "multilingual")
    write_ggml(whisper, tmp_path / "once.bin", "q5_0")
    write_ggml(load(str(tmp_path / "model")), tmp_path / "again.bin", "q5_0")
    assert (tmp_path / "once.bin").read_bytes() == (tmp_path / "again.bin").read_bytes()


@pytest.mark.parametrize(
    ("sizes", "kind", "reason"),
    [
        ({"encoder_ffn_dim": 128}, "f16", "feed-forward"),
        ({"activation_function": "relu"}, "f16", "GELU"),
        ({"d_model": 48, "encoder_ffn_dim": 192, "decoder_ffn_dim": 192}, "q8_0", "multiple of 32"),
    ],
)
def test_what_whisper_cpp_would_misread_is_refused(
    tmp_path: Path, sizes: dict[str, object], kind: str, reason: str
) -> None:
    whisper = random_whisper(tmp_path / "model", "multilingual", **sizes)
    with pytest.raises(ConversionError, match=reason):
        write_ggml(whisper, tmp_path / "model.bin", kind)
    assert not (tmp_path / "model.bin").exists()


@pytest.mark.parametrize("value", [1e6, float("nan")])
def test_weights_that_float16_cannot_hold_are_refused_and_leave_nothing(
    tmp_path: Path, value: float
) -> None:
    whisper = random_whisper(tmp_path / "model", "multilingual")
    with torch.no_grad():
        whisper.model.model.decoder.layers[2].fc1.weight[3, 5] = value
    with pytest.raises(ConversionError, match=r"decoder\.blocks\.2\.mlp\.0\.weight"):
        write_ggml(whisper, tmp_path / "out" / "model.bin", "f16")
    assert list((tmp_path / "out").iterdir()) == []


def test_says_where_it_cannot_write(tmp_path: Path) -> None:
    whisper = random_whisper(tmp_path / "model", "multilingual")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_ggml(whisper, tmp_path / "file" / "model.bin", "f16")
