"""What is known of a release: `release.json`, which the card, the list and later gates read.

Every later version must read what this one writes: fields are added with a default, never renamed.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from modersmal import store
from modersmal.errors import ModelError

FACTS_FILE = "release.json"
REPOSITORY = "USER/NAME"  # in cards, until it is known where they are published
SCHEMA = 1


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Rate(_Fact):
    """An error rate as a share, and where it lies with 95 % confidence, if that is known."""

    value: float
    low: float | None = None
    high: float | None = None


class SplitScore(_Fact):
    """What a system scored on the test split, and how that was taken.

    `conditions` are those of evaluate.records; `clips_file` has every hypothesis, below the
    release's folder.
    """

    system: str
    wer: Rate
    cer: Rate
    clips: int
    audio_s: float
    conditions: dict[str, Any]
    clips_file: str | None = None


class Comparison(_Fact):
    """The release against another system on the same clips: the difference of rates, below zero
    where the release is better."""

    against: str
    metric: str
    difference: float
    low: float | None = None
    high: float | None = None
    worse: bool


class Slice(_Fact):
    """What a part of the test split scored: one accent, one age, noisy clips."""

    name: str
    clips: int
    wer: Rate
    cer: Rate


class Kept(_Fact):
    """What the base could do before, and what became of it: a rate on a corpus of something else.

    `corpus` says what was decoded, in words; `metric` is "wer" or "cer".
    """

    corpus: str
    metric: str
    before: Rate
    after: Rate


class Verdict(_Fact):
    """How one exported format did in its real runtime.

    `same_texts` is the share of golden clips whose text is that of the training-time model, and
    `wer_change` the change of WER on them in points; `arithmetic` is what the runtime computed
    in, which on a CPU may be other than the weights' own. `failures` say which clip, and how;
    `notes` are no failures, but belong among the limits.
    """

    format: str
    path: str
    size_bytes: int
    runtimes: tuple[str, ...]
    arithmetic: str
    golden_clips: int
    same_texts: float
    wer_change: float
    seconds_of_audio_per_second: float
    passed: bool
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Split(_Fact):
    """One split of the corpus. `recordings` is the number of long recordings that clips are of."""

    name: str
    clips: int
    hours: float
    speakers: int | None = None
    recordings: int = 0


class Source(_Fact):
    """Where data came from, and on what terms; `may_pass_on` is None where that is not known.

    `dataset` is its id on the Hub, if it came from there.
    """

    name: str
    dataset: str | None = None
    licence: str | None = None
    licence_url: str | None = None
    may_pass_on: bool | None = None


class Data(_Fact):
    """What was learned from: the store's corpora/`corpus`. `overlap` is what the check for clips in
    two splits found, in words; `text_style` what was done to the texts. `corrections` counts clips
    of train that people have corrected."""

    corpus: str
    corrections: int = 0
    splits: tuple[Split, ...]
    sources: tuple[Source, ...]
    text_style: str
    overlap: str


class Cost(_Fact):
    """What training took. `energy_kwh` is None where nothing measured it; `energy_source` says
    what did, and what it left out."""

    steps: int
    seconds: float
    hardware: str
    energy_kwh: float | None = None
    energy_source: str | None = None


class Release(_Fact):
    """A release. `content` is the hash of its model files: the same model is the same release.

    `parent` is the release that was deployed when this one was made, `began_with` the one whose
    weights its training began with. `weights` says what they are made of, `choice` why,
    `candidates` the dev rates of all that they might have been made of. `forced` is the reason for
    which the gate would have refused it, where --force overruled that. `licence` is that of the
    base as the Hub names it, None where that is not known; `forgetting` is what was measured of
    what the base could do; `learned_from` are traces of the corrections that it or its base has
    learned from (corpus.corrections.traces).
    """

    schema_version: int = SCHEMA
    number: int | None = None
    content: str
    parent: int | None = None
    began_with: int | None = None
    run: str
    made: datetime
    modersmal: str
    versions: dict[str, str] = {}
    base: str
    licence: str | None = None
    language: str
    language_name: str
    language_token: str
    vocabulary: str
    mels: int
    parameters: int
    weights: str
    choice: str
    candidates: dict[str, float] = {}
    dev_metric: str | None = None
    context: str = "full"
    context_floor_s: float | None = None
    windows: bool = False
    alignment: str = ""
    data: Data
    recipe: dict[str, Any]
    cost: Cost
    test: SplitScore | None = None
    base_test: SplitScore | None = None
    comparisons: tuple[Comparison, ...] = ()
    slices: tuple[Slice, ...] = ()
    forgetting: tuple[Kept, ...] = ()
    formats: tuple[Verdict, ...] = ()
    refused: tuple[Verdict, ...] = ()
    forced: str | None = None
    learned_from: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Write it into a release's folder. Raises StoreError."""
        store.write_json(folder / FACTS_FILE, self.model_dump(mode="json"))

    @classmethod
    def read(cls, folder: Path) -> "Release":
        """Read what is in a release's folder. Raises ModelError."""
        path = folder / FACTS_FILE
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise ModelError(f"{folder} is no release: it has no {FACTS_FILE}") from None
        except (OSError, ValueError, ValidationError) as error:
            reason = " ".join(str(error).split())
            raise ModelError(f"{path} cannot be read as a release: {reason}") from error


def content_of(hashes: Mapping[str, str]) -> str:
    """The hash that a model is known by, from its files' names and SHA-256s."""
    listed = "".join(f"{name} {hashes[name]}\n" for name in sorted(hashes))
    return hashlib.sha256(listed.encode()).hexdigest()
