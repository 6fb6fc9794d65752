"""The run that is released: its folder, its recipe, and the corpus that it learned from."""

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from modersmal.config import Recipe, parse_recipe
from modersmal.corpus import Corpus
from modersmal.errors import CorpusError, ModelError, StoreMissing
from modersmal.evaluate.records import EVALUATION_FILE
from modersmal.store.files import MANIFEST
from modersmal.store.folder import is_synced
from modersmal.store.remote import Remote, local_place
from modersmal.store.tokens import counted
from modersmal.store.workspace import Workspace, at_hand
from modersmal.train.candidates import CANDIDATES
from modersmal.train.checkpoint import Checkpoints
from modersmal.train.finish import MODEL
from modersmal.train.keeping import CHECKPOINTS, RECIPE
from modersmal.train.log import METRICS

_RUNS, _CORPORA = "runs", "corpora"
BASE_SCORE = f"scores/base-dev/{EVALUATION_FILE}"  # of the base, by `modersmal run`


@dataclass(frozen=True)
class Source:
    """A run, with what it was made by. `folder` is where it is on this machine, `place` where else
    it is kept, and `name` what it is called in its store."""

    folder: Path
    place: Remote | None
    recipe: Recipe
    identity: dict[str, Any]
    corpus: Corpus

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def checkpoints(self) -> Checkpoints:
        """Those that count: what a stale machine wrote does not."""
        keeper = self.place or local_place(self.folder)
        return Checkpoints(
            self.folder / CHECKPOINTS, self.place, CHECKPOINTS, lambda names: counted(keeper, names)
        )

    @cached_property
    def model(self) -> Path | None:
        """The folder of the model that training left, where there is one; fetched when asked for.

        Raises StoreError.
        """
        folder = self.folder / MODEL
        if self.place is not None and self.place.address is not None:
            with suppress(StoreMissing):
                return at_hand(f"{self.place.address}/{MODEL}")
        return folder if (folder / MANIFEST).is_file() else None


def open_run(run: str | Path, corpus: Path | None = None) -> Source:
    """Open a run by its folder or its URL; what is only far away is fetched, checkpoints aside.

    Its corpus is the one that its recipe names in its store (corpora/NAME) unless `corpus` says
    where it is.

    Raises:
        ModelError: there is no run.
        CorpusError: the corpus is missing, or not the one that the run learned from.
        StoreError: what is far away cannot be reached.
    """
    folder, place, workspace = _places(str(run))
    try:
        told = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
        recipe, identity = parse_recipe(told["recipe"]), told["identity"]
        learned_from = identity["corpus"]
    except FileNotFoundError:
        raise ModelError(
            f"{run} is no run: it has no {RECIPE}; give the folder of a run, as in STORE/runs/NAME"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / RECIPE} cannot be read: {error}") from error
    if corpus is None:
        name = recipe.corpus or folder.name
        workspace.pull(f"{_CORPORA}/{name}")
        corpus = workspace.corpus(name)
    opened = Corpus.open(corpus)
    if learned_from not in (opened.hash, *opened.was):
        raise CorpusError(
            f"{opened.path} is not the corpus that {run} learned from, or was prepared anew since; "
            "say where that is with --corpus"
        )
    return Source(folder, place, recipe, identity, opened)


def _places(run: str) -> tuple[Path, Remote | None, Workspace]:
    """The run's folder here, its folder far away, and the store that it is in."""
    folder = Path(run).expanduser().absolute()
    if "://" not in run and not (folder.parent.name == _RUNS and is_synced(folder)):
        return folder, None, Workspace(folder.parent.parent, None)
    address, _, name = run.rstrip("/").rpartition("/")
    store, _, runs = address.rpartition("/")
    if runs != _RUNS:
        raise ModelError(f"{run} is no run: runs are at STORE/{_RUNS}/NAME")
    workspace = Workspace.open(store)
    place = workspace.place(f"{_RUNS}/{name}")
    there = place.list() if place else []
    for file in (RECIPE, METRICS, CANDIDATES, BASE_SCORE):
        if place and file in there:
            place.get(file, workspace.run(name) / file)
    return workspace.run(name), place, workspace
