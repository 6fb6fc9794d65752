"""Save a complete model folder: whatever the base lacked, every runtime finds what it reads.

Plain `transformers` (4 and 5) loads it, CTranslate2 converts it, faster-whisper runs the result.
"""

import json
import os
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from transformers import WhisperConfig, WhisperFeatureExtractor

from modersmal import __version__, store
from modersmal.language import MAX_TOKENS, TIMESTAMP_COUNT, Language, Vocabulary, special_tokens
from modersmal.whisper.generation import complete_generation
from modersmal.whisper.load import CARD_FILE, Whisper
from modersmal.whisper.tokens import special_ids

CARD_SCHEMA = 1
SHARD_BYTES = 5 * 1000**3  # as transformers does, so that a cut download is no great loss
_PYTORCH = {"format": "pt"}


def save_complete(
    whisper: Whisper,
    folder: Path,
    language: Language | None,
    *,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write `whisper` to `folder`, in the dtype it has, with all that any runtime needs.

    `language` is the real language, which cards and pages name; its `token` is the Whisper
    language it is written under. None: the one the model has, if any. Weights of more than
    `shard_bytes` are written in several files.

    Raises:
        StoreError: the folder cannot be written.
    """
    language = language or whisper.language
    with store.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        complete_generation(whisper.generation, whisper.model.config, whisper.tokenizer)
        whisper.model.generation_config = whisper.generation
        _save_weights(whisper, folder, shard_bytes)
        WhisperFeatureExtractor(feature_size=whisper.mels).save_pretrained(folder)
        _save_tokenizer(whisper, folder)
        store.write_json(folder / CARD_FILE, card(whisper, language))


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write safetensors through to the disk. Raises OSError where it is full or read-only."""
    try:
        save_file({name: t.detach().contiguous() for name, t in tensors.items()}, path, _PYTORCH)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
    path.chmod(0o644)  # safetensors makes it the owner's only; a server may run as another user
    with path.open("rb") as file:
        os.fsync(file.fileno())


def card(whisper: Whisper, language: Language | None) -> dict[str, Any]:
    """What modersmal itself wants to know of a model, as it stands in modersmal.json."""
    named = {"language": language.code, "language_token": language.token} if language else {}
    return {
        "schema": CARD_SCHEMA,
        **named,
        **({"language_name": language.name} if language else {}),
        "base": whisper.base or whisper.name,
        "vocabulary": whisper.vocabulary.value,
        "context": whisper.context,
        **({"context_floor_s": whisper.context_floor_s} if whisper.context == "dynamic" else {}),
        "windows": whisper.windows,
        "versions": {
            "modersmal": __version__,
            **{package: metadata.version(package) for package in ("torch", "transformers")},
        },
    }


def _save_weights(whisper: Whisper, folder: Path, shard_bytes: int) -> None:
    model = whisper.model
    config = WhisperConfig.from_dict(model.config.to_dict())
    config.architectures = [type(model).__name__]
    config.dtype = model.dtype
    config.save_pretrained(folder)
    whisper.generation.save_pretrained(folder)
    weights = dict(model.state_dict())
    if config.tie_word_embeddings:
        del weights["proj_out.weight"]
    split = split_torch_state_dict_into_shards(weights, max_shard_size=shard_bytes)
    for file, names in split.filename_to_tensors.items():
        write_tensors(folder / file, {name: weights[name] for name in names})
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        store.write_json(folder / "model.safetensors.index.json", index)


def _save_tokenizer(whisper: Whisper, folder: Path) -> None:
    """The tokenizer as transformers 5 reads it, and the tables that the slow one of 4 reads."""
    table = json.loads(whisper.tokenizer.to_str())
    table["post_processor"] = _template(whisper.vocabulary)
    _write_large(folder / "tokenizer.json", table)
    end = {special_tokens(whisper.vocabulary)[0]: special_ids(whisper.vocabulary).end}
    _write_large(folder / "vocab.json", table["model"]["vocab"] | end)
    merges = table["model"]["merges"]
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in merges]
    store.write_bytes(folder / "merges.txt", "\n".join(["#version: 0.2", *pairs, ""]).encode())
    _write_large(folder / "added_tokens.json", _added(whisper.vocabulary, timestamps=True))
    store.write_json(folder / "special_tokens_map.json", _special_tokens_map(whisper.vocabulary))
    _write_large(folder / "tokenizer_config.json", _tokenizer_config(whisper.vocabulary))
    normalizer = whisper.folder / "normalizer.json"
    if normalizer.is_file() and folder.resolve() != whisper.folder.resolve():
        store.write_bytes(folder / "normalizer.json", normalizer.read_bytes())


def _write_large(path: Path, table: dict[str, Any]) -> None:
    """On one line: a hundred thousand indented ones take a second to write."""
    store.write_bytes(path, json.dumps(table, ensure_ascii=False).encode())


def _template(vocabulary: Vocabulary) -> dict[str, Any]:
    """What the tokenizer puts around a text unless told not to, as OpenAI's does."""
    ids = special_ids(vocabulary)
    names = {
        "<|startoftranscript|>": ids.start,
        "<|notimestamps|>": ids.no_timestamps,
        "<|endoftext|>": ids.end,
    }
    start, no_timestamps, end = ({"SpecialToken": {"id": name, "type_id": 0}} for name in names)
    text, second = ({"Sequence": {"id": name, "type_id": i}} for i, name in enumerate("AB"))
    return {
        "type": "TemplateProcessing",
        "single": [start, no_timestamps, text, end],
        "pair": [start, no_timestamps, text, second, end],
        "special_tokens": {
            name: {"id": name, "ids": [id_], "tokens": [name]} for name, id_ in names.items()
        },
    }


def _added(vocabulary: Vocabulary, *, timestamps: bool) -> dict[str, int]:
    tokens = special_tokens(vocabulary)
    shown = tokens if timestamps else tokens[:-TIMESTAMP_COUNT]
    return {token: special_ids(vocabulary).end + place for place, token in enumerate(shown)}


def _special_tokens_map(vocabulary: Vocabulary) -> dict[str, Any]:
    end, *others = _added(vocabulary, timestamps=False)
    return {
        "additional_special_tokens": others,
        **dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), end),
    }


def _tokenizer_config(vocabulary: Vocabulary) -> dict[str, Any]:
    special = _added(vocabulary, timestamps=False)
    decoder = {
        str(id_): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": token in special,
        }
        for token, id_ in _added(vocabulary, timestamps=True).items()
    }
    return {
        "added_tokens_decoder": decoder,
        **_special_tokens_map(vocabulary),
        "add_bos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "errors": "replace",
        "model_max_length": MAX_TOKENS,
        "processor_class": "WhisperProcessor",
        "return_attention_mask": False,
        "tokenizer_class": "WhisperTokenizer",
    }
