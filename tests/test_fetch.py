"""`fetch` brings what a recipe needs; then all of it runs where there is no network."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path

import pytest
from huggingface_hub import constants

import modersmal
from data_collective import KEY, DataCollective
from data_collective import serving as serving_releases
from dataset_hub import DatasetHub
from dataset_hub import serving as serving_hub
from modersmal.errors import HubError
from modersmal.offline import is_offline

CLOSED = "http://127.0.0.1:9"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
RECIPE = """
    model = "{model}"
    store = "store"
    name = "small"
    [data]
    sources = {sources}
    workers = 1
    [train]
    max_steps = 2
    packed_share = 0
    full_share = 0
    batch_s = 5.0
    warmup_steps = 1
    evaluate_every = 0
    loader_workers = 0
    [evaluate]
    candidates = {candidates}
"""


@pytest.fixture
def hub(
    tiny_whisper: Callable[..., Path], tiny_corpus: Callable[..., Path], tmp_path: Path
) -> Iterator[DatasetHub]:
    """A model that ends early and a small corpus, as repositories."""
    data = tmp_path / "dataset"
    shutil.copytree(tiny_corpus(train=6, dev=2, test=2), data / "data")
    with serving_hub(
        DatasetHub({"some/whisper": tiny_whisper(terse=True), "some/speech": data})
    ) as served:
        yield served


@pytest.fixture
def platform() -> Iterator[DataCollective]:
    folder = resources.files("modersmal") / "assets" / "demo"
    (archive,) = (entry for entry in folder.iterdir() if entry.name.endswith(".tar.gz"))
    with serving_releases(DataCollective({"demo": archive.read_bytes()})) as served:
        yield served


def environment(tmp_path: Path, hub: str, platform: str) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in PROXIES} | {
        "HF_ENDPOINT": hub,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": "",
        "MDC_API_URL": platform,
        "MDC_API_KEY": KEY,
        "MDC_DOWNLOAD_PATH": str(tmp_path / "downloads"),
        "OMP_NUM_THREADS": "1",
    }


def unreachable(tmp_path: Path) -> dict[str, str]:
    """Every way to a network leads to a port where nobody listens."""
    nowhere = environment(tmp_path, CLOSED, f"{CLOSED}/api") | dict.fromkeys(PROXIES, CLOSED)
    return {key: value for key, value in nowhere.items() if key.lower() != "no_proxy"}


def command(
    *arguments: str, at: Path, env: dict[str, str], before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-m", "modersmal", *arguments],
        cwd=at, env=env, capture_output=True, text=True, timeout=240,
    )  # fmt: skip


def write_recipe(
    folder: Path,
    sources: list[str],
    model: str = "some/whisper",
    candidates: Sequence[str] = ("some/missing",),
) -> None:
    lists = {"sources": json.dumps(sources), "candidates": json.dumps(list(candidates))}
    (folder / "recipe.toml").write_text(RECIPE.format(model=model, **lists))


def without_network() -> tuple[str, ...]:
    """A way to start a process in a network namespace of its own, if this machine lets us."""
    way = ("unshare", "--user", "--map-root-user", "--net")
    able = (
        shutil.which("unshare")
        and subprocess.run([*way, "true"], capture_output=True).returncode == 0
    )
    return way if able else ()


def test_a_recipe_of_the_hub_is_fetched_and_runs_offline(hub: DatasetHub, tmp_path: Path) -> None:
    write_recipe(tmp_path, ["hf:some/speech"])
    fetched = command(
        "fetch", "recipe.toml", at=tmp_path, env=environment(tmp_path, hub.endpoint, CLOSED)
    )
    assert fetched.returncode == 0, fetched.stderr
    assert "Model some/whisper: " in fetched.stdout
    assert "Candidate some/missing is left out: the Hub has no model some/missing" in fetched.stdout
    assert "Corpus " in fetched.stdout
    assert (tmp_path / "store" / "corpora" / "small" / "corpus.json").exists()

    done = command(
        "run", "recipe.toml", "--offline",
        at=tmp_path, env=unreachable(tmp_path), before=without_network(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "store" / "runs" / "small" / "model" / "model.safetensors").exists()


def test_a_release_is_fetched_and_prepared_offline(
    platform: DataCollective, tmp_path: Path
) -> None:
    write_recipe(tmp_path, ["mdc:demo"], model="bundled", candidates=[])
    online = environment(tmp_path, CLOSED, platform.api)
    fetched = command("fetch", "recipe.toml", at=tmp_path, env=online)
    assert fetched.returncode == 0, fetched.stderr
    assert "Source mdc:demo: here" in fetched.stdout
    assert not (tmp_path / "store").exists()
    prepared = command(
        "prepare", "mdc:demo", "--to", "corpus", "--workers", "1", "--offline",
        at=tmp_path, env=unreachable(tmp_path),
    )  # fmt: skip
    assert prepared.returncode == 0, prepared.stderr
    assert "CC0-1.0" in prepared.stdout
    assert len(platform.sent) == 1


def test_all_sources_are_looked_at_before_anything_comes(
    platform: DataCollective, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(tmp_path, CLOSED, platform.api).items():
        monkeypatch.setenv(name, value)
    write_recipe(tmp_path, ["mdc:demo", "mdc:nothing"], model="bundled")
    with pytest.raises(HubError, match="Data Collective has no release nothing"):
        modersmal.fetch(tmp_path / "recipe.toml")
    assert platform.sent == []
    assert not (tmp_path / "downloads").exists()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubError, match="nothing can be fetched offline"):
        modersmal.fetch(tmp_path / "recipe.toml")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("hf:some/speech", "hf:some/speech is read from the Hub while it is prepared"),
        ("mdc:demo", "mdc:demo was not downloaded before, and this is offline"),
    ],
)
def test_offline_names_the_source_that_is_missing(tmp_path: Path, source: str, words: str) -> None:
    said = command(
        "prepare", source, "--to", "x", "--offline", at=tmp_path, env=unreachable(tmp_path)
    )
    assert said.returncode == 1
    assert said.stderr.count("\n") == 1
    assert words in said.stderr
    assert "`modersmal fetch`" in said.stderr


def test_offline_names_the_model_that_is_missing(
    tiny_corpus: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    write_recipe(tmp_path, ["clips.csv"])
    shutil.copytree(tiny_corpus(train=6, dev=2, test=2), tmp_path / "store" / "corpora" / "small")
    (tmp_path / "a.wav").write_bytes(b"")
    for call in (
        lambda: modersmal.train(tmp_path / "recipe.toml", offline=True),
        lambda: modersmal.run(tmp_path / "recipe.toml", offline=True),
        lambda: modersmal.evaluate(
            "some/whisper", [tmp_path / "store" / "corpora" / "small"], offline=True
        ),
        lambda: modersmal.transcribe([tmp_path / "a.wav"], model="some/whisper", offline=True),
    ):
        with pytest.raises(HubError, match="some/whisper was not downloaded before, and this is"):
            call()
    assert not is_offline()


def test_offline_ends_with_the_call() -> None:
    code = """
import os, huggingface_hub
from modersmal.offline import is_offline, staying_offline
with staying_offline(False):
    assert not is_offline() and not huggingface_hub.is_offline_mode()
with staying_offline():
    assert is_offline() and huggingface_hub.is_offline_mode()
    with staying_offline():
        pass
    assert is_offline() and huggingface_hub.is_offline_mode()
assert not is_offline() and not huggingface_hub.is_offline_mode()
assert "HF_HUB_OFFLINE" not in os.environ
"""
    env = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    subprocess.run([sys.executable, "-c", code], check=True, env=env, timeout=60)
