"""Make the synthetic speech that the bundled base is trained on.

    python recipes/base/speech.py --to build/base --clips 60000

Writes `sentences.txt` (what train will say, so that training can begin on the first clips),
`clips.i16` (16 kHz mono samples, one clip after another) and `clips.jsonl` (one line a clip:
offset and length in samples, text, domain, split, voice). Clip number i is a pure function
of (seed, i). No two splits share a sentence, and dev and test speak with voices that train never
hears. The Klatt family of voices is kept out altogether: the demo speaks with it.
"""

import argparse
import hashlib
import json
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from espeak import SAMPLE_RATE, Voice, speak
from text import sentence

RATE = 16_000

TRAIN_VOICES = (
    "m1 m2 m3 m4 m6 m7 f1 f2 f3 f4 Alex Alicia Andrea Andy Annie Denis Diogo Gene Henrique Hugo "
    "Jacky Lee Marco Mario Michael Mike Storm anika antonio aunty belinda boris ed grandma gustave "
    "iven iven2 john max michel miguel norbert pablo paul pedro quincy rob robert sandro steph "
    "steph2 victor zac"
).split()
DEV_VOICES = ("m8", "f5", "linda", "grandpa")
TEST_VOICES = ("m5", "shelby", "travis", "marcelo", "kaukovalta", "steph3", "Gene2", "iven3")
HELD_OUT_PER_MILLE = 40


@dataclass(frozen=True)
class Clip:
    text: str
    domain: str
    split: str
    voice: str
    samples: np.ndarray


def split_of(text: str) -> str:
    """The split of a sentence: by its hash, so that no two splits share one."""
    bucket = int.from_bytes(hashlib.sha256(text.casefold().encode()).digest()[:4], "big") % 1000
    if bucket < HELD_OUT_PER_MILLE // 2:
        return "dev"
    return "test" if bucket < HELD_OUT_PER_MILLE else "train"


def clip(seed: int, index: int) -> Clip:
    """Speak sentence `index` in a random voice, room and noise."""
    text, domain = sentence(seed, index)
    split = split_of(text)
    draw = random.Random(f"speech-{seed}-{index}")
    voices = {"train": TRAIN_VOICES, "dev": DEV_VOICES, "test": TEST_VOICES}[split]
    voice = Voice(
        variant=draw.choice(voices),
        pitch=draw.randint(20, 80),
        range=draw.randint(20, 80),
        words_per_minute=round(draw.triangular(120, 220, 165)),
    )
    samples = speak(text, voice).astype(np.float32) / 32768
    size = draw.uniform(0.88, 1.14)  # the length of the vocal tract, by resampling
    samples = soxr.resample(samples, SAMPLE_RATE, RATE * size)
    return Clip(text, domain, split, voice.variant, recorded(samples, draw))


def recorded(samples: np.ndarray, draw: random.Random) -> np.ndarray:
    """Put clean speech (float32, 16 kHz) into a room with a microphone; returns int16."""
    noise = np.random.default_rng(draw.getrandbits(32))
    margins = [noise_free(draw.uniform(0.0, 0.35)) for _ in range(2)]
    samples = np.concatenate([margins[0], samples, margins[1]])
    if draw.random() < 0.5:
        samples = in_room(samples, draw.uniform(0.1, 0.5), draw.uniform(0.1, 0.6), noise)
    if draw.random() < 0.3:
        cutoff_hz = draw.uniform(3_000, 7_000)
        samples = low_passed(samples, cutoff_hz)
    if draw.random() < 0.7:
        snr_db = draw.uniform(8, 40)
        samples = samples + coloured_noise(len(samples), draw.uniform(0, 1.5), noise) * (
            np.sqrt(np.mean(samples**2)) * 10 ** (-snr_db / 20)
        )
    peak = draw.uniform(0.1, 0.95) / max(np.abs(samples).max(), 1e-6)
    return (samples * peak * 32767).astype(np.int16)


def noise_free(duration_s: float) -> np.ndarray:
    return np.zeros(round(duration_s * RATE), np.float32)


def in_room(
    samples: np.ndarray, decay_s: float, wet: float, noise: np.random.Generator
) -> np.ndarray:
    """Convolve with exponentially decaying noise, the simplest model of a room."""
    times = np.arange(round(decay_s * RATE)) / RATE
    tail = noise.standard_normal(len(times)) * np.exp(-6.9 * times / decay_s)
    tail *= wet / np.sqrt(np.sum(tail**2))
    tail[0] += 1.0
    size = 1 << (len(samples) + len(tail)).bit_length()
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(tail, size)
    return np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)


def low_passed(samples: np.ndarray, cutoff_hz: float) -> np.ndarray:
    spectrum = np.fft.rfft(samples)
    frequencies = np.fft.rfftfreq(len(samples), 1 / RATE)
    return np.fft.irfft(spectrum / (1 + (frequencies / cutoff_hz) ** 8), len(samples))


def coloured_noise(count: int, tilt: float, noise: np.random.Generator) -> np.ndarray:
    """Unit-power noise whose amplitude falls as 1 / f**tilt."""
    spectrum = np.fft.rfft(noise.standard_normal(count))
    spectrum /= np.maximum(np.arange(len(spectrum)), 20) ** tilt
    samples = np.fft.irfft(spectrum, count)
    return samples / max(np.sqrt(np.mean(samples**2)), 1e-9)


def _clips(seed: int, start: int, stop: int) -> list[Clip]:
    return [clip(seed, index) for index in range(start, stop)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Speak the base model's training corpus.")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    texts = [sentence(options.seed, index)[0] for index in range(options.clips)]
    said = sorted({text for text in texts if split_of(text) == "train"})
    (options.to / "sentences.txt").write_text("\n".join(said) + "\n", encoding="utf-8")
    block, offset, seen = 200, 0, set()
    with (
        (options.to / "clips.i16").open("wb") as audio,
        (options.to / "clips.jsonl").open("w", encoding="utf-8") as rows,
        ProcessPoolExecutor(options.workers) as pool,
    ):
        starts = range(0, options.clips, block)
        stops = [min(start + block, options.clips) for start in starts]
        for clips in pool.map(_clips, [options.seed] * len(starts), starts, stops):
            for made in clips:
                if made.text in seen:
                    continue
                seen.add(made.text)
                audio.write(made.samples.tobytes())
                row = {
                    "offset": offset,
                    "length": len(made.samples),
                    "text": made.text,
                    "domain": made.domain,
                    "split": made.split,
                    "voice": made.voice,
                }
                rows.write(json.dumps(row, ensure_ascii=False) + "\n")
                offset += len(made.samples)
            audio.flush()
            rows.flush()


if __name__ == "__main__":
    main()
