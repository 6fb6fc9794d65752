"""A release of the first version that released opens in every runtime, and does for ever.

tests/data/release-0001/store.tar.xz is never made again: what is made by the code that is tested
would prove nothing.
"""

import csv
import lzma
import tarfile
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from publishing import write_release_draft
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import modersmal
from modersmal import store
from modersmal.audio import decode
from modersmal.release.exports import FORMATS, Runtime
from modersmal.release.facts import Release
from modersmal.release.rivals import rivals
from modersmal.release.runtimes import open_runtime
from modersmal.store.releases import Releases
from modersmal.whisper.load import load, locate
from small_release import write_small_release

PACKED = Path(__file__).parent.parent / "data" / "release-0001" / "store.tar.xz"
READ = [(name, runtime) for name, format in FORMATS.items() for runtime in format.runtimes]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The store that it is the one release of."""
    folder = tmp_path_factory.mktemp("old") / "store"
    with lzma.open(PACKED) as packed, tarfile.open(fileobj=packed) as tar:
        tar.extractall(folder, filter="data")
    return str(folder)


@pytest.fixture(scope="module")
def release(url: str) -> Path:
    return Path(url) / "releases" / "0001"


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A clip that the model knows by heart, and its text."""
    source = write_small_release(tmp_path_factory.mktemp("clips") / "sv-SE")
    with (source / "test.tsv").open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return source / "clips" / row["path"], row["sentence"]


def test_it_is_small_and_has_every_kind_of_file(release: Path) -> None:
    assert PACKED.stat().st_size <= 5_000_000
    store.verify_manifest(release)
    for name in (
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
        "preprocessor_config.json", "modersmal.json", "release.json", "recipe.json", "README.md",
        "curves/loss.png", "curves/dev-wer.png", "scores/model.jsonl",
        *(f"ct2/{kind}/model.bin" for kind in ("int8", "int8_float16", "float16")),
        *(f"ggml/ggml-model-{kind}.bin" for kind in ("f16", "q8_0", "q5_0")),
    ):  # fmt: skip
        assert (release / name).is_file(), name


@pytest.mark.parametrize(("name", "runtime"), READ)
def test_every_runtime_reads_it(
    release: Path, known: tuple[Path, str], name: str, runtime: Runtime
) -> None:
    clip, text = known
    opened = open_runtime(runtime, FORMATS[name].within(release))
    [written] = opened.transcribe([np.asarray(decode(clip).samples)], "sv")
    assert written == text


def test_modersmal_reads_it_by_its_store(url: str, known: tuple[Path, str]) -> None:
    clip, text = known
    for model in (url, f"{url}#1"):
        [transcript] = modersmal.transcribe(
            [clip], model=model, output=Path(url).parent / model[-1]
        )
        assert transcript.error is None
        assert transcript.text.strip() == text
    assert load(url).language is not None


def test_its_facts_are_read(url: str, release: Path) -> None:
    facts = Release.read(release)
    assert facts.number == 1
    assert facts.test is not None
    assert facts.data.sources[0].licence == "CC0-1.0"
    assert {verdict.format for verdict in facts.formats} == set(FORMATS)
    [row] = modersmal.releases(url).rows
    assert (row.number, row.state, row.wer) == (1, "latest", facts.test.wer.value)
    assert row.language == "sv"


def test_its_card_and_logs_are_read(release: Path) -> None:
    data = ModelCard.load(release / "README.md").data
    assert {one.metric_type for one in data.eval_results} == {"wer", "cer"}
    logs = EventAccumulator(str(release / "tensorboard"))
    logs.Reload()
    assert len(logs.Scalars("loss")) == 4


def test_a_later_release_is_compared_with_it_and_it_is_rolled_back_to(
    url: str, tmp_path: Path
) -> None:
    facts = Release.read(locate(url))
    assert facts.test is not None
    opened = Releases.open(url)
    assert rivals(opened.list(), facts.test) == (1,)
    assert opened.add(write_release_draft(tmp_path / "draft"), lambda deployed: True) == 2
    assert modersmal.rollback(url).release == 1


def test_it_is_published(url: str, tmp_path: Path) -> None:
    published = modersmal.publish(f"{url}#1", str(tmp_path / "elsewhere"))
    assert published.title == "release 1"
    assert modersmal.releases(tmp_path / "elsewhere").latest == 1
