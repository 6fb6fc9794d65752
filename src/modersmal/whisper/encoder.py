"""Whisper's encoder with a variable context: fewer than 30 s in, proportionally less work.

The parameters, their names and the saved class are those of `transformers.WhisperEncoder`; only
the check for exactly 3,000 frames is gone, and the sinusoidal positions are cut to the input.
"""

from typing import Any

from torch import Tensor, nn
from transformers import WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.modeling_whisper import WhisperEncoder
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

FRAMES_PER_POSITION = 2


class VariableContextEncoder(WhisperEncoder):
    """A WhisperEncoder that accepts (batch, mels, frames) for any even frames up to 3,000."""

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self, input_features: Tensor, attention_mask: None = None, **options: Any
    ) -> BaseModelOutput:
        hidden = nn.functional.gelu(self.conv1(input_features))
        hidden = nn.functional.gelu(self.conv2(hidden)).permute(0, 2, 1)
        hidden = hidden + self.embed_positions.weight[: hidden.shape[1]]
        hidden = nn.functional.dropout(hidden, p=self.dropout, training=self.training)
        for layer in self.layers:
            hidden = layer(hidden, None, **options)
        return BaseModelOutput(last_hidden_state=self.layer_norm(hidden))


def accept_variable_context(model: WhisperForConditionalGeneration) -> None:
    """Let `model`'s encoder take short input, in place; what it saves stays a plain Whisper."""
    model.model.encoder.__class__ = VariableContextEncoder
