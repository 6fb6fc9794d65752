"""Bring everything that a recipe needs from the network, so that the rest runs offline.

That is for machines whose network goes away: compute nodes, trains, workshops. Models go to the
Hub's cache, releases to the downloads folder. A dataset on the Hub has no copy but the corpus,
which is therefore prepared here and now.
"""

from dataclasses import dataclass
from pathlib import Path

from modersmal.config import Recipe
from modersmal.corpus.prepare import Prepared
from modersmal.corpus.schema import CORPUS_FILE
from modersmal.corpus.sources import open_sources
from modersmal.errors import HubError, ModelError, RecipeError
from modersmal.offline import is_offline
from modersmal.run import prepare_here
from modersmal.whisper.load import locate


@dataclass(frozen=True)
class Fetched:
    """What is here now: models by name, sources as the recipe writes them.

    `missing` are candidates that cannot be had, which a run leaves out, each with the reason.
    `prepared` is the corpus, where it was there already or a source comes only with it.
    """

    models: dict[str, Path]
    sources: tuple[str, ...]
    missing: dict[str, str]
    prepared: Prepared | None

    def __str__(self) -> str:
        lines = [f"Model {name}: {folder}" for name, folder in self.models.items()]
        lines += [f"Candidate {name} is left out: {why}" for name, why in self.missing.items()]
        if self.prepared:
            lines += [f"Corpus {self.prepared.path}: prepared", "", str(self.prepared), ""]
        else:
            lines += [f"Source {source}: here" for source in self.sources]
        return "\n".join([*lines, "The rest needs no network: add --offline."])


def fetch(recipe: Recipe) -> Fetched:
    """Download the recipe's models and data; what is here already stays as it is.

    All sources are looked at first, so that a missing key or terms that were not accepted show
    before anything large comes.

    Raises:
        RecipeError: the recipe names no sources.
        CorpusError, ModelError, HubError, StoreError: something cannot come.
    """
    if not recipe.data.sources:
        raise RecipeError("the recipe's data.sources is empty; write there what to train on")
    if is_offline():
        raise HubError("nothing can be fetched offline; unset HF_HUB_OFFLINE")
    workspace = recipe.workspace
    workspace.pull(f"corpora/{recipe.corpus_name}")
    done = (workspace.corpus(recipe.corpus_name) / CORPUS_FILE).exists()
    sources = [] if done else open_sources(recipe.data.sources, recipe.language)
    for source in sources:
        source.check()
    models = {model: locate(model) for model in recipe.sizes or [recipe.model]}
    missing = {}
    for candidate in recipe.evaluate.candidates:
        try:
            models[candidate] = locate(candidate)
        except (HubError, ModelError) as error:
            missing[candidate] = str(error)
    kept = [source.fetch() for source in sources]
    prepared = prepare_here(recipe) if done or not all(kept) else None
    return Fetched(models, tuple(recipe.data.sources), missing, prepared)
