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
    from modersmal.compare.compare import SizeComparison
    from modersmal.compare.sizes import SizesResult
    from modersmal.corpus.inspect import Summary
    from modersmal.corpus.prepare import Prepared
    from modersmal.demo import DemoResult
    from modersmal.doctor import Diagnosis
    from modersmal.estimate.result import Estimate
    from modersmal.evaluate.evaluate import Evaluation
    from modersmal.fetch import Fetched
    from modersmal.forget.forget import Forgotten
    from modersmal.improve.result import Improved
    from modersmal.launch.launch import Launched
    from modersmal.rehearse.result import Rehearsal
    from modersmal.release.listing import Listing
    from modersmal.release.publish import Published
    from modersmal.release.release import Released
    from modersmal.release.rollback import Rollback
    from modersmal.run import RunResult
    from modersmal.serve.managing import KeysResult
    from modersmal.serve.serve import Served
    from modersmal.status.runs import Status
    from modersmal.train.finish import TrainResult
    from modersmal.transcribe.transcribe import Transcript

__version__ = "0.1.0"
__all__ = [
    "ModersmalError", "compare", "demo", "doctor", "estimate", "evaluate", "fetch", "forget",
    "improve", "init", "inspect", "keys", "launch", "prepare", "publish", "release", "releases",
    "rollback", "run", "serve", "status", "train", "transcribe",
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
    until: Literal["end"] = "end",
    settings: Sequence[str] = (),
    budget: str | None = None,
    deadline: str | None = None,
    offline: bool = False,
) -> "RunResult | SizesResult": ...
@overload
def run(
    recipe: Source,
    *,
    rehearse: bool = ...,
    keep: bool = False,
    until: Literal["prepare", "end"] = "end",
    settings: Sequence[str] = (),
    budget: str | None = None,
    deadline: str | None = None,
    offline: bool = False,
) -> "RunResult | SizesResult | Rehearsal | Prepared": ...
def run(
    recipe: Source,
    *,
    rehearse: bool = False,
    keep: bool = False,
    until: Literal["prepare", "end"] = "end",
    settings: Sequence[str] = (),
    budget: str | None = None,
    deadline: str | None = None,
    offline: bool = False,
) -> "RunResult | SizesResult | Rehearsal | Prepared":
    """Do everything that a recipe says: prepare, score the base, train, evaluate.

    What is done already is not done again. A recipe of several sizes is done for each, and they are
    compared. `settings` override keys of the recipe, each as "KEY=VALUE"; `budget` ("2h50m") and
    `deadline` ("2026-12-24T18:00+01:00") are two of them. `offline` takes what `fetch` brought.
    With `rehearse`, a few clips go through every stage instead, in a folder of their own that is
    removed unless `keep` is set; that tells what the real run will need. With `until` "prepare", it
    ends when the corpus is in the store: on a machine without a GPU, for one that has one.
    """
    from modersmal.config import load_recipe

    # What is wrong with it shows before the slow imports.
    overrides = [*settings, *_time_settings(budget, deadline)]
    loaded = load_recipe(recipe, overrides, several=not rehearse)
    if keep and not rehearse:
        raise RecipeError("only what --rehearse made can be kept; add that, or leave --keep out")
    if rehearse and until != "end":
        raise RecipeError("a rehearsal goes through every stage; leave --until out")

    with staying_offline(offline):
        if until == "prepare":
            from modersmal.run import prepare_here

            return prepare_here(loaded.each()[0])

        if rehearse:
            from modersmal.rehearse.rehearse import rehearse as rehearse_it

            return rehearse_it(loaded, keep=keep)

        if loaded.sizes:
            from modersmal.compare.sizes import run_sizes

            return run_sizes(loaded)

        from modersmal.run import run

        return run(loaded)


def _time_settings(budget: str | None, deadline: str | None) -> list[str]:
    given = {"train.budget": budget, "train.deadline": deadline}
    return [f'{key}="{value}"' for key, value in given.items() if value is not None]


def estimate(
    recipe: Source,
    *,
    on: str = "here",
    settings: Sequence[str] = (),
    audio_hours: float | None = None,
    price_per_hour: float | None = None,
) -> "list[Estimate]":
    """Hours of each stage of a recipe before it begins: one estimate for each of its sizes.

    `on` is "here" or a machine such as "T4". They come of its rehearsal on that machine, else of a
    small table, with their uncertainty. `audio_hours` says how much data there is, where neither
    corpus nor rehearsal tells; `price_per_hour` turns hours into money, in any currency.
    """
    from modersmal.config import load_recipe

    loaded = load_recipe(recipe, settings, several=True)

    from modersmal.estimate.estimate import estimate

    return [
        estimate(size, on=on, audio_hours=audio_hours, price_per_hour=price_per_hour)
        for size in loaded.each()
    ]


