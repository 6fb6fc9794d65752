"""Windows of a corpus whose times are known: heard in its clips, or told by its recordings."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_models import speech

from modersmal.audio import SAMPLE_RATE
from modersmal.config import DataConfig
from modersmal.corpus.prepare import prepare
from modersmal.corpus.shards import Corpus, Split
from modersmal.release.timed import timed_windows

DATA = DataConfig(dev_share=0, test_share=0, workers=1)


def prepared(source: Path, to: Path) -> Split:
    prepare([str(source)], to, language="sv", data=DATA)
    return Corpus.open(to).split("train")


def test_clips_are_joined_with_pauses_and_timed_by_their_sound(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    silence = np.zeros(SAMPLE_RATE // 2, np.float32)
    for number, clip in enumerate(speech(range(12))):
        samples = np.concatenate([silence, clip, silence])
        soundfile.write(source / f"{number}.flac", samples, SAMPLE_RATE)
        (source / f"{number}.txt").write_text(f"Mening {number}.")
    split = prepared(source, tmp_path / "corpus")
    windows = timed_windows(split)
    texts = [said.text for window in windows for said in window.said]
    assert sorted(texts) == sorted(split.texts)
    for window in windows:
        assert len(window.samples) <= 30 * SAMPLE_RATE
        edges_s = [edge for said in window.said for edge in (said.start_s, said.end_s)]
        assert edges_s == sorted(edges_s)
        for before, after in zip(window.said, window.said[1:], strict=False):
            between = window.samples[
                round(before.end_s * SAMPLE_RATE) : round(after.start_s * SAMPLE_RATE)
            ]
            assert len(between) > 1.0 * SAMPLE_RATE
            assert np.abs(between).max() < 0.1 * np.abs(window.samples).max()
    again = timed_windows(split)
    assert all(np.array_equal(one.samples, other.samples)
               for one, other in zip(windows, again, strict=True))  # fmt: skip
    assert len(timed_windows(split, 1)) == 1


def test_recordings_tell_their_times_themselves(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    samples = np.concatenate(speech(range(4)))
    soundfile.write(source / "tal.flac", samples, SAMPLE_RATE)
    (source / "tal.srt").write_text(
        "1\n00:00:00,100 --> 00:00:01,200\nEtt.\n\n2\n00:00:01,900 --> 00:00:03,200\nTvå.\n\n"
    )
    [window] = timed_windows(prepared(source, tmp_path / "corpus"))
    lasted_s = {said.text: said.end_s - said.start_s for said in window.said}
    assert lasted_s == {"Ett.": pytest.approx(1.1, abs=0.02), "Två.": pytest.approx(1.3, abs=0.02)}
