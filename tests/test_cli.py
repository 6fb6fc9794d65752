"""The command line is a contract: frozen here, with its exit codes and what goes where."""

import inspect
import json
import os
import resource
import signal
import subprocess
import sys
import time
import typing
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import modersmal
from modersmal import cli
from modersmal.cli import app
from modersmal.errors import ModersmalError, Stopped

# command -> argument -> (as typed, type, default). A change here is a change for every user.
REQUIRED = "required"
FROZEN = {
    "demo": {"directory": ("DIR", "Path | None", None)},
    "init": {
        "recipe": ("RECIPE.toml", "Path", Path("recipe.toml")),
        "language": ("--language", "str", "sv"),
        "language_token": ("--language-token CODE", "str | None", None),
        "ready": ("--ready NAME", "str | None", None),
        "force": ("--force", "bool", False),
    },
    "run": {
        "recipe": ("RECIPE.toml", "Path", REQUIRED),
        "rehearse": ("--rehearse", "bool", False),
        "keep": ("--keep", "bool", False),
        "until": ("--until", "Literal['prepare', 'end']", "end"),
        "settings": ("--set KEY=VALUE...", "list[str] | None", None),
        "budget": ("--budget TIME", "str | None", None),
        "deadline": ("--deadline MOMENT", "str | None", None),
        "offline": ("--offline", "bool", False),
    },
    "estimate": {
        "recipe": ("RECIPE.toml", "Path", REQUIRED),
        "on": ("--on MACHINE", "str", "here"),
        "settings": ("--set KEY=VALUE...", "list[str] | None", None),
        "audio_hours": ("--audio-hours HOURS", "float | None", None),
        "price_per_hour": ("--price-per-hour PRICE", "float | None", None),
        "as_json": ("--json", "bool", False),
    },
    "fetch": {"recipe": ("RECIPE.toml", "Path", REQUIRED)},
    "prepare": {
        "sources": ("SOURCE...", "list[str]", REQUIRED),
        "to": ("--to CORPUS", "Path", REQUIRED),
        "language": ("--language", "str", "sv"),
        "language_token": ("--language-token CODE", "str | None", None),
        "codec": ("--codec", "Literal['original', 'flac', 'opus']", "original"),
        "workers": ("--workers", "int", 0),
        "align_with": ("--align-with MODEL", "str", "openai/whisper-small"),
        "offline": ("--offline", "bool", False),
    },
    "inspect": {
        "corpus": ("CORPUS", "str", REQUIRED),
        "verify": ("--verify", "bool", False),
        "as_json": ("--json", "bool", False),
    },
    "train": {
        "recipe": ("RECIPE.toml", "Path", REQUIRED),
        "settings": ("--set KEY=VALUE...", "list[str] | None", None),
        "budget": ("--budget TIME", "str | None", None),
        "deadline": ("--deadline MOMENT", "str | None", None),
        "offline": ("--offline", "bool", False),
    },
    "status": {
        "store": ("STORE", "str", REQUIRED),
        "watch": ("--watch", "bool", False),
        "as_json": ("--json", "bool", False),
    },
    "evaluate": {
        "model": ("MODEL", "str", REQUIRED),
        "corpora": ("CORPUS...", "list[str]", REQUIRED),
        "split": ("--split", "str", "test"),
        "baseline": ("--baseline MODEL", "str | None", None),
        "hypotheses": ("--hypotheses FILE", "Path | None", None),
        "recipe": ("--recipe RECIPE.toml", "Path | None", None),
        "output": ("--output DIR", "Path | None", None),
        "offline": ("--offline", "bool", False),
        "as_json": ("--json", "bool", False),
    },
    "compare": {
        "runs": ("RUN_OR_REPORT...", "list[str]", REQUIRED),
        "picture": ("--picture FILE.png", "Path | None", None),
        "offline": ("--offline", "bool", False),
        "as_json": ("--json", "bool", False),
    },
    "release": {
        "run": ("RUN", "str", REQUIRED),
        "to": ("--to STORE", "str", REQUIRED),
        "formats": ("--formats NAMES", "str | None", None),
        "force": ("--force REASON", "str | None", None),
        "corpus": ("--corpus CORPUS", "str | None", None),
        "offline": ("--offline", "bool", False),
        "as_json": ("--json", "bool", False),
    },
    "releases": {
        "store": ("STORE", "str", REQUIRED),
        "as_json": ("--json", "bool", False),
    },
    "rollback": {
        "store": ("STORE", "str", REQUIRED),
        "to": ("--to NUMBER", "int | None", None),
    },
    "publish": {
        "release": ("RELEASE", "str", REQUIRED),
        "repo": ("--repo REPO", "str", REQUIRED),
        "dry_run": ("--dry-run", "bool", False),
        "public": ("--public", "bool", False),
        "checkpoints": ("--checkpoints", "bool", False),
    },
    "transcribe": {
        "audio": ("AUDIO...", "list[Path]", REQUIRED),
        "model": ("--model MODEL", "str", REQUIRED),
        "language": ("--language CODE", "str | None", None),
        "format": ("--format", "Literal['txt', 'srt', 'vtt', 'json']", "txt"),
        "words": ("--words", "bool", False),
        "output": ("--output DIR", "Path | None", None),
        "overwrite": ("--overwrite", "bool", False),
        "offline": ("--offline", "bool", False),
    },
    "serve": {
        "model": ("--model MODEL", "str", REQUIRED),
        "host": ("--host", "str", "127.0.0.1"),
        "port": ("--port", "int", 7860),
        "database": ("--database URL", "str | None", None),
        "recipe": ("--recipe RECIPE.toml", "Path | None", None),
        "offline": ("--offline", "bool", False),
    },
    "keys": {
        "action": ("ACTION", "Literal['add', 'list', 'revoke']", REQUIRED),
        "name": ("NAME", "str | None", None),
        "reviewer": ("--reviewer", "bool", False),
        "database": ("--database URL", "str | None", None),
        "recipe": ("--recipe RECIPE.toml", "Path | None", None),
    },
    "improve": {
        "recipe": ("RECIPE.toml", "Path", REQUIRED),
        "approve": ("--approve", "bool", False),
        "refuse": ("--refuse REASON", "str | None", None),
        "settings": ("--set KEY=VALUE...", "list[str] | None", None),
        "budget": ("--budget TIME", "str | None", None),
        "deadline": ("--deadline MOMENT", "str | None", None),
        "offline": ("--offline", "bool", False),
        "as_json": ("--json", "bool", False),
    },
    "launch": {
        "target": ("TARGET", "str", REQUIRED),
        "recipe": ("RECIPE.toml", "Path", REQUIRED),
        "to": ("--to DIR", "Path", REQUIRED),
    },
    "forget": {
        "database": ("DATABASE", "str", REQUIRED),
        "stores": ("STORE...", "list[str] | None", None),
        "person_key": ("--person-key", "bool", False),
        "as_json": ("--json", "bool", False),
    },
    "doctor": {
        "store": ("--store STORE", "str", "."),
        "as_json": ("--json", "bool", False),
    },
}

