"""Write a Whisper as whisper.cpp reads it: one file, in float16 or in blocks of few bits.

The file, little-endian (ggml-org/whisper.cpp, models/README.md and the loader in src/whisper.cpp):
a magic number, eleven sizes, the mel filters, the bytes of every text token, then the tensors in
any order, each with its number of dimensions, the length of its name, its type, its dimensions from
the innermost out, its name and its values. Biases, norms and positions are float32; convolutions
are float16 in every kind of file.

A block holds 32 values of a row: one float16 scale, and for every value the signed integer that the
scale is multiplied with. `q8_0` gives it 8 bits, `q5_0` five, the fifth of which lie together.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import torch
from torch import Tensor
from transformers import WhisperConfig

from modersmal import store
from modersmal.errors import ConversionError
from modersmal.logmel import mel_filters
from modersmal.whisper.load import Whisper
from modersmal.whisper.tokens import special_ids

Kind = Literal["f16", "q8_0", "q5_0"]

BLOCK_VALUES = 32
Q8_0 = np.dtype([("scale", "<f2"), ("values", "i1", BLOCK_VALUES)])
Q5_0 = np.dtype([("scale", "<f2"), ("fifth_bits", "<u4"), ("four_bits", "u1", BLOCK_VALUES // 2)])
_MAGIC = 0x67676D6C
_BLOCKS_VERSION = 2 * 1000  # is added to the kind of a file that holds blocks
_VALUES_AT_ONCE = 1 << 20

# transformers' names to OpenAI's, which are whisper.cpp's; one after the other.
_NAMES = (
    ("model.", ""), (".layers.", ".blocks."), ("encoder_attn_layer_norm", "cross_attn_ln"),
    ("self_attn_layer_norm", "attn_ln"), ("final_layer_norm", "mlp_ln"),
    ("encoder_attn.", "cross_attn."), ("self_attn.", "attn."), ("q_proj", "query"),
    ("k_proj", "key"), ("v_proj", "value"), ("out_proj", "out"), ("fc1", "mlp.0"),
    ("fc2", "mlp.2"), ("encoder.layer_norm", "encoder.ln_post"),
    ("decoder.layer_norm", "decoder.ln"), ("embed_positions.weight", "positional_embedding"),
    ("embed_tokens", "token_embedding"),
)  # fmt: skip


@dataclass(frozen=True)
class _Type:
    """How values are kept: `code` names the type of a tensor, `file` that of a file's weights."""

    code: int
    file: int
    pack: Callable[[np.ndarray], np.ndarray]
    row_values: int = 1


def write_ggml(whisper: Whisper, to: Path, kind: Kind) -> None:
    """Write `whisper` to the file `to`, which appears whole or not at all.

    The same weights give the same bytes. Little more than a million values are held beside the
    model itself.

    Raises:
        ConversionError: whisper.cpp has no such model, or float16 does not hold its weights.
        StoreError: `to` cannot be written.
    """
    weights = _TYPES[kind]
    _check(whisper, weights)
    with store.replacing(to) as file:
        _write_header(file, whisper, weights)
        for name, tensor in whisper.model.state_dict().items():
            if name != "proj_out.weight":  # the embeddings once more
                _write_tensor(file, _renamed(name), tensor.detach(), weights)


def quantise_q8_0(values: np.ndarray) -> np.ndarray:
    """Blocks of (n,) float32, n a multiple of 32: (n / 32,) of `Q8_0`.

    The largest of a block becomes 127 or -127; halves are rounded away from zero.
    """
    rows = values.reshape(-1, BLOCK_VALUES)
    scale = np.abs(rows).max(axis=1, keepdims=True) / np.float32(127)
    scaled = rows * _inverse(scale)
    blocks = np.empty(len(rows), Q8_0)
    blocks["scale"] = scale[:, 0]
    blocks["values"] = np.trunc(scaled + np.copysign(np.float32(0.5), scaled))
    return blocks


def quantise_q5_0(values: np.ndarray) -> np.ndarray:
    """Blocks of (n,) float32, n a multiple of 32: (n / 32,) of `Q5_0`.

    The largest of a block becomes -16, so that the scale has the sign that it lacks; what rounds
    to 16 on the other side becomes 15. Integers are kept 16 higher, from 0 to 31; the fifth bit of
    value i is bit i of `fifth_bits`, and the lower four of values i and i + 16 share a byte.
    """
    rows = values.reshape(-1, BLOCK_VALUES)
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1, keepdims=True), axis=1)
    scale = largest / np.float32(-16)
    integers = np.minimum(rows * _inverse(scale) + np.float32(16.5), 31).astype(np.uint32)
    half = BLOCK_VALUES // 2
    low = integers & 15
    blocks = np.empty(len(rows), Q5_0)
    blocks["scale"] = scale[:, 0]
    blocks["fifth_bits"] = ((integers >> 4) << np.arange(BLOCK_VALUES, dtype=np.uint32)).sum(axis=1)
    blocks["four_bits"] = low[:, :half] | (low[:, half:] << 4)
    return blocks


