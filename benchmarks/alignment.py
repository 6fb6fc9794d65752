"""Aligning a text without times: where sentences begin, and what is refused.

    MODERSMAL_BENCH_DATA=/data/longform python benchmarks/alignment.py [--model bundled]

MODERSMAL_BENCH_DATA is a folder of recordings, each NAME.mp3 with NAME.json beside it: a list of
segments with `start`, `end` (s) and `text`. A segment is compared from where it sounds: clips have
silence at both ends, which belongs to no speech. Three texts are aligned with every recording: its
own; its own with some sentences left out and some of another recording's put in; and another
recording's, of which every sentence that is kept is a mistake.
"""

import argparse
import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modersmal.audio import SAMPLE_RATE, decode
from modersmal.corpus.alignment import Alignment
from modersmal.whisper.align import HeardLetters, ModelAligner, align_text
from modersmal.whisper.sentences import sentences_of

SOUND_DB = -25.0  # below the segment's loud parts
FRAME_SAMPLES = 320
PIECE_SAMPLES = 1 << 16
CHANGED_SHARE = 0.2


@dataclass(frozen=True)
class Recording:
    """`said` are (start, end) in seconds of each text's sound."""

    name: str
    samples: np.ndarray
    said: dict[str, tuple[float, float]]

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE

    def pieces(self) -> Iterator[np.ndarray]:
        for first in range(0, len(self.samples), PIECE_SAMPLES):
            yield self.samples[first : first + PIECE_SAMPLES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="bundled", help="what aligns (default: bundled)")
    parser.add_argument("--language", default="sv")
    options = parser.parse_args()
    folder = Path(os.environ["MODERSMAL_BENCH_DATA"])
    paths = [path.with_suffix(".mp3") for path in sorted(folder.rglob("*.json"))]
    recordings = [read(path) for path in paths if path.is_file()]
    aligner = Listening(ModelAligner(options.model, options.language))
    own, mixed, other = Tally(), Tally(), Tally()
    began_s = time.monotonic()
    for recording in recordings:
        own.add(aligner(recording, list(recording.said)), recording)
    took_s = time.monotonic() - began_s
    for recording, stranger in zip(recordings, [*recordings[1:], recordings[0]], strict=True):
        mixed.add(aligner(recording, changed(recording, stranger)), recording)
        other.add(aligner(recording, list(stranger.said)), recording)
    hours = sum(recording.duration_s for recording in recordings) / 3600
    print(f"{options.model}, {len(recordings)} recordings, {60 * hours:.1f} min")
    print(f"aligned in {took_s:.0f} s, {3600 * hours / took_s:.1f} times as fast as they play")
    print("| text | sentences of it said | kept | others | kept | start: median, 95 % | end |")
    print("|---|---|---|---|---|---|---|")
    for name, tally in (("its own", own), ("changed", mixed), ("another's", other)):
        print(f"| {name} | {tally} |")


class Listening:
    """Aligns any text with a recording that is listened to once."""

    def __init__(self, aligner: ModelAligner) -> None:
        self.aligner = aligner
        self.heard: dict[str, tuple[HeardLetters, np.ndarray]] = {}

    def __call__(self, recording: Recording, texts: list[str]) -> Alignment:
        if recording.name not in self.heard:
            self.heard[recording.name] = self.aligner.listen(recording.pieces())
        letters, pauses_s = self.heard[recording.name]
        return align_text("\n".join(texts), letters, pauses_s)


class Tally:
    """Counts of sentences and errors of times, over recordings."""

    def __init__(self) -> None:
        self.said = self.said_kept = self.others = self.others_kept = 0
        self.starts_s: list[float] = []
        self.ends_s: list[float] = []

    def add(self, alignment: Alignment, recording: Recording) -> None:
        for one in alignment.sentences:
            kept = one.match >= alignment.limit
            if one.text in recording.said:
                start_s, end_s = recording.said[one.text]
                self.said += 1
                self.said_kept += kept
                if kept and one.start_s is not None and one.end_s is not None:
                    self.starts_s.append(abs(one.start_s - start_s))
                    self.ends_s.append(abs(one.end_s - end_s))
            else:
                self.others += 1
                self.others_kept += kept

    def __str__(self) -> str:
        errors = [
            f"{np.median(one):.3f}, {np.percentile(one, 95):.2f} s" if one else ""
            for one in (self.starts_s, self.ends_s)
        ]
        counts = (self.said, self.said_kept, self.others, self.others_kept)
        return " | ".join([*map(str, counts), *errors])


def read(path: Path) -> Recording:
    written = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    segments = written["segments"] if isinstance(written, dict) else written
    samples = decode(path).samples
    said = {}
    for segment in segments:
        [text, *more] = sentences_of(segment["text"]) or [""]
        if text and not more:
            said[text] = sound(samples, segment["start"], segment["end"])
    return Recording(path.stem, samples, said)


def sound(samples: np.ndarray, start_s: float, end_s: float) -> tuple[float, float]:
    """When a segment's first and last frame begin that are as loud as speech."""
    part = samples[round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)]
    frames = part[: len(part) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    level_db = 10 * np.log10((frames**2).mean(1) + 1e-12)
    loud = np.flatnonzero(level_db > np.percentile(level_db, 95) + SOUND_DB)
    frame_s = FRAME_SAMPLES / SAMPLE_RATE
    return start_s + loud[0] * frame_s, start_s + (loud[-1] + 1) * frame_s


def changed(recording: Recording, stranger: Recording) -> list[str]:
    """Texts of a recording with some left out, some replaced by others and some added."""
    draw = random.Random(0)
    texts: list[str] = []
    for text, foreign in zip(recording.said, [*stranger.said] * 9, strict=False):
        kind = draw.random()
        if kind < CHANGED_SHARE:
            texts.append(foreign)
        elif kind < 2 * CHANGED_SHARE:
            texts += [text, foreign]
        elif kind > CHANGED_SHARE * 3:
            texts.append(text)
    return texts


if __name__ == "__main__":
    main()
