"""Speak the sentences of texts.tsv with espeak-ng into NAME.ogg: python tests/data/speech/make.py

The clips are synthetic speech, kept so that tests need no voice installed.
"""

import csv
import io
import subprocess
from pathlib import Path

import soundfile
import soxr

HERE = Path(__file__).parent
VARIANTS = ("f2", "m3", "klatt2", "f4", "m7", "f5")


def main() -> None:
    with (HERE / "texts.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    for number, row in enumerate(rows):
        voice = f"sv+{VARIANTS[number % len(VARIANTS)]}"
        command = ["espeak-ng", "-v", voice, "-s", str(150 + 5 * (number % 6)), "--stdout"]
        wave = subprocess.run([*command, row["text"]], check=True, capture_output=True).stdout
        samples, rate = soundfile.read(io.BytesIO(wave), dtype="float32")
        samples = soxr.resample(samples, rate, 16_000)
        path = HERE / f"{row['id']}.ogg"
        soundfile.write(path, samples, 16_000, format="OGG", subtype="OPUS", compression_level=1.0)


if __name__ == "__main__":
    main()
