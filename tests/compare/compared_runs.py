"""Recipes of several sizes on one small release."""

import json
from collections.abc import Sequence
from pathlib import Path

CORPUS, SMALLER, LARGER = "size", "size-whisper-deaf", "size-bundled"


def write_recipe(
    folder: Path, release: Path, sizes: Sequence[object], train: str = "", evaluate: str = ""
) -> Path:
    path = folder / "recipe.toml"
    path.write_text(
        f"""
        sizes = {json.dumps([str(size) for size in sizes])}
        name = "size"
        [data]
        sources = ["{release}"]
        workers = 1
        [train]
        learning_rate = 1e-4
        batch_s = 5.0
        warmup_steps = 1
        evaluate_every = 2
        loader_workers = 0
        {train or "max_steps = 4"}
        [evaluate]
        {evaluate}
        """
    )
    return path
