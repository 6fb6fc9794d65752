"""The command line: parse, call one public function, print what it returns.

A command returns the text that it prints, so that standard output holds that and nothing else.
"""

import functools
import getpass
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import modersmal
from modersmal.errors import (
    EXIT_FAULT,
    EXIT_INTERRUPTED,
    EXIT_STOPPED,
    EXIT_USER_ERROR,
    ModersmalError,
    Stopped,
)

app = typer.Typer(
    name="modersmal",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich alone would double the time that --help takes
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Language = Annotated[
    str, typer.Option("--language", help="Language that is spoken and written, as BCP 47.")
]
LanguageToken = Annotated[
    str | None,
    typer.Option(
        "--language-token",
        metavar="CODE",
        help="For a language that Whisper lacks: the Whisper language whose token it borrows.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Offline = Annotated[
    bool,
    typer.Option("--offline", help="Download nothing: what `modersmal fetch` brought is used."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key of the recipe; may be repeated."
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="TIME",
        help="Save and end within this time, as in 2h50m (train.on_deadline says how).",
    ),
]
Deadline = Annotated[
    str | None,
    typer.Option(
        "--deadline", metavar="MOMENT", help="Save and end by then, as in 2026-12-24T18:00+01:00."
    ),
]
RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="The recipe.")]


@dataclass(frozen=True)
class Answer:
    """What a command prints on standard output, and its exit code."""

    text: str
    code: int = 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        app(args=arguments, prog_name="modersmal")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EXIT_USER_ERROR
    return 0


def command(example: str) -> Callable[[Callable[..., Answer]], Callable[..., None]]:
    """Register a command that ends in an answer or in one plain sentence."""

    def register(function: Callable[..., Answer]) -> Callable[..., None]:
        @functools.wraps(function)
        def guarded(*arguments: Any, **options: Any) -> None:
            try:
                with redirect_stdout(sys.stderr):
                    answer = function(*arguments, **options)
                if answer.text and _leads():
                    print(answer.text, flush=True)
                code = answer.code
            except Stopped as stop:
                code = _say(str(stop), stop.exit_code) if _leads() else stop.exit_code
            except ModersmalError as error:
                code = _say(str(error), error.exit_code)
            except KeyboardInterrupt:
                code = _say("interrupted", EXIT_INTERRUPTED)
            except BrokenPipeError:
                raise  # typer ends quietly when the reader is gone
            except Exception as error:
                code = _say(_fault(error), EXIT_FAULT)
            raise typer.Exit(code)

        app.command(epilog=f"Example: {example}")(guarded)
        return guarded

    return register


def _leads() -> bool:
    """Whether this is the one of several processes (torchrun) that says what all of them did."""
    return os.environ.get("RANK", "0") == "0"


def _say(sentence: str, code: int) -> int:
    print(f"modersmal: {sentence}", file=sys.stderr)
    return code


def _fault(error: Exception) -> str:
    """Write a log of what is our fault, and say where it lies."""
    from modersmal.store.trouble import without_secrets

    report = (
        f"modersmal {modersmal.__version__}, Python {sys.version}, {sys.platform}\n"
        f"{sys.argv}\n\n{''.join(traceback.format_exception(error))}"
    )
    log = _log_folder() / f"fault-{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}.log"
    log.touch(mode=0o600)
    log.write_text(without_secrets(report), encoding="utf-8")
    return f"a fault of ours ({type(error).__name__}); please report it with the log {log}"


def _log_folder() -> Path:
    from modersmal.store.workspace import cache_folder

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.gettempdir())


def _json(value: Any) -> str:
    return json.dumps(_table(value), ensure_ascii=False, indent=2)


