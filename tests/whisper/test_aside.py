"""Weights that are set aside come back bit for bit, whatever happens meanwhile."""

import pytest
import torch

from modersmal.errors import StoreError
from modersmal.whisper.aside import set_aside
from modersmal.whisper.load import load


@pytest.fixture
def model(tiny_whisper):
    return load(str(tiny_whisper())).model


def bits(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_meanwhile_the_model_takes_no_memory(model, tmp_path):
    before = bits(model)
    with set_aside(model, tmp_path / "weights.safetensors"):
        assert sum(value.untyped_storage().nbytes() for value in model.parameters()) == 0
    assert same(bits(model), before)
    assert model.proj_out.weight is model.model.decoder.embed_tokens.weight


def test_they_come_back_when_what_needed_the_memory_fails(model, tmp_path):
    before = bits(model)
    with pytest.raises(KeyboardInterrupt), set_aside(model, tmp_path / "weights.safetensors"):
        raise KeyboardInterrupt
    assert same(bits(model), before)


def test_where_they_cannot_be_written_they_stay(model, tmp_path):
    before = bits(model)
    with (
        pytest.raises(StoreError, match="weights"),
        set_aside(model, tmp_path / "missing" / "weights.safetensors"),
    ):
        pass
    assert same(bits(model), before)