def fetch(recipe: Source) -> "Fetched":
    """Bring a recipe's models and data, so that the rest runs without a network.

    A dataset on the Hub is prepared at once: the corpus is its only copy.
    """
    from modersmal.config import load_recipe

    loaded = load_recipe(recipe, several=True)

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


def compare(
    runs: Sequence[Source], *, picture: Source | None = None, offline: bool = False
) -> "SizeComparison":
    """Hold runs of different sizes against each other: WER against time, size and decoding speed.

    Each is a run (STORE/runs/NAME, a folder or URL), or a folder that `evaluate` wrote as `output`.
    Scores that were not taken alike are refused. `picture` becomes a PNG of it all.
    """
    with staying_offline(offline):
        from modersmal.compare.compare import compare

        return compare(
            [str(run) for run in runs], picture=None if picture is None else Path(picture)
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


def serve(
    model: str,
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    database: str | None = None,
    recipe: Source | None = None,
    offline: bool = False,
) -> "Served":
    """Answer on a page, and as OpenAI's API does, until a signal ends it.

    `model` may be a store, whose latest release answers, also when that changes. `recipe` is one
    whose [serve] says how; `database` stands above its own. What people erase is erased from both
    their stores.
    """
    from modersmal.config import ServeConfig, load_recipe

    loaded = None if recipe is None else load_recipe(recipe)

    with staying_offline(offline):
        from modersmal.forget.forgetting import Forgetting
        from modersmal.serve.engine.choices import may_be_store
        from modersmal.serve.serve import serve as serve_it

        stores = [model] if may_be_store(model) else []
        return serve_it(
            model,
            host=host,
            port=port,
            database=database,
            settings=loaded.serve if loaded else ServeConfig(),
            offline=offline,
            forgetting=Forgetting([*stores, loaded.store] if loaded else stores),
        )


def keys(
    action: Literal["add", "list", "revoke"],
    name: str | None = None,
    *,
    reviewer: bool = False,
    database: str | None = None,
    recipe: Source | None = None,
) -> "KeysResult":
    """Add, list or revoke the keys that a server lets people and programs in by.

    The secret of a new one is in the result, and nowhere else. A server that runs obeys within
    seconds.
    """
    from modersmal.config import ServeConfig, load_recipe
    from modersmal.serve.managing import manage_keys

    settings = ServeConfig() if recipe is None else load_recipe(recipe).serve
    return manage_keys(action, name, reviewer=reviewer, database=database, settings=settings)


def improve(
    recipe: Source,
    *,
    approve: bool = False,
    refuse: str | None = None,
    settings: Sequence[str] = (),
    budget: str | None = None,
    deadline: str | None = None,
    offline: bool = False,
) -> "Improved":
    """Make what people have corrected on the page into the next release of the recipe's store.

    Corrections and the recipe's corpus become a corpus, a run and a release, which is measured
    against the latest on corrections that were set aside. It then waits: `approve` lets it be
    served, `refuse`, a reason, never. Started again after a stop, it goes on. `settings`, `budget`
    and `deadline` are as in `run`.
    """
    from modersmal.config import load_recipe

    loaded = load_recipe(recipe, [*settings, *_time_settings(budget, deadline)])

    with staying_offline(offline):
        from modersmal.improve.improve import improve

        return improve(loaded, approve=approve, refuse=refuse)


def launch(target: str, recipe: Source, to: Source) -> "Launched":
    """Write what `target` needs to run a recipe with this very version into the folder `to`.

    Its wheel is among it, and no secret. What an earlier launch wrote there is replaced; what
    somebody changed since is not touched.
    """
    from modersmal.launch.launch import launch

    return launch(target, Path(recipe), Path(to))


def forget(
    database: str, stores: Sequence[Source] = (), *, person_key: str | None = None
) -> "Forgotten":
    """Erase what a person has corrected, by their key, from a server's database and from `stores`.

    Without a key, what was erased in the database before is erased from the stores: those that
    were brought back from a backup, or could not be reached. Started again, it goes on.
    """
    from modersmal.forget.forget import forget

    return forget(database, [str(store) for store in stores], person_key=person_key)


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
