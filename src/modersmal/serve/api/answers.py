"""A transcription as OpenAI's formats have it."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import BaseModel

from modersmal.language import WHISPER_LANGUAGES
from modersmal.logmel import HOP_SAMPLES
from modersmal.serve.engine.results import Heard, Piece, Spoken
from modersmal.transcribe.formats import Segment, Word, render

_UNDETERMINED = "und"


class Usage(BaseModel):
    """What was transcribed, in seconds of the recording."""

    type: Literal["duration"] = "duration"
    seconds: float


class SpokenLanguage(BaseModel):
    """A language, as BCP 47."""

    code: str


class Logprob(BaseModel):
    """A word, its UTF-8, and the logarithm of its probability."""

    token: str
    bytes: list[int]
    logprob: float


class Transcription(BaseModel):
    """The body of `json`."""

    text: str
    languages: list[SpokenLanguage]
    usage: Usage
    logprobs: list[Logprob] | None = None


class TimedWord(BaseModel):
    """A word, in seconds from the start."""

    word: str
    start: float
    end: float


class TimedSegment(BaseModel):
    """A segment, in seconds from the start. Texts begin with a space: joined, they are the whole.

    `seek` is where the part that was decoded begins, in hundredths of a second.
    """

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class VerboseTranscription(BaseModel):
    """The body of `verbose_json`. `language` is its English name, where Whisper knows it."""

    task: Literal["transcribe"] = "transcribe"
    language: str
    duration: float
    text: str
    segments: list[TimedSegment] | None = None
    words: list[TimedWord] | None = None
    usage: Usage


def text_of(segments: Iterable[Spoken]) -> str:
    """The whole text, on one line."""
    return " ".join(segment.text for segment in segments)


def segments_of(pieces: Iterable[Piece]) -> list[Spoken]:
    return [segment for piece in pieces for segment in piece.segments]


def transcription(heard: Heard, pieces: Sequence[Piece], *, logprobs: bool) -> Transcription:
    """What `json` has."""
    segments = segments_of(pieces)
    return Transcription(
        text=text_of(segments),
        languages=languages_of(pieces),
        usage=usage_of(heard),
        logprobs=logprobs_of(segments) if logprobs else None,
    )


def verbose(
    heard: Heard, pieces: Sequence[Piece], *, segments: bool, words: bool
) -> VerboseTranscription:
    """What `verbose_json` has."""
    spoken = segments_of(pieces)
    timed = [
        TimedWord(word=word.text, start=word.start_s, end=word.end_s)
        for segment in spoken
        for word in segment.words
    ]
    return VerboseTranscription(
        language=_name_of(languages_of(pieces)),
        duration=round(heard.duration_s, 3),
        text=text_of(spoken),
        segments=_timed_segments(heard, pieces) if segments else None,
        words=timed if words else None,
        usage=usage_of(heard),
    )


def subtitles(pieces: Sequence[Piece], kind: Literal["srt", "vtt"]) -> str:
    """What `srt` and `vtt` have."""
    cues = [Segment(one.start_s, one.end_s, one.text) for one in segments_of(pieces)]
    return render(cues, kind, about={})


def languages_of(pieces: Iterable[Piece]) -> list[SpokenLanguage]:
    """The languages that were spoken, in the order in which they came up."""
    codes = dict.fromkeys(piece.language for piece in pieces if piece.language)
    return [SpokenLanguage(code=code) for code in codes]


def logprobs_of(segments: Iterable[Spoken]) -> list[Logprob]:
    """One for each word."""
    return [_logprob(word) for segment in segments for word in segment.words]


def usage_of(heard: Heard) -> Usage:
    return Usage(seconds=round(heard.duration_s, 3))


def _logprob(word: Word) -> Logprob:
    probability = max(word.probability, 1e-10)
    return Logprob(
        token=word.text,
        bytes=list(word.text.encode()),
        logprob=round(math.log(probability), 4),
    )


def _timed_segments(heard: Heard, pieces: Sequence[Piece]) -> list[TimedSegment]:
    found: list[TimedSegment] = []
    for piece in pieces:
        for segment in piece.segments:
            values: dict[str, Any] = segment.to_table()
            found.append(
                TimedSegment(
                    id=len(found),
                    seek=heard.parts[piece.part].start // HOP_SAMPLES,
                    start=segment.start_s,
                    end=segment.end_s,
                    **values | {"text": f" {segment.text}"},
                )
            )
    return found


def _name_of(languages: list[SpokenLanguage]) -> str:
    code = languages[0].code if languages else _UNDETERMINED
    return WHISPER_LANGUAGES.get(code, code).lower()