def _table(value: Any) -> Any:
    """A result as JSON's types; what a dataclass hides from its repr stays hidden."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if is_dataclass(value):
        return {
            field.name: _table(getattr(value, field.name)) for field in fields(value) if field.repr
        }
    if isinstance(value, dict):
        return {str(key): _table(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_table(inner) for inner in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


@app.callback(invoke_without_command=True)
def _modersmal(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Teach Whisper a mother tongue: from a speech corpus to a fine-tuned model and transcripts.

    A MODEL is a Hub id, a folder or URL, that of a run, a release (STORE#7), a store (its latest
    release), or 'bundled'. Progress goes to standard error. Exit codes: 0 done, 1 your error, 2
    usage, 3 stopped with everything saved (start it again to go on), 130 interrupted, 70 a fault of
    ours.
    """
    if version:
        print(modersmal.__version__)
        raise typer.Exit


@command("modersmal demo")
def demo(
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Keep what it makes here; else it is thrown away."),
    ] = None,
) -> Answer:
    """Take bundled speech through every stage, offline, in minutes."""
    return Answer(str(modersmal.demo(directory)))


@command("modersmal init swedish.toml --language sv")
def init(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE.toml", help="The file to write.")
    ] = Path("recipe.toml"),
    language: Language = "sv",
    language_token: LanguageToken = None,
    ready: Annotated[
        str | None,
        typer.Option(
            "--ready",
            metavar="NAME",
            help="A short ready recipe instead: common-voice-sv (whisper-small on Common Voice "
            "Swedish) or manifest (any corpus).",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> Answer:
    """Write a recipe with every key explained.

    Each has its effect, unit, default, and when to change it.
    """
    written = modersmal.init(
        recipe, language=language, language_token=language_token, ready=ready, force=force
    )
    return Answer(f"Wrote {written}. Set data.sources there, then: modersmal run {written}")


@command("modersmal run recipe.toml")
def run(
    recipe: RecipeFile,
    rehearse: Annotated[
        bool,
        typer.Option(
            "--rehearse",
            help="Take 32 clips through every stage instead, apart from the real run, and say what "
            "hours, disk and download that will need.",
        ),
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="With --rehearse: do not remove what that made.")
    ] = False,
    until: Annotated[
        Literal["prepare", "end"],
        typer.Option("--until", help="prepare: end when the corpus is in the store."),
    ] = "end",
    settings: Settings = None,
    budget: Budget = None,
    deadline: Deadline = None,
    offline: Offline = False,
) -> Answer:
    """Do all that a recipe says, from sources to a scored model.

    Prepares, scores the base model, trains, evaluates. The same command again goes on. A recipe
    that names several sizes is done for each, and they are compared.
    """
    result = modersmal.run(
        recipe,
        rehearse=rehearse,
        keep=keep,
        until=until,
        settings=settings or (),
        budget=budget,
        deadline=deadline,
        offline=offline,
    )
    return Answer(str(result))


@command("modersmal estimate recipe.toml --on T4")
def estimate(
    recipe: RecipeFile,
    on: Annotated[
        str,
        typer.Option(
            "--on",
            metavar="MACHINE",
            help="Where it will run: here, CPU (of two cores), or a GPU such as T4, P100, L4, "
            "A100 or H100.",
        ),
    ] = "here",
    settings: Settings = None,
    audio_hours: Annotated[
        float | None,
        typer.Option(
            "--audio-hours",
            metavar="HOURS",
            help="How much speech the sources hold, where neither corpus nor rehearsal tells.",
        ),
    ] = None,
    price_per_hour: Annotated[
        float | None,
        typer.Option(
            "--price-per-hour", metavar="PRICE", help="What an hour there costs, in any currency."
        ),
    ] = None,
    as_json: Json = False,
) -> Answer:
    """Say how many hours each stage takes, before any is spent.

    By the recipe's rehearsal (`modersmal run --rehearse`) on that machine, else by a small table,
    with the uncertainty of either.
    """
    found = modersmal.estimate(
        recipe,
        on=on,
        settings=settings or (),
        audio_hours=audio_hours,
        price_per_hour=price_per_hour,
    )
    if as_json:
        return Answer(_json({"estimates": found}))
    return Answer("\n\n".join(map(str, found)))


@command("modersmal fetch recipe.toml")
def fetch(recipe: RecipeFile) -> Answer:
    """Bring a recipe's models and data, so that the rest runs --offline.

    Datasets on the Hub (hf:) are prepared at once: the corpus is their only copy.
    """
    return Answer(str(modersmal.fetch(recipe)))


@command("modersmal prepare cv-corpus-sv-SE.tar.gz --to corpora/sv")
def prepare(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="Common Voice releases (folder, .tar.gz or mdc:ID), datasets on the Hub "
            "(hf:OWNER/NAME[:config][@revision]), CSV/TSV/JSONL manifests, folders of audio with "
            "same-named .txt, .srt or .vtt files, recordings with such a file beside them, what "
            "people have corrected (corrections:DATABASE).",
        ),
    ],
    to: Annotated[
        Path, typer.Option("--to", metavar="CORPUS", help="Folder that becomes the corpus.")
    ],
    language: Language = "sv",
    language_token: LanguageToken = None,
    codec: Annotated[
        Literal["original", "flac", "opus"],
        typer.Option(
            "--codec",
            help="How clips are kept: original (the bytes as they came), flac or opus.",
        ),
    ] = "original",
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes; 0: one per core.")
    ] = 0,
    align_with: Annotated[
        str,
        typer.Option(
            "--align-with",
            metavar="MODEL",
            help="Model that finds the sentences of recordings over 30 s that have a .txt without "
            "times; loaded only where there are such.",
        ),
    ] = "openai/whisper-small",
    offline: Offline = False,
) -> Answer:
    """Turn sources into a corpus, every clip decoded and checked.

    The same command again goes on where it was.
    """
    prepared = modersmal.prepare(
        sources,
        to,
        language=language,
        language_token=language_token,
        codec=codec,
        workers=workers,
        align_with=align_with,
        offline=offline,
    )
    return Answer(str(prepared))


