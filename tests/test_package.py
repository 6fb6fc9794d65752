"""The wheel stands alone: recipes, base and demo work from it, without the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what an installed wheel puts on the path."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(folder / "site")
    return folder / "site"


def python(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env={"PYTHONPATH": str(installed), "PATH": "", "HOME": str(folder)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_nothing_but_the_package_is_in_it(installed: Path) -> None:
    tops = {path.name for path in installed.iterdir()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"modersmal"}
    assert not list(installed.rglob("__pycache__"))
    assert not [path for path in installed.rglob("*") if path.name.startswith(".")]


def test_what_is_bundled_is_there(installed: Path) -> None:
    assets = installed / "modersmal" / "assets"
    assert sorted(folder.name for folder in assets.iterdir()) == [
        "base", "demo", "launch", "recipes", "tokenizer",
    ]  # fmt: skip
    assert (installed / "modersmal" / "py.typed").exists()
    licences = [path.read_text() for path in installed.rglob("*.dist-info/**/LICENSE*")]
    assert any("Apache License" in text for text in licences)
    assert any("MIT License" in text for text in licences)


def test_recipes_are_written_from_it(installed: Path, tmp_path: Path) -> None:
    done = python(installed, tmp_path, "-m", "modersmal", "init", "--ready", "manifest")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "recipe.toml").exists()


def test_both_engines_decode_with_the_base_in_it(installed: Path, tmp_path: Path) -> None:
    code = (
        "import modersmal, pathlib\n"
        "from modersmal.doctor import transformers_decodes, ctranslate2_decodes\n"
        f"assert modersmal.__file__.startswith({str(installed)!r})\n"
        "print(transformers_decodes('cpu').state, end=' ')\n"
        "print(ctranslate2_decodes('cpu', pathlib.Path('.')).state)\n"
    )
    done = python(installed, tmp_path, "-c", code)
    assert done.stdout == "ok ok\n", done.stderr