# The Python functions: the same arguments, without what only concerns printing.
SIGNATURES = {
    "demo": "(directory: str | Path | None = None) -> DemoResult",
    "init": "(recipe: str | Path = 'recipe.toml', *, language: str = 'sv', "
    "language_token: str | None = None, ready: str | None = None, force: bool = False) -> Path",
    "run": "(recipe: str | Path, *, rehearse: bool = False, keep: bool = False, "
    "until: Literal['prepare', 'end'] = 'end', settings: Sequence[str] = (), "
    "budget: str | None = None, deadline: str | None = None, offline: bool = False) "
    "-> RunResult | SizesResult | Rehearsal | Prepared",
    "estimate": "(recipe: str | Path, *, on: str = 'here', settings: Sequence[str] = (), "
    "audio_hours: float | None = None, price_per_hour: float | None = None) -> list[Estimate]",
    "fetch": "(recipe: str | Path) -> Fetched",
    "prepare": "(sources: Sequence[str | Path], to: str | Path, *, language: str = 'sv', "
    "language_token: str | None = None, codec: Literal['original', 'flac', 'opus'] = 'original', "
    "workers: int = 0, align_with: str = 'openai/whisper-small', offline: bool = False) "
    "-> Prepared",
    "inspect": "(corpus: str | Path, *, verify: bool = False) -> Summary",
    "train": "(recipe: str | Path, *, settings: Sequence[str] = (), "
    "budget: str | None = None, deadline: str | None = None, offline: bool = False) "
    "-> TrainResult",
    "status": "(store: str | Path, *, watch: bool = False) -> Status",
    "evaluate": "(model: str, corpora: Sequence[str | Path], *, split: str = 'test', "
    "baseline: str | None = None, hypotheses: str | Path | None = None, "
    "recipe: str | Path | None = None, output: str | Path | None = None, "
    "offline: bool = False) -> Evaluation",
    "compare": "(runs: Sequence[str | Path], *, picture: str | Path | None = None, "
    "offline: bool = False) -> SizeComparison",
    "release": "(run: str | Path, to: str | Path, *, formats: Sequence[str] | None = None, "
    "force: str | None = None, corpus: str | Path | None = None, offline: bool = False) "
    "-> Released",
    "releases": "(store: str | Path) -> Listing",
    "rollback": "(store: str | Path, *, to: int | None = None) -> Rollback",
    "publish": "(release: str | Path, repo: str, *, dry_run: bool = False, public: bool = False, "
    "checkpoints: bool = False) -> Published",
    "transcribe": "(audio: Sequence[str | Path], *, model: str, language: str | None = None, "
    "format: Literal['txt', 'srt', 'vtt', 'json'] = 'txt', words: bool = False, "
    "output: str | Path | None = None, overwrite: bool = False, offline: bool = False) "
    "-> list[Transcript]",
    "improve": "(recipe: str | Path, *, approve: bool = False, refuse: str | None = None, "
    "settings: Sequence[str] = (), budget: str | None = None, deadline: str | None = None, "
    "offline: bool = False) -> Improved",
    "launch": "(target: str, recipe: str | Path, to: str | Path) -> Launched",
    "forget": "(database: str, stores: Sequence[str | Path] = (), *, "
    "person_key: str | None = None) -> Forgotten",
    "doctor": "(store: str | Path = '.') -> Diagnosis",
}

commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def test_commands_are_those_that_are_built() -> None:
    assert list(commands) == list(FROZEN)


@pytest.mark.parametrize("name", FROZEN)
def test_arguments_are_frozen(name: str) -> None:
    function = getattr(cli, name)
    kinds = typing.get_type_hints(function)
    found = {}
    for parameter in commands[name].params:
        typed = parameter.opts[0]
        if not typed.startswith("-"):
            typed = parameter.metavar
        elif parameter.metavar:
            typed = f"{typed} {parameter.metavar}"
        kind = kinds[parameter.name]
        if parameter.nargs == -1 or "list[" in str(kind):
            typed += "..."
        kind_name = getattr(kind, "__name__", None) if isinstance(kind, type) else None
        if "[" in str(kind) or "|" in str(kind):
            kind_name = str(kind).replace("typing.", "").replace("pathlib.", "")
        default = REQUIRED if parameter.required else parameter.default
        found[parameter.name] = (typed, kind_name.replace("_local.", ""), default)
    assert found == FROZEN[name]


@pytest.mark.parametrize("name", SIGNATURES)
def test_python_functions_are_frozen(name: str) -> None:
    function = getattr(modersmal, name)
    shown = str(inspect.signature(function)).replace("pathlib.", "").replace("_local.", "")
    for noise in ("typing.", "collections.abc.", "'DemoResult'"):
        shown = shown.replace(noise, noise.strip("'") if noise[0] == "'" else "")
    arguments, _, answer = shown.rpartition(" -> ")
    assert f"{arguments} -> {answer.strip(chr(39))}" == SIGNATURES[name]
    assert function.__doc__


def test_a_function_has_its_commands_arguments() -> None:
    for name, arguments in FROZEN.items():
        parameters = inspect.signature(getattr(modersmal, name)).parameters
        assert list(parameters) == [key for key in arguments if key != "as_json"]


@pytest.mark.parametrize("name", FROZEN)
def test_every_command_and_option_is_explained(name: str) -> None:
    command = commands[name]
    assert command.help
    assert command.epilog.startswith(f"Example: modersmal {name}")
    for parameter in command.params:
        assert parameter.help, f"{name} {parameter.name}"
        assert parameter.help.endswith("."), f"{name} {parameter.name}"
    shown = CliRunner().invoke(app, [name, "--help"]).stdout
    assert "Example: modersmal" in shown


# Speed -------------------------------------------------------------------------------------------


def test_help_takes_less_than_0_3_s() -> None:
    """Processor time, so that a busy machine does not fail it."""
    taken = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "modersmal", "--help"], check=True, capture_output=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(taken) < 0.3


