"""What must not change within a run: the same command goes on, another one is refused."""

from importlib import metadata
from typing import Any

from modersmal import __version__
from modersmal.config import Recipe
from modersmal.corpus import Corpus
from modersmal.errors import TrainingError

_FREE_TRAIN_KEYS = {
    "device_batch_s", "precision", "device", "gradient_checkpointing", "compile", "save_every",
    "keep", "evaluate_every", "loader_workers",
}  # fmt: skip


def identity(recipe: Recipe, corpus: Corpus, learning_rate: float) -> dict[str, Any]:
    """What decides the result of a run, flat, under the recipe's names.

    Machine, memory and how often to save may change between starts: borrowed machines differ.
    """
    train = recipe.train.model_dump(exclude=_FREE_TRAIN_KEYS)
    train["learning_rate"] = learning_rate
    if recipe.train.schedule == "constant":
        del train["max_steps"]
    evaluate = recipe.evaluate.model_dump(include={"normaliser", "rules", "beams", "context"})
    return {
        "corpus": corpus.hash,
        "language": recipe.language,
        "language_token": corpus.language_token,
        "model": recipe.model,
        **{f"train.{key}": value for key, value in train.items()},
        **{f"evaluate.{key}": value for key, value in evaluate.items()},
    }


def must_be_same(stored: dict[str, Any], now: dict[str, Any], run: str) -> None:
    """Raises TrainingError that says all that differs from the run's first start."""
    differing = [
        f"{key} is {now.get(key)!r}, was {stored.get(key)!r}"
        for key in sorted(stored.keys() | now.keys())
        if stored.get(key) != now.get(key)
    ]
    if differing:
        raise TrainingError(
            f"the run {run} was begun with another recipe or corpus: {'; '.join(differing)}; "
            "change it back to go on, or give the recipe another name to begin afresh"
        )


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    return {
        "modersmal": __version__,
        **{package: metadata.version(package) for package in ("torch", "transformers", "numpy")},
    }
