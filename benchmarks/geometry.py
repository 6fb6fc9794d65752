"""What the geometries of training do to short clips, to 30 s of padding and to long recordings.

    MODERSMAL_BENCH_DATA=... python benchmarks/geometry.py --folder DIR
    MODERSMAL_BENCH_DATA=... python benchmarks/geometry.py --folder DIR --only dynamic default

MODERSMAL_BENCH_DATA holds a synthetic Swedish corpus in Common Voice's layout, and `longform`:
recordings with subtitles, of which those named train are learned from and the one named test is
transcribed. The base is the bundled one. Each mixture of geometries is trained for the same number
of steps; then test clips are scored in their own context and in 30 s, and the long recording is
transcribed in windows of 30 s with timestamps, and in utterances. What is done is kept in DIR.
"""

import argparse
import json
import os
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import jiwer
import numpy as np

from modersmal import audio
from modersmal.config import EvaluateConfig, parse_recipe
from modersmal.corpus import Corpus
from modersmal.corpus.prepare import prepare
from modersmal.evaluate.decoding import decode_split
from modersmal.evaluate.metrics import score
from modersmal.evaluate.significance import Difference, clusters, rate_difference
from modersmal.text import normaliser
from modersmal.train.train import train
from modersmal.transcribe.engine import Engine
from modersmal.transcribe.formats import Segment
from modersmal.whisper.decoders import live_decoder
from modersmal.whisper.load import load
from train_step import RELEASE

MIXTURES = {
    "dynamic": {
        "packed_share": 0.0, "full_share": 0.0, "timestamp_share": 0.0, "silence_share": 0.0,
    },
    "default": {},
    "tenth packed": {"packed_share": 0.1, "full_share": 0.03},
    "fifth packed": {"packed_share": 0.2, "full_share": 0.03},
    "third packed": {"packed_share": 0.35, "full_share": 0.03},
    "mostly packed": {"packed_share": 0.7, "full_share": 0.03},
    "more full": {"full_share": 0.15},
    "no full": {"full_share": 0.0},
}  # fmt: skip
ALONE = "dynamic"  # what the others are compared with: single clips only


@dataclass(frozen=True)
class Heard:
    """The long recording as one model wrote it: errors per segment, and how far off each of the
    segments began, in seconds."""

    errors: list[int]
    words: list[int]
    off_s: list[float]

    @property
    def wer(self) -> float:
        return sum(self.errors) / sum(self.words)


@dataclass(frozen=True)
class Outcome:
    """One mixture: WER of test clips in short and in full context, and the long recording."""

    short: float
    full: float
    windows: Heard
    utterances: Heard
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where what is done is kept")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-s", type=float, default=72.0)
    parser.add_argument("--rate", type=float, default=3e-4, help="peak learning rate")
    parser.add_argument("--clips", type=int, default=300, help="test clips")
    parser.add_argument("--only", nargs="+", choices=MIXTURES, default=list(MIXTURES))
    options = parser.parse_args()
    folder, data = options.folder.resolve(), Path(os.environ["MODERSMAL_BENCH_DATA"])
    corpus = prepared(folder, data)
    outcomes = {
        name: kept(folder / f"{name.replace(' ', '-')}.json", corpus, data, name, options)
        for name in options.only
    }
    print(f"\n{options.steps} steps of {options.batch_s:g} s, {options.clips} test clips\n")
    print("| mixture | training | clips | in 30 s | windows | start off | utterances | start off |")
    print("|---|---|---|---|---|---|---|---|")
    for name, found in outcomes.items():
        print(f"| {name} | {row(found)} |")
    if ALONE in outcomes:
        for name, found in outcomes.items():
            if name != ALONE:
                better = compared(found.windows, outcomes[ALONE].windows)
                print(f"windows, {name} against {ALONE}: {better}")


def prepared(folder: Path, data: Path) -> Path:
    """Clips and recordings in one corpus, made once."""
    recordings = folder / "recordings" / "train"
    if not recordings.is_dir():
        recordings.mkdir(parents=True)
        for path in sorted((data / "longform").glob("*train*")):
            if path.suffix in (".mp3", ".srt"):
                shutil.copy(path, recordings)
    prepare([str(data / RELEASE), str(recordings.parent)], folder / "corpus", language="sv")
    return folder / "corpus"


