import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from modersmal.train import cross_entropy
from modersmal.train.cross_entropy import cross_entropy_sum


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation makes."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for one in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(one, torch.Tensor):
                self.elements = max(self.elements, one.numel())
        return made


def drawn(tokens=37, width=16, vocabulary=501):
    torch.manual_seed(0)
    return (
        torch.randn(tokens, width, requires_grad=True),
        torch.randn(vocabulary, width, requires_grad=True),
        torch.randint(vocabulary, (tokens,)),
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("tokens_at_once", [1, 5, 1000])
def test_loss_and_gradients_are_torch_s(smoothing, tokens_at_once, monkeypatch):
    hidden, weight, targets = drawn()
    monkeypatch.setattr(cross_entropy, "_CHUNK_BYTES", 4 * len(weight) * tokens_at_once)
    ours = cross_entropy_sum(hidden, weight, targets, smoothing=smoothing)
    mine = torch.autograd.grad(3 * ours, [hidden, weight])
    theirs = F.cross_entropy(hidden @ weight.T, targets, reduction="sum", label_smoothing=smoothing)
    assert torch.allclose(ours, theirs, rtol=1e-5)
    for one, other in zip(mine, torch.autograd.grad(3 * theirs, [hidden, weight]), strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_row_that_stands_for_several_counts_as_several(smoothing):
    hidden, weight, targets = drawn()
    targets = targets % 500
    counts = torch.ones(501)
    counts[-1] = 200
    ours = cross_entropy_sum(hidden, weight, targets, counts=counts, smoothing=smoothing)
    whole = torch.cat([weight, weight[-1:].expand(199, -1)])
    theirs = F.cross_entropy(hidden @ whole.T, targets, reduction="sum", label_smoothing=smoothing)
    assert torch.allclose(ours, theirs, rtol=1e-5)
    for one, other in zip(
        torch.autograd.grad(ours, [hidden, weight]),
        torch.autograd.grad(theirs, [hidden, weight]),
        strict=True,
    ):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


def test_the_logits_of_all_tokens_never_exist():
    hidden, weight, targets = drawn(tokens=3000, width=8, vocabulary=51_865)
    with Largest() as largest:
        cross_entropy_sum(hidden, weight, targets).backward()
    assert largest.elements * 4 <= cross_entropy._CHUNK_BYTES
    assert largest.elements < 3000 * 51_865 / 4


def test_the_gradient_of_the_vocabulary_exists_once():
    hidden, weight, targets = drawn(tokens=300, width=8, vocabulary=51_865)
    made = []

    class OfItsSize(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            name = function._schema.name
            if getattr(result, "shape", None) == weight.shape and not name.endswith("_"):
                made.append(result.untyped_storage().data_ptr())
            return result

    with OfItsSize():
        loss = cross_entropy_sum(hidden, weight, targets)
        torch.autograd.grad(2 * loss, [hidden, weight], retain_graph=True)
    assert len(set(made) - {weight.untyped_storage().data_ptr()}) == 1
    with pytest.raises(RuntimeError, match="already"):
        loss.backward()


def test_what_does_not_learn_gets_no_gradient():
    hidden, weight, targets = drawn()
    weight.requires_grad_(False)
    cross_entropy_sum(hidden, weight, targets).backward()
    assert weight.grad is None
    assert hidden.grad is not None
    with torch.no_grad():
        assert float(cross_entropy_sum(hidden, weight, targets)) > 0


def test_products_are_in_autocast_s_precision():
    hidden, weight, targets = drawn()
    with torch.autocast("cpu", torch.bfloat16):
        half = cross_entropy_sum(hidden, weight, targets)
    exact = cross_entropy_sum(hidden, weight, targets)
    assert half.dtype == torch.float32
    assert half != exact
    assert torch.allclose(half, exact, rtol=0.02)
    gradient = torch.autograd.grad(half, weight)[0]
    assert gradient.dtype == torch.float32
    assert torch.allclose(gradient, torch.autograd.grad(exact, weight)[0], rtol=0.1, atol=0.1)
