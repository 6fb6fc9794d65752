"""A Space: its folder starts as it is, and runs the newest revision of a repository on the Hub."""

import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml
from launching import REPO, environment, write_recipe

import modersmal
from modersmal.config import load_recipe
from modersmal.errors import RecipeError
from modersmal.launch.launch import Launched
from modersmal.whisper.load import locate
from writable_hub import WritableHub, writable_hub

CLIP = Path(__file__).parents[1] / "data" / "speech" / "03.ogg"
SAID = "Klockan är halv nio."
Launch = Callable[[str], Launched]


def publish(hub: WritableHub, number: int) -> None:
    """The bundled model as release `number`, in one commit."""
    files = {path.name: (path.read_bytes(), path.stat().st_size > 10_000)
             for path in locate("bundled").iterdir()}  # fmt: skip
    files["release.json"] = (f'{{"number": {number}}}'.encode(), False)
    hub.commit(REPO, files)


def test_its_metadata_are_those_of_a_space(launched: Launch) -> None:
    text = (launched("space").folder / "README.md").read_text(encoding="utf-8")
    metadata = yaml.safe_load(text.split("---\n")[1])
    assert metadata["sdk"] == "docker"
    assert metadata["app_port"] == 7860
    assert metadata["models"] == [REPO]
    assert metadata["title"] == "Swedish speech to text"


def test_its_settings_are_those_of_serving_and_nothing_else(launched: Launch) -> None:
    path = launched("space").folder / "recipe.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    assert set(table) == {"language", "serve"}
    loaded = load_recipe(path).serve
    assert loaded.names == ["Åsa Östlund", "Ängelholm"]
    assert loaded.limits.max_upload_mib == 5
    assert loaded.database is None
    assert loaded.watch_s == 60
    assert loaded.proxies == ["*"]  # the Hub's own, and nothing else reaches a Space


def test_a_store_on_the_hub_is_run_where_no_repository_is_named(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, 'store = "hf://datasets/anna/store/sv"\n')
    modersmal.launch("space", recipe, tmp_path / "to")
    assert 'MODEL = "hf://datasets/anna/store/sv"' in (tmp_path / "to" / "app.py").read_text()
    text = (tmp_path / "to" / "README.md").read_text()
    assert yaml.safe_load(text.split("---\n")[1])["datasets"] == ["anna/store"]


def test_a_recipe_that_names_neither_is_told_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"set launch\.space\.model to the repository"):
        modersmal.launch("space", write_recipe(tmp_path, ""), tmp_path / "to")
    assert not (tmp_path / "to").exists()


@pytest.mark.chaos
def test_it_starts_as_it_is_and_follows_the_repository(tmp_path: Path, cache: Path) -> None:
    recipe = write_recipe(tmp_path, f'[serve]\nwatch_s = 0.5\n[launch.space]\nmodel = "{REPO}"\n')
    modersmal.launch("space", recipe, tmp_path / "space")
    with writable_hub() as hub:
        publish(hub, 1)
        process = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=tmp_path / "space", stderr=subprocess.PIPE, text=True,
            env=environment(tmp_path, hub.url) | {"PORT": "0"},
        )  # fmt: skip
        try:
            address = served_at(process)
            first = ask(address)
            assert first.json()["text"] == SAID
            assert first.headers["x-model-release"] == "release-1"
            page = httpx.get(address, timeout=60)
            assert "modersmal" in page.text
            assert (
                "frame-ancestors https://huggingface.co" in page.headers["content-security-policy"]
            )
            assert "x-frame-options" not in page.headers

            publish(hub, 2)
            until(lambda: ask(address).headers["x-model-release"] == "release-2")
            hub.down = True
            time.sleep(1)  # it looks, and finds nobody there
            assert ask(address).headers["x-model-release"] == "release-2"
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.communicate()
    assert (tmp_path / "space" / "modersmal-serve").is_dir()


def served_at(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"is served at (http://127\.0\.0\.1:\d+)", line):
            os.set_blocking(process.stderr.fileno(), False)
            return found[1]
    raise AssertionError("".join(said))


def ask(address: str) -> httpx.Response:
    return httpx.post(
        f"{address}/v1/audio/transcriptions", files={"file": CLIP.read_bytes()}, timeout=60
    )


def until(true: Callable[[], bool]) -> None:
    for _ in range(100):
        if true():
            return
        time.sleep(0.3)
    raise AssertionError("it did not come")
