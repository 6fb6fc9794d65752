"""The formats of a release: where each lies in its folder, how it is written, and who reads it."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from modersmal import store
from modersmal.errors import RecipeError, nearest
from modersmal.release.ggml import Kind, write_ggml
from modersmal.whisper.convert import Quantization, to_ctranslate2
from modersmal.whisper.load import load
from modersmal.whisper.save import save_complete

Family = Literal["hf", "ct2", "ggml"]
Runtime = Literal["transformers", "ctranslate2", "faster-whisper", "whisper.cpp"]


@dataclass(frozen=True)
class Format:
    """One way in which a release holds its model.

    `place` is below the release's folder: a folder, or for ggml a file; the folder itself is `hf`.
    `kind` is what its family calls the numbers. With `is_float`, texts are to stay the same; others
    may cost some words. `runtimes` read it as it is.
    """

    name: str
    family: Family
    kind: str
    place: str
    is_float: bool
    runtimes: tuple[Runtime, ...]

    def within(self, release: Path) -> Path:
        """What a runtime is given."""
        return release / self.place

    def size_bytes(self, release: Path) -> int:
        """Bytes of the model in this format, all that it is read with included."""
        place = self.within(release)
        files = [place] if place.is_file() else place.iterdir()
        return sum(path.stat().st_size for path in files if path.is_file())


def _ct2(kind: Quantization, *, is_float: bool = False) -> Format:
    runtimes: tuple[Runtime, ...] = ("ctranslate2", "faster-whisper")
    return Format(f"ct2-{kind}", "ct2", kind, f"ct2/{kind}", is_float, runtimes)


def _ggml(kind: Kind, *, is_float: bool = False) -> Format:
    place = f"ggml/ggml-model-{kind}.bin"
    return Format(f"ggml-{kind}", "ggml", kind, place, is_float, ("whisper.cpp",))


FORMATS: dict[str, Format] = {
    format.name: format
    for format in (
        Format("hf", "hf", "safetensors", ".", True, ("transformers",)),
        _ct2("int8"),
        _ct2("int8_float16"),
        _ct2("float16", is_float=True),
        _ggml("f16", is_float=True),
        _ggml("q8_0"),
        _ggml("q5_0"),
    )
}


def formats_of(wanted: Sequence[str]) -> tuple[Format, ...]:
    """The formats that `wanted` names, by family (`ct2`) or one by one (`ct2-int8`), `hf` first.

    It is always among them: it is what the others are made of, and what modersmal itself reads.

    Raises:
        RecipeError: there is no such format.
    """
    families = get_args(Family)
    known = dict.fromkeys((*families, *FORMATS))
    for name in wanted:
        if name not in known:
            raise RecipeError(
                f"there is no format {name!r} to release{nearest(name, known)}; there are "
                f"{', '.join(families)}, and one by one {', '.join(FORMATS)}"
            )
    chosen = {"hf", *wanted}
    return tuple(one for one in FORMATS.values() if {one.name, one.family} & chosen)


def export(model: Path, release: Path, name: str) -> Path:
    """Write the model in the folder `model` in one format into the folder `release`.

    What stood in its place is replaced. The result appears whole or not at all; of `hf`, the
    release's manifest tells whether it is whole.

    Raises:
        ModelError: `model` holds no Whisper, or parts that do not fit, or the format cannot
            hold it.
        StoreError: `release` cannot be written.
    """
    format = FORMATS[name]
    to = format.within(release)
    if format.family == "ct2":
        with store.writing(to):
            if to.exists():  # else the one that is there would stay
                shutil.rmtree(to)
        to_ctranslate2(str(model), to, cast(Quantization, format.kind))
    elif format.family == "ggml":
        write_ggml(load(str(model)), to, cast(Kind, format.kind))
    elif model.resolve() != release.resolve():
        save_complete(load(str(model)), release, None)
    return to
