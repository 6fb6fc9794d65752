"""The process with the model, started before it is needed, with all that takes long to import."""

import math
import tarfile
import time
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from modersmal import audio
from modersmal.errors import ModelError
from modersmal.language import Vocabulary
from modersmal.logmel import FRAMES_PER_S, HOP_SAMPLES
from modersmal.serve.engine.child import Answer, Question, answer_questions
from modersmal.serve.engine.options import Task
from modersmal.serve.engine.results import Span
from modersmal.serve.engine.writing import Writing
from modersmal.transcribe.engine import Device
from modersmal.whisper.decode import context_frames

CANARIES = 3
_REPEATS_RATIO = 4.0


class Process:
    """Answers questions by its one model, once that is loaded."""

    def __init__(self) -> None:
        self._opened: Writing | None = None

    def answer(self, question: Question) -> Answer:
        """Do what `question["do"]` says. Raises ModersmalError where that cannot be done."""
        asked = question.pop("do")
        if asked == "warm":
            return {}
        if asked == "load":
            return self._load(**question)
        if asked == "canary":
            return self._canary()
        if asked == "measure":
            return self._measure(**question)
        return self._write(**question)

    @property
    def _writing(self) -> Writing:
        if self._opened is None:
            raise ModelError("no model is loaded")
        return self._opened

    def _load(self, model: str, device: Device, offline: bool, converted: str | None) -> Answer:
        place = Path(converted) if converted else None
        self._opened = Writing.open(model, device, offline, place)
        about = self._opened.about
        english = about.vocabulary is Vocabulary.ENGLISH
        known = [] if english else about.vocabulary.languages
        tokens = [code for code in known if about.tokenizer.token_to_id(f"<|{code}|>") is not None]
        return {
            "language": about.language.code if about.language else "en" if english else None,
            "token": about.language.token if about.language else None,
            "tokens": ["en"] if english else tokens,
            "dynamic": self._opened.trained and about.context == "dynamic",
            "floor_s": about.context_floor_s,
            "windows": about.windows or not self._opened.trained,
            "trained": self._opened.trained,
            "device": self._opened.device,
            "converted": str(self._opened.converted),
        }

    def _write(self, parts: Sequence[tuple[str, int, int]], task: dict[str, Any]) -> Answer:
        spans = [Span(start, end) for _, start, end in parts]
        clips = [_samples(Path(path), span) for (path, *_), span in zip(parts, spans, strict=True)]
        texts = self._writing.write(clips, spans, Task(**task))
        return {
            "texts": [
                {"segments": [one.to_table() for one in text.segments], "language": text.language}
                for text in texts
            ]
        }

    def _canary(self) -> Answer:
        """Transcribe known speech. Raises ModelError where what comes out cannot be anything."""
        writing = self._writing
        clips = list(_speech())
        token = writing.about.language.token if writing.about.language else None
        if token is None and writing.about.vocabulary is not Vocabulary.ENGLISH:
            token = "sv"
        longest_s = max(map(len, clips)) / audio.SAMPLE_RATE
        dynamic = writing.trained and writing.about.context == "dynamic"
        frames = context_frames(
            longest_s, "dynamic" if dynamic else "full", writing.about.context_floor_s
        )
        task = Task(frames, False, token, "", "", 0.0, 1, False)
        texts = writing.write(clips, [Span(0, len(clip)) for clip in clips], task)
        spoken = [segment for text in texts for segment in text.segments]
        if not spoken:
            raise ModelError("it wrote nothing of speech that is known")
        if not all(math.isfinite(segment.avg_logprob) for segment in spoken):
            raise ModelError("its probabilities are not numbers")
        if all(segment.compression_ratio > _REPEATS_RATIO for segment in spoken):
            raise ModelError("it wrote the same over and over of speech that is known")
        return {}

    def _measure(self, frames: int, clips: int) -> Answer:
        """Seconds that a batch of `clips` takes: four tokens a second, as in speech."""
        whisper, about = self._writing, self._writing.about
        noise = (
            np.random.default_rng(0).standard_normal(frames * HOP_SAMPLES).astype(np.float32) * 0.1
        )
        seconds = frames // FRAMES_PER_S
        token = about.language.token if about.language else None
        if token is None and about.vocabulary is not Vocabulary.ENGLISH:
            token = "sv"
        began_s = time.monotonic()
        whisper.rehearse([noise] * clips, frames, token, most_tokens=4 * seconds)
        return {"seconds": time.monotonic() - began_s}


def _samples(path: Path, span: Span) -> np.ndarray:
    count = span.end - span.start
    samples = np.fromfile(path, dtype="<f4", count=count, offset=4 * span.start)
    if len(samples) != count:
        raise ModelError("the samples of a recording are not all there")
    return samples


def _speech() -> Iterator[np.ndarray]:
    """The first clips of the demo's corpus."""
    folder = resources.files("modersmal") / "assets" / "demo"
    (archive,) = (entry for entry in folder.iterdir() if entry.name.endswith(".tar.gz"))
    count = 0
    with archive.open("rb") as file, tarfile.open(fileobj=file) as opened:
        for member in opened:
            stream = opened.extractfile(member)
            if stream is None or "/clips/" not in member.name:
                continue
            yield audio.decode(stream.read()).samples
            count += 1
            if count == CANARIES:
                return


def main() -> None:
    answer_questions(Process().answer)


if __name__ == "__main__":
    main()
