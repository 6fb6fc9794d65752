"""A sample is drawn evenly by hash, and tells how long the clips are that were not drawn."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from making import (
    clip,
    encoded,
    simple_release,
    speech,
    write_archive,
    write_clips,
    write_manifest,
)

from modersmal.config import DataConfig
from modersmal.corpus.prepare import prepare
from modersmal.corpus.sample import Sample
from modersmal.corpus.sources import open_sources
from modersmal.corpus.sources.base import PART, Refused, Row, Source

ONE = DataConfig(workers=1)


class Rows(Source):
    """A source of rows alone; `address` makes it one from afar."""

    kind = "rows"

    def __init__(self, rows: list[Row], address: str | None = None) -> None:
        super().__init__("rows", None)
        self._rows, self.address = rows, address

    def rows(self) -> Iterator[Row | Refused]:
        return iter(self._rows)


def rows_of(split: str | None, count: int, first: int = 0) -> list[Row]:
    return [
        Row(f"{split}/{number}", "Hej.", "here", f"s{number}", split, 1000, number)
        for number in range(first, first + count)
    ]


def drawn(sample: Sample, *sources: Source) -> list[str]:
    found = sample.draw(sources, ONE, "sv")
    return [row.path for source in found for row in source.rows()]


def test_splits_get_their_share_and_nothing_is_missed() -> None:
    source = Rows(rows_of("train", 300) + rows_of("dev", 40) + rows_of("test", 5))
    sample = Sample(32)
    paths = drawn(sample, source)
    counts = {name: sum(path.startswith(name) for path in paths) for name in ("dev", "test")}
    assert counts == {"dev": 8, "test": 5}
    assert sample.drawn == len(paths) == 32 - 3
    assert sample.total == 345


def test_it_is_drawn_evenly_the_same_each_time_and_in_order() -> None:
    source = Rows(rows_of("train", 1000))
    paths = drawn(Sample(100), source)
    numbers = [int(path.split("/")[1]) for path in paths]
    assert numbers == sorted(numbers)
    assert 400 < np.mean(numbers) < 600
    assert sum(number < 100 for number in numbers) < 30
    assert drawn(Sample(100), source) == paths
    longer = set(drawn(Sample(100), Rows(rows_of("train", 1050))))
    assert len(longer & set(paths)) > 80


def test_sources_are_sampled_by_their_size() -> None:
    large, small = Rows(rows_of("train", 900)), Rows(rows_of("train", 100, first=900))
    paths = drawn(Sample(100), large, small)
    assert 2 < sum(int(path.split("/")[1]) >= 900 for path in paths) < 25


def test_clips_without_a_split_are_dealt_as_prepare_deals_them() -> None:
    sample = Sample(32)
    assert len(drawn(sample, Rows(rows_of(None, 400)))) == 32
    assert sample.total == 400


def test_of_a_streamed_dataset_only_the_beginning_of_parts_is_drawn() -> None:
    """To draw a clip amid a part, all before it would have to be downloaded."""
    parts = [
        Row(f"{part}/{place}", "Hej.", "here", None, "train", 1000, part * PART + place)
        for part in range(5)
        for place in range(2000)
    ]
    sample = Sample(100)
    paths = drawn(sample, Rows(parts, address="hf:owner/name"))
    places = [int(path.split("/")[1]) for path in paths]
    assert max(places) < 200
    assert len({path.split("/")[0] for path in paths}) == 5
    assert sample.download_bytes == {"hf:owner/name": 10_000_000}


def test_the_corpus_of_a_sample_is_a_small_one_and_says_so(tmp_path: Path) -> None:
    release = simple_release(tmp_path / "cv", 40, 12, 12)
    sample = Sample(16)
    corpus = prepare([str(release)], tmp_path / "corpus", data=ONE, sample=sample).corpus
    assert {name: len(corpus.split(name)) for name in corpus.splits} == {
        "train": 8, "dev": 4, "test": 4,
    }  # fmt: skip
    assert corpus.info["sample"] == 16
    whole = prepare([str(release)], tmp_path / "whole", data=ONE).corpus
    assert "sample" not in whole.info
    assert set(corpus.split("train").ids) < set(whole.split("train").ids)


def lengths_of(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).gamma(6, 0.3, count).clip(0.5, 6)


@pytest.mark.parametrize(("kind", "off_s"), [("wav", 0.001), ("mp3", 0.2)])
def test_sizes_tell_the_lengths_of_all_clips(tmp_path: Path, kind: str, off_s: float) -> None:
    lengths = {"train": lengths_of(0, 60), "dev": lengths_of(1, 20)}
    rows = []
    for split, durations_s in lengths.items():
        for number, duration_s in enumerate(durations_s):
            name = f"{split}-{number}.{kind}"
            samples = speech(number, duration_s)
            write_clips(tmp_path, {name: encoded(samples, kind=kind)})
            rows.append({"audio": name, "text": "En mening.", "split": split})
    manifest = write_manifest(tmp_path, rows)
    sample = Sample(16)
    corpus = prepare([str(manifest)], tmp_path / "corpus", data=ONE, sample=sample).corpus
    found = sample.durations_s(corpus)
    assert found.keys() == lengths.keys()
    for split, durations_s in lengths.items():
        assert found[split] == pytest.approx(durations_s, abs=off_s)
        assert found[split].mean() == pytest.approx(durations_s.mean(), rel=0.03)


def test_where_sizes_do_not_tell_the_lengths_are_those_of_the_sample(tmp_path: Path) -> None:
    """Clips of 1 s that are ten times as large as others of 3 s, among which are many."""
    rows = []
    for number in range(40):
        if number % 4:
            data = encoded(speech(number, 3.0, rate_hz=8000), 8000)
        else:
            data = encoded(speech(number, 1.0, rate_hz=96_000), 96_000)
        write_clips(tmp_path, {f"{number}.wav": data})
        rows.append({"audio": f"{number}.wav", "text": "En mening.", "split": "train"})
    manifest = write_manifest(tmp_path, rows)
    sample = Sample(20)
    corpus = prepare([str(manifest)], tmp_path / "corpus", data=ONE, sample=sample).corpus
    found = sample.durations_s(corpus)["train"]
    assert len(found) == 40
    assert set(np.round(found)) == {1.0, 3.0}
    assert found.mean() == pytest.approx(corpus.split("train").durations_s.mean(), rel=0.05)


def test_as_large_a_share_is_rejected_as_of_the_sample(tmp_path: Path) -> None:
    rows = []
    for number in range(40):
        silent = number % 2 == 0
        level = 0.0 if silent else 0.1
        write_clips(tmp_path, {f"{number}.wav": clip(number, 1.0, level=level)})
        rows.append({"audio": f"{number}.wav", "text": "En mening.", "split": "train"})
    manifest = write_manifest(tmp_path, rows)
    sample = Sample(20)
    corpus = prepare([str(manifest)], tmp_path / "corpus", data=ONE, sample=sample).corpus
    kept = len(corpus.split("train"))
    assert 0 < kept < 20
    assert len(sample.durations_s(corpus)["train"]) == 2 * kept


def test_clips_that_are_not_there_are_not_drawn(tmp_path: Path) -> None:
    write_clips(tmp_path, {"a.wav": clip(1)})
    rows = [{"audio": name, "text": "En mening."} for name in ("a.wav", "gone.wav")]
    manifest = write_manifest(tmp_path, rows)
    sample = Sample(4)
    [source] = sample.draw(open_sources([str(manifest)], "sv"), ONE, "sv")
    assert [row.path for row in source.rows()] == ["a.wav"]  # type: ignore[union-attr]
    assert sample.total == 1


def test_an_archive_gives_the_same_sample_as_its_folder(tmp_path: Path) -> None:
    release = simple_release(tmp_path / "cv-corpus-99.0" / "sv-SE", 30, 8, 8)
    archive = write_archive(release, tmp_path / "cv.tar.gz", shuffle=1)
    texts = []
    for number, source in enumerate((release, archive)):
        to = tmp_path / f"corpus-{number}"
        corpus = prepare([str(source)], to, data=ONE, sample=Sample(16)).corpus
        texts.append({name: sorted(corpus.split(name).texts) for name in corpus.splits})
    assert texts[0] == texts[1]
