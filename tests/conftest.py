"""What several test files need: tiny Whispers with the real vocabularies, and tiny corpora."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from hypothesis import settings

if TYPE_CHECKING:
    from postgres_server import Postgres

FLAKY_S3 = Path(__file__).parent / "store" / "flaky_s3.py"

settings.register_profile("any machine", deadline=None)  # a timing never decides a test
settings.load_profile("any machine")

TinyWhisper = Callable[..., Path]
TinyCorpus = Callable[..., Path]
MadeOnce = Callable[[str, Callable[[Path], object]], Path]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", type=Path, help="the folder to put the guide's pictures into")


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """What a shell starts in the background, or by nohup, ignores signals, and so would all that
    the tests start and stop."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler),
                          (signal.SIGHUP, signal.SIG_DFL)):  # fmt: skip
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Conversions of models go to a cache of the tests' own, and not to the user's."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Let `write` fill a folder of that name once for all processes that run tests; do not write
    to it."""
    several = "PYTEST_XDIST_WORKER" in os.environ
    common = tmp_path_factory.getbasetemp().parent if several else tmp_path_factory.getbasetemp()

    def make(name: str, write: Callable[[Path], object]) -> Path:
        folder, done = common / name, common / f"{name}.made"
        with FileLock(common / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                write(folder)
                done.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def postgres_server() -> Iterator["Postgres"]:
    """A real Postgres, where Debian's is installed."""
    from postgres_server import postgres, programs

    if programs() is None:
        pytest.skip("Debian's postgresql is not installed")
    with postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def database_address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database: once SQLite's, once Postgres'."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("postgres_server").new_database())


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory) -> TinyWhisper:
    """Make complete folders of tiny random Whispers: `tiny_whisper(vocabulary=..., mels=...)`.

    `vocabulary` is "multilingual", "multilingual-v3" or "english". A `terse` one ends after a
    token or two, so that it decodes fast. The same arguments give the same folder; do not write
    to it.
    """
    made: dict[tuple[object, ...], Path] = {}

    def make(
        vocabulary: str = "multilingual",
        mels: int = 80,
        width: int = 32,
        encoder_layers: int = 2,
        decoder_layers: int = 2,
        seed: int = 0,
        terse: bool = False,
    ) -> Path:
        from tiny import write_tiny_whisper

        key = (vocabulary, mels, width, encoder_layers, decoder_layers, seed, terse)
        if key not in made:
            folder = tmp_path_factory.mktemp("whisper") / f"{vocabulary}-{mels}"
            write_tiny_whisper(folder, *key)
            made[key] = folder
        return made[key]

    return make


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    """Make small prepared corpora of words sung as tones: `tiny_corpus(train=24, dev=6, test=6)`.

    Every word has a pitch of its own, so that there is something to learn. The same arguments
    give the same folder; do not write to it.
    """
    made: dict[tuple[object, ...], Path] = {}

    def make(
        train: int = 24,
        dev: int = 6,
        test: int = 6,
        language: str = "sv",
        language_token: str | None = None,
        seed: int = 0,
    ) -> Path:
        from tiny import write_tiny_corpus

        key = (train, dev, test, language, language_token, seed)
        if key not in made:
            folder = tmp_path_factory.mktemp("corpus") / language
            splits = {"train": train, "dev": dev, "test": test}
            write_tiny_corpus(folder, splits, language, language_token, seed)
            made[key] = folder
        return made[key]

    return make


@pytest.fixture
def s3_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a real S3 server on loopback."""
    server = subprocess.Popen(
        [sys.executable, str(FLAKY_S3)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    for name, value in {
        "AWS_ENDPOINT_URL": server.stdout.readline().strip(), "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    yield "s3://bucket/people/anna"
    server.stdin.close()
    server.wait(30)