@command("modersmal inspect corpora/sv")
def inspect(
    corpus: Annotated[
        str, typer.Argument(metavar="CORPUS", help="A prepared corpus: a folder or URL.")
    ],
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare every shard with its hash first.")
    ] = False,
    as_json: Json = False,
) -> Answer:
    """Describe a corpus: hours, speakers, rejected clips, overlap."""
    summary = modersmal.inspect(corpus, verify=verify)
    return Answer(_json(summary) if as_json else str(summary))


@command("modersmal train recipe.toml --set train.max_steps=500")
def train(
    recipe: RecipeFile,
    settings: Settings = None,
    budget: Budget = None,
    deadline: Deadline = None,
    offline: Offline = False,
) -> Answer:
    """Fine-tune on the recipe's corpus, from the newest checkpoint.

    On several GPUs: torchrun --nproc-per-node 2 -m modersmal train RECIPE.toml.
    """
    result = modersmal.train(
        recipe,
        settings=settings or (),
        budget=budget,
        deadline=deadline,
        offline=offline,
    )
    return Answer(str(result))


@command("modersmal status modersmal-store --watch")
def status(
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="What a recipe has as `store`: a folder or URL.")
    ],
    watch: Annotated[bool, typer.Option("--watch", help="Show it live until interrupted.")] = False,
    as_json: Json = False,
) -> Answer:
    """Show how each run of a store stands, from anywhere.

    Step, speed, time left, what is saved, who holds it, and the dev scores as a curve.
    """
    found = modersmal.status(store, watch=watch)
    return Answer(_json(found) if as_json else str(found))


