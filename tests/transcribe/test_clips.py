"""What timestamps say becomes segments; many recordings at once give what each gives alone."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from faster_whisper import WhisperModel

from modersmal.language import Vocabulary
from modersmal.transcribe.clips import segments_of
from modersmal.transcribe.engine import Engine
from modersmal.whisper.decode import Hypothesis
from modersmal.whisper.decode_ct2 import CTranslate2Decoder
from modersmal.whisper.load import describe
from modersmal.whisper.tokens import special_ids, text_ids

RATE = 16_000


@pytest.fixture(scope="module")
def decoder() -> SimpleNamespace:
    """As much of a decoder as reading its tokens needs."""
    return SimpleNamespace(model=describe("bundled"))


def tokens(decoder: SimpleNamespace, *said: str | float) -> Hypothesis:
    ids: list[int] = []
    for one in said:
        if isinstance(one, str):
            ids += text_ids(decoder.model.tokenizer, [one])[0]
        else:
            ids.append(special_ids(Vocabulary.MULTILINGUAL).timestamp(one))
    return Hypothesis("", tuple(ids), None)


def times(decoder: SimpleNamespace, *said: str | float) -> list[tuple[float, float, str]]:
    part = {"start": 10 * RATE, "end": 22 * RATE}
    found = segments_of(decoder, part, tokens(decoder, *said))
    return [(round(one.start_s, 2), round(one.end_s, 2), one.text) for one in found]


def test_timestamps_become_segments(decoder: SimpleNamespace) -> None:
    assert times(decoder, 0.5, "Hej på dig.", 2.0, 3.5, "Hej då.", 5.0) == [
        (10.5, 12.0, "Hej på dig."), (13.5, 15.0, "Hej då."),
    ]  # fmt: skip
    assert times(decoder, "Utan tider.") == [(10, 22, "Utan tider.")]
    assert times(decoder, 0.5, "Hej.", 2.0, 3.5, "Utan slut.") == [
        (10.5, 12.0, "Hej."), (13.5, 22.0, "Utan slut."),
    ]  # fmt: skip
    assert times(decoder, 0.5, "Efter slutet.", 29.0, 29.5, 30.0) == [(10.5, 22, "Efter slutet.")]
    assert times(decoder, 0.0, 4.0) == times(decoder) == []


def test_many_at_once_give_what_each_gives_alone(engine: Engine, speech) -> None:
    recordings = [*speech[:5], np.zeros(RATE, np.float32), np.concatenate(speech[5:8])]
    reached: list[float] = []

    at_once = engine.transcribe_all(recordings, beams=1, on_progress=reached.append)

    assert at_once == [engine.transcribe(samples, beams=1) for samples in recordings]
    assert at_once[5].segments == []
    assert reached == sorted(reached)
    assert reached[-1] == pytest.approx(sum(map(len, recordings)) / RATE)


@pytest.mark.parametrize("words", [False, True])
def test_short_clips_are_heard_in_their_own_context_and_never_below_the_published_floor(
    cache: Path, speech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: bool
) -> None:
    """Of two models that differ in what their cards say alone."""
    heard: list[int] = []

    def noting(encode):
        def noted(self, features, *rest):
            heard.append(features.shape[-1])
            return encode(self, features, *rest)

        return noted

    monkeypatch.setattr(CTranslate2Decoder, "write", noting(CTranslate2Decoder.write))
    monkeypatch.setattr(WhisperModel, "encode", noting(WhisperModel.encode))
    clip, seen = speech[0], {}
    for floor_s in (2.0, 7.0):
        model = shutil.copytree(describe("bundled").folder, tmp_path / str(floor_s))
        card = json.loads((model / "modersmal.json").read_text())
        (model / "modersmal.json").write_text(json.dumps(card | {"context_floor_s": floor_s}))
        heard.clear()
        Engine.open(str(model)).transcribe(clip, words=words, beams=1)
        seen[floor_s] = min(heard)

    spoken_s = len(clip) / RATE
    assert 200 <= seen[2.0] <= 100 * (spoken_s + 1) < 700
    assert seen[7.0] == 700


def test_long_recordings_are_read_in_windows_by_those_who_learned_them(
    engine: Engine, speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = np.concatenate([part for one in speech[:12] for part in (one, np.zeros(RATE, "f4"))])
    by_utterance = engine.transcribe(long, beams=1)
    short = engine.transcribe(long[: 20 * RATE], beams=1)
    asked: list[tuple[bool, int]] = []
    write = engine.decoder.write

    def heard(features, search):
        asked.append((search.timestamps, features.shape[-1]))
        return write(features, search)

    monkeypatch.setattr(engine.decoder, "write", heard)
    monkeypatch.setattr(engine, "_about", replace(engine._about, windows=True))
    in_windows = engine.transcribe(long, beams=1)

    assert set(asked) == {(True, 3000)}
    edges = [edge for one in in_windows.segments for edge in (one.start_s, one.end_s)]
    assert edges == sorted(edges)
    assert len(in_windows.segments) > 1
    assert in_windows != by_utterance
    assert engine.transcribe(long[: 20 * RATE], beams=1) == short
    assert asked[-1][0] is False
