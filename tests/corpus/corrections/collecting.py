"""Corrections of nobody, for tests."""

import secrets
from typing import Any

import numpy as np

from modersmal.audio import SAMPLE_RATE
from modersmal.corpus.corrections.correction import Correction, Terms, split_of

TERMS = Terms("To write Swedish better.", "My corrections may be learned from.", 30)


def tone(duration_s: float = 0.5, hz: float = 440.0) -> np.ndarray:
    times_s = np.arange(round(duration_s * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.3 * np.sin(2 * np.pi * hz * times_s)).astype(np.float32)


def correction(recording: str, segment: str, person_id: str, **values: Any) -> Correction:
    about: dict[str, Any] = {
        "id": secrets.token_hex(16),
        "person_id": person_id,
        "recording": recording,
        "segment": segment,
        "segment_version": 2,
        "start_s": 1.0,
        "end_s": 1.5,
        "duration_s": 0.5,
        "language": "sv",
        "hypothesis": "Klockan är hal nio.",
        "text": "Klockan är halv nio.",
        "release": "small#3",
        "probability": 0.5,
        "voice": "mine",
        "ground": "consent",
        "consent_version": TERMS.version,
        "state": "waiting",
        "split": split_of(recording),
        "created_s": 100.0,
        "changed_s": 100.0,
        "expires_s": 200.0,
    }
    return Correction(**about | values)
