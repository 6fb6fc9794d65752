"""Long audio with subtitles: tiled into clips that join to the recording again."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from making import clip, contents, rejected, speech, write_clips

from modersmal.audio import SAMPLE_RATE, decode
from modersmal.config import ChecksConfig, DataConfig
from modersmal.corpus import Corpus
from modersmal.corpus.cutting import Cutter
from modersmal.corpus.inspect import inspect
from modersmal.corpus.prepare import prepare
from modersmal.corpus.sample import Sample
from modersmal.errors import CorpusError
from modersmal.transcribe.formats import write_time

ALL_TRAIN = {"dev_share": 0.0, "test_share": 0.0, "workers": 1}
SAID = [
    (1.0, 3.0, "Det var en gång"), (3.05, 5.0, "en katt."), (6.0, 9.0, "Den sov gott."),
    (13.0, 15.0, "Sedan åt den."), (30.0, 33.0, "Långt senare."), (34.0, 36.0, "Slut här."),
]  # fmt: skip


def srt(said) -> str:
    return "\n".join(
        f"{n}\n{write_time(round(start * 1000), ',')} --> {write_time(round(end * 1000), ',')}\n"
        f"{text}\n"
        for n, (start, end, text) in enumerate(said, 1)
    )


def write_recording(
    folder: Path, name: str, subtitles: str, duration_s: float = 40.0, suffix: str = ".srt",
    rate_hz: int = SAMPLE_RATE, seed: int = 1,
) -> Path:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.flac"
    soundfile.write(path, speech(seed, duration_s, rate_hz=rate_hz), rate_hz)
    (folder / f"{name}{suffix}").write_text(subtitles, encoding="utf-8")
    return path


def made(source: Path, to: Path, **data) -> Corpus:
    settings = DataConfig(**ALL_TRAIN | data)
    return prepare([str(source)], to, data=settings).corpus


def test_clips_of_a_recording_join_to_it_again(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "in", "tal", srt(SAID), rate_hz=44_100)
    train = made(tmp_path / "in", tmp_path / "out").split("train")
    assert train.texts == [
        "Det var en gång en katt.", "Den sov gott.", "Sedan åt den.", "Långt senare.", "Slut här.",
    ]  # fmt: skip
    assert train.continues.tolist() == [False, True, True, False, True]
    assert train.column("recording") == ["in/tal.flac"] * 5
    offsets_s = np.array(train.column("offset"))
    assert offsets_s == pytest.approx([0.8, 5.8, 12.8, 29.8, 33.8], abs=1e-4)
    assert train.durations_s == pytest.approx([5.0, 7.0, 2.4, 4.0, 2.4], abs=1e-3)
    assert train.speech_s == pytest.approx(
        np.array([(0.2, 4.2), (0.2, 3.2), (0.2, 2.2), (0.2, 3.2), (0.2, 2.2)]), abs=1e-3
    )
    assert train.column("segments")[0] == [
        {"start": pytest.approx(0.2), "end": pytest.approx(2.2), "text": "Det var en gång"},
        {"start": pytest.approx(2.25), "end": pytest.approx(4.2), "text": "en katt."},
    ]
    whole = decode(path).samples
    clips = [decode(data).samples for data in train.audio_bytes(range(5))]
    for offset_s, samples in zip(offsets_s, clips, strict=True):
        first = round(offset_s * SAMPLE_RATE)
        assert samples == pytest.approx(whole[first : first + len(samples)], abs=1e-4)
    joined = np.concatenate(clips[:3])
    assert joined == pytest.approx(whole[round(0.8 * SAMPLE_RATE) :][: len(joined)], abs=1e-4)


def test_one_recording_is_a_source_and_subtitles_name_their_language(tmp_path: Path) -> None:
    path = write_recording(tmp_path, "tal", srt(SAID), suffix=".sv.srt")
    (tmp_path / "tal.en.srt").write_text(srt([(1, 2, "Not this.")]))
    write_recording(tmp_path, "annat", srt([(1, 2, "Inte detta.")]))
    corpus = made(path, tmp_path / "out")
    assert corpus.split("train").texts[-1] == "Slut här."
    assert set(corpus.split("train").column("recording")) == {"tal.flac/tal.flac"}
    with pytest.raises(CorpusError, match="srt"):
        prepare([str(tmp_path / "tal.en.srt")], tmp_path / "none")


def test_what_cannot_be_used_is_refused_with_its_place(tmp_path: Path) -> None:
    said = [
        (1.0, 3.0, "Hej på dig."), (4.0, 3.5, "Baklänges."), (5.0, 7.0, "Efter det."),
        (8.0, 9.0, "[applåder]"), (9.0, 11.0, "Tack så mycket."), (12.0, 45.0, "För långt."),
        (50.0, 52.0, "Strax före slutet."), (58.0, 62.0, "Halvt bortom."),
        (70.0, 72.0, "Bortom slutet."),
    ]  # fmt: skip
    write_recording(tmp_path / "in", "tal", srt(said), duration_s=60.0)
    corpus = made(tmp_path / "in", tmp_path / "out")
    assert corpus.split("train").texts == [
        "Hej på dig.", "Efter det.", "Tack så mycket.", "Strax före slutet.",
    ]  # fmt: skip
    assert not corpus.split("train").continues.any()
    reasons = {(one["where"], *one["reasons"]) for one in rejected(tmp_path / "out")}
    assert reasons == {
        ("tal.srt line 6", "bad-times"), ("tal.srt line 14", "no-speech"),
        ("tal.srt line 22", "too-long"), ("tal.srt line 30", "past-end"),
        ("tal.srt line 34", "past-end"),
    }  # fmt: skip
    assert {one["split"] for one in rejected(tmp_path / "out")} == {"train"}
    assert (
        "72.000 s, and tal.flac ends at 60.000 s" in (tmp_path / "out/rejected.jsonl").read_text()
    )


def test_a_clip_that_a_check_drops_breaks_the_chain(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "in", "tal", srt(SAID))
    samples = decode(path).samples
    samples[round(5.5 * SAMPLE_RATE) : round(13 * SAMPLE_RATE)] = 0
    soundfile.write(path, samples, SAMPLE_RATE)
    train = made(tmp_path / "in", tmp_path / "out").split("train")
    assert [one["reasons"] for one in rejected(tmp_path / "out")] == [["silent"]]
    assert train.texts[1] == "Sedan åt den."
    assert train.continues.tolist() == [False, False, False, True]


def test_the_pause_after_it_makes_no_clip_too_slow(tmp_path: Path) -> None:
    said = [(1.0, 2.0, "Ja."), (11.5, 13.0, "Nej då.")]
    write_recording(tmp_path / "in", "tal", srt(said))
    train = made(tmp_path / "in", tmp_path / "out").split("train")
    assert train.durations_s[0] > 10
    assert train.continues.tolist() == [False, True]


def test_clips_are_as_short_as_the_checks_want_them(tmp_path: Path) -> None:
    said = [(1.0, 4.0, "Först detta."), (9.0, 12.0, "Sedan detta.")]
    write_recording(tmp_path / "in", "tal", srt(said))
    corpus = prepare(
        [str(tmp_path / "in")], tmp_path / "out",
        data=DataConfig(**ALL_TRAIN), checks=ChecksConfig(max_duration_s=5.0),
    ).corpus  # fmt: skip
    train = corpus.split("train")
    assert train.durations_s == pytest.approx([3.4, 3.4], abs=1e-3)
    assert not train.continues.any()


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Recordings and clips beside each other, in splits, with a speaker's name in one of them."""
    source = tmp_path / "in"
    for number, split in enumerate(["train", "train", "test"]):
        said = [(3 * n + 1.0, 3 * n + 2.5, f"Mening {n} i del {number}.") for n in range(12)]
        write_recording(source / split, f"tal_{number}", srt(said), seed=number)
    vtt = "WEBVTT\n\n00:01.000 --> 00:03.000\n<v Anna>Hej på dig.\n"
    write_recording(source / "dev", "samtal", vtt, suffix=".vtt", seed=9)
    write_clips(source / "train", {"kort.wav": clip(5), "kort.txt": b"En kort en."})
    return source


