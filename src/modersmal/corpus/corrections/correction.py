"""One correction: a span of audio, what the model wrote for it, and what a person says it is."""

import hashlib
from dataclasses import dataclass
from typing import Literal

Voice = Literal["mine", "others", "unknown"]
Ground = Literal["consent", "employment", "public", "unknown"]
State = Literal["waiting", "accepted", "rejected"]
Split = Literal["train", "dev", "test"]

LONGEST_S, SHORTEST_S = 30.0, 0.1
_VERSION_LETTERS = 16
_TEST_SHARE, _DEV_SHARE = 0.1, 0.1


@dataclass(frozen=True)
class Terms:
    """What a person is asked to agree to."""

    purpose: str
    consent: str
    retention_days: int

    @property
    def version(self) -> str:
        """Changes with every letter of it."""
        whole = f"{self.purpose}\0{self.consent}\0{self.retention_days}"
        return hashlib.sha256(whole.encode()).hexdigest()[:_VERSION_LETTERS]


@dataclass(frozen=True)
class Consent:
    """What was agreed to for one recording: by whom, whose voice it is, on what ground.

    `version` is that of the `Terms`; `given_s` is UTC seconds since 1970.
    """

    version: str
    voice: Voice
    ground: Ground
    person_id: str
    given_s: float


@dataclass(frozen=True)
class Correction:
    """A span of a recording, `start_s` to `end_s`, and its text.

    Its span and audio never change: another span is another correction. `segment_version` is the
    version of the segment that it follows. Moments are UTC seconds since 1970.
    """

    id: str
    person_id: str
    recording: str
    segment: str
    segment_version: int
    start_s: float
    end_s: float
    duration_s: float
    language: str | None
    hypothesis: str
    text: str
    release: str
    probability: float
    voice: Voice
    ground: Ground
    consent_version: str
    state: State
    split: Split
    created_s: float
    changed_s: float
    expires_s: float
    reviewed_s: float | None = None
    reviewer: str | None = None

    @property
    def untrainable(self) -> str | None:
        """Why nothing may be trained or scored on it; None where it may be."""
        if self.voice == "unknown":
            return "nobody knows whose voice it is"
        if self.ground == "unknown":
            return "nobody knows on what ground it may be used"
        if self.state != "accepted":
            return "no reviewer has accepted it yet" if self.state == "waiting" else "rejected"
        return None


def split_of(recording: str) -> Split:
    """The split of all corrections of a recording, for good: 80 % train, 10 % dev, 10 % test."""
    digest = hashlib.sha256(f"recording {recording}".encode()).digest()
    share = int.from_bytes(digest[:8]) / 2**64
    if share < _TEST_SHARE:
        return "test"
    return "dev" if share < _TEST_SHARE + _DEV_SHARE else "train"
