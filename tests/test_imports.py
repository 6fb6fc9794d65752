"""The house stands: imports run downwards, light parts stay light, nothing happens at import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import modersmal

SOURCE = Path(modersmal.__file__).parent

# From the ground up. A module imports from its own layer and from those before it; the parts of a
# package are one layer.
LAYERS = [
    {"errors"},
    {
        "config",
        "language",
        "text",
        "audio",
        "logmel",
        "store",
        "database",
        "progress",
        "offline",
        "hardware",
        "allocator",
    },
    {"corpus"},
    {"whisper"},
    {"evaluate"},
    {"train"},
    {"transcribe"},
    {"report"},
    {"release"},
    {"forget"},
    {"serve"},
    {"launch"},
    {
        "run",
        "rehearse",
        "fetch",
        "demo",
        "init",
        "doctor",
        "status",
        "improve",
        "compare",
        "estimate",
    },
    {"__init__", "cli", "__main__"},
]
LAYER_OF = {part: height for height, layer in enumerate(LAYERS) for part in layer}

HEAVY = {"torch", "transformers", "ctranslate2", "faster_whisper", "pyarrow", "av"}
WITHOUT_TORCH = {
    "errors", "config", "language", "text", "audio", "store", "progress", "offline", "init", "cli",
    "status", "__init__", "__main__",
}  # fmt: skip


def modules() -> list[Path]:
    found = sorted(SOURCE.rglob("*.py"))
    return [path for path in found if part_of(path) != "assets"]  # templates run elsewhere


def part_of(path: Path) -> str:
    """The layer's name for a file: its package, or its own stem."""
    inside = path.relative_to(SOURCE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imported(path: Path) -> set[str]:
    """Dotted names of all that a file imports, at the top or inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def parts_imported(path: Path) -> set[str]:
    ours: set[str] = set()
    for name in imported(path):
        top, *rest = name.split(".")
        if top == "modersmal" and rest != ["__version__"]:
            ours.add(rest[0] if rest and rest[0] in LAYER_OF else "__init__")
    return ours


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_downwards(path: Path) -> None:
    part = part_of(path)
    assert part in LAYER_OF, f"{part} has no layer yet: say in LAYERS where it stands"
    for other in parts_imported(path):
        assert LAYER_OF[other] <= LAYER_OF[part], f"{part} imports {other}, which stands above it"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_file_but_the_decoder_side_imports_torch(path: Path) -> None:
    """Preparing a corpus needs neither torch nor transformers, nor does anything below it."""
    if part_of(path) in WITHOUT_TORCH | {"corpus"}:
        tops = {name.split(".")[0] for name in imported(path)}
        assert not tops & {"torch", "transformers"}


def loaded_by(statement: str) -> set[str]:
    """Top-level modules in a fresh interpreter after `statement`."""
    code = f"import sys; {statement}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


def test_importing_the_package_and_its_command_line_loads_nothing_heavy() -> None:
    loaded = loaded_by("import modersmal.cli")
    assert not loaded & (HEAVY | {"numpy", "pydantic", "rich", "huggingface_hub"})


def test_corpus_and_recipe_need_no_torch() -> None:
    files = [path for path in modules() if part_of(path) in WITHOUT_TORCH | {"corpus"}]
    names = [
        ".".join(["modersmal", *path.relative_to(SOURCE).with_suffix("").parts]).removesuffix(
            ".__init__"
        )
        for path in files
        if path.stem != "__main__"
    ]
    assert "modersmal.corpus.prepare" in names
    assert not loaded_by(f"import {', '.join(names)}") & {"torch", "transformers"}


def test_a_public_function_stays_one_when_its_package_is_imported() -> None:
    code = (
        "import modersmal, importlib\n"
        "for name in ('train', 'evaluate', 'release', 'transcribe', 'init', 'doctor', 'run'):\n"
        "    importlib.import_module(f'modersmal.{name}')\n"
        "assert all(callable(getattr(modersmal, name)) for name in modersmal.__all__)\n"
        "from modersmal.init import ready_recipes\n"
        "from modersmal.train import __path__\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_nothing_is_pickled_trusted_or_run_through_a_shell() -> None:
    for path in modules():
        source = path.read_text(encoding="utf-8")
        for word in (
            "import pickle",
            "torch.load(",
            "trust_remote_code",
            "shell=True",
            "os.system",
        ):
            assert word not in source, f"{path} has {word}"
