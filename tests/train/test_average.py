"""Weights made of other weights, and which of them become the model."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from modersmal.errors import CheckpointError
from modersmal.train.average import Held, Mixture, Stored, put_into


def stored(folder, seed, names=("weight", "bias")):
    random = torch.Generator().manual_seed(seed)
    tensors = {name: torch.randn(3, generator=random) for name in names}
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    return Stored(folder), tensors


def test_the_mean_of_checkpoints_is_the_mean_of_each_tensor(tmp_path):
    made = [stored(tmp_path / str(seed), seed) for seed in range(3)]
    mean = Mixture.mean([each for each, _ in made])
    for name in ("weight", "bias"):
        expected = torch.stack([tensors[name] for _, tensors in made]).double().mean(0).float()
        assert torch.equal(mean.tensor(name), expected)
    alone, tensors = made[0]
    assert torch.equal(Mixture.mean([alone]).tensor("bias"), tensors["bias"])


def test_large_weights_are_summed_in_pieces_to_the_same_bits():
    random = torch.Generator().manual_seed(0)
    one, other = (torch.randn(3, 700_000, generator=random) for _ in range(2))
    one[0, 0] = other[0, 0] = -0.0
    mixed = Mixture.mean([Held({"weight": one})]).with_base(Held({"weight": other}), 0.3)
    expected = ((1 - 0.3) * one.double() + 0.3 * other.double()).float()
    found = mixed.tensor("weight")
    assert torch.equal(found.view(torch.int32), expected.view(torch.int32))


def test_a_share_of_the_base_is_mixed_into_it(tmp_path):
    one, tensors = stored(tmp_path / "one", 1)
    base = Held({"weight": torch.ones(3)})
    mixed = Mixture.mean([one]).with_base(base, 0.25)
    assert torch.allclose(mixed.tensor("weight"), 0.75 * tensors["weight"] + 0.25)
    assert mixed.tensor("weight").dtype == torch.float32


def test_a_model_takes_the_weights_and_a_copy_of_them_does_not_change_with_it():
    model = nn.Linear(2, 2)
    before = Held.of(model)
    put_into(
        model, Held({name: torch.ones_like(value) for name, value in model.named_parameters()})
    )
    assert (model.weight == 1).all()
    assert (model.bias == 1).all()
    assert not (before.tensor("weight") == 1).any()


def test_weights_that_do_not_belong_are_refused(tmp_path):
    one, _ = stored(tmp_path / "one", 1, names=("weight",))
    with pytest.raises(CheckpointError, match="no bias"):
        put_into(nn.Linear(3, 1), one)
    other = Held({"weight": torch.ones(3, 2)})
    with pytest.raises(CheckpointError, match=r"weight is \(3,\) in one and \(3, 2\) in another"):
        Mixture.mean([one, other]).tensor("weight")
    with pytest.raises(CheckpointError, match="cannot be read"):
        Stored(tmp_path)
