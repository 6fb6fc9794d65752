"""LoRA: what is learned, what is kept, and that what comes out is a plain Whisper."""

import builtins
import shutil

import pytest
import torch
from safetensors.torch import load_file

from modersmal.config import LoraConfig, TrainConfig, parse_recipe
from modersmal.errors import RecipeError, TrainingError
from modersmal.train.average import Held, Stored
from modersmal.train.checkpoint import Checkpoints
from modersmal.train.lora import Adapted, adapt, detach, fingerprint, merged
from modersmal.train.optim import make_optimizer, trained
from modersmal.train.train import train
from modersmal.whisper.load import load
from modersmal.whisper.save import write_tensors

CONFIG = LoraConfig(rank=4, alpha=8, dropout=0.0)


@pytest.fixture
def plain(tiny_whisper):
    return load(str(tiny_whisper())).model


def adapted(model, config=CONFIG, *, encoder=True, seed=0, learned=True):
    adapt(model, config, seed=seed, encoder=encoder)
    if learned:
        random = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for _, value in trained(model):
                value += 0.1 * torch.randn(value.shape, generator=random)
    return model.eval()


@torch.no_grad()
def logits(model, frames=200):
    features = torch.randn(2, 80, frames, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([[50258, 50327, 50359, 50363]] * 2)
    return model(input_features=features, decoder_input_ids=tokens).logits


def test_before_it_learns_the_model_computes_what_it_did(plain):
    before = logits(plain)
    assert torch.equal(logits(adapted(plain, learned=False)), before)


def test_only_small_matrices_learn_in_every_layer(plain):
    everything = sum(value.numel() for value in plain.parameters())
    names = {name for name, _ in trained(adapted(plain))}
    assert all(".lora_A." in name or ".lora_B." in name for name in names)
    for target in ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"):
        for part in ("encoder.layers.0", "encoder.layers.1", "decoder.layers.1"):
            assert any(part in name and f".{target}." in name for name in names)
    assert any("encoder_attn" in name for name in names)
    assert sum(value.numel() for _, value in trained(plain)) < everything / 10
    optimizer = make_optimizer(plain, 0.1, torch.device("cpu"))
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(names)


def test_a_frozen_encoder_gets_none(plain):
    names = {name for name, _ in trained(adapted(plain, encoder=False))}
    assert names
    assert all(name.startswith("model.decoder.") for name in names)


def test_what_it_begins_with_follows_the_seed_and_disturbs_no_other_stream(tiny_whisper):
    state = torch.get_rng_state()
    first, same, other = (
        [value for _, value in trained(adapted(load(str(tiny_whisper())).model, seed=seed,
                                               learned=False))]
        for seed in (1, 1, 2)
    )  # fmt: skip
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one, another) for one, another in zip(first, same, strict=True))
    assert not all(torch.equal(one, another) for one, another in zip(first, other, strict=True))


def test_merged_it_is_plain_and_computes_the_same(plain):
    names = {name for name, _ in plain.named_parameters()}
    before = logits(plain)
    unmerged = logits(adapted(plain))
    assert (unmerged - before).abs().max() > 0.1
    own = {name for name, _ in plain.named_parameters()}
    with merged(plain):
        assert {name for name, _ in plain.named_parameters()} == names
        assert torch.allclose(logits(plain), unmerged, atol=1e-5)
    assert {name for name, _ in plain.named_parameters()} == own
    assert torch.equal(logits(plain), unmerged)
    detach(plain)
    assert {name for name, _ in plain.named_parameters()} == names
    assert torch.equal(logits(plain), before)


def test_a_checkpoint_s_adapters_merge_into_the_base_s_weights(plain, tmp_path):
    base = Held.of(plain)
    adapted(plain)
    write_tensors(tmp_path / "model.safetensors", dict(trained(plain)))
    weights = Adapted.of(base, Stored(tmp_path), CONFIG)
    with merged(plain):
        expected = {name: value.detach() for name, value in plain.named_parameters()}
    for name, value in expected.items():
        assert torch.allclose(weights.tensor(name), value, atol=1e-6)


def test_the_fingerprint_is_that_of_all_weights(plain):
    before = fingerprint(plain)
    assert before == fingerprint(plain)
    with torch.no_grad():
        plain.model.decoder.layers[1].fc2.bias[3] += 1e-6
    assert fingerprint(plain) != before


def test_without_peft_it_says_what_to_install(plain, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "peft":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RecipeError, match=r'pip install "modersmal\[lora\]"'):
        adapt(plain, CONFIG, seed=0, encoder=True)


def recipe(model, **train_keys):
    table = {
        "language": "sv",
        "model": str(model),
        "train": {
            "max_steps": 6, "batch_s": 6.0, "save_every": 2, "evaluate_every": 3, "dev_clips": 4,
            "device": "cpu", "learning_rate": 1e-2, "packed_share": 0.0, "full_share": 0.0,
            "context_floor_s": 1.0, "lora": {"rank": 4},
        }
        | train_keys,
    }  # fmt: skip
    return parse_recipe(table)


def weights_of(folder):
    return load_file(folder / "model.safetensors")


def test_a_run_learns_keeps_adapters_alone_and_ends_as_a_plain_model(
    tiny_whisper, tiny_corpus, tmp_path
):
    model, losses = tiny_whisper(terse=True), []
    run = tmp_path / "run"
    wanted = recipe(model, average_last=2, interpolate=[0.5])
    result = train(wanted, tiny_corpus(), run, lambda step: losses.append(step.loss))
    assert losses[-1] < losses[0] - 0.05
    assert len(result.rates) == 3
    checkpoints = Checkpoints(run / "checkpoints")
    kept = checkpoints.bring(checkpoints.named(6))
    assert all(".lora_" in name for name in weights_of(kept))
    moments = load_file(kept / "optimizer.safetensors")
    assert all(".lora_" in name for name in moments)
    assert sum(file.stat().st_size for file in kept.iterdir()) < (
        0.3 * (model / "model.safetensors").stat().st_size
    )
    finished, base = weights_of(run / "model"), weights_of(model)
    assert finished.keys() == base.keys()
    changed = {name for name in base if not torch.equal(finished[name], base[name])}
    assert changed
    assert all(name.split(".")[-2] in TrainConfig().lora.targets for name in changed)
    assert load(str(run)).language.code == "sv"


@pytest.fixture(scope="module")
def whole(tiny_whisper, tiny_corpus, tmp_path_factory):
    """A run that nothing interrupted, and its base, which may be changed."""
    folder = tmp_path_factory.mktemp("lora")
    model = shutil.copytree(tiny_whisper(terse=True), folder / "base")
    train(recipe(model), tiny_corpus(), folder / "run")
    return folder / "run", model


def test_going_on_from_a_checkpoint_gives_the_same_bits(whole, tiny_corpus, tmp_path):
    run, model = whole
    broken = shutil.copytree(run, tmp_path / "broken")
    for folder in (broken / "checkpoints").glob("step-*6*"):
        shutil.rmtree(folder)
    shutil.rmtree(broken / "model")
    steps = []
    train(recipe(model), tiny_corpus(), broken, steps.append)
    assert [step.step for step in steps] == [5, 6]
    one, other = weights_of(run / "model"), weights_of(broken / "model")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_adapters_do_not_go_on_beside_other_weights(whole, tiny_corpus):
    run, model = whole
    base = weights_of(model)
    base["model.decoder.layer_norm.bias"] += 1e-3
    write_tensors(model / "model.safetensors", base)
    with pytest.raises(TrainingError, match="model_weights"):
        train(recipe(model), tiny_corpus(), run)
