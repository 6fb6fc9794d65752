"""The bundled base never saw a sentence that anything is scored on."""

import csv
import hashlib
import io
import os
import re
import sys
import tarfile
from importlib import resources
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HELD_OUT = ROOT / "tests" / "data" / "held_out_sentences.txt"
INDICES = 70_000


def sentence_hash(text: str) -> str:
    words = re.findall(r"\w+", text.casefold())
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def said() -> set[str]:
    """Hashes of all that the base's recipe can have spoken in training."""
    sys.path.insert(0, str(ROOT / "recipes" / "base"))
    try:
        from speech import split_of
        from text import sentence
    finally:
        sys.path.pop(0)
    texts = (sentence(1, index)[0] for index in range(INDICES))
    return {sentence_hash(text) for text in texts if split_of(text) == "train"}


def sentences(tsv: str) -> list[str]:
    rows = csv.DictReader(io.StringIO(tsv), delimiter="\t", quoting=csv.QUOTE_NONE)
    return [row["sentence"] for row in rows]


def test_base_text_is_large(said: set[str]) -> None:
    assert len(said) > 20_000


def test_base_shares_no_sentence_with_the_demo(said: set[str]) -> None:
    packed = resources.files("modersmal") / "assets" / "demo" / "cv-corpus-demo-sv.tar.gz"
    with packed.open("rb") as file, tarfile.open(fileobj=file) as archive:
        for entry in archive:
            if entry.name.endswith(".tsv"):
                member = archive.extractfile(entry)
                assert member is not None
                found = {sentence_hash(text) for text in sentences(member.read().decode())}
                assert found
                assert not found & said


def test_base_shares_no_sentence_with_the_benchmark(said: set[str]) -> None:
    """`held_out_sentences.txt` has the hashes of the benchmark corpus's dev and test sentences."""
    held_out = set(HELD_OUT.read_text().split())
    assert len(held_out) > 500
    assert not held_out & said


def test_held_out_hashes_are_those_of_the_benchmark() -> None:
    folder = os.environ.get("MODERSMAL_BENCH_DATA")
    if not folder:
        pytest.skip("the benchmark corpus is not here (MODERSMAL_BENCH_DATA)")
    held_out = set(HELD_OUT.read_text().split())
    for split in ("dev", "test"):
        [path] = Path(folder).glob(f"cv-corpus-*/sv-SE/{split}.tsv")
        found = {sentence_hash(text) for text in sentences(path.read_text(encoding="utf-8"))}
        assert found <= held_out
