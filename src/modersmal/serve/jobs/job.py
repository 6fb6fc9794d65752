"""A recording that somebody put into the page, and the segments of its text."""

from dataclasses import dataclass
from typing import Any, Literal

from modersmal.corpus.corrections.correction import LONGEST_S, SHORTEST_S
from modersmal.transcribe.formats import Word

State = Literal["waiting", "hearing", "writing", "done", "failed", "cancelled"]
Unfit = Literal["empty", "guessed", "short", "long"]
UNDER_WAY: tuple[State, ...] = ("waiting", "hearing", "writing")


@dataclass(frozen=True)
class Job:
    """A recording and how far its text is. Moments are UTC seconds since 1970.

    `wish` is how it is to be transcribed, as JSON. The text is there up to `reached_s`;
    `next_part` is the first part that is not written. `changes` counts the changes of its text.
    """

    id: str
    title: str
    state: State
    wish: dict[str, Any]
    protected: bool
    created_s: float
    expires_s: float
    duration_s: float | None
    reached_s: float
    next_part: int
    language: str | None
    release: str | None
    error: str | None
    changes: int


@dataclass(frozen=True)
class Segment:
    """One segment as it is now: `text` is what stands, `written` and `words` what the model wrote.

    `version` counts its changes; `changed` is the change of the job that was its last. A person
    has `confirmed` that the text is right as it stands. An edge is guessed where a split has no
    word beside it whose time was heard.
    """

    id: str
    place: float
    start_s: float
    end_s: float
    text: str
    written: str
    words: tuple[Word, ...]
    probability: float
    version: int
    changed: int
    release: str
    confirmed: bool = False
    start_guessed: bool = False
    end_guessed: bool = False

    @property
    def unfit(self) -> Unfit | None:
        """Why nothing can be learned from its text: whether that is of its span is not known, or
        its span is none that a model hears at a time."""
        if not self.text:
            return "empty"
        if self.start_guessed or self.end_guessed:
            return "guessed"
        if self.end_s - self.start_s < SHORTEST_S:
            return "short"
        return "long" if self.end_s - self.start_s > LONGEST_S else None

    def to_table(self) -> dict[str, Any]:
        """As the page is told of it."""
        return {
            "id": self.id,
            "start_s": self.start_s,
            "end_s": self.end_s,
            "text": self.text,
            "written": self.written,
            "words": [word.__dict__ for word in self.words],
            "probability": self.probability,
            "version": self.version,
            "confirmed": self.confirmed,
            "unfit": self.unfit,
        }
