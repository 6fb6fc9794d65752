"""Every runtime reads what is exported as it is, and writes what the model in training writes."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from small_models import random_whisper, speech

from modersmal.audio import SAMPLE_RATE
from modersmal.errors import ModelError
from modersmal.release.exports import FORMATS, Runtime, export
from modersmal.release.runtimes import check_installed, open_runtime
from modersmal.whisper.decode import decode
from modersmal.whisper.decode_torch import TransformersDecoder
from modersmal.whisper.load import load, locate

READ = [(name, runtime) for name, format in FORMATS.items() for runtime in format.runtimes]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled base in every format."""
    folder = tmp_path_factory.mktemp("released")
    for name in FORMATS:
        export(locate("bundled"), folder, name)
    return folder


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    return speech(range(6))


@pytest.fixture(scope="module")
def expected(clips: list[np.ndarray]) -> list[str]:
    """What the model in training writes, padded to 30 s."""
    decoder = TransformersDecoder(load("bundled"))
    return [one.text for one in decode(decoder, clips, language_token="sv", context="full")]


@pytest.mark.parametrize(("name", "runtime"), READ)
def test_every_runtime_writes_the_same(
    released: Path, clips: list[np.ndarray], expected: list[str], name: str, runtime: Runtime
) -> None:
    format = FORMATS[name]
    opened = open_runtime(runtime, format.within(released))
    written = opened.transcribe(clips, "sv")
    same = sum(ours == theirs for ours, theirs in zip(expected, written, strict=True))
    assert same >= (len(clips) if format.is_float else len(clips) - 2), (expected, written)
    assert opened.name == runtime
    assert opened.arithmetic


@pytest.mark.parametrize(
    ("name", "runtime"), [one for one in READ if one[0] in ("hf", "ct2-int8", "ggml-f16")]
)
def test_every_runtime_goes_through_a_long_recording(
    released: Path, clips: list[np.ndarray], expected: list[str], name: str, runtime: Runtime
) -> None:
    pause = np.zeros(SAMPLE_RATE, np.float32)
    recording = np.concatenate([part for clip in clips * 3 for part in (clip, pause)])
    segments = open_runtime(runtime, FORMATS[name].within(released)).long(recording, "sv")
    assert segments
    assert all(one.text for one in segments)
    assert all(0 <= one.start_s <= one.end_s for one in segments)
    assert segments[-1].end_s <= len(recording) / SAMPLE_RATE + 30
    assert segments == sorted(segments, key=lambda one: one.start_s)


@pytest.mark.parametrize(
    ("vocabulary", "mels", "language", "layers"),
    [
        ("multilingual-v3", 128, "yue", (2, 3)),
        ("multilingual-v3", 128, "sv", (32, 4)),  # as large-v3-turbo
        pytest.param("english", 80, "en", (2, 3), marks=pytest.mark.chaos),
    ],
)
def test_other_vocabularies_open_in_every_runtime(
    tmp_path: Path, vocabulary: str, mels: int, language: str, layers: tuple[int, int]
) -> None:
    """The first words of a random model are the same everywhere: later ones hang on rounding."""
    encoder_layers, decoder_layers = layers
    random_whisper(
        tmp_path / "model", vocabulary, mels,
        encoder_layers=encoder_layers, decoder_layers=decoder_layers,
    )  # fmt: skip
    clip = speech(range(1))
    begins = {}
    for name in ("hf", "ct2-float16", "ggml-f16"):
        place = export(tmp_path / "model", tmp_path / "release", name)
        for runtime in FORMATS[name].runtimes:
            [text] = open_runtime(runtime, place).transcribe(clip, language)
            begins[runtime] = text[:3]
    assert len(begins) == 4
    assert len(set(begins.values())) == 1, begins
    assert begins["whisper.cpp"]


def test_what_a_cpu_does_not_compute_is_told(released: Path) -> None:
    """The weights of float16 are proven on a CPU, and not its arithmetic."""
    opened = open_runtime("ctranslate2", FORMATS["ct2-float16"].within(released))
    assert opened.arithmetic == "float32"
    opened = open_runtime("faster-whisper", FORMATS["ct2-int8_float16"].within(released))
    assert opened.arithmetic == "int8_float32"


def damaged(place: Path, to: Path) -> Path:
    """A copy whose largest file lacks its last third."""
    if place.is_file():
        to.write_bytes(place.read_bytes())
    else:
        shutil.copytree(place, to, ignore=shutil.ignore_patterns("ct2", "ggml"))
    files = [to] if to.is_file() else [path for path in to.rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size * 2 // 3])
    return to


@pytest.mark.parametrize(("name", "runtime"), READ[:3] + READ[-1:])
def test_a_damaged_model_is_one_plain_sentence(
    released: Path, tmp_path: Path, name: str, runtime: Runtime
) -> None:
    place = damaged(FORMATS[name].within(released), tmp_path / "damaged")
    with pytest.raises(ModelError, match=rf"^{runtime} cannot open .*damaged: ") as caught:
        open_runtime(runtime, place)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        open_runtime("whisper.cpp", tmp_path / "tiny")


def test_what_is_not_installed_is_told_before_work_begins(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pywhispercpp", None)
    with pytest.raises(ModelError, match=r"install modersmal\[release\]"):
        check_installed("whisper.cpp")
    check_installed("ctranslate2")
