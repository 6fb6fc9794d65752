"""WER of one model in reduced and in full context, and in other runtimes, clip by clip.

    MODERSMAL_BENCH_DATA=... python benchmarks/contexts.py
    MODERSMAL_BENCH_DATA=... python benchmarks/contexts.py --clips 64 --model runs/common-voice-sv
    MODERSMAL_BENCH_DATA=... python benchmarks/contexts.py --split train

The bundled base has heard none of the corpus, so that its train split says more of it than the
smaller test split does. The same clips, greedily, in float32: modersmal in the context that the
model was trained in and padded to 30 s, plain `transformers` with its own feature extractor, and
plain faster-whisper with short clips as they are. Prints every WER, and each one's difference to
the first with its 95 % interval (paired bootstrap over speakers).
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from faster_whisper import WhisperModel

from evaluation import Plain, evenly, ours, prepared_split
from modersmal import audio
from modersmal.config import EvaluateConfig
from modersmal.corpus import Split
from modersmal.evaluate.metrics import Score, score
from modersmal.evaluate.significance import rate_difference
from modersmal.whisper.convert import cached_ctranslate2
from modersmal.whisper.decode_ct2 import decoding_cores
from modersmal.whisper.decoders import open_decoder
from modersmal.whisper.load import locate

GOAL = 0.02


def faster_whisper(model: str, split: Split, rows: list[int]) -> list[str]:
    """What plain faster-whisper writes of clips as they are, greedily, without its fallbacks."""
    engine = WhisperModel(
        str(cached_ctranslate2(locate(model))), device="cpu", compute_type="float32",
        cpu_threads=decoding_cores(),
    )  # fmt: skip
    texts = []
    for data in split.audio_bytes(rows):
        segments, _ = engine.transcribe(
            audio.decode(data).samples, language="sv", beam_size=1, temperature=0.0,
            without_timestamps=True, condition_on_previous_text=False, no_speech_threshold=None,
            log_prob_threshold=None, compression_ratio_threshold=None,
        )  # fmt: skip
        texts.append(" ".join(segment.text.strip() for segment in segments))
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare contexts and runtimes.")
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--split", default="test", help="train only for a model that never saw it")
    parser.add_argument("--clips", type=int, default=0, help="evenly out of the split; 0: all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        split = prepared_split(Path(folder) / "corpus", options.split)
        rows, decoder = evenly(split, options.clips), open_decoder(options.model, device="cpu")
        written = {
            "modersmal, reduced context": ours(decoder, split, rows),
            "modersmal, 30 s": ours(decoder, split, rows, "full"),
            "transformers": Plain(options.model).texts(split, rows),
            "faster-whisper": faster_whisper(options.model, split, rows),
        }
        report(split, rows, written)


def report(split: Split, rows: list[int], written: dict[str, list[str]]) -> None:
    scores = {
        name: score(
            [split.texts[row] for row in rows],
            texts,
            [split.speakers[row] for row in rows],
            language="sv",
            config=EvaluateConfig(),
        )
        for name, texts in written.items()
    }
    first, *others = scores
    print(f"{len(rows)} clips; {first}: WER {scores[first].wer:.1%}")
    for name in others:
        difference, low, high = against(scores[name], scores[first])
        print(
            f"{name}: WER {scores[name].wer:.1%}, {100 * difference:+.2f} points "
            f"[{100 * low:+.2f}, {100 * high:+.2f}] to reduced context"
        )
    worst = max(
        against(scores[one], scores[other])[2] for one in scores for other in scores if one != other
    )
    print(f"largest upper end between any two: {100 * worst:.2f} points (goal {100 * GOAL:g})")


def against(one: Score, other: Score) -> tuple[float, float, float]:
    """Difference of two WERs on the same clips, with its interval."""
    ours_, theirs = (side.normalised.word_edits for side in (one, other))
    found = rate_difference(ours_.errors, theirs.errors, ours_.units, one.groups)
    if found.interval is None:
        return found.difference, -np.inf, np.inf
    return found.difference, found.interval.low, found.interval.high


if __name__ == "__main__":
    main()
