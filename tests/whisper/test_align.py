"""Text without times: the bundled base finds the sentences of a recording, and no others."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from modersmal.audio import SAMPLE_RATE, decode
from modersmal.config import DataConfig
from modersmal.corpus.alignment import Alignment, Sentence
from modersmal.corpus.prepare import Prepared, prepare
from modersmal.corpus.sample import Sample
from modersmal.whisper.align import HeardLetters, ModelAligner, align_text
from modersmal.whisper.trace import Trace

SPEECH = Path(__file__).parent.parent / "data" / "speech"


def pieces(samples: np.ndarray) -> Iterator[np.ndarray]:
    yield from np.array_split(samples, max(1, len(samples) // 50_000))


class Recording:
    """Clips of speech one after the other with pauses between; `said` are (start, end, text)."""

    def __init__(self, numbers: range, pause_s: float = 0.8) -> None:
        rows = [line.split("\t") for line in (SPEECH / "texts.tsv").read_text().splitlines()]
        texts = dict(row[:2] for row in rows)
        parts, self.said = [], []
        time_s = 0.0
        for number in numbers:
            name = f"{number:02d}"
            samples = decode(SPEECH / f"{name}.ogg").samples
            loud = np.flatnonzero(np.abs(samples) > 0.1 * np.abs(samples).max()) / SAMPLE_RATE
            parts += [samples, np.zeros(round(pause_s * SAMPLE_RATE), np.float32)]
            self.said.append((time_s + loud[0], time_s + loud[-1], texts[name]))
            time_s += len(samples) / SAMPLE_RATE + pause_s
        noise = np.random.default_rng(0).normal(size=sum(map(len, parts)))
        self.samples = np.concatenate(parts) + 1e-4 * noise.astype(np.float32)

    @property
    def texts(self) -> list[str]:
        return [text for _, _, text in self.said]


@pytest.fixture(scope="module")
def recording() -> Recording:
    return Recording(range(14))


@pytest.fixture(scope="module")
def base() -> ModelAligner:
    return ModelAligner("bundled", "sv")


def test_sentences_are_found_where_they_are_said(recording: Recording, base: ModelAligner) -> None:
    """Also where the text lacks a sentence, and has one that nobody says."""
    strange = "Kvantfysikens fjorton böljande zebror yxar flygande pumpor."
    texts = [*recording.texts[:3], strange, *recording.texts[3:6], *recording.texts[7:]]
    alignment = base(pieces(recording.samples), "\n".join(texts))
    found = {one.text: one for one in alignment.sentences if one.match >= alignment.limit}
    assert strange not in found
    truths = [one for one in recording.said if one[2] in found]
    assert len(truths) >= 10
    starts = [abs(found[text].start_s - start_s) for start_s, _, text in truths]
    ends = [abs(found[text].end_s - end_s) for _, end_s, text in truths]
    assert np.median(starts) < 0.1
    assert np.median(ends) < 0.15
    assert np.max(starts) < 0.7
    missing_start_s, missing_end_s, _ = recording.said[6]
    assert not any(
        one.start_s < missing_end_s and one.end_s > missing_start_s for one in found.values()
    )


def test_what_is_said_and_not_written_is_told(recording: Recording, base: ModelAligner) -> None:
    texts = [*recording.texts[:5], *recording.texts[8:]]
    alignment = base(pieces(recording.samples), "\n".join(texts))
    [(start_s, end_s)] = [one for one in alignment.unwritten if one[1] - one[0] > 3]
    assert start_s == pytest.approx(recording.said[5][0], abs=1.0)
    assert recording.said[7][1] - 0.5 < end_s < recording.said[8][0]


def test_another_text_is_refused(recording: Recording, base: ModelAligner) -> None:
    other = "\n".join(Recording(range(16, 30)).texts)
    alignment = base(pieces(recording.samples), other)
    assert sum(one.match >= alignment.limit for one in alignment.sentences) <= 1


def prepared(source: Path, to: Path, aligner: object) -> Prepared:
    data = DataConfig(dev_share=0, test_share=0, workers=1)
    return prepare([str(source)], to, data=data, aligner=aligner)


def test_a_recording_with_a_text_becomes_clips(
    recording: Recording, base: ModelAligner, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    soundfile.write(source / "tal.flac", recording.samples, SAMPLE_RATE)
    (source / "tal.txt").write_text("\n".join(recording.texts))
    corpus = prepared(source, tmp_path / "out", base).corpus
    train = corpus.split("train")
    assert len(train) >= 10
    assert set(train.texts) <= set(recording.texts)
    assert train.continues.any()
    assert all(0 < float(match) <= 1 for match in train.column("match"))
    assert corpus.info["aligned_with"] == "bundled, method 1"
    rejected = (tmp_path / "out" / "rejected.jsonl").read_text()
    assert rejected.count("no-match") == 14 - sum(map(len, train.column("segments")))


class Known:
    """An aligner that knows the answer, and counts how often it is asked."""

    name = "known"

    def __init__(self, fails_at: int | None = None) -> None:
        self.asked, self.fails_at = 0, fails_at

    def __call__(self, recording: Iterator[np.ndarray], text: str) -> Alignment:
        self.asked += 1
        if self.asked == self.fails_at:
            raise KeyboardInterrupt
        assert sum(map(len, recording)) == 40 * SAMPLE_RATE
        return Alignment(
            (
                Sentence("Ett och två.", 1.0, 4.0, 0.9),
                Sentence("Aldrig sagt.", None, None, 0.0),
                Sentence("Tre och fyra.", 5.0, 8.0, 0.8),
                Sentence("Något annat.", 9.0, 11.0, 0.2),
            ),
            0.5,
            ((20.0, 30.0),),
        )


def test_what_was_aligned_is_kept_when_prepare_is_stopped(
    recording: Recording, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number in range(3):
        samples = np.roll(recording.samples, 99 * number)[: 40 * SAMPLE_RATE]
        soundfile.write(source / f"tal_{number}.flac", samples, SAMPLE_RATE)
        (source / f"tal_{number}.txt").write_text("Ett och två. Tre och fyra.")
    stopped, again = Known(fails_at=3), Known()
    with pytest.raises(KeyboardInterrupt):
        prepared(source, tmp_path / "out", stopped)
    corpus = prepared(source, tmp_path / "out", again).corpus
    assert again.asked == 1
    train = corpus.split("train")
    assert train.texts == ["Ett och två.", "Tre och fyra."] * 3
    assert train.column("match") == ["0.90", "0.80"] * 3
    assert not train.continues.any()
    rejected = (tmp_path / "out" / "rejected.jsonl").read_text()
    assert "nothing like it is heard after 4.0 s" in rejected
    assert "tal_0.txt sentence 4" in rejected
    assert not list(tmp_path.glob("out/.prepare"))
    straight = prepared(source, tmp_path / "straight", Known()).corpus
    assert straight.hash == corpus.hash


def test_a_sample_listens_to_the_first_minute_alone(recording: Recording, tmp_path: Path) -> None:
    source, listened_s = tmp_path / "in", []
    source.mkdir()
    soundfile.write(source / "tal.flac", np.tile(recording.samples, 3), SAMPLE_RATE)
    (source / "tal.txt").write_text("Ett och två. Tre och fyra.")

    class Timed(Known):
        def __call__(self, recording: Iterator[np.ndarray], text: str) -> Alignment:
            listened_s.append(sum(map(len, recording)) / SAMPLE_RATE)
            return super().__call__(iter([np.zeros(40 * SAMPLE_RATE)]), text)

    sample = Sample(32)
    data = DataConfig(dev_share=0, test_share=0, workers=1)
    made = prepare(
        [str(source)], tmp_path / "out", data=data, sample=sample, aligner=Timed()
    ).corpus
    assert listened_s == [60.0]
    [lengths_s] = sample.durations_s(made).values()
    whole_s = 3 * len(recording.samples) / SAMPLE_RATE
    assert 0.1 * whole_s < lengths_s.sum() < 1.2 * whole_s


def test_without_an_aligner_a_recording_is_too_long(recording: Recording, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    soundfile.write(source / "tal.flac", recording.samples, SAMPLE_RATE)
    (source / "tal.txt").write_text("Ett och två.")
    corpus = prepared(source, tmp_path / "out", None).corpus
    assert corpus.info["rejected"] == {"train": {"too-long": 1}}


def test_nothing_heard_is_no_match() -> None:
    alignment = align_text("Ett och två. Tre och fyra.", HeardLetters(), np.empty((0, 2)))
    assert [one.start_s for one in alignment.sentences] == [None, None]
    assert align_text("", HeardLetters(), np.empty((0, 2))).sentences == ()


def test_windows_are_cut_in_pauses_and_join_to_the_recording(recording: Recording) -> None:
    trace = Trace()
    windows = list(trace.windows(pieces(recording.samples), 10.0))
    assert np.array_equal(np.concatenate([samples for _, samples in windows]), recording.samples)
    for start_s, samples in windows[1:]:
        assert len(samples) <= 10 * SAMPLE_RATE
        assert not any(first + 0.1 < start_s < last - 0.1 for first, last, _ in recording.said)
    pauses_s = trace.pauses()
    for (_, end_s, _), (start_s, _, _) in zip(recording.said, recording.said[1:], strict=False):
        assert any(begin_s < (start_s + end_s) / 2 < stop_s for begin_s, stop_s in pauses_s)


def test_silence_is_not_listened_to() -> None:
    trace = Trace()
    assert not list(trace.windows(pieces(np.zeros(25 * SAMPLE_RATE, np.float32)), 10.0))
    assert len(trace.pauses()) == 0
