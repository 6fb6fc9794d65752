"""Convert models to CTranslate2, once: a cache holds each by the hash of what it was made from."""

import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

from ctranslate2.converters.converter import Converter
from ctranslate2.converters.transformers import WhisperLoader
from transformers import WhisperFeatureExtractor

from modersmal import store
from modersmal.allocator import give_back_memory
from modersmal.errors import ConversionError, ModelError
from modersmal.store.workspace import cache_folder
from modersmal.whisper.load import Whisper, load

Quantization = Literal[
    "float32", "float16", "bfloat16", "int16", "int8", "int8_float32", "int8_float16",
    "int8_bfloat16",
]  # fmt: skip

_MODEL_FILES = ("config.json", "generation_config.json", "tokenizer.json", "*.safetensors")
_CONVERSION = 1  # raise it when the same model converts to something else
_ABANDONED_S = 24 * 3600


def cached_ctranslate2(folder: Path, quantization: Quantization = "float32") -> Path:
    """Folder with the model in `folder` as CTranslate2 reads it, converted if it is not yet.

    Raises:
        ModelError: it is not a Whisper, or its parts do not fit; ConversionError: CTranslate2
            cannot take it.
        StoreError: the cache cannot be written.
    """
    cache = cache_folder() / "ctranslate2"
    converted = cache / f"{model_hash(folder)[:32]}{_ending(quantization)}"
    if not converted.is_dir():
        with store.writing(cache):
            cache.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(cache)
        to_ctranslate2(str(folder), converted, quantization)
        give_back_memory()  # who asks will load what was made
    return converted


def is_conversion(converted: Path, quantization: Quantization) -> bool:
    """Whether a folder that `cached_ctranslate2` gave is there still, in that number format."""
    named = converted.name.endswith(_ending(quantization))
    return named and (converted / "model.bin").is_file()


def to_ctranslate2(model: str, to: Path, quantization: Quantization = "float32") -> Path:
    """Convert `model` into the folder `to`, which appears whole or not at all.

    It holds all that faster-whisper reads: nothing is looked up on the Hub later. Where another
    process made `to` meanwhile, that one stays.

    Raises:
        ModelError: there is no such model, it is not a Whisper, or its parts do not fit.
        StoreError: `to` cannot be written.
    """
    whisper = load(model)
    with store.writing(to):
        to.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".converting-", dir=to.parent))
        try:
            _convert(whisper, draft / "model", quantization)
            whisper.tokenizer.save(str(draft / "model" / "tokenizer.json"))
            WhisperFeatureExtractor(feature_size=whisper.mels).save_pretrained(draft / "model")
            try:
                os.replace(draft / "model", to)
            except OSError:
                if not (to / "model.bin").is_file():
                    raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return to


def convert_live(whisper: Whisper, to: Path) -> Path:
    """Convert weights as they are now into the folder `to`, in float32, for CTranslate2 alone.

    Raises:
        ConversionError: CTranslate2 cannot take them.
        StoreError: `to` cannot be written.
    """
    with store.writing(to):
        _convert(whisper, to, "float32")
    return to


def _ending(quantization: Quantization) -> str:
    return f"-{quantization}-{_CONVERSION}"


def model_hash(folder: Path) -> str:
    """SHA-256 over the files that decide what a model writes: weights, config, tokenizer.

    Raises:
        ModelError: the folder has no weights.
    """
    files = sorted(path for pattern in _MODEL_FILES for path in folder.glob(pattern))
    if not any(path.suffix == ".safetensors" for path in files):
        raise ModelError(f"{folder} has no safetensors weights")
    listed = "".join(f"{path.name} {store.sha256(path)}\n" for path in files)
    return hashlib.sha256(listed.encode()).hexdigest()


class _LoadedConverter(Converter):
    """CTranslate2's converter for a model that is loaded and checked already."""

    def __init__(self, whisper: Whisper) -> None:
        self._whisper = whisper

    def _load(self) -> Any:
        return WhisperLoader()(self._whisper.model, self._whisper.tokenizer)


def _convert(whisper: Whisper, folder: Path, quantization: Quantization) -> None:
    try:
        _LoadedConverter(whisper).convert(str(folder), quantization=quantization)
    except (ValueError, RuntimeError) as error:
        raise ConversionError(f"{whisper.name} does not convert to CTranslate2: {error}") from error


def _remove_abandoned(cache: Path) -> None:
    """Remove what killed conversions left, old enough that nobody can be writing it."""
    for draft in cache.glob(".converting-*"):
        if time.time() - draft.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(draft, ignore_errors=True)
