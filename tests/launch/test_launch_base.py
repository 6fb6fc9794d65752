"""What all targets have in common: wheel, pins, no secrets, and a folder that stays ours."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from launching import RECIPE, write_recipe
from typer.testing import CliRunner

import modersmal
from modersmal.cli import app
from modersmal.errors import ModersmalError, RecipeError, StoreError
from modersmal.init import ready_recipes, recipe_text
from modersmal.launch import wheel
from modersmal.launch.launch import Launched
from modersmal.launch.secrets import must_hold_no_secret
from modersmal.launch.target import find_target, target_names
from modersmal.launch.wheel import write_wheel

ROOT = Path(__file__).parents[2]
Launch = Callable[[str], Launched]


def test_the_wheel_is_the_one_that_a_checkout_builds(launched: Launch, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (built,) = tmp_path.glob("*.whl")
    ours = launched("space").folder / built.name
    with zipfile.ZipFile(built) as theirs, zipfile.ZipFile(ours) as own:
        package = {name for name in theirs.namelist() if ".dist-info" not in name}
        assert {name for name in own.namelist() if ".dist-info" not in name} == package
        assert all(own.read(name) == theirs.read(name) for name in package)
        names = {name for name in theirs.namelist() if ".dist-info" in name}
        assert {name for name in own.namelist() if ".dist-info" in name} == names


def test_the_wheel_lists_what_is_in_it(launched: Launch) -> None:
    with zipfile.ZipFile(launched("space").folder / launched("space").wheel) as opened:
        (listing,) = (name for name in opened.namelist() if name.endswith("/RECORD"))
        lines = [line.split(",") for line in opened.read(listing).decode().splitlines()]
        assert {name for name, *_ in lines} == set(opened.namelist())
        for name, digest, size in lines:
            if name != listing:
                data = opened.read(name)
                hashed = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
                assert (digest, size) == (f"sha256={hashed.rstrip('=')}", str(len(data)))


def test_pip_installs_it_and_it_starts(launched: Launch, tmp_path: Path) -> None:
    found = launched("space")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target",
         str(tmp_path / "site"), f"./{found.wheel}"],
        cwd=found.folder, check=True, timeout=120,
    )  # fmt: skip
    said = subprocess.run(
        [sys.executable, "-m", "modersmal", "init", "--ready", "manifest"],
        cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""}, check=True,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "Wrote recipe.toml" in said.stdout


def test_the_same_files_give_the_same_wheel(launched: Launch, tmp_path: Path) -> None:
    again = write_wheel(tmp_path)
    assert again.read_bytes() == (launched("space").folder / again.name).read_bytes()


def test_a_wheel_of_another_version_than_what_is_installed_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(wheel, "__version__", "99.0")
    with pytest.raises(ModersmalError, match="install it anew"):
        write_wheel(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", target_names())
def test_a_target_has_its_page_and_its_name_in_the_help(target: str) -> None:
    assert (ROOT / "docs" / "guide" / f"{target}.md").is_file()
    assert f"guide/{target}.md" in (ROOT / "docs" / "index.md").read_text()
    assert f"({target}.md)" in (ROOT / "docs" / "guide" / "launch.md").read_text()
    said = CliRunner().invoke(app, ["launch", "--help"]).stdout
    assert re.search(rf"\b{target}\b", said.partition("RECIPE.toml")[2])


@pytest.mark.parametrize("target", target_names())
def test_files_name_no_registry_and_no_path_of_this_machine(target: str, launched: Launch) -> None:
    found = launched(target)
    assert {*found.files, found.wheel, "launch.json"} == {
        path.relative_to(found.folder).as_posix()
        for path in found.folder.rglob("*")
        if path.is_file()
    }
    for name in found.files:
        text = (found.folder / name).read_text(encoding="utf-8")
        for word in ("pypi", "pythonhosted", "pytorch.org", "index-url", str(ROOT), "/tmp/"):
            assert word not in text, name
        assert not re.search(r"<<\w+>>", text), f"{name} has a gap"
        assert (found.folder / name).stat().st_mode & 0o111 == 0o111 * text.startswith("#!")
    assert found.next_step in str(found)


@pytest.mark.parametrize("target", target_names())
def test_what_is_installed_are_the_wheel_and_pins_that_are_known_to_work(
    target: str, launched: Launch
) -> None:
    found = launched(target)
    pins = (found.folder / "constraints.txt").read_text().split()
    assert set(pins) <= set((ROOT / "constraints.txt").read_text().split())
    brings = find_target(target).brings
    assert not {pin.partition("==")[0] for pin in pins} & brings
    options, wanted = (found.folder / "requirements.txt").read_text().splitlines()
    assert options == "-c constraints.txt"
    assert re.fullmatch(rf"\./{re.escape(found.wheel)}(\[[a-z0-9,]+\])?", wanted)


def test_everything_that_can_be_installed_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"]]
    asked += [one for name, all_ in extras.items() if name not in ("dev", "bench") for one in all_]
    text = (ROOT / "src/modersmal/assets/launch/constraints.txt").read_text()
    pins = {pin.partition("==")[0] for pin in text.split()}
    assert {re.split(r"[>=<\[]", requirement)[0] for requirement in asked} <= pins
    assert set(text.split()) <= set((ROOT / "constraints.txt").read_text().split())


@pytest.mark.parametrize(
    "line",
    [
        'database = "postgresql://anna:sesam@db/x"',
        "# HF_TOKEN=hf_abcdefghijklmnop",
        'consent = "hf_abcdefghijklmnop"',
        'store = "s3://key:word@bucket/x"',
        "# AKIAABCDEFGHIJKLMNOP",
        "# password: sesam",
        f"# msk-{'a' * 43}",
    ],
)
def test_a_recipe_with_a_secret_is_refused_before_anything_is_written(
    line: str, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path, f"# a comment\n# {line}\n{RECIPE}")
    with pytest.raises(RecipeError, match=r"line 2 of .*recipe.toml looks like it holds a secret"):
        modersmal.launch("space", recipe, tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_recipes_that_we_write_hold_none() -> None:
    from importlib import resources

    folder = resources.files("modersmal") / "assets" / "recipes"
    texts = [(folder / f"{name}.toml").read_text() for name in ready_recipes()]
    for text in [*texts, recipe_text("sv"), recipe_text("se", "fi"), RECIPE]:
        must_hold_no_secret(text, "it")


def test_what_was_written_gives_way_and_what_was_changed_does_not(
    launched: Launch, tmp_path: Path
) -> None:
    recipe, to = write_recipe(tmp_path), tmp_path / "to"
    shutil.copytree(launched("space").folder, to)
    listing = json.loads((to / "launch.json").read_text())
    old = to / "modersmal-0.0.9-py3-none-any.whl"
    old.write_bytes(b"old")
    listing["files"][old.name] = hashlib.sha256(b"old").hexdigest()
    (to / "launch.json").write_text(json.dumps(listing))
    (to / "notes.txt").write_text("mine")
    recipe.write_text(RECIPE.replace("anna/svenska", "anna/svenska-2"))
    modersmal.launch("space", recipe, to)
    assert "anna/svenska-2" in (to / "app.py").read_text()
    assert not old.exists()
    assert (to / "notes.txt").read_text() == "mine"

    (to / "app.py").write_text("# mine")
    with pytest.raises(StoreError, match=r"app.py is there, and not as .* wrote it"):
        modersmal.launch("space", recipe, to)
    assert (to / "app.py").read_text() == "# mine"


def test_a_folder_of_another_target_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "launch.json").write_text('{"target": "colab", "files": {}}')
    with pytest.raises(StoreError, match="holds files for colab"):
        modersmal.launch("space", write_recipe(tmp_path / "r"), tmp_path)


def test_an_unknown_target_is_told_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no target 'spce' \(did you mean 'space'\?\)"):
        modersmal.launch("spce", write_recipe(tmp_path), tmp_path / "to")


def test_the_command_prints_the_next_step(launched: Launch, tmp_path: Path) -> None:
    recipe, to = write_recipe(tmp_path), tmp_path / "to"
    said = CliRunner().invoke(app, ["launch", "space", str(recipe), "--to", str(to)])
    assert said.exit_code == 0, said.stderr
    assert f"cd {to} && pip install -r requirements.txt && python app.py" in said.stdout
    assert (to / "app.py").read_text() == (launched("space").folder / "app.py").read_text()