@command("modersmal evaluate modersmal-store/runs/run corpora/sv --baseline openai/whisper-small")
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model to score.")],
    corpora: Annotated[
        list[str],
        typer.Argument(metavar="CORPUS", help="Prepared corpora (folders, URLs) to score it on."),
    ],
    split: Annotated[str, typer.Option("--split", help="Split that is decoded.")] = "test",
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", metavar="MODEL", help="Compare with this model, clip by clip."),
    ] = None,
    hypotheses: Annotated[
        Path | None,
        typer.Option(
            "--hypotheses",
            metavar="FILE",
            help="Score another system's output instead of decoding: JSONL or TSV with id and "
            "text. MODEL is then the name it is shown under.",
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe", metavar="RECIPE.toml", help="Score as its [evaluate] says; else defaults."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="DIR", help="Keep every reference and hypothesis in this folder."
        ),
    ] = None,
    offline: Offline = False,
    as_json: Json = False,
) -> Answer:
    """Score a model by decoding: WER and CER with 95 % intervals."""
    evaluation = modersmal.evaluate(
        model,
        corpora,
        split=split,
        baseline=baseline,
        hypotheses=hypotheses,
        recipe=recipe,
        output=output,
        offline=offline,
    )
    return Answer(_json(evaluation) if as_json else str(evaluation))


@command("modersmal compare modersmal-store/runs/base modersmal-store/runs/small")
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN_OR_REPORT",
            help="Runs (STORE/runs/NAME, folders or URLs), or folders that `modersmal evaluate "
            "--output` wrote; two or more.",
        ),
    ],
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.png", help="Draw it into this file, as PNG."),
    ] = None,
    offline: Offline = False,
    as_json: Json = False,
) -> Answer:
    """Say which size: WER with its interval against training time, size and decoding speed.

    On equal steps and on equal time, too. Scores that were not taken alike are refused.
    """
    found = modersmal.compare(runs, picture=picture, offline=offline)
    return Answer(_json(found) if as_json else str(found))


@command("modersmal release modersmal-store/runs/run --to modersmal-store")
def release(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A finished run: its folder, or STORE/runs/NAME.")
    ],
    to: Annotated[
        str,
        typer.Option("--to", metavar="STORE", help="Where it is released to: a folder or URL."),
    ],
    formats: Annotated[
        str | None,
        typer.Option(
            "--formats",
            metavar="NAMES",
            help="Families (hf, ct2, ggml) or single formats (ct2-int8), joined by commas; else "
            "the recipe's.",
        ),
    ] = None,
    force: Annotated[
        str | None,
        typer.Option(
            "--force",
            metavar="REASON",
            help="Release what would be refused; the card tells that, and the reason.",
        ),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(
            "--corpus",
            metavar="CORPUS",
            help="The run's corpus, where it is not beside the run in its store.",
        ),
    ] = None,
    offline: Offline = False,
    as_json: Json = False,
) -> Answer:
    """Make a run's best weights a release that every runtime can read, and deploy it.

    Each format is proven in its own runtime, and the model compared with earlier releases, before
    the store's latest moves. The same command again goes on where it was.
    """
    released = modersmal.release(
        run,
        to,
        formats=None if formats is None else [name.strip() for name in formats.split(",")],
        force=force,
        corpus=corpus,
        offline=offline,
    )
    return Answer(_json(released) if as_json else str(released))


@command("modersmal releases modersmal-store")
def releases(
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="Where they were released to: a folder or URL.")
    ],
    as_json: Json = False,
) -> Answer:
    """List what a store has released, and which release is deployed.

    Number, WER on test, size, date, parent, base and state of each.
    """
    listing = modersmal.releases(store)
    return Answer(_json(listing) if as_json else str(listing))


@command("modersmal rollback modersmal-store")
def rollback(
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="Where it was released to: a folder or URL.")
    ],
    to: Annotated[
        int | None,
        typer.Option(
            "--to",
            metavar="NUMBER",
            min=1,
            help="The release to deploy; else the one that was deployed before the latest.",
        ),
    ] = None,
) -> Answer:
    """Deploy an earlier release again, in one step.

    Nothing is deleted: --to goes forward again, too.
    """
    return Answer(str(modersmal.rollback(store, to=to)))


