import subprocess
import sys

import pytest
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from modersmal.train import memory
from modersmal.train.learner import checkpoint_activations, loss_sum
from modersmal.train.memory import bytes_per_s, find_room
from modersmal.whisper.encoder import accept_variable_context

CPU = torch.device("cpu")


def kept_bytes(model, clips, autocast):
    """What autograd keeps for `clips` clips of 5 s and 25 tokens, weights left out."""
    own = {value.untyped_storage().data_ptr() for value in model.parameters()}
    storages, kept = {}, []

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage.nbytes()
        kept.append(tensor)  # or its memory, and address, would be used again
        return tensor

    tokens = torch.zeros(clips, 25, dtype=torch.long)
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=autocast),
    ):
        loss_sum(
            model, torch.zeros(clips, 80, 500), tokens, torch.arange(clips * 25), tokens.flatten()
        )
    return sum(storages.values())


@pytest.mark.parametrize(("autocast", "checkpointing"), [(False, False), (True, False),
                                                         (False, True)])  # fmt: skip
def test_the_memory_of_a_second_of_audio_is_not_underestimated(autocast, checkpointing):
    config = WhisperConfig(
        d_model=128, encoder_layers=6, decoder_layers=6, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=512, decoder_ffn_dim=512, vocab_size=2000,
        pad_token_id=0, bos_token_id=0, eos_token_id=0, decoder_start_token_id=1,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config).train()
    accept_variable_context(model)
    if checkpointing:
        checkpoint_activations(model)
    measured = (kept_bytes(model, 3, autocast) - kept_bytes(model, 1, autocast)) / 2 / 5
    estimated = bytes_per_s(config, 2 if autocast else 4, checkpointing)
    assert measured < estimated < 2.5 * measured


def test_a_larger_model_gets_smaller_batches_and_the_reason_is_said():
    small = WhisperConfig(d_model=768, encoder_layers=12, decoder_layers=12)
    large = WhisperConfig(d_model=1280, encoder_layers=32, decoder_layers=32)
    rooms = [
        find_room(config, 10**6, 10**6, CPU, value_bytes=4)
        for config in (WhisperConfig(d_model=64), small, large)
    ]
    first = [room.first_s(False) for room in rooms]
    assert 120 == first[0] >= first[1] >= first[2] >= 1
    assert "GiB of memory" in rooms[0].reason
    assert all(room.first_s(True) >= room.first_s(False) for room in rooms)
    assert rooms[2].plain_s < rooms[2].checkpointed_s / 4


@pytest.mark.parametrize(("gib", "needed"), [(64, False), (16, True)])
def test_activations_are_computed_twice_only_where_the_longest_sample_does_not_fit(
    monkeypatch, gib, needed
):
    monkeypatch.setattr(memory, "physical_bytes", lambda: gib << 30)
    medium = WhisperConfig(d_model=1024, encoder_layers=24, decoder_layers=24)
    room = find_room(medium, 300 * 10**6, 300 * 10**6, CPU, value_bytes=4, longest_s=30.0)
    assert room.needs_checkpointing is needed
    assert not find_room(
        medium, 300 * 10**6, 300 * 10**6, CPU, value_bytes=4, longest_s=2.0
    ).needs_checkpointing


def test_the_gauge_sees_the_peak_of_each_step_and_what_is_left():
    """In a process of its own: what others have freed would be given again, and not be seen."""
    script = """
import numpy as np, torch
from modersmal.train import memory
gauge = memory.gauge_of(torch.device("cpu"), 10**6)
before = gauge.held() - 12 * 10**6
gauge.reset()
held = np.ones(100_000_000 // 8)  # large enough to come from the system, not from a heap
temporary = np.ones(300_000_000 // 8)
del temporary
high = gauge.peak()
gauge.reset()
print(high - before > 350e6, gauge.peak() < high - 250e6, gauge.usable() > gauge.held())
print(memory.available_bytes() <= memory.physical_bytes())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["True"] * 4


def test_a_shortage_is_told_the_same_way_whoever_says_it():
    """The error is the CPU allocator's own, in a process that may not have more memory."""
    script = """
import resource, torch
from modersmal.train.memory import shortage_told
size = int(open("/proc/self/statm").read().split()[0]) * 4096 + 10**8
resource.setrlimit(resource.RLIMIT_AS, (size, size))
try:
    with shortage_told():
        torch.zeros(10**9)
except torch.OutOfMemoryError:
    print("told")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "told\n"
    with pytest.raises(RuntimeError, match="another") as error, memory.shortage_told():
        raise RuntimeError("another error")
    assert not isinstance(error.value, torch.OutOfMemoryError)
