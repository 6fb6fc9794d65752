import itertools
import math

import pytest
import torch
from transformers import WhisperConfig

from modersmal.config import TrainConfig
from modersmal.train.optim import freeze, learning_rate, make_optimizer, peak_learning_rate, trained
from modersmal.whisper.load import load


@pytest.mark.parametrize(
    ("width", "layers", "rate", "name"),
    [
        (384, 4, 4e-5, "tiny"),
        (512, 6, 2e-5, "base"),
        (768, 12, 1e-5, "small"),
        (1024, 24, 6e-6, "medium"),
        (1280, 32, 5e-6, "large"),
        (1280, 4, 1e-5, "turbo"),
        (1280, 2, 1e-5, "turbo"),
        (192, 2, 1e-3, "of its own"),
    ],
)
def test_the_learning_rate_follows_the_size_and_says_so(width, layers, rate, name):
    config = WhisperConfig(d_model=width, decoder_layers=layers)
    found, reason = peak_learning_rate(config, None)
    assert found == rate
    assert name in reason
    assert peak_learning_rate(config, 3e-4) == (3e-4, "set by the recipe")


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_schedules_rise_to_the_peak_and_decay(schedule):
    config = TrainConfig(schedule=schedule, max_steps=1000, warmup_steps=100)
    rates = [learning_rate(step, 1e-3, config) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-3 / 101)
    assert all(later > earlier for earlier, later in itertools.pairwise(rates[:101]))
    assert rates[100] == 1e-3
    middle = {"linear": 0.5, "cosine": 0.5, "constant": 1.0}[schedule]
    assert rates[550] == pytest.approx(middle * 1e-3)
    quarter = {"linear": 0.25, "cosine": 0.5 * (1 - math.sqrt(0.5)), "constant": 1.0}[schedule]
    assert rates[775] == pytest.approx(quarter * 1e-3)
    assert rates[-1] == pytest.approx(1e-3 if schedule == "constant" else 0, abs=2e-6)


def test_a_short_run_warms_up_for_a_fifth_of_it():
    config = TrainConfig(max_steps=50, warmup_steps=200)
    rates = [learning_rate(step, 1.0, config) for step in range(50)]
    assert rates.index(max(rates)) == 10
    assert max(rates) == 1.0
    assert learning_rate(0, 1.0, TrainConfig(max_steps=1)) == 1.0


def test_only_matrices_decay_and_positions_of_the_encoder_never_learn(tiny_whisper):
    model = load(str(tiny_whisper())).model
    freeze(model, encoder=False)
    optimizer = make_optimizer(model, 0.1, torch.device("cpu"))
    decayed, kept = optimizer.param_groups
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    assert {value.ndim for value in decayed["params"]} == {2, 3}
    assert {value.ndim for value in kept["params"]} == {1}
    assert decayed["fused"]
    names = {name for name, _ in trained(model)}
    assert "model.encoder.embed_positions.weight" not in names
    assert "model.decoder.embed_positions.weight" in names
    assert "model.encoder.conv1.weight" in names


def test_a_frozen_encoder_leaves_the_decoder_learning(tiny_whisper):
    model = load(str(tiny_whisper())).model
    freeze(model, encoder=True)
    names = {name for name, _ in trained(model)}
    assert names
    assert all(name.startswith("model.decoder.") for name in names)
    assert names == {name for name, _ in model.named_parameters() if ".decoder." in name}


@pytest.mark.parametrize(("width", "rate"), [(768, 1e-4), (1280, 5e-5), (192, 1e-3)])
def test_lora_learns_at_a_tenfold_rate_up_to_what_is_safe(width, rate):
    config = WhisperConfig(d_model=width, decoder_layers=12)
    found, reason = peak_learning_rate(config, None, lora=True)
    assert found == pytest.approx(rate)
    assert "LoRA" in reason
    assert peak_learning_rate(config, 3e-4, lora=True) == (3e-4, "set by the recipe")
