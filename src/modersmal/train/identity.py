"""What must not change within a run: the same command goes on, another one is refused."""

import json
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from modersmal import __version__
from modersmal.config import Recipe
from modersmal.corpus import Corpus
from modersmal.errors import RecipeError, TrainingError, nearest

_FREE_TRAIN_KEYS = {
    "device_batch_s", "precision", "device", "gradient_checkpointing", "compile", "save_every",
    "keep", "evaluate_every", "evaluate_beside", "loader_workers", "accept_changes",
    "budget", "deadline", "on_deadline", "show_clips",
}  # fmt: skip


def identity(recipe: Recipe, corpus: Corpus) -> dict[str, Any]:
    """What decides the result of a run, flat, under the recipe's names.

    Machine, memory and how often to save may change between starts: borrowed machines differ.
    """
    train = recipe.train.model_dump(exclude=_FREE_TRAIN_KEYS)
    if recipe.train.average_last:  # the average is of what is saved
        train["save_every"] = recipe.train.save_every
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


def must_be_same(
    stored: dict[str, Any], now: dict[str, Any], run: str, accepted: Sequence[str] = ()
) -> list[str]:
    """Compare with the run's first start; returns the changes that are `accepted`, in words.

    Raises:
        RecipeError: what is accepted is nothing that could differ.
        TrainingError: saying all that differs and is not accepted.
    """
    known = stored.keys() | now.keys()
    for key in accepted:
        if key not in known:
            raise RecipeError(f"train.accept_changes: unknown key {key!r}{nearest(key, known)}")
    changes = {
        key: f"{key} is {now.get(key)!r}, was {stored.get(key)!r}"
        for key in sorted(known)
        if stored.get(key) != now.get(key)
    }
    refused = [key for key in changes if key not in accepted]
    if refused:
        raise TrainingError(
            f"the run {run} was begun with another recipe or corpus: "
            f"{'; '.join(changes[key] for key in refused)}; change it back to go on, give the "
            "recipe another name to begin afresh, or go on from here with the change by "
            f"train.accept_changes = {json.dumps(refused)}"
        )
    return list(changes.values())


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    return {
        "modersmal": __version__,
        **{package: metadata.version(package) for package in ("torch", "transformers", "numpy")},
    }
