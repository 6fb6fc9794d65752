"""What a Whisper's shape tells before its weights are there: how many numbers they are, and how
much arithmetic training on a second of audio takes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

POSITIONS_PER_S = 50  # that the encoder sees: two frames of log-mel each
_POSITIONS, _MOST_TOKENS = 1500, 448


@dataclass(frozen=True)
class Shape:
    """The sizes in a Whisper's config.json that everything else follows from."""

    width: int
    encoder_layers: int
    decoder_layers: int
    encoder_inner: int
    decoder_inner: int
    mels: int
    vocabulary: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Shape":
        """Read it from a table of config.json. Raises KeyError, TypeError or ValueError."""
        return cls(
            width=int(config["d_model"]),
            encoder_layers=int(config["encoder_layers"]),
            decoder_layers=int(config["decoder_layers"]),
            encoder_inner=int(config["encoder_ffn_dim"]),
            decoder_inner=int(config["decoder_ffn_dim"]),
            mels=int(config["num_mel_bins"]),
            vocabulary=int(config["vocab_size"]),
        )

    @property
    def parameters(self) -> int:
        """How many numbers the weights are, the embedding counted once, positions included."""
        width = self.width
        attention = 4 * width * width + 3 * width  # keys have no bias
        norm = 2 * width
        encoder = (3 * self.mels * width + width) + (3 * width * width + width)
        encoder += _POSITIONS * width + norm
        encoder += self.encoder_layers * (attention + 2 * norm + self._inner(self.encoder_inner))
        decoder = (self.vocabulary + _MOST_TOKENS) * width + norm
        decoder += self.decoder_layers * (
            2 * attention + 3 * norm + self._inner(self.decoder_inner)
        )
        return encoder + decoder

    def training_flops(self, padded_s: float, tokens: float) -> float:
        """Floating-point operations of a training step on a sample of `padded_s` seconds, padding
        included, and so many tokens.

        A product of (m, k) and (k, n) takes 2mkn, and backward twice as much as forward.
        """
        width, positions = self.width, padded_s * POSITIONS_PER_S
        encoder = (12 * self.mels * width + 6 * width**2) * positions
        of_layer = 8 * width**2 + 4 * width * self.encoder_inner + 4 * width * positions
        encoder += self.encoder_layers * of_layer * positions
        of_layer = 12 * width**2 + 4 * width * self.decoder_inner
        of_layer += 2 * width * tokens + 4 * width * positions
        decoder = self.decoder_layers * (of_layer * tokens + 4 * width**2 * positions)
        decoder += 2 * width * self.vocabulary * tokens
        return 3.0 * (encoder + decoder)

    def _inner(self, inner: int) -> int:
        return 2 * self.width * inner + inner + self.width


_KNOWN = {  # width, layers of encoder and decoder, mels, vocabulary; the longer name first
    "large-v3-turbo": (1280, 32, 4, 128, 51_866),
    "large-v3": (1280, 32, 32, 128, 51_866),
    "turbo": (1280, 32, 4, 128, 51_866),
    "large": (1280, 32, 32, 80, 51_865),
    "medium": (1024, 24, 24, 80, 51_865),
    "small": (768, 12, 12, 80, 51_865),
    "base": (512, 6, 6, 80, 51_865),
    "tiny": (384, 4, 4, 80, 51_865),
}


def shape_named(model: str) -> Shape | None:
    """The shape of a Whisper whose name has its size in it, as "KBLab/kb-whisper-small" has."""
    name = model.rstrip("/").rpartition("/")[2].lower()
    words = re.split(r"[^a-z0-9]+", name)
    for size, (width, encoder, decoder, mels, vocabulary) in _KNOWN.items():
        if "whisper" in name and all(part in words for part in size.split("-")):
            inner = 4 * width
            return Shape(width, encoder, decoder, inner, inner, mels, vocabulary)
    return None
