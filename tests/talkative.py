"""Random Whispers that say different things of different clips, and clips for them to hear."""

import numpy as np
import torch

from modersmal.whisper.load import Whisper
from modersmal.whisper.tokens import special_ids

RATE = 16_000


def noise(duration_s: float, seed: int = 0) -> np.ndarray:
    draws = np.random.default_rng([seed, round(duration_s * RATE)])
    tone = np.sin(np.arange(round(duration_s * RATE)) * (0.05 + 0.01 * seed))
    return (0.1 * tone + 0.05 * draws.standard_normal(len(tone))).astype(np.float32)


def stir(whisper: Whisper) -> Whisper:
    """Let a random model say different things of different clips, and come to an end."""
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in whisper.model.named_parameters():
            if "conv" in name:
                weight *= 20
            elif weight.ndim == 2 and "embed" not in name:
                heed = 4.0 if "encoder_attn" in name else 0.4
                weight.copy_(torch.randn(weight.shape, generator=draws) * heed)
        table = whisper.model.model.decoder.embed_tokens.weight
        table.copy_(torch.randn(table.shape, generator=draws))
        table[special_ids(whisper.vocabulary).first_timestamp :] *= 0.1
        end = table[special_ids(whisper.vocabulary).end].mul_(2)
        rising = torch.linspace(0, 1500, 448)[:, None]
        whisper.model.model.decoder.embed_positions.weight.copy_(rising * end)
    return whisper
