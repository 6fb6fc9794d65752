"""Which engine decodes: CTranslate2 where it can, `transformers` elsewhere, which is then said."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, get_args

import ctranslate2
import torch

from modersmal.errors import ConversionError, ModelError, RecipeError, StoreError
from modersmal.whisper.aside import set_aside
from modersmal.whisper.convert import (
    Quantization,
    cached_ctranslate2,
    convert_live,
)
from modersmal.whisper.decode import Decoder
from modersmal.whisper.decode_ct2 import CTranslate2Decoder
from modersmal.whisper.decode_torch import TransformersDecoder
from modersmal.whisper.load import Description, Whisper, describe, load

Device = Literal["auto", "cpu", "cuda", "mps"]
EngineChoice = Literal["auto", "ctranslate2", "transformers"]
Say = Callable[[str], None]


def open_decoder(
    model: str,
    *,
    device: Device = "auto",
    engine: EngineChoice = "auto",
    offline: bool = False,
    say: Say = lambda sentence: None,
) -> Decoder:
    """Load `model` (a Hub id, a folder, a run, "bundled") to decode with.

    It computes in float16 on GPUs and in float32 elsewhere. With `engine` "auto" it is
    CTranslate2, from its cached conversion; `say` is told where that cannot be.

    Raises:
        ModelError, HubError: there is no such model, or CTranslate2 alone is asked for and cannot.
        RecipeError: there is no such device or engine.
    """
    place = _device(device)
    if engine not in get_args(EngineChoice):
        raise RecipeError(f"engine {engine!r} is none of {', '.join(get_args(EngineChoice))}")
    if engine != "transformers":
        try:
            return _converted(describe(model, offline=offline), place)
        except _CannotError as error:
            if engine == "ctranslate2":
                raise ModelError(
                    f"CTranslate2 cannot decode {model} on {place}: {error}"
                ) from error
            say(f"{model} is decoded with transformers: {error}")
    precision = torch.float16 if place == "cuda" else torch.float32
    return TransformersDecoder(load(model, device=place, dtype=precision, offline=offline))


@contextmanager
def live_decoder(
    whisper: Whisper,
    engine: EngineChoice = "auto",
    say: Say = lambda sentence: None,
    *,
    spare_memory: bool = False,
) -> Iterator[Decoder]:
    """Decode with weights as they are now, as training's are.

    On a CPU they are converted for CTranslate2 into a folder that is gone afterwards; to
    `spare_memory`, the model itself is set aside on disk meanwhile. On a GPU they are there
    already, where a second copy would take memory from training: `transformers`.
    """
    decoder: Decoder = TransformersDecoder(whisper)
    with ExitStack() as afterwards:
        if whisper.device.type == "cpu" and engine != "transformers":
            place = Path(afterwards.enter_context(tempfile.TemporaryDirectory(prefix="modersmal-")))
            try:
                folder = convert_live(whisper, place / "model")
                if spare_memory:
                    weights = place / "weights.safetensors"
                    afterwards.enter_context(set_aside(whisper.model, weights))
                decoder = CTranslate2Decoder(folder, whisper)
                afterwards.callback(decoder.close)
            except (ConversionError, StoreError) as error:
                say(f"Scores are decoded with transformers: {error}")
        yield decoder


class _CannotError(Exception):
    """CTranslate2 cannot decode this here."""


def _converted(model: Description, place: str) -> CTranslate2Decoder:
    kind: Quantization = "float32"
    if place == "mps":
        raise _CannotError("CTranslate2 knows no mps device")
    if place == "cuda":
        if not ctranslate2.get_cuda_device_count():
            raise _CannotError("this CTranslate2 sees no GPU")
        types = ctranslate2.get_supported_compute_types("cuda")
        kind = "float16" if "float16" in types else "float32"
    try:
        folder = cached_ctranslate2(model.folder, kind)
        return CTranslate2Decoder(folder, model, device=place, compute_type=kind)
    except (ConversionError, StoreError) as error:
        raise _CannotError(str(error)) from error
    except RuntimeError as error:
        raise _CannotError(f"CTranslate2 says {str(error).splitlines()[0]!r}") from error


def _device(device: Device) -> str:
    if device not in get_args(Device):
        raise RecipeError(f"device {device!r} is none of {', '.join(get_args(Device))}")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return "cuda" if there["cuda"] else "mps" if there["mps"] else "cpu"
    if not there.get(device, True):
        raise RecipeError(f"there is no {device} device here; `modersmal doctor` says why")
    return device
