import pytest
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from modersmal.train.learner import checkpoint_activations, loss_sum
from modersmal.train.memory import bytes_per_s, default_device_batch_s
from modersmal.whisper.encoder import accept_variable_context


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
    cpu = torch.device("cpu")
    sizes = [
        default_device_batch_s(config, 10**6, cpu, value_bytes=4, checkpointing=False)
        for config in (WhisperConfig(d_model=64), small, large)
    ]
    assert 120 == sizes[0][0] >= sizes[1][0] >= sizes[2][0] >= 1
    assert "GiB of memory" in sizes[0][1]