# Streams and exit codes --------------------------------------------------------------------------


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modersmal", *arguments],
        capture_output=True, text=True, timeout=120, **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prepre"], ["prepre", "prepare"]),
        (["init", "--langage", "sv"], ["--langage", "--language"]),
        (["prepare"], ["SOURCE"]),
        (["prepare", "x"], ["--to"]),
        (["prepare", "x", "--to", "y", "--codec", "mp3"], ["mp3", "opus"]),
        (["prepare", "x", "--to", "y", "--workers", "-1"], ["--workers", "0"]),
    ],
)
def test_wrong_usage_is_2_with_what_is_near(arguments: list[str], words: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert not done.stdout
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_the_users_error_is_1_and_one_sentence(tmp_path: Path) -> None:
    done = run("run", str(tmp_path / "recipe.toml"))
    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr.startswith("modersmal: there is no recipe at")
    assert done.stderr.count("\n") == 1


def test_version_and_bare_call() -> None:
    assert run("--version").stdout.strip() == modersmal.__version__
    bare = run()
    assert "Commands:" in bare.stdout + bare.stderr


def test_init_prints_what_to_do_next(tmp_path: Path) -> None:
    done = run("init", "my.toml", "--language", "fi", cwd=tmp_path)
    assert done.returncode == 0
    assert "modersmal run my.toml" in done.stdout
    assert not done.stderr
    assert (tmp_path / "my.toml").exists()
    lacking = run("init", "other.toml", "--language", "se", cwd=tmp_path)
    assert lacking.returncode == 1
    assert "'fi' (Finnish)" in lacking.stderr
    assert not (tmp_path / "other.toml").exists()


def outcome(monkeypatch: pytest.MonkeyPatch, raised: BaseException) -> Any:
    """What `doctor` ends in when the public function that it calls raises."""

    def fails(store: Path) -> None:
        print("noise of a library")
        raise raised

    monkeypatch.setattr(modersmal, "doctor", fails)
    return CliRunner().invoke(app, ["doctor", "--json"])


def test_every_kind_of_end_has_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for raised, code, sentence in [
        (ModersmalError("the folder x is missing"), 1, "modersmal: the folder x is missing\n"),
        (Stopped("stopped at step 5"), 3, "modersmal: stopped at step 5\n"),
        (KeyboardInterrupt(), 130, "modersmal: interrupted\n"),
    ]:
        ended = outcome(monkeypatch, raised)
        assert ended.exit_code == code
        assert ended.stdout == ""
        assert ended.stderr.endswith(sentence)


def test_our_fault_is_70_with_a_log_that_hides_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = "with hf_abcdefghijklmnop, s3://anna:sesame-open@host/x and AKIAABCDEFGHIJKLMNOP inside"
    ended = outcome(monkeypatch, ZeroDivisionError(text))
    assert ended.exit_code == 70
    assert ended.stdout == ""
    sentence = ended.stderr.splitlines()[-1]
    assert "a fault of ours" in sentence
    assert "Traceback" not in ended.stderr
    log = Path(sentence.rpartition(" ")[2])
    assert log.parent == tmp_path / "modersmal"
    content = log.read_text()
    assert "ZeroDivisionError" in content
    assert "Traceback" in content
    for secret in ("hf_abcdefghijklmnop", "sesame-open", "AKIAABCDEFGHIJKLMNOP"):
        assert secret not in content
    assert oct(log.stat().st_mode)[-3:] == "600"


def test_a_fault_is_logged_even_where_the_cache_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    ended = outcome(monkeypatch, ZeroDivisionError("x"))
    assert ended.exit_code == 70
    log = Path(ended.stderr.splitlines()[-1].rpartition(" ")[2])
    assert log.is_file()
    log.unlink()


def test_json_is_all_that_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    from modersmal.doctor import Check, Diagnosis

    def noisy(store: Path) -> Diagnosis:
        print("noise of a library")
        return Diagnosis((Check("torch on cpu", "fail", "räknar fel", "reinstall torch"),))

    monkeypatch.setattr(modersmal, "doctor", noisy)
    ended = CliRunner().invoke(app, ["doctor", "--json"])
    assert ended.exit_code == 1
    assert json.loads(ended.stdout) == {
        "checks": [
            {"name": "torch on cpu", "state": "fail", "detail": "räknar fel",
             "remedy": "reinstall torch"},
        ],
    }  # fmt: skip
    assert "noise" in ended.stderr


def test_a_reader_that_leaves_early_is_no_fault() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "modersmal", "init", "--help"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(30) == 1


def test_an_interrupt_ends_with_130(tmp_path: Path) -> None:
    """A real signal to a real process that waits for a file nobody writes."""
    code = (
        "import sys, time, modersmal.cli, modersmal\n"
        "def waits(store):\n"
        "    print('ready', file=sys.stderr, flush=True)\n"
        "    time.sleep(60)\n"
        "modersmal.doctor = waits\n"
        "sys.exit(modersmal.cli.main(['doctor']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert process.stderr.read() == "modersmal: interrupted\n"
