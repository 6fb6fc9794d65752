import subprocess
import sys

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from modersmal.train import compiling
from modersmal.train.compiling import compile_layers, pays

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def triton(monkeypatch):
    monkeypatch.setattr(compiling, "find_spec", lambda name: name)


@pytest.mark.parametrize(
    ("setting", "device", "steps", "capability", "expected"),
    [
        ("auto", CPU, 10**6, None, False),
        ("auto", GPU, 2000, (8, 0), True),
        ("auto", GPU, 2000, (7, 5), False),
        ("auto", GPU, 300, (9, 0), False),
        (True, CPU, 1, None, True),
        (False, GPU, 10**6, (9, 0), False),
    ],
)
def test_it_is_compiled_where_it_pays(triton, setting, device, steps, capability, expected):
    assert pays(setting, device, steps, capability) is expected


def test_without_triton_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(compiling, "find_spec", lambda name: None)
    assert not pays("auto", GPU, 10**6, (9, 0))


def test_compiled_layers_learn_the_same_with_one_graph_for_all_contexts(make_learner, make_loader):
    from torch._dynamo.utils import counters

    batches = [make_loader(floor_s=1 + step / 2).reader.load(step) for step in range(4)]
    assert len({batch.planned.frames for batch in batches}) == 4
    plain, compiled = make_learner(), make_learner()
    compile_layers(compiled.model, "eager")  # graphs, without the minute that kernels take
    compiled._compiled = True
    counters.clear()
    for batch in batches:
        expected = plain.step(batch, 1e-4, 60.0)
        found = compiled.step(batch, 1e-4, 60.0)
        assert found.loss == pytest.approx(expected.loss, rel=1e-4)
        with compiled.decoding():
            compiled.model.model.encoder(torch.zeros(1, 80, 100 + batch.planned.step * 10))
    graphs = counters["stats"]["unique_graphs"]
    assert 2 <= graphs <= 6  # of an encoder layer and a decoder layer, first with sizes as numbers
    assert plain.model.state_dict().keys() == compiled.model.state_dict().keys()


def test_what_cannot_be_compiled_runs_as_it_is(tmp_path):
    """Here no compiler is to be had."""
    script = """
from types import SimpleNamespace as Some
import torch
from modersmal.train.compiling import compile_layers
layer = torch.nn.Linear(2, 2)
compile_layers(Some(model=Some(encoder=Some(layers=[layer]), decoder=Some(layers=[]))))
print(layer(torch.zeros(1, 2)).shape)
"""
    env = {"CXX": "no-such-compiler", "PATH": "", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120,
        env=env | {"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.stdout == "torch.Size([1, 2])\n", done.stderr


def test_attention_is_torch_s_own_and_can_be_flash(make_learner, make_loader):
    """No step needs a mask that would rule out the fast kernels."""
    learner = make_learner()
    assert learner.model.config._attn_implementation == "sdpa"
    batch = make_loader(packed_share=0.5).reader.load(0)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        assert learner.step(batch, 1e-4, 60.0).loss > 0
