"""Recordings whose text has no times: an aligner finds where each sentence is said.

What it finds is kept in the work folder, so that a killed `prepare` listens to no recording twice.
The aligner comes from above, since it needs a model.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from modersmal import store
from modersmal.audio import SAMPLE_RATE, stream
from modersmal.corpus.sources.base import LongRow, Refused, Row, Source, clip_path
from modersmal.corpus.sources.recordings import pieces
from modersmal.corpus.tiling import Barrier, Segment
from modersmal.errors import AudioError
from modersmal.language import is_spaced
from modersmal.progress import Advance, progress

CACHE_PREFIX = "aligned-"


@dataclass(frozen=True)
class Sentence:
    """A sentence of a text, and from when to when it is said; None where nothing is like it.

    `match` is the share of its letters, or of those heard in its place where they are more, that
    are the same in both.
    """

    text: str
    start_s: float | None
    end_s: float | None
    match: float


@dataclass(frozen=True)
class Alignment:
    """The sentences of a text, in its order.

    Those that match less than `limit` are not what is said. `unwritten` are (start, end) in
    seconds of what is said and is not in the text.
    """

    sentences: tuple[Sentence, ...]
    limit: float
    unwritten: tuple[tuple[float, float], ...]


class Aligner(Protocol):
    """Finds the sentences of `text` in a recording that comes in pieces: (n,) float32, 16 kHz.

    `name` is all that the result depends on beside the two.
    """

    @property
    def name(self) -> str: ...

    def __call__(self, recording: Iterator[np.ndarray], text: str) -> Alignment: ...


class Aligned:
    """Cuts recordings without times into rows, by an aligner; as `make_plan` wants it."""

    def __init__(self, aligner: Aligner, work: Path, language: str, longest_s: float) -> None:
        self._aligner, self._work = aligner, work
        self._space = " " if is_spaced(language) else ""
        self._longest_s = longest_s

    def __call__(self, row: LongRow, source: Source) -> Iterator[Row | Refused]:
        try:
            alignment = self._alignment(row, source)
        except AudioError as error:
            yield Refused(
                row.where, "unreadable", str(error), row.path, row.split, of_recording=True
            )
            return
        parts: list[Segment | Barrier] = [Barrier(*stretch) for stretch in alignment.unwritten]
        latest_s = 0.0
        for number, one in enumerate(alignment.sentences, 1):
            where = f"{row.where} sentence {number}"
            if one.start_s is not None and one.end_s is not None and one.match >= alignment.limit:
                parts.append(
                    Segment(one.start_s, one.end_s, one.text, where, row.speaker, one.match)
                )
                latest_s = one.end_s
                continue
            detail = _detail(one, alignment.limit, latest_s)
            yield Refused(where, "no-match", detail, row.path, row.split, one.text, True)
            start_s = latest_s if one.start_s is None else one.start_s
            parts.append(Barrier(start_s, start_s if one.end_s is None else one.end_s))
        yield from pieces(
            row.path, parts, split=row.split, longest_s=self._longest_s, space=self._space
        )

    def _alignment(self, row: LongRow, source: Source) -> Alignment:
        asked = [source.name, row.path, row.size, row.head_s, row.text, self._aligner.name]
        key = hashlib.sha256(json.dumps(asked).encode("utf-8", "surrogatepass")).hexdigest()
        cache = self._work / f"{CACHE_PREFIX}{key[:24]}.json"
        if cache.exists():
            return _read(cache)
        length_s = row.duration_s if row.head_s is None else min(row.head_s, row.duration_s)
        with progress(f"Aligning {row.path}", total=round(length_s), unit="s") as advance:
            recording = _counted(_pieces_of(row, source), advance)
            alignment = self._aligner(recording, row.text)
        store.write_json(cache, asdict(alignment))
        return alignment


def _detail(sentence: Sentence, limit: float, latest_s: float) -> str:
    if sentence.start_s is None or sentence.end_s is None:
        return f"nothing like it is heard after {latest_s:.1f} s"
    return (
        f"from {sentence.start_s:.1f} to {sentence.end_s:.1f} s, {sentence.match:.0%} of it is "
        f"heard, the limit is {limit:.0%}"
    )


def _read(cache: Path) -> Alignment:
    written = json.loads(cache.read_text(encoding="utf-8"))
    return Alignment(
        tuple(Sentence(**one) for one in written["sentences"]),
        written["limit"],
        tuple((start_s, end_s) for start_s, end_s in written["unwritten"]),
    )


def _pieces_of(row: LongRow, source: Source) -> Iterator[np.ndarray]:
    if source.root is None:
        raise AudioError(f"{row.path} did not come with its archive")
    left = None if row.head_s is None else round(row.head_s * SAMPLE_RATE)
    for piece in stream(clip_path(source.root, row.path), name=row.path):
        yield piece if left is None else piece[:left]
        if left is not None and (left := left - len(piece)) <= 0:
            return


def _counted(recording: Iterator[np.ndarray], advance: Advance) -> Iterator[np.ndarray]:
    """Tell whole seconds as they are taken."""
    samples = told = 0
    for piece in recording:
        samples += len(piece)
        seconds = samples // SAMPLE_RATE
        advance(seconds - told)
        told = seconds
        yield piece