def kept(file: Path, corpus: Path, data: Path, name: str, options: argparse.Namespace) -> Outcome:
    if not file.is_file():
        file.write_text(json.dumps(asdict(measured(corpus, data, name, options))))
    table = json.loads(file.read_text())
    heard = {way: Heard(**table.pop(way)) for way in ("windows", "utterances")}
    return Outcome(**table, **heard)


def measured(corpus: Path, data: Path, name: str, options: argparse.Namespace) -> Outcome:
    train_keys = {
        "max_steps": options.steps, "batch_s": options.batch_s, "learning_rate": options.rate,
        "warmup_steps": options.steps // 6, "save_every": options.steps, "evaluate_every": 0,
    } | MIXTURES[name]  # fmt: skip
    recipe = parse_recipe({"language": "sv", "model": "bundled", "train": train_keys})
    began_s = time.monotonic()
    result = train(recipe, corpus, options.folder.resolve() / f"run-{name.replace(' ', '-')}")
    seconds = time.monotonic() - began_s
    opened = Corpus.open(corpus)
    rows = list(range(options.clips))[: len(opened.split("test"))]
    model = str(result.model)
    return Outcome(
        short=wer_of(model, opened, rows, "dynamic"),
        full=wer_of(model, opened, rows, "full"),
        windows=long_form(model, data, by_utterance=False),
        utterances=long_form(model, data, by_utterance=True),
        seconds=seconds,
    )


def wer_of(model: str, corpus: Corpus, rows: list[int], context: str) -> float:
    whisper, config = replace(load(model), context=context), EvaluateConfig()
    test = corpus.split("test")
    with live_decoder(whisper, config.engine, print) as decoder:
        texts = decode_split(decoder, test, rows, language_token="sv", config=config)
    return score(
        [test.texts[row] for row in rows], texts, [test.speakers[row] for row in rows],
        language="sv", config=config,
    ).wer  # fmt: skip


def long_form(model: str, data: Path, *, by_utterance: bool) -> Heard:
    [sound] = (data / "longform").glob("*test*.mp3")
    segments = json.loads(sound.with_suffix(".json").read_text())
    engine = Engine.open(model)
    engine._in_windows = lambda samples: not by_utterance  # whatever its card says
    samples = audio.decode(sound.read_bytes(), name=sound.name).samples
    return matched(segments, engine.transcribe(samples).segments)


def matched(references: list[dict], written: list[Segment]) -> Heard:
    """Attribute each error to the segment it is in, and find which written segment began it."""
    said = [_words(one["text"]) for one in references]
    heard = [_words(one.text) for one in written]
    of_word = [place for place, words in enumerate(said) for _ in words]
    aligned = jiwer.process_words(_text(said), _text(heard) or "-")
    errors = [0] * len(said)
    for chunk in aligned.alignments[0]:
        length = max(
            chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx
        )
        for step in range(length if chunk.type != "equal" else 0):
            errors[of_word[min(chunk.ref_start_idx + step, len(of_word) - 1)]] += 1
    starts_s = np.array([one.start_s for one in written]) if written else np.array([np.inf])
    off_s = [float(np.abs(starts_s - one["start"]).min()) for one in references]
    return Heard(errors, [len(words) for words in said], off_s)


def compared(ours: Heard, theirs: Heard) -> Difference:
    """The difference in WER, its interval drawn over segments."""
    errors, words = np.array([ours.errors, theirs.errors]), np.array(ours.words)
    return rate_difference(errors[0], errors[1], words, clusters([None] * len(words)))


def row(found: Outcome) -> str:
    cells = [f"{found.seconds:.0f} s", f"{found.short:.1%}", f"{found.full:.1%}"]
    for heard in (found.windows, found.utterances):
        cells += [f"{heard.wer:.1%}", f"{np.median(heard.off_s):.2f} s"]
    return " | ".join(cells)


def _words(text: str) -> list[str]:
    return normaliser("modersmal", language="sv")(text).split()


def _text(segments: list[list[str]]) -> str:
    return " ".join(word for words in segments for word in words)


if __name__ == "__main__":
    main()