@command("modersmal publish modersmal-store --repo anna/whisper-small-sv")
def publish(
    release: Annotated[
        str,
        typer.Argument(
            metavar="RELEASE",
            help="A release: its folder, STORE#7, or a store (its latest). Or a corpus, where the "
            "terms of its sources let it be passed on.",
        ),
    ],
    repo: Annotated[
        str,
        typer.Option(
            "--repo",
            "--to",
            metavar="REPO",
            help="USER/NAME on the Hub, or the URL or folder of another store.",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing: list what would go.")
    ] = False,
    public: Annotated[
        bool,
        typer.Option("--public", help="Let everybody see a new repository; else it is private."),
    ] = False,
    checkpoints: Annotated[
        bool,
        typer.Option("--checkpoints", help="Send the run's checkpoints too, to a branch."),
    ] = False,
) -> Answer:
    """Publish a release to the Hub, or to another store.

    The same command again goes on where it was; what is there already is not sent again.
    """
    published = modersmal.publish(
        release, repo, dry_run=dry_run, public=public, checkpoints=checkpoints
    )
    return Answer(str(published))


@command("modersmal transcribe interview.m4a --model modersmal-store/runs/run --format srt")
def transcribe(
    audio: Annotated[
        list[Path], typer.Argument(metavar="AUDIO", help="Files, or folders of them.")
    ],
    model: Annotated[str, typer.Option("--model", metavar="MODEL", help="The model to use.")],
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            metavar="CODE",
            help="Language that is spoken; else the one that the model was fine-tuned for, else "
            "detected.",
        ),
    ] = None,
    format: Annotated[
        Literal["txt", "srt", "vtt", "json"],
        typer.Option("--format", help="txt, srt, vtt or json."),
    ] = "txt",
    words: Annotated[
        bool, typer.Option("--words", help="Times of single words, not only of phrases.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIR",
            help="Write here; else beside the audio, and a single file is printed.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace transcripts that are there already.")
    ] = False,
    offline: Offline = False,
) -> Answer:
    """Transcribe audio of any length to text or subtitles."""
    transcripts = modersmal.transcribe(
        audio,
        model=model,
        language=language,
        format=format,
        words=words,
        output=output,
        overwrite=overwrite,
        offline=offline,
    )
    for transcript in transcripts:
        if transcript.error:
            _say(transcript.error, EXIT_USER_ERROR)
    done = [str(transcript) for transcript in transcripts if not transcript.error]
    return Answer("\n".join(done), 0 if len(done) == len(transcripts) else EXIT_USER_ERROR)


Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="sqlite:///PATH or postgresql://USER@HOST/NAME; else the recipe's, else SQLite in its "
        "serve.folder.",
    ),
]
ServeRecipe = Annotated[
    Path | None,
    typer.Option(
        "--recipe", metavar="RECIPE.toml", help="Serve as its [serve] says; else defaults."
    ),
]


@command("modersmal serve --model modersmal-store")
def serve(
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="MODEL", help="The model to serve; of a store always the latest."
        ),
    ],
    host: Annotated[
        str,
        typer.Option("--host", help="Where it listens; 0.0.0.0 lets other machines in, too."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = 7860,
    database: Database = None,
    recipe: ServeRecipe = None,
    offline: Offline = False,
) -> Answer:
    """Serve a page and an API that always run the latest release.

    The page records and takes files; OpenAI's clients use the API unchanged. Ctrl-C ends it.
    """
    served = modersmal.serve(
        model, host=host, port=port, database=database, recipe=recipe, offline=offline
    )
    return Answer(str(served))


@command("modersmal keys add anna --reviewer")
def keys(
    action: Annotated[
        Literal["add", "list", "revoke"],
        typer.Argument(metavar="ACTION", help="add, list or revoke."),
    ],
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Whose key to add or to revoke.")
    ] = None,
    reviewer: Annotated[
        bool, typer.Option("--reviewer", help="With add: it may judge corrections, too.")
    ] = False,
    database: Database = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe",
            metavar="RECIPE.toml",
            help="What the server is started with, where its database is said.",
        ),
    ] = None,
) -> Answer:
    """Add, list or revoke keys of a server.

    A new key is printed once. As soon as there is one, nobody comes in without; a server that runs
    obeys within seconds.
    """
    found = modersmal.keys(action, name, reviewer=reviewer, database=database, recipe=recipe)
    return Answer(str(found))


