"""The corpora of an improvement: the corrections alone, and joined to what the recipe has."""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modersmal import store
from modersmal.config import DataConfig, Recipe
from modersmal.corpus import Corpus
from modersmal.corpus.join import join
from modersmal.corpus.prepare import prepare
from modersmal.corpus.sources.corrections import Corrections
from modersmal.errors import StoreMissing
from modersmal.run import prepare_here


@dataclass(frozen=True)
class Data:
    """What the improvement `run` of a recipe learns from; `source` is where corrections are."""

    recipe: Recipe
    source: str
    run: str

    @property
    def corrections(self) -> Path:
        """The corpus of corrections alone, whose test split is what is measured on."""
        return self.recipe.workspace.corpus(self._alone)

    @property
    def name(self) -> str:
        """What the corpus to learn from is called in the store."""
        return self.run if self.recipe.data.sources else self._alone

    @property
    def _alone(self) -> str:
        return f"{self.run}-corrections"

    def make(self) -> Corpus:
        """The corpus to learn from, made of what may be learned from now.

        Raises:
            CorpusError, LanguageError, StoreError: it cannot be made.
        """
        recipe, workspace = self.recipe, self.recipe.workspace
        self.remove()
        fresh = prepare(
            [self.source],
            self.corrections,
            language=recipe.language,
            language_token=recipe.language_token,
            data=DataConfig(codec=recipe.data.codec, workers=recipe.data.workers),
            text=recipe.text,
            checks=recipe.checks,
        ).corpus
        workspace.push(fresh.path)
        if self.name == self._alone:
            return fresh
        made = join(prepare_here(recipe).corpus, fresh, workspace.corpus(self.name))
        workspace.push(made.path)
        return made

    def open(self) -> Corpus:
        """The corpus to learn from, as it is now. Raises CorpusError where it has gone."""
        for name in {self.name, self._alone}:
            self.recipe.workspace.pull(f"corpora/{name}")
        return Corpus.open(self.recipe.workspace.corpus(self.name))

    def remove(self) -> None:
        """Delete both corpora, here and in the store."""
        for name in {self.name, self._alone}:
            _remove(self.recipe, f"corpora/{name}")

    def remove_run(self) -> None:
        """Delete what was learned from them, here and in the store."""
        _remove(self.recipe, f"runs/{self.run}")


def learned_ids(corpus: Corpus) -> list[str]:
    """The ids of the corrections in train."""
    kinds = {source["name"]: source["kind"] for source in corpus.info["sources"]}
    if "train" not in corpus.splits:
        return []
    split = corpus.split("train")
    return [
        PurePosixPath(id_).stem
        for id_, source in zip(split.ids, split.column("source"), strict=True)
        if kinds.get(source) == Corrections.kind
    ]


def _remove(recipe: Recipe, name: str) -> None:
    workspace = recipe.workspace
    folder = workspace.local / name
    with store.writing(folder):
        if folder.is_dir():
            shutil.rmtree(folder)
    if workspace.remote is not None:
        with suppress(StoreMissing):
            workspace.remote.delete(name)
