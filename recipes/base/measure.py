"""Measure the bundled base on voices and sentences that it never heard.

    python recipes/base/measure.py build/base

Decodes the test split of the corpus that speech.py made, as a user's programs would: in dynamic
and in full context, by plain faster-whisper (which pads with zero features), and in recordings of
a minute and a half joined from its clips, whose times are known.
"""

import argparse
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from faster_whisper import WhisperModel

from modersmal.config import EvaluateConfig
from modersmal.evaluate.metrics import ErrorRate, score
from modersmal.transcribe.engine import Engine
from modersmal.whisper.convert import cached_ctranslate2
from modersmal.whisper.decode import decode
from modersmal.whisper.decode_torch import TransformersDecoder
from modersmal.whisper.load import load, locate
from train import RATE, Clip, Corpus

RECORDING_S = 90.0
PAUSES_S = (0.6, 1.0, 3.0)


@dataclass(frozen=True)
class Spoken:
    """What was said from `start_s` to `end_s`."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class Recording:
    """Clips of one voice with pauses between them; samples (n,) float32 at 16 kHz."""

    samples: np.ndarray
    said: list[Spoken]
    voice: str

    @property
    def text(self) -> str:
        return " ".join(one.text for one in self.said)


def error_rate(references: list[str], hypotheses: list[str], voices: list[str]) -> ErrorRate:
    """WER of texts as they are written: case and punctuation count."""
    made = score(references, hypotheses, voices, language="sv", config=EvaluateConfig())
    return made.orthographic.wer


def shown(rate: ErrorRate) -> str:
    if rate.interval is None:
        return f"{100 * rate.rate:5.1f} %"
    low, high = 100 * rate.interval.low, 100 * rate.interval.high
    return f"{100 * rate.rate:5.1f} % [{low:.1f}, {high:.1f}]"


def recordings(corpus: Corpus, clips: Iterable[Clip]) -> Iterator[Recording]:
    """Join the clips of each voice into recordings of about a minute and a half."""
    by_voice = sorted(clips, key=lambda clip: clip.voice)
    for voice, spoken in itertools.groupby(by_voice, key=lambda clip: clip.voice):
        pauses_s = itertools.cycle(PAUSES_S)
        parts, said, at = [], [], 0
        for clip in spoken:
            end = at + clip.length
            said.append(Spoken(at / RATE, end / RATE, clip.text))
            parts.append(corpus.audio(clip))
            parts.append(np.zeros(round(next(pauses_s) * RATE), np.float32))
            at = end + len(parts[-1])
            if at > RECORDING_S * RATE:
                yield Recording(np.concatenate(parts), said, voice)
                parts, said, at = [], [], 0


def plain_faster_whisper(model: WhisperModel, samples: np.ndarray, **options: bool) -> list[Spoken]:
    segments, _ = model.transcribe(
        samples, language="sv", beam_size=1, temperature=0.0, condition_on_previous_text=False,
        no_speech_threshold=None, **options,
    )  # fmt: skip
    return [Spoken(segment.start, segment.end, segment.text.strip()) for segment in segments]


def distances_s(said: list[float], found: list[float]) -> np.ndarray:
    """How far each time that was found lies from the nearest true one, in seconds."""
    return np.abs(np.subtract.outer(found, said)).min(axis=1)


def measure_clips(corpus: Corpus, clips: list[Clip], model: str, plain: WhisperModel) -> None:
    decoder = TransformersDecoder(load(model))
    samples = [corpus.audio(clip) for clip in clips]
    written = {
        f"{context} context": [
            hypothesis.text
            for hypothesis in decode(decoder, samples, language_token="sv", context=context)
        ]
        for context in ("dynamic", "full")
    }
    written["zero features (plain faster-whisper)"] = [
        " ".join(one.text for one in plain_faster_whisper(plain, one, without_timestamps=True))
        for one in samples
    ]
    for way, texts in written.items():
        for domain in ("closed", "open"):
            chosen = [number for number, clip in enumerate(clips) if clip.domain == domain]
            rate = error_rate(
                [clips[number].text for number in chosen],
                [texts[number] for number in chosen],
                [clips[number].voice for number in chosen],
            )
            print(f"clips, {way}: {domain}, {len(chosen)} clips: {shown(rate)}", flush=True)
    for voice in sorted({clip.voice for clip in clips}):
        rates = []
        for domain in ("closed", "open"):
            pairs = [
                (clip.text, text)
                for clip, text in zip(clips, written["dynamic context"], strict=True)
                if clip.voice == voice and clip.domain == domain
            ]
            if pairs:
                references, hypotheses = (list(texts) for texts in zip(*pairs, strict=True))
                rate = error_rate(references, hypotheses, [voice] * len(pairs))
                rates.append(f"{domain} {100 * rate.rate:.1f} %")
        print(f"  voice {voice}: {', '.join(rates)}", flush=True)


def measure_recordings(made: list[Recording], model: str, plain: WhisperModel) -> None:
    engine = Engine.open(model)
    ways = {
        "modersmal transcribe": lambda samples: [
            Spoken(one.start_s, one.end_s, one.text) for one in engine.transcribe(samples).segments
        ],
        "30 s windows with timestamps (plain faster-whisper)": lambda samples: plain_faster_whisper(
            plain, samples
        ),
    }
    for way, transcribe in ways.items():
        found = [transcribe(recording.samples) for recording in made]
        rate = error_rate(
            [recording.text for recording in made],
            [" ".join(one.text for one in segments) for segments in found],
            [recording.voice for recording in made],
        )
        print(f"recordings, {way}: {shown(rate)}")
        for name in ("start_s", "end_s"):
            away_s = np.concatenate(
                [
                    distances_s(
                        [getattr(one, name) for one in recording.said],
                        [getattr(one, name) for one in segments],
                    )
                    for recording, segments in zip(made, found, strict=True)
                    if segments
                ]
            )
            print(
                f"  {name} of {len(away_s)} segments ({sum(len(r.said) for r in made)} said): "
                f"median {np.median(away_s):.2f} s away, {100 * np.mean(away_s <= 0.5):.0f} % "
                "within half a second",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the bundled base on its test split.")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--clips", type=int, help="measure the first ones only")
    options = parser.parse_args()
    corpus = Corpus(options.corpus)
    clips = corpus.split("test")[: options.clips]
    plain = WhisperModel(
        str(cached_ctranslate2(locate(options.model))), device="cpu", compute_type="float32"
    )
    measure_clips(corpus, clips, options.model, plain)
    for domain in ("closed", "open"):
        joined = list(recordings(corpus, [clip for clip in clips if clip.domain == domain]))
        print(f"{domain}, {len(joined)} recordings")
        if joined:
            measure_recordings(joined, options.model, plain)


if __name__ == "__main__":
    main()
