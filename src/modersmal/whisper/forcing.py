"""The decoder as training runs it: all of a text at once, each token seeing those before it."""

from torch import Tensor, nn
from transformers.models.whisper.modeling_whisper import WhisperDecoder


def decode_forced(decoder: WhisperDecoder, inputs: Tensor, encoded: Tensor) -> Tensor:
    """What the decoder makes of `inputs` (batch, n) int64, ids that are given to it, while it hears
    `encoded` (batch, positions, width): hidden states (batch, n, width), before the vocabulary.

    This is what its own forward does without a cache, a mask or layers left out, but for one thing:
    that looks at the positions of the tokens, and the host waits for the device there.
    """
    hidden = decoder.embed_tokens(inputs) + decoder.embed_positions(inputs)
    hidden = nn.functional.dropout(hidden, p=decoder.dropout, training=decoder.training)
    for layer in decoder.layers:
        hidden = layer(hidden, None, encoded, use_cache=False)
    return decoder.layer_norm(hidden)
