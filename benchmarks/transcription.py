"""Transcribing short clips and one long recording against faster-whisper, with the same model.

    MODERSMAL_BENCH_DATA=... python benchmarks/transcription.py
    MODERSMAL_BENCH_DATA=... python benchmarks/transcription.py --clips 8 --only short

Short clips: random weights of `whisper-small`'s size in int8 on the CPU, 5 beams, clips of the
test split. Random weights never end, so both sides write exactly 20 tokens a clip. Ours is what
`transcribe` does with many files, looking for speech included; once more padded to 30 s, as
faster-whisper always is. It is given the clips one by one, in its own threads, without timestamps.

The long recording, of four minutes: the bundled base in float32, 5 beams, ours as by default, and
both of faster-whisper's modes, without fallback to higher temperatures, which only cost time here.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from faster_whisper import BatchedInferencePipeline, WhisperModel

from evaluation import evenly, prepared_split
from modersmal import audio
from modersmal.config import EvaluateConfig
from modersmal.evaluate.metrics import score
from modersmal.language import resolve
from modersmal.transcribe.engine import Engine
from modersmal.whisper import decode
from modersmal.whisper.convert import cached_ctranslate2
from modersmal.whisper.decode_ct2 import decoding_cores
from modersmal.whisper.load import describe, locate
from modersmal.whisper.save import save_complete
from train_step import make_whisper

TOKENS = 20
GOAL_SHORT, GOAL_LONG = 3, 1
PLAIN = {"language": "sv", "beam_size": 5, "temperature": 0.0, "condition_on_previous_text": False}


def engine_for(folder: Path, context: str) -> Engine:
    """The engine as `transcribe` opens it, for a model that was trained in `context`."""
    model = replace(describe(str(folder)), context=context)
    return Engine(model, model.language, "cpu", lambda sentence: None)


def plain_for(folder: Path, compute_type: str) -> WhisperModel:
    return WhisperModel(
        str(cached_ctranslate2(folder, compute_type)), device="cpu", compute_type=compute_type,
        cpu_threads=decoding_cores(),
    )  # fmt: skip


@dataclass(frozen=True)
class Timed:
    """Seconds on the wall, and of the CPU: these are what they are beside other work, too."""

    wall_s: float
    cpu_s: float

    @classmethod
    def of(cls, work: Callable[[], object]) -> "Timed":
        wall_s, cpu_s = time.monotonic(), time.process_time()
        work()
        return cls(time.monotonic() - wall_s, time.process_time() - cpu_s)

    def ratio(self, theirs: "Timed") -> str:
        return f"{theirs.wall_s / self.wall_s:.1f} x ({theirs.cpu_s / self.cpu_s:.1f} x in CPU)"


def short_clips(size: str, clips: list[np.ndarray], folder: Path) -> None:
    whisper = replace(make_whisper(size), language=resolve("sv"), context="dynamic")
    save_complete(whisper, folder, whisper.language)
    token_cap, decode.token_cap = decode.token_cap, lambda frames, prompt: TOKENS

    def plainly(model: WhisperModel, some: list[np.ndarray]) -> None:
        for clip in some:
            segments, _ = model.transcribe(
                clip, **PLAIN, max_new_tokens=TOKENS, without_timestamps=True,
                no_speech_threshold=None, log_prob_threshold=None, compression_ratio_threshold=None,
            )  # fmt: skip
            list(segments)

    reduced, full = engine_for(folder, "dynamic"), engine_for(folder, "full")
    plain = plain_for(folder, "int8")
    ways = {
        "faster-whisper": lambda some: plainly(plain, some),
        "modersmal, 30 s": full.transcribe_all,
        f"modersmal (goal {GOAL_SHORT})": reduced.transcribe_all,
    }
    print(f"{size} size, int8, {len(clips)} clips, {decoding_cores()} cores, {TOKENS} tokens each")
    theirs = None
    for name, way in ways.items():
        way(clips[:1])  # warms up
        found = Timed.of(lambda way=way: way(clips))
        theirs = theirs or found
        print(
            f"  {name}: {found.wall_s / len(clips):.2f} s a clip, {found.ratio(theirs)}", flush=True
        )
    decode.token_cap = token_cap


def long_recording(model: str, path: Path) -> None:
    samples = audio.decode(path.with_suffix(".mp3")).samples
    said = " ".join(one["text"] for one in json.loads(path.with_suffix(".json").read_text()))
    engine, plain = Engine.open(model, device="cpu"), plain_for(locate(model), "float32")
    batched = BatchedInferencePipeline(plain)
    ways = {
        "modersmal": lambda: [one.text for one in engine.transcribe(samples).segments],
        "faster-whisper, batches of 8": lambda: [
            one.text for one in batched.transcribe(samples, **PLAIN, batch_size=8)[0]
        ],
        "faster-whisper, one window after the other": lambda: [
            one.text for one in plain.transcribe(samples, **PLAIN)[0]
        ],
    }
    print(f"{model}, float32, a recording of {len(samples) / audio.SAMPLE_RATE:.0f} s")
    took: dict[str, Timed] = {}
    for name, way in ways.items():
        texts: list[str] = []
        took[name] = Timed.of(lambda way=way, texts=texts: texts.extend(way()))
        found = score([said], [" ".join(texts)], [None], language="sv", config=EvaluateConfig())
        print(f"  {name}: {took[name].wall_s:.1f} s, WER {found.wer:.1%}", flush=True)
    ours = took.pop("modersmal")
    faster = min(took.values(), key=lambda one: one.wall_s)
    print(f"  to the faster: {ours.ratio(faster)} (goal {GOAL_LONG})")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare transcribing with faster-whisper.")
    parser.add_argument("--size", default="small")
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--model", default="bundled", help="for the long recording")
    parser.add_argument("--only", choices=["short", "long"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MODERSMAL_CACHE"] = folder
        if options.only != "long":
            split = prepared_split(Path(folder) / "corpus")
            rows = evenly(split, options.clips)
            clips = [audio.decode(data).samples for data in split.audio_bytes(rows)]
            short_clips(options.size, clips, Path(folder) / "model")
        if options.only != "short":
            data = Path(os.environ["MODERSMAL_BENCH_DATA"])
            long_recording(options.model, data / "longform" / "sv_test")


if __name__ == "__main__":
    main()