@command("modersmal improve recipe.toml")
def improve(
    recipe: RecipeFile,
    approve: Annotated[
        bool, typer.Option("--approve", help="Let the release that waits be served.")
    ] = False,
    refuse: Annotated[
        str | None,
        typer.Option(
            "--refuse", metavar="REASON", help="Let the release that waits never be served."
        ),
    ] = None,
    settings: Settings = None,
    budget: Budget = None,
    deadline: Deadline = None,
    offline: Offline = False,
    as_json: Json = False,
) -> Answer:
    """Make people's corrections into the next release.

    Corrections and the recipe's corpus become a corpus, a run and a release, which is measured on
    corrections that were set aside, and served once somebody has approved it. The same command
    again goes on.
    """
    improved = modersmal.improve(
        recipe,
        approve=approve,
        refuse=refuse,
        settings=settings or (),
        budget=budget,
        deadline=deadline,
        offline=offline,
    )
    code = EXIT_USER_ERROR if improved.state == "refused" and refuse is None else 0
    return Answer(_json(improved) if as_json else str(improved), code)


@command("modersmal launch space recipe.toml --to my-space")
def launch(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="Where it is to run: colab, docker, kaggle, modal, office or space.",
        ),
    ],
    recipe: RecipeFile,
    to: Annotated[
        Path, typer.Option("--to", metavar="DIR", help="The folder that the files go to.")
    ],
) -> Answer:
    """Write what another machine needs to run this very version.

    Small files to read, and the wheel; no secret among them. The next step is printed. The same
    command again replaces what it wrote, but nothing that was changed since.
    """
    return Answer(str(modersmal.launch(target, recipe, to)))


@command("modersmal forget sqlite:///modersmal-serve/modersmal.db modersmal-store --person-key")
def forget(
    database: Annotated[
        str,
        typer.Argument(
            metavar="DATABASE",
            help="The server's: sqlite:///PATH or postgresql://USER@HOST/NAME.",
        ),
    ],
    stores: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STORE",
            help="Folders or URLs with corpora, runs, reports or releases: what recipes have as "
            "`store`.",
        ),
    ] = None,
    person_key: Annotated[
        bool,
        typer.Option(
            "--person-key",
            help="Erase a person, whose key is asked for, or read from standard input. Without it: "
            "look in the stores for what was erased before.",
        ),
    ] = False,
    as_json: Json = False,
) -> Answer:
    """Erase what a person has corrected, and keep it from coming back.

    From the database, the audio beside it, corpora, reports, begun releases and finished ones, and
    copies on this machine. Says which releases learned from it. The same command again goes on.
    """
    key = _secret("The person's key: ") if person_key else None
    forgotten = modersmal.forget(database, stores or (), person_key=key)
    text = _json(forgotten) if as_json else str(forgotten)
    return Answer(text, 0 if forgotten.complete else EXIT_STOPPED)


def _secret(prompt: str) -> str:
    """Asked for where somebody types, else the first line of standard input: others can read
    command lines."""
    if sys.stdin.isatty():
        return getpass.getpass(prompt)
    return sys.stdin.readline().strip()


@command("modersmal doctor --store s3://bucket/people/anna")
def doctor(
    store: Annotated[
        str, typer.Option("--store", metavar="STORE", help="What a recipe has as `store`.")
    ] = ".",
    as_json: Json = False,
) -> Answer:
    """Examine this machine: what works, what fits, what is missing."""
    diagnosis = modersmal.doctor(store)
    code = 0 if diagnosis.healthy else EXIT_USER_ERROR
    return Answer(_json(diagnosis) if as_json else str(diagnosis), code)
