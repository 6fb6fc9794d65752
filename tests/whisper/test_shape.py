"""What a shape foretells is what torch then counts."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from modersmal.whisper.load import load
from modersmal.whisper.shape import Shape


def shape_of(folder: Path) -> Shape:
    return Shape.of(json.loads((folder / "config.json").read_text()))


@pytest.mark.parametrize("vocabulary", ["multilingual", "multilingual-v3", "english"])
def test_parameters_are_those_of_the_model(
    vocabulary: str, tiny_whisper: Callable[..., Path]
) -> None:
    mels = 128 if vocabulary == "multilingual-v3" else 80
    folder = tiny_whisper(vocabulary=vocabulary, mels=mels, encoder_layers=3, decoder_layers=2)
    counted = sum(one.numel() for one in load(str(folder)).model.parameters())
    assert shape_of(folder).parameters == counted


def test_whisper_small_has_the_size_it_is_known_by() -> None:
    small = Shape(768, 12, 12, 3072, 3072, 80, 51_865)
    assert small.parameters == 241_734_912


def test_flops_are_those_that_torch_counts(tiny_whisper: Callable[..., Path]) -> None:
    folder = tiny_whisper(width=64, encoder_layers=2, decoder_layers=2)
    model = load(str(folder)).model
    model.set_attn_implementation("eager")
    tokens = torch.randint(0, 1000, (1, 24))
    with FlopCounterMode(display=False) as counter:
        model(input_features=torch.zeros(1, 80, 3000), decoder_input_ids=tokens)
    expected = shape_of(folder).training_flops(30.0, 24) / 3
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.03)
