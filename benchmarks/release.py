"""Exporting a model in every format, and what each runtime makes of it.

    python benchmarks/release.py cost [--size small]
    MODERSMAL_BENCH_DATA=... python benchmarks/release.py runtimes [--model RUN] [--clips 200]

`cost` exports random weights in every format in one process, and prints the time, the peak memory
against the size of the float32 weights, and the size of each format.

`runtimes` takes the bundled base, tuned on the Swedish corpus as `whole_job.py` does unless --model
names one that is tuned, and decodes clips of test in every format by every runtime that reads it:
how many texts are those of the model in training, WER with its interval, the change of WER, and
seconds of audio per second with all cores. One row more tells what faster-whisper makes of clips
that are not padded to 30 s before it is given them.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from evaluation import evenly, prepared_split
from measured import run
from modersmal import audio
from modersmal.config import EvaluateConfig
from modersmal.corpus import Split
from modersmal.evaluate.metrics import score
from modersmal.language import resolve
from modersmal.release.exports import FORMATS, export
from modersmal.release.runtimes import Runtime, open_runtime
from modersmal.whisper.decode import decode
from modersmal.whisper.decode_torch import TransformersDecoder
from modersmal.whisper.load import load, locate
from modersmal.whisper.save import save_complete
from train_step import make_whisper
from whole_job import SETTINGS

GOAL_MEMORY = 2.5
MB = 1e6


def cost(size: str, folder: Path) -> None:
    model = folder / "model"
    save_complete(replace(make_whisper(size), language=resolve("sv")), model, None)
    weights = (model / "model.safetensors").stat().st_size
    print(f"{size}: float32 weights of {weights / MB:.0f} MB, {os.cpu_count()} cores")
    release = folder / "release"
    done = run([sys.executable, __file__, "export", str(model), str(release)])
    print(done.output, end="")
    ratio = done.peak_bytes / weights
    print(f"all formats: {done.wall_s:.0f} s, peak {done.peak_bytes / MB:.0f} MB, ", end="")
    print(f"{ratio:.2f} x the weights (goal {GOAL_MEMORY})")


def export_all(model: Path, release: Path) -> None:
    print("| format | MB | s |\n|---|---|---|")
    for name, format in FORMATS.items():
        began_s = time.monotonic()
        export(model, release, name)
        took_s = time.monotonic() - began_s
        print(f"| {name} | {format.size_bytes(release) / MB:.1f} | {took_s:.1f} |", flush=True)


def tuned(folder: Path) -> str:
    """The bundled base after some steps on the corpus: the run's folder."""
    [source] = Path(os.environ["MODERSMAL_BENCH_DATA"]).glob("cv-corpus-*/sv-SE")
    recipe = folder / "recipe.toml"
    recipe.write_text(
        'language = "sv"\nmodel = "bundled"\nstore = "store"\nname = "job"\n'
        f'[data]\nsources = ["{source}"]\n[train]\n{SETTINGS["swedish"]}\n'
    )
    run([sys.executable, "-m", "modersmal", "train", str(recipe)])
    return str(folder / "store" / "runs" / "job")


class Scored:
    """Clips of test, and what the model in training writes of them."""

    def __init__(self, split: Split, rows: list[int], model: str) -> None:
        self.split, self.rows = split, rows
        self.clips = [audio.decode(data).samples for data in split.audio_bytes(rows)]
        self.audio_s = sum(map(len, self.clips)) / audio.SAMPLE_RATE
        began_s = time.monotonic()
        decoder = TransformersDecoder(load(model))
        found = decode(decoder, self.clips, language_token="sv", context="full")
        self.texts = [one.text for one in found]
        self.points: float | None = None
        self.points = self._row("training", "modersmal", "float32", self.texts, began_s)

    def row(self, format: str, opened: Runtime, clips: Sequence[np.ndarray]) -> None:
        began_s = time.monotonic()
        texts = opened.transcribe(clips, "sv")
        self._row(format, opened.name, opened.arithmetic, texts, began_s)

    def _row(
        self, format: str, runtime: str, arithmetic: str, texts: list[str], began_s: float
    ) -> float:
        speed = self.audio_s / (time.monotonic() - began_s)
        rate = score(
            [self.split.texts[row] for row in self.rows],
            texts,
            [self.split.speakers[row] for row in self.rows],
            language="sv",
            config=EvaluateConfig(),
        ).normalised.wer
        points = 100 * rate.rate
        same = sum(ours == theirs for ours, theirs in zip(self.texts, texts, strict=True))
        low, high = 100 * rate.interval.low, 100 * rate.interval.high
        change = "" if self.points is None else f"{points - self.points:+.1f}"
        print(
            f"| {format} | {runtime} | {arithmetic} | {same / len(texts):.1%} | "
            f"{points:.1f} [{low:.1f}, {high:.1f}] | {change} | {speed:.1f} |",
            flush=True,
        )
        return points


def runtimes(model: str, clips: int, folder: Path) -> None:
    split = prepared_split(folder / "corpus")
    release = folder / "release"
    for name in FORMATS:
        export(locate(model), release, name)
    print("| format | runtime | computes in | same text | WER % | change | x real time |")
    print("|---|---|---|---|---|---|---|")
    scored = Scored(split, evenly(split, clips), model)
    for name, format in FORMATS.items():
        for runtime in format.runtimes:
            scored.row(name, open_runtime(runtime, format.within(release)), scored.clips)
    plain = PaddedByItself(release / FORMATS["ct2-float16"].place)
    scored.row("ct2-float16, short clips", plain, scored.clips)
    for name, format in FORMATS.items():
        print(f"{name}: {format.size_bytes(release) / MB:.1f} MB")


class PaddedByItself:
    """faster-whisper as most call it with a short clip."""

    name = "faster-whisper"

    def __init__(self, folder: Path) -> None:
        from faster_whisper import WhisperModel

        self._model = WhisperModel(str(folder), device="cpu")
        self.arithmetic = self._model.model.compute_type

    def transcribe(self, clips: Sequence[np.ndarray], language_token: str) -> list[str]:
        texts = []
        for clip in clips:
            segments, _ = self._model.transcribe(
                clip, language=language_token, beam_size=1, temperature=0.0,
                without_timestamps=True, no_speech_threshold=None,
            )  # fmt: skip
            texts.append("".join(one.text for one in segments).strip())
        return texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["cost", "runtimes", "export"])
    parser.add_argument("places", nargs="*", type=Path, help="of export: from where to where")
    parser.add_argument("--size", default="small", help="of the random weights")
    parser.add_argument("--model", help="a run that is tuned already")
    parser.add_argument("--clips", type=int, default=200, help="evenly out of test; 0: all")
    options = parser.parse_args()
    if options.what == "export":
        export_all(*options.places)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.what == "cost":
            cost(options.size, folder)
        else:
            runtimes(options.model or tuned(folder), options.clips, folder)


if __name__ == "__main__":
    main()
