"""A run of the bundled base on speech that it was made for, which is quickly released."""

import json
import shutil
from csv import DictReader
from pathlib import Path

from safetensors.torch import load_file, save_file
from small_models import SPEECH

from modersmal.config import parse_recipe
from modersmal.corpus.prepare import prepare
from modersmal.train.train import train

FORMATS = ["ct2-int8", "ggml-q8_0"]
SPLITS = {"train": range(12), "dev": range(12, 15), "test": range(15, 21)}


def write_tuned(folder: Path) -> None:
    """Make a store in which the run `sv` leaves the bundled base nearly as good as it was."""
    _write_clips(folder / "source")
    corpus = folder / "corpora" / "sv"
    prepare([str(folder / "source" / "clips.jsonl")], corpus, language="sv")
    keys = {
        "max_steps": 4, "batch_s": 10.0, "save_every": 2, "evaluate_every": 2, "device": "cpu",
        "learning_rate": 1e-5, "packed_share": 0.0, "full_share": 0.0,
    }  # fmt: skip
    table = {"language": "sv", "model": "bundled", "train": keys}
    table["release"] = {"interpolate": [], "average_last": 2, "golden_clips": 4}
    train(parse_recipe(table), corpus, folder / "runs" / "sv")


def damage(run: Path) -> None:
    """Make what training left worse, and hide how it came to be."""
    shutil.rmtree(run / "checkpoints")
    path = run / "model" / "model.safetensors"
    weights = load_file(path)
    weights["model.decoder.layers.1.encoder_attn.out_proj.weight"] *= 0.0
    save_file(weights, path, {"format": "pt"})


def _write_clips(folder: Path) -> None:
    with (SPEECH / "texts.tsv").open() as file:
        texts = {row["id"]: row["text"] for row in DictReader(file, delimiter="\t")}
    rows = [
        {"audio": f"{number:02d}.ogg", "text": texts[f"{number:02d}"],
         "split": split, "speaker": f"{split}-{number % 3}"}
        for split, numbers in SPLITS.items() for number in numbers
    ]  # fmt: skip
    shutil.copytree(SPEECH, folder)
    (folder / "clips.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
