"""Scoring a test split against `transformers`' generate with 30 s padding, one pass each.

    MODERSMAL_BENCH_DATA=... python benchmarks/evaluation.py               # the bundled base
    MODERSMAL_BENCH_DATA=... python benchmarks/evaluation.py --clips 64

Both sides decode the same clips greedily in float32 on the CPU with the same number of threads,
reading and decoding of the audio included, loading excluded: `generate` in batches of 8 in the
split's order, as the notebooks do it, and `modersmal evaluate`'s own path. Prints both times, their
ratio, both WERs, and how many texts our two engines write alike.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

from modersmal import audio
from modersmal.config import EvaluateConfig
from modersmal.corpus import Corpus, Split
from modersmal.corpus.prepare import prepare
from modersmal.evaluate.decoding import decode_split
from modersmal.evaluate.metrics import score
from modersmal.whisper.decode import Context, Decoder
from modersmal.whisper.decode_torch import TransformersDecoder
from modersmal.whisper.decoders import open_decoder
from modersmal.whisper.load import load, locate

RELEASE = "cv-corpus-0.1-synthetic/sv-SE"
BATCH = 8
GOAL = 10


def prepared_split(folder: Path, split: str = "test") -> Split:
    """A split of the Swedish corpus, prepared into `folder`."""
    release = Path(os.environ["MODERSMAL_BENCH_DATA"]) / RELEASE
    prepare([str(release)], folder, language="sv")
    return Corpus.open(folder).split(split)


def evenly(split: Split, count: int) -> list[int]:
    """Rows of `count` clips, evenly out of the split; 0: all."""
    count = min(count or len(split), len(split))
    return [place * len(split) // count for place in range(count)]


class Plain:
    """Plain `transformers`, with its own feature extractor and tokenizer."""

    def __init__(self, model: str) -> None:
        folder = locate(model)
        self.model = WhisperForConditionalGeneration.from_pretrained(folder, dtype="float32").eval()
        self.extractor = WhisperFeatureExtractor.from_pretrained(folder)
        self.tokenizer = WhisperTokenizer.from_pretrained(folder)

    @torch.inference_mode()
    def texts(self, split: Split, rows: Sequence[int]) -> list[str]:
        """What it writes, in batches of 8, padded to 30 s."""
        texts: list[str] = []
        for first in range(0, len(rows), BATCH):
            clips = [
                audio.decode(data).samples
                for data in split.audio_bytes(rows[first : first + BATCH])
            ]
            features = self.extractor(
                clips, sampling_rate=audio.SAMPLE_RATE, return_tensors="pt"
            ).input_features
            ids = self.model.generate(features, language="sv", task="transcribe", num_beams=1)
            written = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
            texts += [text.strip() for text in written]
        return texts


def ours(
    decoder: Decoder, split: Split, rows: Sequence[int], context: Context = "dynamic"
) -> list[str]:
    return decode_split(
        decoder, split, rows, language_token="sv", config=EvaluateConfig(context=context)
    )


def wer(split: Split, rows: Sequence[int], texts: list[str]) -> str:
    rate = score(
        [split.texts[row] for row in rows],
        texts,
        [split.speakers[row] for row in rows],
        language="sv",
        config=EvaluateConfig(),
    ).normalised.wer
    low, high = rate.interval.low, rate.interval.high
    return f"WER {rate.rate:.1%} [{100 * low:.1f}, {100 * high:.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare one pass over a test split.")
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--clips", type=int, default=0, help="evenly out of the split; 0: all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        split = prepared_split(Path(folder) / "corpus")
        rows = evenly(split, options.clips)
        compare(options.model, split, rows)


def compare(model: str, split: Split, rows: list[int]) -> None:
    decoder, plain = open_decoder(model, device="cpu"), Plain(model)
    for warm_up in (lambda few: ours(decoder, split, few), lambda few: plain.texts(split, few)):
        warm_up(rows[:BATCH])
    began_s = time.monotonic()
    fast = ours(decoder, split, rows)
    ours_s = time.monotonic() - began_s
    began_s = time.monotonic()
    slow = plain.texts(split, rows)
    theirs_s = time.monotonic() - began_s
    seconds = float(split.durations_s[rows].sum())
    print(
        f"{len(rows)} clips, {seconds:.0f} s of audio, {torch.get_num_threads()} threads of torch, "
        f"{decoder.lanes} batches at once"
    )
    print(f"generate, batch {BATCH}, 30 s: {theirs_s:.1f} s, {wer(split, rows, slow)}")
    print(f"modersmal, {decoder.engine}: {ours_s:.1f} s, {wer(split, rows, fast)}")
    print(f"ratio: {theirs_s / ours_s:.1f} x (goal {GOAL})")
    same = ours(TransformersDecoder(load(model)), split, rows)
    alike = sum(one == other for one, other in zip(fast, same, strict=True))
    print(f"transformers in the same contexts writes {alike} of {len(rows)} texts alike")


if __name__ == "__main__":
    main()