def _inverse(scale: np.ndarray) -> np.ndarray:
    """One over each scale; zero for blocks that are all zeros."""
    return np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)


_FLOAT32 = _Type(0, 0, lambda values: values.astype("<f4"))
_FLOAT16 = _Type(1, 1, lambda values: values.astype("<f2"))
_TYPES: dict[Kind, _Type] = {
    "f16": _FLOAT16,
    "q8_0": _Type(8, _BLOCKS_VERSION + 7, quantise_q8_0, BLOCK_VALUES),
    "q5_0": _Type(6, _BLOCKS_VERSION + 8, quantise_q5_0, BLOCK_VALUES),
}


def _check(whisper: Whisper, weights: _Type) -> None:
    """Refuse what whisper.cpp would misread: it takes for granted what OpenAI's models share."""
    config: WhisperConfig = whisper.model.config
    state = whisper.model.state_dict()
    wide = 4 * config.d_model
    wrong = None
    if (config.encoder_ffn_dim, config.decoder_ffn_dim) != (wide, wide):
        wrong = f"its feed-forward layers are not {wide} wide, four times its width"
    elif config.activation_function != "gelu" or config.scale_embedding:
        wrong = "it has another activation than GELU, or scaled embeddings"
    elif config.d_model % weights.row_values:
        wrong = f"its width, {config.d_model}, is no multiple of {weights.row_values}"
    elif not torch.equal(state["proj_out.weight"], state["model.decoder.embed_tokens.weight"]):
        wrong = "its output layer is not its token embeddings"
    if wrong:
        raise ConversionError(f"{whisper.name} does not convert to ggml for whisper.cpp: {wrong}")


def _write_header(file: BinaryIO, whisper: Whisper, weights: _Type) -> None:
    config: WhisperConfig = whisper.model.config
    sizes = (
        config.vocab_size,
        config.max_source_positions,
        config.d_model,
        config.encoder_attention_heads,
        config.encoder_layers,
        config.max_target_positions,
        config.d_model,
        config.decoder_attention_heads,
        config.decoder_layers,
        whisper.mels,
    )
    file.write(struct.pack("<I11i", _MAGIC, *sizes, weights.file))
    filters = mel_filters(whisper.mels).T  # (mels, 201)
    file.write(struct.pack("<2i", *filters.shape))
    file.write(np.ascontiguousarray(filters, "<f4").tobytes())
    tokens = list(_text_tokens(whisper))
    file.write(struct.pack("<i", len(tokens)))
    for token in tokens:
        file.write(struct.pack("<i", len(token)) + token)


def _text_tokens(whisper: Whisper) -> Iterator[bytes]:
    """The bytes of every token that is text, by id; whisper.cpp names the others itself."""
    by_id = {id_: token for token, id_ in whisper.tokenizer.get_vocab(False).items()}
    byte_of = _bytes_by_letter()
    for id_ in range(special_ids(whisper.vocabulary).end):
        token = by_id.get(id_, "")
        if unknown := set(token) - byte_of.keys():
            raise ConversionError(
                f"token {id_} of {whisper.name} is {token!r}, and {unknown.pop()!r} stands for no "
                "byte: its tokenizer is not Whisper's"
            )
        yield bytes(byte_of[letter] for letter in token)


def _bytes_by_letter() -> dict[str, int]:
    """Bytes by the letters that stand for them in GPT-2's and Whisper's vocabularies.

    Those that print stand for themselves; the others take the letters from 256 on, in order.
    """
    printing = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = sorted(set(range(256)) - set(printing))
    own = {chr(byte): byte for byte in printing}
    return own | {chr(256 + place): byte for place, byte in enumerate(hidden)}


def _renamed(name: str) -> str:
    for theirs, ours in _NAMES:
        name = name.replace(theirs, ours)
    return name


def _write_tensor(file: BinaryIO, name: str, tensor: Tensor, weights: _Type) -> None:
    shape = list(tensor.shape)
    if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
        shape.append(1)
    kept = weights
    if len(shape) == 3:
        kept = _FLOAT16
    elif len(shape) == 1 or shape[-1] == 1 or name.endswith("positional_embedding"):
        kept = _FLOAT32
    encoded = name.encode()
    file.write(struct.pack("<3i", len(shape), len(encoded), kept.code))
    file.write(struct.pack(f"<{len(shape)}i", *reversed(shape)))
    file.write(encoded)
    for piece in tensor.reshape(-1).split(_VALUES_AT_ONCE):
        file.write(_packed(piece, kept, name).tobytes())


def _packed(piece: Tensor, kept: _Type, name: str) -> np.ndarray:
    values = piece.to(device="cpu", dtype=torch.float32).numpy()
    if not np.all(np.abs(values) < np.finfo(np.float16).max):
        raise ConversionError(
            f"weight {name} has values that float16 cannot hold, or that are no numbers; ggml "
            "keeps weights and scales in float16"
        )
    return kept.pack(values)
