"""The documents say what the code does: the reference is generated, and every example parses."""

import ast
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from modersmal.cli import app
from modersmal.config import Section, parse_recipe, sections

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)

group: Any = typer.main.get_command(app)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_benchmark_is_run_by_make_and_has_its_figures() -> None:
    made, told = (ROOT / "Makefile").read_text(), (ROOT / "docs" / "benchmarks.md").read_text()
    for script in (ROOT / "benchmarks").glob("*.py"):
        if "__main__" in script.read_text():
            assert f"benchmarks/{script.name}" in made
            assert f"benchmarks/{script.name}" in told


def test_the_reference_is_up_to_date(generate: ModuleType) -> None:
    reference = ROOT / "docs" / "reference"
    assert (reference / "commands.md").read_text() == generate.commands_page(), "run `make docs`"
    assert (reference / "recipe.md").read_text() == generate.recipe_page(), "run `make docs`"


def test_every_command_and_option_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text()
    readme = (ROOT / "README.md").read_text()
    for command, known in group.commands.items():
        assert f"| `modersmal {command}` |" in readme
        chapter = page.partition(f"## modersmal {command}\n")[2].partition("\n## ")[0]
        for parameter in known.params:
            shown = parameter.opts[0] if parameter.opts[0][0] == "-" else parameter.metavar
            assert f"| `{shown}" in chapter, f"{command} {shown}"


def test_every_key_of_the_recipe_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "recipe.md").read_text()
    for table, schema in sections():
        title = f"## [{table}]\n" if table else "## At the top\n"
        chapter = page.partition(title)[2].partition("\n## ")[0]
        for key, field in schema.model_fields.items():
            if not isinstance(field.default, Section):
                assert f"| `{key}` |" in chapter, f"{table}.{key}"


def examples() -> list[tuple[str, str]]:
    found = []
    for path in DOCUMENTS:
        for _, block in BLOCK.findall(path.read_text(encoding="utf-8")):
            found += [
                (name(path), line.strip())
                for line in block.splitlines()
                if line.strip().startswith("modersmal ")
            ]
    return found


@pytest.mark.parametrize(("document", "line"), examples())
def test_every_example_is_a_command_that_exists(document: str, line: str) -> None:
    command, *arguments = shlex.split(re.sub(r"\s#.*", "", line))[1:]  # STORE#7 is no comment
    assert command in group.commands, f"{document}: {line}"
    group.commands[command].make_context(command, arguments)  # raises on wrong usage


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_recipe_in_a_document_is_sound(path: Path) -> None:
    for language, block in BLOCK.findall(path.read_text(encoding="utf-8")):
        if language == "toml":
            parse_recipe(tomllib.loads(block), where=name(path))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            file, _, heading = target.partition("#")
            to = path.parent / file if file else path
            assert to.exists(), f"{name(path)}: {target}"
            assert not heading or heading in anchors(to), f"{name(path)}: {target}"


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_what_the_guide_quotes_is_what_is_said() -> None:
    said = list(sentences())
    page = (ROOT / "docs" / "guide" / "disconnected.md").read_text(encoding="utf-8")
    quoted = re.findall(r"`([^`\n]+)`", BLOCK.sub("", page))
    quoted += re.findall(r"^modersmal: (.*)$", page, re.MULTILINE)
    messages = [quote for quote in quoted if quote.count(" ") > 4 and "modersmal " not in quote]
    assert len(messages) > 12
    for message in messages:
        for part in re.split(r"[…\d]+[TZ]?|: ", message):
            words = part.strip(" ();:,.")
            assert len(words) < 8 or any(words in text for text in said), f"{message}: {words!r}"


def sentences() -> Iterator[str]:
    """Every text in the source, with a gap where a value comes in."""
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    part.value if isinstance(part, ast.Constant) else "\0" for part in node.values
                ]
                yield "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_the_readme_keeps_its_order() -> None:
    text = (ROOT / "README.md").read_text()
    landmarks = ["make demo", "common-voice-sv", "| command |", "Where to read on"]
    places = [text.index(landmark) for landmark in landmarks]
    assert places == sorted(places)
    opening = text.partition("\n\n")[2].partition("\n\n")[0]
    assert len(re.findall(r"\.(?:\s|$)", opening)) == 3


def test_the_commands_of_the_readme_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in ("demo", "test", "lint", "docs", "wheel", "bench", "chaos"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    ci = ROOT / ".ci" / "run"
    assert ci.stat().st_mode & 0o111
    assert re.search(r"^make lint\nmake test$", ci.read_text(), re.MULTILINE)


def test_constraints_are_plain_pins_of_what_is_asked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["dev"]
    names = {re.split(r"[>=<\[]", requirement)[0] for requirement in asked}
    pins = (ROOT / "constraints.txt").read_text().split()
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", pin) for pin in pins)
    assert names <= {pin.split("==")[0] for pin in pins}
