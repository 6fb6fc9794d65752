"""Exporting a model in every format, and what each runtime makes of it.

    python benchmarks/release.py cost [--size small]
    MODERSMAL_BENCH_DATA=... python benchmarks/release.py whole [--size small]
    MODERSMAL_BENCH_DATA=... python benchmarks/release.py runtimes [--model RUN] [--clips 200]
    MODERSMAL_BENCH_DATA=... python benchmarks/release.py heads [--model RUN]

`cost` exports random weights in every format in one process, and prints the time, the peak memory
against the size of the float32 weights, and the size of each format.

`whole` is `modersmal release` itself, of a run of two steps from random weights whose likeliest
token is the end, with two checkpoints, 8 clips each for dev and test, and as many golden ones: what
choosing, writing and proving cost before they cost by the clip. Without whisper.cpp, which goes
over a recording in which nothing is said for very long.

`runtimes` takes the bundled base, tuned on the Swedish corpus as `whole_job.py` does unless --model
names one that is tuned, and decodes clips of test in every format by every runtime that reads it:
how many texts are those of the model in training, WER with its interval, the change of WER, and
seconds of audio per second with all cores. One row more tells what faster-whisper makes of clips
that are not padded to 30 s before it is given them.

`heads` finds the alignment heads of such a tuned model again, by its dev clips, and tells how far
the times by them are from the known times of the segments of `longform`'s recording for tests,
which neither saw, and how far those by the heads that the base names.
"""

import argparse
import csv
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evaluation import evenly, prepared_split
from measured import run
from modersmal import audio
from modersmal.config import EvaluateConfig
from modersmal.corpus import Split
from modersmal.corpus.prepare import prepare
from modersmal.evaluate.metrics import score
from modersmal.language import resolve
from modersmal.release.exports import FORMATS, export
from modersmal.release.runtimes import Runtime, open_runtime
from modersmal.release.timed import timed_windows
from modersmal.whisper.decode import decode
from modersmal.whisper.decode_torch import TransformersDecoder
from modersmal.whisper.heads import Said, Timed, edge_errors_s, find_heads
from modersmal.whisper.load import Whisper, load, locate
from modersmal.whisper.save import save_complete
from modersmal.whisper.tokens import special_ids
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


def whole(size: str, folder: Path) -> None:
    model = folder / "model"
    whisper = replace(make_whisper(size), language=resolve("sv"))
    end_at_once(whisper)
    save_complete(whisper, model, None)
    weights = (model / "model.safetensors").stat().st_size
    recipe = folder / "recipe.toml"
    recipe.write_text(
        f'language = "sv"\nmodel = "{model}"\nstore = "store"\nname = "job"\n'
        "[train]\nmax_steps = 2\nsave_every = 1\nbatch_s = 8\n"
        "[release]\ngolden_clips = 8\naverage_last = 2\ninterpolate = [0.5]\n"
    )
    store = folder / "store"
    prepare([str(some_clips(folder))], store / "corpora" / "job", language="sv")
    run([sys.executable, "-m", "modersmal", "train", str(recipe)])
    done = run([
        sys.executable, "-m", "modersmal", "release", str(store / "runs" / "job"),
        "--to", str(store), "--formats", "hf,ct2", "--force", "random weights",
    ])  # fmt: skip
    print(done.output, end="")
    ratio = done.peak_bytes / weights
    print(f"the whole release: {done.wall_s:.0f} s, peak {done.peak_bytes / MB:.0f} MB, ", end="")
    print(f"{ratio:.2f} x the weights (goal {GOAL_MEMORY})")


def end_at_once(whisper: Whisper) -> None:
    """Make the end of the text the likeliest token, or each text would be 448 of them long."""
    decoder = whisper.model.model.decoder
    end = special_ids(whisper.vocabulary).end
    with torch.no_grad():
        row = -decoder.embed_tokens.weight[0]  # the end's own is padding: zeros
        decoder.embed_tokens.weight[end] = row
        decoder.layer_norm.bias += 6 * row / row.square().sum()


def some_clips(folder: Path) -> Path:
    """A manifest of 40 clips of the corpus for train, and 8 each for dev and test."""
    [source] = Path(os.environ["MODERSMAL_BENCH_DATA"]).glob("cv-corpus-*/sv-SE")
    clips = folder / "clips"
    clips.mkdir()
    with (clips / "clips.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["audio", "text", "speaker", "split"])
        for split, count in (("train", 40), ("dev", 8), ("test", 8)):
            with (source / f"{split}.tsv").open(newline="") as listed:
                told = csv.DictReader(listed, delimiter="\t", quoting=csv.QUOTE_NONE)
                for row in islice(told, count):
                    shutil.copy(source / "clips" / row["path"], clips)
                    rows.writerow([row["path"], row["sentence"], row["client_id"], split])
    return clips / "clips.csv"


def heads(model: str, folder: Path) -> None:
    whisper = load(model)
    found = find_heads(whisper, timed_windows(prepared_split(folder / "corpus", "dev")), "sv")
    recording = Path(os.environ["MODERSMAL_BENCH_DATA"]) / "longform" / "sv_test"
    windows = known_windows(recording)
    named = [tuple(head) for head in whisper.generation.to_dict()["alignment_heads"]]
    print("| heads | known times | median s off | within 0.2 s | within 0.5 s |")
    print("|---|---|---|---|---|")
    for name, group in (("the base's", named), ("found again", found.heads)):
        off_s = edge_errors_s(whisper, windows, group, "sv")
        near = " | ".join(f"{np.mean(off_s <= bound_s):.0%}" for bound_s in (0.2, 0.5))
        print(f"| {name} ({len(group)}) | {len(off_s)} | {np.median(off_s):.2f} | {near} |")


def known_windows(recording: Path) -> list[Timed]:
    """The recording in windows of whole segments, none over 28 s."""
    samples = audio.decode(recording.with_suffix(".mp3")).samples
    segments = json.loads(recording.with_suffix(".json").read_text(encoding="utf-8"))
    groups: list[list[dict[str, Any]]] = []
    for segment in segments:
        if not groups or segment["end"] - groups[-1][0]["start"] > 28:
            groups.append([])
        groups[-1].append(segment)
    windows = []
    for group in groups:
        first_s, last_s = group[0]["start"], group[-1]["end"]
        said = tuple(
            Said(one["start"] - first_s, one["end"] - first_s, one["text"]) for one in group
        )
        edges = [round(time_s * audio.SAMPLE_RATE) for time_s in (first_s, last_s)]
        windows.append(Timed(samples[slice(*edges)], said))
    return windows


def tuned(folder: Path) -> str:
    """The bundled base after some steps on the corpus: the run's folder."""
    [source] = Path(os.environ["MODERSMAL_BENCH_DATA"]).glob("cv-corpus-*/sv-SE")
    recipe = folder / "recipe.toml"
    recipe.write_text(
        'language = "sv"\nmodel = "bundled"\nstore = "store"\nname = "job"\n'
        f"[train]\n{SETTINGS['swedish']}\n"
    )
    prepare([str(source)], folder / "store" / "corpora" / "job", language="sv")
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
    parser.add_argument("what", choices=["cost", "whole", "runtimes", "heads", "export"])
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
        elif options.what == "whole":
            whole(options.size, folder)
        elif options.what == "heads":
            heads(options.model or tuned(folder), folder)
        else:
            runtimes(options.model or tuned(folder), options.clips, folder)


if __name__ == "__main__":
    main()
