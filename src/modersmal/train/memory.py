"""How many seconds of padded audio a device takes at a time.

The constants are bytes that autograd keeps, measured with `saved_tensors_hooks` on Whisper's own
sizes (tiny to small agree within 8 %); tests/train/test_memory.py measures them again.
"""

import os

import torch
from transformers import WhisperConfig

_POSITIONS_PER_S = 50
_TOKENS_PER_S = 5
_ENCODER_BYTES = {4: 75, 2: 47}  # per position, width and layer, by bytes of a value
_DECODER_BYTES = {4: 900, 2: 700}  # per second, width and layer
_CHECKPOINTED_BYTES = 11  # per position, width and layer: its input, and one layer's share
_LOGIT_BYTES = 16  # logits, their logarithm, their gradient
_STATE_BYTES = 16  # per parameter: weight, gradient and AdamW's two moments, float32
_USED_SHARE = 0.75
_CPU_SHARE = 0.4
_CPU_MOST_S = 120.0  # more does not make a CPU faster
_GPU_MOST_S = 2400.0


def bytes_per_s(config: WhisperConfig, value_bytes: int, checkpointing: bool) -> float:
    """Memory that a forward pass keeps for one second of padded audio."""
    encoder = _CHECKPOINTED_BYTES if checkpointing else _ENCODER_BYTES[value_bytes]
    decoder = _DECODER_BYTES[value_bytes] / (6 if checkpointing else 1)
    return (
        config.d_model * config.encoder_layers * _POSITIONS_PER_S * encoder
        + config.d_model * config.decoder_layers * decoder
        + _TOKENS_PER_S * config.vocab_size * _LOGIT_BYTES
    )


def default_device_batch_s(
    config: WhisperConfig,
    parameters: int,
    device: torch.device,
    *,
    value_bytes: int,
    checkpointing: bool,
) -> tuple[float, str]:
    """Seconds of padded audio that fit, and the reason."""
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0] * _USED_SHARE
        most, where = _GPU_MOST_S, "GPU memory"
    else:
        free = physical_bytes() * _CPU_SHARE
        most, where = _CPU_MOST_S, "memory"
    fitting = (free - parameters * _STATE_BYTES) / bytes_per_s(config, value_bytes, checkpointing)
    chosen = float(int(min(most, max(1.0, fitting))))
    return chosen, f"{free / 2**30:.1f} GiB of {where} to use"


def physical_bytes() -> int:
    """Memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def describe_memory(device: torch.device) -> str:
    """The device and how much memory it has in all: on an equal one, equal amounts fit."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name}, {properties.total_memory >> 30} GiB"
    return f"{device.type}, {physical_bytes() >> 30} GiB"