def test_any_number_of_workers_makes_the_same_corpus(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modersmal.corpus.plan.SHARD_ROWS", 5)
    for workers in (1, 2):
        made(many, tmp_path / f"out-{workers}", workers=workers)
    assert contents(tmp_path / "out-1") == contents(tmp_path / "out-2")
    train = Corpus.open(tmp_path / "out-1").split("train")
    assert len(train.shards) == 5
    assert train.continues.tolist() == [False] + [False] + [True] * 11 + [False] + [True] * 11
    assert train.speech_s[0].tolist() == [0.0, 2.0]
    assert train.speech_s.dtype == np.float32
    assert Corpus.open(tmp_path / "out-1").split("dev").speakers == ["Anna"]


def test_a_sample_of_recordings_is_drawn_clip_by_clip(many: Path, tmp_path: Path) -> None:
    sample = Sample(8)
    data = DataConfig(**ALL_TRAIN)
    corpus = prepare([str(many)], tmp_path / "out", data=data, sample=sample).corpus
    assert sum(len(corpus.split(name)) for name in corpus.splits) == 7
    whole = made(many, tmp_path / "whole")
    lengths_s = sample.durations_s(corpus)
    for name in ("train", "test"):
        assert lengths_s[name].sum() == pytest.approx(whole.split(name).duration_s, rel=0.15)


def test_inspect_counts_recordings_and_their_hours(many: Path, tmp_path: Path) -> None:
    made(many, tmp_path / "out")
    summary = inspect(tmp_path / "out", verify=True)
    assert {name: split.recordings for name, split in summary.splits.items()} == {
        "train": 2, "dev": 1, "test": 1,
    }  # fmt: skip
    train = summary.splits["train"]
    assert train.recorded_s == pytest.approx(train.duration_s - 2.0)
    assert "of 2 long recordings" in str(summary)


def test_datasets_reads_the_columns(many: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    corpus = made(many, tmp_path / "out", codec="opus")
    files = [str(tmp_path / "out" / shard.file) for shard in corpus.split("train").shards]
    read = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
    ).cast_column("audio", datasets.Audio(decode=False))
    assert read[0]["recording"] is None
    assert read[1]["recording"] == "in/train/tal_0.flac"
    assert [one["text"] for one in read[1]["segments"]] == ["Mening 0 i del 0."]
    assert read[1]["audio"]["bytes"][:4] == b"OggS"
    assert read[1]["audio"]["path"] == "tal_0-0.800.opus"


def test_a_corpus_without_recordings_has_no_trace_of_them(tmp_path: Path) -> None:
    write_clips(tmp_path / "in", {"kort.wav": clip(5), "kort.txt": b"Kort.", "kort.srt": b"x"})
    corpus = made(tmp_path / "in", tmp_path / "out")
    train = corpus.split("train")
    assert "recording" not in train.columns
    assert "recording" not in json.dumps(corpus.info)
    assert train.continues.tolist() == [False]
    assert train.speech_s.tolist() == [[0.0, 2.0]]


def test_half_an_hour_is_cut_in_one_pass_with_one_clip_in_memory(tmp_path: Path) -> None:
    minute = speech(1, 60.0)
    with soundfile.SoundFile(tmp_path / "lång.flac", "w", SAMPLE_RATE, 1, "PCM_16") as file:
        for _ in range(30):
            file.write(minute)
    cutter = Cutter(tmp_path.resolve(), "lång.flac")
    tracemalloc.start()
    for start_s in (3.0, 40.0, 900.0, 1770.5):
        wanted = {"start": round(start_s * SAMPLE_RATE), "segments": [(0.2, 10.0, "Ja.")]}
        audio, segments = cutter.cut(wanted | {"end": wanted["start"] + 20 * SAMPLE_RATE})
        assert segments == [(0.2, 10.0, "Ja.")]
        place = round(start_s % 60 * SAMPLE_RATE)
        assert audio.samples[:99] == pytest.approx(minute[place : place + 99], abs=1e-4)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 12 * 1024**2
