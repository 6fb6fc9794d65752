import pytest
import torch
from transformers import WhisperForConditionalGeneration

from modersmal.whisper.load import load


def test_a_full_context_gives_what_plain_transformers_gives(tiny_whisper):
    features = torch.randn(2, 80, 3000, generator=torch.Generator().manual_seed(0))
    plain = WhisperForConditionalGeneration.from_pretrained(tiny_whisper())
    ours = load(str(tiny_whisper())).model
    with torch.no_grad():
        expected = plain.model.encoder(features).last_hidden_state
        assert torch.equal(ours.model.encoder(features).last_hidden_state, expected)


@pytest.mark.parametrize("frames", [2, 200, 998, 3000])
def test_a_short_context_gives_half_as_many_positions(tiny_whisper, frames):
    model = load(str(tiny_whisper())).model
    with torch.no_grad():
        hidden = model.model.encoder(torch.zeros(1, 80, frames)).last_hidden_state
    assert hidden.shape == (1, frames // 2, 32)


def test_positions_count_from_the_beginning(tiny_whisper):
    """A short context is what the layers make of the first positions, not of others."""
    encoder = load(str(tiny_whisper())).model.model.encoder
    encoder.layers = torch.nn.ModuleList()
    features = torch.randn(1, 80, 400, generator=torch.Generator().manual_seed(1))
    longer = torch.nn.functional.pad(features, (0, 2600))
    with torch.no_grad():
        short = encoder(features).last_hidden_state[:, :199]
        full = encoder(longer).last_hidden_state[:, :199]
    assert torch.allclose(short, full, atol=1e-6)


def test_every_other_number_of_frames_leaves_gradients(tiny_whisper):
    model = load(str(tiny_whisper())).model.train()
    model.model.encoder(torch.randn(1, 80, 300)).last_hidden_state.sum().backward()
    assert model.model.encoder.conv1.weight.grad is not None
    assert model.model.encoder.embed_positions.weight.grad is None
