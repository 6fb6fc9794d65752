"""Weights that are set aside come back bit for bit; memory that is freed is given back."""

import platform
import subprocess
import sys

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


FREED = """
import re, sys, torch
from pathlib import Path
from modersmal.whisper.aside import give_back_memory, keep_little_freed

def resident_mb():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1000

if "keep little" in sys.argv:
    keep_little_freed()
large = torch.ones(5_000_000)
del large  # glibc keeps for itself what is as small as this from now on
before_mb = resident_mb()
blocks = [torch.ones(1_000_000) for _ in range(100)]
del blocks[:-1]
freed_mb = resident_mb()
give_back_memory()
print(freed_mb - before_mb, resident_mb() - before_mb)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's allocator")
@pytest.mark.parametrize("how", ["as it is", "keep little"])
def test_what_is_freed_is_given_back(how):
    done = subprocess.run(
        [sys.executable, "-c", FREED, how], capture_output=True, text=True, check=True, timeout=120
    )
    freed_mb, given_back_mb = map(float, done.stdout.split())
    assert (freed_mb > 100) == (how == "as it is")
    assert given_back_mb < 50
