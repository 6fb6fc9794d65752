"""modersmal teaches Whisper a mother tongue on borrowed compute.

One function per command, with the same arguments and a typed result; nothing heavy is imported
before it is needed. Every error that is the caller's to mend is a `ModersmalError`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, overload

from modersmal.errors import ModersmalError, RecipeError
from modersmal.offline import staying_offline

if TYPE_CHECKING:
    from modersmal.corpus.inspect import Summary
    from modersmal.corpus.prepare import Prepared
    from modersmal.demo import DemoResult
    from modersmal.doctor import Diagnosis
    from modersmal.evaluate.evaluate import Evaluation
    from modersmal.fetch import Fetched
    from modersmal.rehearse.result import Rehearsal
    from modersmal.release.listing import Listing
    from modersmal.release.publish import Published
    from modersmal.release.release import Released
    from modersmal.release.rollback import Rollback
    from modersmal.run import RunResult
    from modersmal.status.runs import Status
    from modersmal.train.finish import TrainResult
    from modersmal.transcribe.transcribe import Transcript

__version__ = "0.1.0"
__all__ = [
    "ModersmalError", "demo", "doctor", "evaluate", "fetch", "init", "inspect", "prepare",
    "publish", "release", "releases", "rollback", "run", "status", "train", "transcribe",
]  # fmt: skip

Source = str | Path


def demo(directory: Source | None = None) -> "DemoResult":
    """Take bundled Swedish speech through every stage, offline, in minutes on a CPU.

    What it makes stays in `directory`; without one it is thrown away.
    """
    from modersmal.demo import demo

    return demo(None if directory is None else Path(directory))


def init(
    recipe: Source = "recipe.toml",
    *,
    language: str = "sv",
    language_token: str | None = None,
    ready: str | None = None,
    force: bool = False,
) -> Path:
    """Write a recipe with every key explained, or the short one that is named `ready`."""
    from modersmal.init import init

    return init(recipe, language=language, language_token=language_token, ready=ready, force=force)


@overload
def run(
    recipe: Source,
    *,
    rehearse: Literal[False] = False,
    keep: Literal[False] = False,
    budget: str | None = None,
    deadline: str | None = None,
    offline: bool = False,
) -> "RunResult": ...
@overload
def run(
    recipe: Source,
    *,
    rehearse: bool,
    keep: bool = False,
    budget: str | None = None,
    deadline: str | None = None,
    offline: bool = False,
) -> "RunResult | Rehearsal": ...
def run(
    recipe: Source,
    *,
    rehearse: bool = False,
    keep: bool = False,
    budget: str | None = None,
    deadline: str | None = None,
    offline: bool = False,
) -> "RunResult | Rehearsal":
    """Do everything that a recipe says: prepare, score the base, train, evaluate.

    What is done already is not done again. `budget` ("2h50m") and `deadline`
    ("2026-12-24T18:00+01:00") stand above the recipe's. `offline` takes what `fetch` brought. With
    `rehearse`, a few clips go through every stage instead, in a folder of their own that is removed
    unless `keep` is set; that tells what the real run will need.
    """
    from modersmal.config import load_recipe

    # What is wrong with it shows before the slow imports.
    loaded = load_recipe(recipe, _time_settings(budget, deadline))
    if keep and not rehearse:
        raise RecipeError("only what --rehearse made can be kept; add that, or leave --keep out")

    with staying_offline(offline):
        if rehearse:
            from modersmal.rehearse.rehearse import rehearse as rehearse_it

            return rehearse_it(loaded, keep=keep)

        from modersmal.run import run

        return run(loaded)


def _time_settings(budget: str | None, deadline: str | None) -> list[str]:
    given = {"train.budget": budget, "train.deadline": deadline}
    return [f'{key}="{value}"' for key, value in given.items() if value is not None]


def fetch(recipe: Source) -> "Fetched":
    """Bring a recipe's models and data, so that the rest runs without a network.

    A dataset on the Hub is prepared at once: the corpus is its only copy.
    """
    from modersmal.config import load_recipe

    loaded = load_recipe(recipe)

    from modersmal.fetch import fetch

    return fetch(loaded)


def prepare(
    sources: Sequence[Source],
    to: Source,
    *,
    language: str = "sv",
    language_token: str | None = None,
    codec: Literal["original", "flac", "opus"] = "original",
    workers: int = 0,
    align_with: str = "openai/whisper-small",
    offline: bool = False,
) -> "Prepared":
    """Turn sources into the corpus folder `to`, every clip decoded once and checked.

    `align_with` is the model that finds the sentences of recordings whose text has no times; it is
    loaded only where there are such.
    """
    from modersmal.config import DataConfig

    with staying_offline(offline):
        from modersmal.corpus.prepare import prepare
        from modersmal.whisper.align import ModelAligner

        return prepare(
            [str(source) for source in sources],
            Path(to),
            language=language,
            language_token=language_token,
            data=DataConfig(codec=codec, workers=workers),
            aligner=ModelAligner(align_with, language, language_token),
        )


def inspect(corpus: Source, *, verify: bool = False) -> "Summary":
    """Describe a corpus (a folder or URL): hours, speakers, rejected clips, overlap of splits.

    `verify` compares every shard with its hash first.
    """
    from modersmal.corpus.inspect import inspect
    from modersmal.store.workspace import at_hand

    return inspect(at_hand(corpus), verify=verify)


def train(
    recipe: Source,
    *,
    settings: Sequence[str] = (),
    budget: str | None = None,
    deadline: str | None = None,
    offline: bool = False,
) -> "TrainResult":
    """Fine-tune on the recipe's prepared corpus, from its newest checkpoint where there is one.

    `settings` override keys of the recipe, each as "KEY=VALUE", for example
    "train.max_steps=500"; `budget` ("2h50m") and `deadline` ("2026-12-24T18:00+01:00") are two of
    them.
    """
    from modersmal.config import load_recipe

    loaded = load_recipe(recipe, [*settings, *_time_settings(budget, deadline)])

    with staying_offline(offline):
        from modersmal.run import train_here

        return train_here(loaded)


def status(store: Source, *, watch: bool = False) -> "Status":
    """How each run of a store (a folder or URL) stands: step, speed, what is saved, dev scores.

    `watch` shows it on standard error, again and again, until interrupted.
    """
    from modersmal.status.status import status

    return status(str(store), watch=watch)


def evaluate(
    model: str,
    corpora: Sequence[Source],
    *,
    split: str = "test",
    baseline: str | None = None,
    hypotheses: Source | None = None,
    recipe: Source | None = None,
    output: Source | None = None,
    offline: bool = False,
) -> "Evaluation":
    """Score a model by decoding a split, with 95 % intervals, and against a baseline if given.

    `hypotheses` is a file with another system's output, scored in place of the model's. `recipe`
    is one whose [evaluate] says how to score; without it, the defaults do. `output` becomes a
    folder with every reference and hypothesis.
    """
    from modersmal.config import EvaluateConfig, load_recipe

    config = EvaluateConfig() if recipe is None else load_recipe(recipe).evaluate

    with staying_offline(offline):
        from modersmal.evaluate.evaluate import evaluate
        from modersmal.store.workspace import at_hand

        return evaluate(
            model,
            [at_hand(corpus) for corpus in corpora],
            split=split,
            baseline=baseline,
            hypotheses=None if hypotheses is None else Path(hypotheses),
            config=config,
            output=None if output is None else Path(output),
        )


def release(
    run: Source,
    to: Source,
    *,
    formats: Sequence[str] | None = None,
    force: str | None = None,
    corpus: Source | None = None,
    offline: bool = False,
) -> "Released":
    """Release the best weights of a run into the store `to`, once every format has proven itself.

    `formats` are families ("ct2") or single ones ("ct2-int8"), else those of the run's recipe.
    `force` is a reason to release what would be refused; the card tells it. `corpus` is where the
    run's corpus is, if it is not beside the run. Started again after a stop, it goes on.
    """
    with staying_offline(offline):
        from modersmal.release.release import release
        from modersmal.store.workspace import at_hand

        return release(
            str(run),
            str(to),
            formats=formats,
            force=force,
            corpus=None if corpus is None else at_hand(corpus),
        )


def releases(store: Source) -> "Listing":
    """What a store (a folder or URL) has released: rate, size, date, parent and state of each."""
    from modersmal.release.listing import releases

    return releases(store)


def rollback(store: Source, *, to: int | None = None) -> "Rollback":
    """Let an earlier release of a store be its latest again: `to`, or the one that was before it.

    Nothing is deleted; the same call with a number goes forward again.
    """
    from modersmal.release.rollback import rollback

    return rollback(store, to)


def publish(
    release: Source,
    repo: str,
    *,
    dry_run: bool = False,
    public: bool = False,
    checkpoints: bool = False,
) -> "Published":
    """Publish a release to `repo`: USER/NAME on the Hub, or the URL or folder of another store.

    `release` is its folder, STORE#7, a store (its latest), or a corpus whose terms let it be passed
    on. A new repository is private unless `public`. Started again after a failure, it goes on.
    """
    from modersmal.release.publish import publish

    return publish(release, repo, dry_run=dry_run, private=not public, checkpoints=checkpoints)


def transcribe(
    audio: Sequence[Source],
    *,
    model: str,
    language: str | None = None,
    format: Literal["txt", "srt", "vtt", "json"] = "txt",
    words: bool = False,
    output: Source | None = None,
    overwrite: bool = False,
    offline: bool = False,
) -> "list[Transcript]":
    """Transcribe files, or the audio in folders, of any length.

    A file that fails stands in its transcript's `error`; the others are done. Several files are
    written beside their audio, or below `output`; what is there already is kept, unless
    `overwrite` is set. Without `language` it is the model's own, else detected.
    """
    with staying_offline(offline):
        from modersmal.transcribe.transcribe import transcribe

        return transcribe(
            [Path(file) for file in audio],
            model=model,
            language=language,
            format=format,
            words=words,
            output=None if output is None else Path(output),
            overwrite=overwrite,
        )


def doctor(store: Source = ".") -> "Diagnosis":
    """Examine this machine: devices, engines, memory, `store` and its disk, packages, the Hub."""
    from modersmal.doctor import doctor

    return doctor(store)


class _Package(ModuleType):
    """Keeps `modersmal.train` a function once the subpackage of that name is imported.

    The import system binds a submodule to its parent's attribute; for the names of public
    functions that is refused. `from modersmal.train import …` finds the subpackage all the same.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
