"""Make the demo's corpus: weather reports in a family of voices that the base never heard.

    python recipes/base/demo.py --to src/modersmal/assets/demo/cv-corpus-demo-sv.tar.gz

The layout is that of a Common Voice release. Voices are espeak-ng's Klatt synthesiser (the base
heard the other one only); speakers and sentences of train, dev and test are disjoint.
"""

import argparse
import gzip
import hashlib
import io
import random
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from espeak import SAMPLE_RATE, Voice, speak
from speech import RATE, recorded
from weather import sentence

ROOT = "cv-corpus-demo/sv-SE"
VARIANTS = {
    "train": "klatt klatt2 klatt3 adam announcer benjamin UniRobot".split(),
    "dev": ["klatt5", "edward2"],
    "test": "klatt4 caleb david edward".split(),
}
SPEAKERS = {"train": 26, "dev": 4, "test": 10}
CLIPS = {"train": 520, "dev": 40, "test": 100}
COLUMNS = (
    "client_id path sentence_id sentence sentence_domain up_votes down_votes age gender accents "
    "variant locale segment"
).split()


@dataclass(frozen=True)
class Speaker:
    client_id: str
    voice: Voice
    size: float


def speaker(split: str, number: int) -> Speaker:
    draw = random.Random(f"demo-{split}-{number}")
    variants = VARIANTS[split]
    voice = Voice(
        variant=variants[number % len(variants)],
        pitch=draw.randint(25, 75),
        range=draw.randint(30, 70),
        words_per_minute=draw.randint(140, 195),
    )
    client_id = hashlib.sha512(f"demo-{split}-{number}".encode()).hexdigest()
    return Speaker(client_id, voice, draw.uniform(0.92, 1.1))


def sentences() -> dict[str, list[str]]:
    """Distinct reports, dealt to the splits."""
    distinct = list(dict.fromkeys(sentence(1, index) for index in range(4000)))
    dealt, start = {}, 0
    for split, count in CLIPS.items():
        dealt[split] = distinct[start : start + count]
        start += count
    return dealt


def spoken(text: str, who: Speaker, key: str) -> bytes:
    """The clip as Ogg Opus, a third of what MP3 takes."""
    samples = speak(text, who.voice).astype(np.float32) / 32768
    samples = soxr.resample(samples, SAMPLE_RATE, RATE * who.size)
    samples = recorded(samples, random.Random(f"demo-room-{key}"))
    out = io.BytesIO()
    soundfile.write(out, samples, RATE, format="OGG", subtype="OPUS", compression_level=0.96)
    return out.getvalue()


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(f"{ROOT}/{name}")
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def main() -> None:
    parser = argparse.ArgumentParser(description="Speak the demo's corpus.")
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    options.to.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    with (
        options.to.open("wb") as file,
        gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        clips: dict[str, bytes] = {}
        for split, texts in sentences().items():
            lines = ["\t".join(COLUMNS)]
            for index, text in enumerate(texts):
                who = speaker(split, index % SPEAKERS[split])
                name = f"common_voice_sv-SE_{90_000_000 + number}.ogg"
                number += 1
                clips[name] = spoken(text, who, name)
                digest = hashlib.sha256(text.encode()).hexdigest()
                row = [who.client_id, name, digest, text, "", "2", "0", "", "", "", "", "sv-SE", ""]
                lines.append("\t".join(row))
            add(archive, f"{split}.tsv", ("\n".join(lines) + "\n").encode())
        for name, data in clips.items():
            add(archive, f"clips/{name}", data)


if __name__ == "__main__":
    main()
