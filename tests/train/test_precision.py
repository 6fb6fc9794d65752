import pytest
import torch

from modersmal.errors import RecipeError
from modersmal.train.precision import choose_device, choose_precision, cuda_precision

CPU = torch.device("cpu")
T4, A100 = (7, 5), (8, 0)


@pytest.mark.parametrize(
    ("capability", "setting", "name", "scaled", "reason"),
    [
        (T4, "auto", "float16", True, "7.5, below 8.0; master weights stay float32"),
        (A100, "auto", "bfloat16", False, "8.0, with bfloat16 of its own"),
        ((9, 0), "auto", "bfloat16", False, "9.0"),
        (A100, "float16", "float16", True, "the recipe asks for it"),
        (T4, "float32", "float32", False, "the recipe asks for it"),
    ],
)
def test_gpus_train_in_what_they_have(capability, setting, name, scaled, reason):
    precision = cuda_precision(capability, setting)
    assert (precision.name, precision.scaled) == (name, scaled)
    assert reason in precision.reason


def test_cpus_train_in_float32_unless_told_otherwise():
    assert choose_precision(CPU, "auto").name == "float32"
    assert choose_precision(CPU, "auto").reason == "training on a CPU"
    assert choose_precision(CPU, "bfloat16").name == "bfloat16"


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        (lambda: choose_precision(CPU, "float16"), "does not train on a CPU"),
        (lambda: choose_precision(torch.device("mps"), "bfloat16"), "does not train on a mps"),
        (lambda: cuda_precision(T4, "bfloat16"), "only emulated"),
    ],
)
def test_what_a_device_cannot_is_refused(choose, message):
    with pytest.raises(RecipeError, match=message):
        choose()


def test_autocast_is_in_force_within_the_context_only():
    left, right = torch.ones(2, 2), torch.ones(2, 2)
    with choose_precision(CPU, "bfloat16").context(CPU):
        assert (left @ right).dtype == torch.bfloat16
    with choose_precision(CPU, "auto").context(CPU):
        assert (left @ right).dtype == torch.float32


def test_a_device_that_is_not_there_is_refused():
    assert choose_device("cpu") == CPU
    missing = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(RecipeError, match=f"train.device is '{missing}'"):
        choose_device(missing)
