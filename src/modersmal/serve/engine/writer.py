"""The side that asks the process with the model: loaded, tried on known speech, and timed."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from modersmal.audio import SAMPLE_RATE
from modersmal.errors import RecipeError
from modersmal.language import resolve
from modersmal.logmel import FRAMES_PER_S, WINDOW_FRAMES
from modersmal.serve.engine.child import Child
from modersmal.serve.engine.options import Task, Wish
from modersmal.serve.engine.results import Heard, Span, Spoken
from modersmal.transcribe.speech import Part, joined
from modersmal.whisper.decode import WINDOW_S, context_frames

MODULE = "modersmal.serve.engine.writing_process"
_SHORT_FRAMES, _LONG_FRAMES = 600, 1500
_SHORT_CLIPS, _FULL_CLIPS = (1, 4, 8, 16), (1, 4)
_UNMEASURED_CLIPS = 4
_WORTH_IT = 0.95  # of the time that fewer clips together take


@dataclass(frozen=True)
class About:
    """What a loaded model is. `tokens` are the Whisper languages that it can write; `language` is
    its own, where it has one; `device` is what it computes on, and `converted` where CTranslate2
    reads it."""

    release: str
    language: str | None
    token: str | None
    tokens: frozenset[str]
    dynamic: bool
    floor_s: float
    windows: bool
    trained: bool
    device: str
    converted: str

    def token_of(self, language: str | None) -> str | None:
        """Whisper's token for a language, None where it is found out by listening.

        Raises:
            RecipeError: this model cannot write that language.
        """
        if language is None:
            return self.token
        if self.language and language.split("-")[0] == self.language.split("-")[0]:
            return self.token or "en"
        token = resolve(language).token
        if self.trained or token not in self.tokens:
            known = self.language or ", ".join(sorted(self.tokens))
            raise RecipeError(f"{self.release} does not write {language!r}; it writes {known}")
        return token

    def grouped(self, heard: Heard, first_part: int) -> list["Group"]:
        """What the model is given of a recording, from utterance `first_part` on."""
        parts = [Part(start=one.start, end=one.end) for one in heard.parts[first_part:]]
        timestamps = not self.trained or (self.windows and heard.duration_s > WINDOW_S)
        given = list(joined(parts)) if timestamps else parts
        groups: list[Group] = []
        number = first_part
        for part in given:
            begin = number
            while number < len(heard.parts) and heard.parts[number].start < part["end"]:
                number += 1
            groups.append(Group(begin, number, Span(part["start"], part["end"]), timestamps))
        return groups

    def task(self, group: "Group", wish: Wish, language: str | None) -> Task:
        """How a group is written, with Whisper's token for its `language`.

        Groups that are written alike can be heard in one batch.
        """
        return Task(
            frames=self._frames_of(group),
            timestamps=group.timestamps,
            language=language,
            prompt=wish.prompt if group.part == 0 else "",
            told=wish.told,
            temperature=wish.temperature,
            beams=wish.beams,
            words=wish.words,
        )

    def _frames_of(self, group: "Group") -> int:
        """The context that a group is heard in, in log-mel frames."""
        if group.timestamps or not self.dynamic:
            return WINDOW_FRAMES
        length_s = (group.span.end - group.span.start) / SAMPLE_RATE
        return context_frames(length_s, "dynamic", self.floor_s)


@dataclass(frozen=True)
class Group:
    """Utterances `part` to before `next_part` of a recording, which are heard together."""

    part: int
    next_part: int
    span: Span
    timestamps: bool

    @property
    def length_s(self) -> float:
        return (self.span.end - self.span.start) / SAMPLE_RATE


@dataclass(frozen=True)
class Wrote:
    """What was written of one group. `language` is None where the model has told none."""

    segments: tuple[Spoken, ...]
    language: str | None


class Writer:
    """A process with a model. Every method raises ChildEnded where the process is gone."""

    def __init__(self, child: Child, about: About) -> None:
        self.child, self.about = child, about
        self._seconds: dict[tuple[int, int], float] = {}  # that a clip took, by frames and clips

    @classmethod
    async def load(
        cls,
        child: Child,
        model: str,
        release: str,
        *,
        device: str,
        offline: bool,
        before: "Writer | None" = None,
    ) -> "Writer":
        """Load a model into a process, and try it on known speech, or take over what is known of it
        from the process that had it `before`.

        Raises:
            ModersmalError: it cannot be loaded, or what it writes cannot be anything.
        """
        asked = {"do": "load", "model": model, "device": device, "offline": offline}
        told = await child.ask(asked | {"converted": before.about.converted if before else None})
        about = About(release=release, **told | {"tokens": frozenset(told["tokens"])})
        writer = cls(child, about)
        if before:
            writer._seconds.update(before._seconds)
        else:
            await child.ask({"do": "canary"})
        return writer

    async def write(self, parts: Sequence[tuple[str, Span]], task: Task) -> list[Wrote]:
        """Transcribe parts (file of samples, span) in one batch."""
        given = [[path, span.start, span.end] for path, span in parts]
        answer = await self.child.ask({"do": "write", "parts": given, "task": asdict(task)})
        return [
            Wrote(tuple(Spoken.of_table(one) for one in text["segments"]), text["language"])
            for text in answer["texts"]
        ]

    async def measure(self, frames: int, clips: int) -> None:
        """Time a batch of `clips`."""
        answer = await self.child.ask({"do": "measure", "frames": frames, "clips": clips})
        self._seconds[frames, clips] = answer["seconds"] / clips

    def best_clips(self, frames: int) -> int:
        """How many clips of a context are fastest together: more than that make others wait.

        Before anything was measured: some of short contexts, and one of the full one, for there
        batching loses on a CPU.
        """
        contexts = {context for context, _ in self._seconds}
        if not contexts:
            return 1 if frames > _LONG_FRAMES else _UNMEASURED_CLIPS
        nearest = min((one for one in contexts if one >= frames), default=max(contexts))
        best, best_seconds = 1, math.inf
        for (context, clips), seconds in sorted(self._seconds.items()):
            if context == nearest and seconds < _WORTH_IT * best_seconds:
                best, best_seconds = clips, seconds
        return best

    def unmeasured(self) -> tuple[int, int] | None:
        """Frames and clips that are still to be measured, None where nothing is."""
        wanted = [(WINDOW_FRAMES, clips) for clips in _FULL_CLIPS]
        if self.about.dynamic:
            wanted = [(_SHORT_FRAMES, clips) for clips in _SHORT_CLIPS] + wanted
        return next((one for one in wanted if one not in self._seconds), None)

    def measured(self) -> dict[str, Any]:
        """Seconds a clip, by context in seconds and clips together."""
        return {
            f"{frames // FRAMES_PER_S} s x {clips}": round(seconds, 3)
            for (frames, clips), seconds in sorted(self._seconds.items())
        }
