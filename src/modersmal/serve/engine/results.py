"""What became of a recording: where there is speech in it, and what was said there."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modersmal.errors import StoreDamaged
from modersmal.store.files import write_json
from modersmal.transcribe.formats import Word

HEARD_FILE = "heard.json"
SAMPLES_FILE = "samples.f32"


@dataclass(frozen=True)
class Span:
    """A stretch of a recording, from sample `start` to before sample `end`."""

    start: int
    end: int


@dataclass(frozen=True)
class Heard:
    """A recording that was decoded.

    `samples` is a file of float32, 16 kHz, mono; `parts` are its utterances, in order, none longer
    than 30 s; there are none where nobody speaks.
    """

    samples: Path
    duration_s: float
    parts: tuple[Span, ...]

    def save(self) -> None:
        """Note what was heard, beside the samples. Raises StoreError where that fails."""
        table = {
            "duration_s": self.duration_s,
            "parts": [[part.start, part.end] for part in self.parts],
        }
        write_json(self.samples.with_name(HEARD_FILE), table)

    @classmethod
    def load(cls, folder: Path) -> "Heard":
        """Read what `save` noted. Raises StoreDamaged where it is not there, or not whole."""
        path = folder / HEARD_FILE
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            parts = tuple(Span(int(start), int(end)) for start, end in table["parts"])
            samples = folder / SAMPLES_FILE
            samples.stat()
            return cls(samples, float(table["duration_s"]), parts)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreDamaged(f"{path} is damaged or missing: decode the file again") from error


@dataclass(frozen=True)
class Spoken:
    """One segment, with times in seconds from the start of the recording.

    `tokens` are those of its text. `avg_logprob`, `no_speech_prob` and `compression_ratio` are of
    the stretch that it was decoded with, as in Whisper.
    """

    start_s: float
    end_s: float
    text: str
    words: tuple[Word, ...]
    tokens: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float

    @property
    def probability(self) -> float:
        """How sure the model was, from 0 to 1."""
        return min(1.0, math.exp(self.avg_logprob))

    def to_table(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def of_table(cls, table: dict[str, Any]) -> "Spoken":
        words = tuple(Word(**word) for word in table["words"])
        return cls(**table | {"words": words, "tokens": tuple(table["tokens"])})


@dataclass(frozen=True)
class Piece:
    """What was said in parts `part` to before `next_part` of a recording, and by which release."""

    part: int
    next_part: int
    segments: tuple[Spoken, ...]
    language: str | None
    release: str
