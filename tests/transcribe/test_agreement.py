"""One model, one text: plain `transformers`, plain faster-whisper, our decoding and our engine."""

import csv
from pathlib import Path

import jiwer
import numpy as np
import pytest

from agreement import texts_of_faster_whisper, texts_of_transformers
from modersmal.transcribe.engine import Engine
from modersmal.whisper.decode import decode
from modersmal.whisper.decode_torch import TransformersDecoder
from modersmal.whisper.load import load, locate

SPEECH = Path(__file__).parents[1] / "data" / "speech"


def share(ours: list[str], theirs: list[str]) -> float:
    return sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(ours)


@pytest.fixture(scope="module")
def said() -> list[str]:
    with (SPEECH / "texts.tsv").open(encoding="utf-8") as file:
        return [row["text"] for row in csv.DictReader(file, delimiter="\t")]


@pytest.fixture(scope="module")
def plain(speech: list[np.ndarray]) -> list[str]:
    return texts_of_transformers(locate("bundled"), speech, "sv")


def test_faster_whisper_writes_what_transformers_writes(plain, speech) -> None:
    assert len(set(plain)) > 20
    assert share(texts_of_faster_whisper(locate("bundled"), speech, "sv"), plain) >= 0.99


def test_scores_are_of_what_transformers_writes(plain, speech) -> None:
    decoded = decode(
        TransformersDecoder(load("bundled")), speech[:15], language_token="sv", context="full"
    )

    assert share([hypothesis.text for hypothesis in decoded], plain[:15]) >= 0.99


def test_the_base_hears_as_well_however_its_clips_are_padded(plain, speech, said) -> None:
    dynamic = decode(
        TransformersDecoder(load("bundled")), speech, language_token="sv", context="dynamic"
    )
    own = jiwer.wer(said, [hypothesis.text for hypothesis in dynamic])
    zeros = texts_of_faster_whisper(locate("bundled"), speech, "sv", silence=False)

    assert own < 0.25
    assert jiwer.wer(said, plain) <= own + 0.02
    assert jiwer.wer(said, zeros) <= own + 0.05


def greedily(engine: Engine, clips: list[np.ndarray]) -> list[str]:
    """What the engine's model writes of clips as they are, one by one."""
    texts = []
    for clip in clips:
        segments, _ = engine.windowed.transcribe(
            clip, language="sv", beam_size=1, temperature=0.0, without_timestamps=True,
            no_speech_threshold=None,
        )  # fmt: skip
        texts.append(" ".join(segment.text.strip() for segment in segments))
    return texts


def test_the_engine_hears_silence_behind_the_end(plain, speech) -> None:
    engine = Engine.open("bundled")
    engine.windowed.own_context = False

    assert share(greedily(engine, speech[:10]), plain[:10]) >= 0.99


def test_the_engine_writes_what_was_scored(speech, engine: Engine) -> None:
    scored = decode(TransformersDecoder(load("bundled")), speech, language_token="sv")
    texts = [hypothesis.text for hypothesis in scored]
    at_once = decode(engine.decoder, speech, language_token="sv")

    assert engine.windowed.own_context
    assert share([hypothesis.text for hypothesis in at_once], texts) >= 0.99
    assert share(greedily(engine, speech[:10]), texts[:10]) >= 0.99
