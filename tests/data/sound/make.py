"""Make the clips of this folder again: `python tests/data/sound/make.py` (needs espeak-ng).

The speech is synthetic (espeak-ng, GPL-3.0-or-later; what it says is not covered by that licence);
the texts are our own.
"""

import subprocess
from pathlib import Path

import numpy as np
import soundfile
import soxr

from modersmal.audio import encode_opus
from modersmal.corpus.ogg import with_fixed_serial

# name: voice, words a minute, text
CLIPS = {
    "sv-1": ("sv", 160, "Det var en gång en räv som bodde i skogen."),
    "sv-2": ("sv+f2", 150, "På torget säljer de färska bär och nypotatis."),
    "sv-3": ("sv+m3", 170, "Klockan halv åtta går bussen till Örebro."),
    "whisper-1": ("sv+whisper", 150, "Säg inget till någon om överraskningen."),
    "whisper-2": ("sv+whisperf", 150, "Tyst, barnen har precis somnat."),
    "fast-1": ("sv", 430, "Sju sjösjuka sjömän sköttes av sju sköna sjuksköterskor på skeppet."),
    "ja-1": ("ja", 160, "きょうはとてもいいてんきですね。"),
    "ar-1": ("ar", 150, "السلام عليكم ورحمة الله وبركاته."),
    "hi-1": ("hi", 160, "मेरे भाई के पास एक लाल साइकिल है।"),
    "th-1": ("th", 160, "วันนี้อากาศดีมากครับ"),
    "ta-1": ("ta", 160, "இன்று வானிலை நன்றாக உள்ளது."),
    "am-1": ("am", 160, "ዛሬ አየሩ ጥሩ ነው።"),
}


def main() -> None:
    """Write every clip as Opus, and the texts beside them."""
    folder = Path(__file__).parent
    for name, (voice, words_per_minute, text) in CLIPS.items():
        spoken = folder / f"{name}.wav"
        command = ["espeak-ng", "-v", voice, "-s", str(words_per_minute), "-w", str(spoken), text]
        subprocess.run(command, check=True)
        samples, rate_hz = soundfile.read(spoken, dtype="float32")
        spoken.unlink()
        voiced = soxr.resample(samples, rate_hz, 16_000)
        clip = 0.5 * voiced / np.abs(voiced).max()
        (folder / f"{name}.opus").write_bytes(with_fixed_serial(encode_opus(clip)))
        (folder / f"{name}.txt").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
