"""The run that is released: its folder, its recipe, and the corpus that it learned from."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modersmal.config import Recipe, parse_recipe
from modersmal.corpus import Corpus
from modersmal.errors import CorpusError, ModelError
from modersmal.store.remote import Remote, local_place
from modersmal.store.tokens import counted
from modersmal.store.workspace import Workspace
from modersmal.train.candidates import CANDIDATES
from modersmal.train.checkpoint import Checkpoints
from modersmal.train.finish import MODEL
from modersmal.train.keeping import CHECKPOINTS, RECIPE
from modersmal.train.log import METRICS

_RUNS, _CORPORA = "runs", "corpora"


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

    @property
    def model(self) -> Path | None:
        """The folder of the model that training left, where it is complete."""
        folder = self.folder / MODEL
        return folder if (folder / "config.json").is_file() else None


def open_run(run: str | Path, corpus: Path | None = None) -> Source:
    """Open a run by its folder or its URL; what is only far away is fetched, checkpoints aside.

    Its corpus is the one beside it in its store (corpora/NAME) unless `corpus` says where it is.

    Raises:
        ModelError: there is no run.
        CorpusError: the corpus is missing, or not the one that the run learned from.
        StoreError: what is far away cannot be reached.
    """
    folder, place, corpora = _places(str(run))
    try:
        told = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{run} is no run: it has no {RECIPE}; give the folder of a run, as in STORE/runs/NAME"
        ) from None
    opened = Corpus.open(corpus or corpora)
    if opened.hash != told["identity"]["corpus"]:
        raise CorpusError(
            f"{opened.path} is not the corpus that {run} learned from, or was prepared anew since; "
            "say where that is with --corpus"
        )
    return Source(folder, place, parse_recipe(told["recipe"]), told["identity"], opened)


def _places(run: str) -> tuple[Path, Remote | None, Path]:
    """The run's folder here, its folder far away, and where its corpus is here."""
    if "://" not in run:
        folder = Path(run).expanduser().absolute()
        return folder, None, folder.parent.parent / _CORPORA / folder.name
    address, _, name = run.rstrip("/").rpartition("/")
    store, _, runs = address.rpartition("/")
    if runs != _RUNS:
        raise ModelError(f"{run} is no run: runs are at STORE/{_RUNS}/NAME")
    workspace = Workspace.open(store)
    place = workspace.place(f"{_RUNS}/{name}")
    if place is None:  # file:// and the like: this machine's own
        return workspace.run(name), None, workspace.corpus(name)
    workspace.pull(f"{_CORPORA}/{name}")
    workspace.pull(f"{_RUNS}/{name}/{MODEL}")
    there = place.list()
    for file in (RECIPE, METRICS, CANDIDATES):
        if file in there:
            place.get(file, workspace.run(name) / file)
    return workspace.run(name), place, workspace.corpus(name)
