"""Small Whispers that whisper.cpp can take, speech for them to hear, and ggml files read back."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

from modersmal.audio import decode
from modersmal.language import Vocabulary, tokenizer
from modersmal.release.ggml import BLOCK_VALUES, Q5_0, Q8_0
from modersmal.whisper.load import Whisper
from modersmal.whisper.save import save_complete
from modersmal.whisper.tokens import special_ids

SPEECH = Path(__file__).parent.parent / "data" / "speech"


def speech(numbers: range) -> list[np.ndarray]:
    """Clips of what the bundled base was made for."""
    return [decode(SPEECH / f"{number:02d}.ogg").samples for number in numbers]


def random_whisper(folder: Path, vocabulary: str, mels: int = 80, **sizes: Any) -> Whisper:
    """A random Whisper as wide in its middle as OpenAI's are, saved into `folder`."""
    kind = Vocabulary(vocabulary)
    ids = special_ids(kind)
    config = WhisperConfig(
        vocab_size=kind.size, num_mel_bins=mels, encoder_attention_heads=2,
        decoder_attention_heads=2, pad_token_id=ids.end, bos_token_id=ids.end,
        eos_token_id=ids.end, decoder_start_token_id=ids.start, begin_suppress_tokens=None,
        **{"d_model": 64, "encoder_layers": 2, "decoder_layers": 3, "encoder_ffn_dim": 256,
           "decoder_ffn_dim": 256} | sizes,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = WhisperForConditionalGeneration(config).eval()
    whisper = Whisper(
        model=model,
        tokenizer=tokenizer(kind),
        vocabulary=kind,
        mels=mels,
        name="random",
        generation=GenerationConfig(),
        folder=folder,
    )
    save_complete(whisper, folder, None)
    return whisper


@dataclass(frozen=True)
class GgmlFile:
    """A ggml file as its format's description has it."""

    sizes: tuple[int, ...]
    filters: np.ndarray
    tokens: list[bytes]
    tensors: dict[str, np.ndarray]
    types: dict[str, int]


def read_ggml(path: Path) -> GgmlFile:
    data = path.read_bytes()
    place = 0

    def ints(count: int) -> tuple[int, ...]:
        nonlocal place
        found = struct.unpack_from(f"<{count}i", data, place)
        place += 4 * count
        return found

    def some(length: int) -> bytes:
        nonlocal place
        place += length
        return data[place - length : place]

    (magic,) = ints(1)
    assert magic == int.from_bytes(b"ggml", "big")
    sizes = ints(11)
    mels, bins = ints(2)
    filters = np.frombuffer(some(4 * mels * bins), "<f4").reshape(mels, bins)
    tokens = [some(*ints(1)) for _ in range(*ints(1))]
    tensors, types = {}, {}
    while place < len(data):
        dimensions, length, code = ints(3)
        shape = ints(dimensions)[::-1]
        name = some(length).decode()
        types[name] = code
        tensors[name] = _values(some(_bytes(code, int(np.prod(shape)))), code).reshape(shape)
    return GgmlFile(sizes, filters, tokens, tensors, types)


def _bytes(code: int, values: int) -> int:
    blocks = values // BLOCK_VALUES
    return {0: 4 * values, 1: 2 * values, 6: 22 * blocks, 8: 34 * blocks}[code]


def _values(data: bytes, code: int) -> np.ndarray:
    if code in (0, 1):
        return np.frombuffer(data, "<f4" if code == 0 else "<f2").astype(np.float32)
    return dequantised(np.frombuffer(data, Q5_0 if code == 6 else Q8_0))


def dequantised(blocks: np.ndarray) -> np.ndarray:
    """The values that blocks stand for, (n,) float32."""
    scale = blocks["scale"].astype(np.float32)[:, None]
    if blocks.dtype == Q8_0:
        return (blocks["values"] * scale).reshape(-1)
    low = np.concatenate([blocks["four_bits"] & 15, blocks["four_bits"] >> 4], axis=1)
    fifth = (blocks["fifth_bits"][:, None] >> np.arange(BLOCK_VALUES)) & 1
    return ((low.astype(np.int32) + 16 * fifth.astype(np.int32) - 16) * scale).reshape(-1)
