"""Stretches of speech: in order, whole, and as long as a model can be given."""

from itertools import pairwise

import numpy as np
import pytest

from modersmal.transcribe import speech as module
from modersmal.transcribe.speech import utterances, windows

RATE = 16_000


@pytest.fixture(scope="module")
def recording(speech) -> np.ndarray:
    """Twelve sentences with pauses of one second, and one of six after the fifth."""
    parts = []
    for number, clip in enumerate(speech[:12]):
        pause = np.zeros((6 if number == 4 else 1) * RATE, np.float32)
        parts += [clip, pause]
    return np.concatenate(parts)


def test_windows_hold_utterances_and_their_pauses(recording: np.ndarray) -> None:
    said, joined = list(utterances(recording)), list(windows(recording))

    assert 1 < len(joined) < len(said)
    assert {one["start"] for one in joined} <= {one["start"] for one in said}
    assert {one["end"] for one in joined} <= {one["end"] for one in said}
    assert all(0 < one["end"] - one["start"] <= 30 * RATE for one in joined)
    pauses = [(one["end"], following["start"]) for one, following in pairwise(said)]
    long = [(start, end) for start, end in pauses if end - start > 3 * RATE]
    assert len(long) == 1
    for start, end in long:
        assert not any(one["start"] < start < end < one["end"] for one in joined)


def test_no_window_is_longer_than_30_s(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = [{"start": n * 9 * RATE, "end": (n * 9 + 8) * RATE} for n in range(7)]
    monkeypatch.setattr(module, "utterances", lambda samples: iter(talk))

    joined = list(windows(np.zeros(1, np.float32)))

    assert [(one["start"] // RATE, one["end"] // RATE) for one in joined] == [
        (0, 26), (27, 53), (54, 62),
    ]  # fmt: skip
