"""Stand-ins for what Colab and Kaggle bring, and notebooks' cells run as scripts."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_DRIVE = '''
import os, subprocess
from pathlib import Path

def mount(path):
    """Mounts the folder COLAB_DRIVE, from another disk, as Colab mounts a Drive."""
    held = os.environ.get("COLAB_DRIVE")
    if not held:
        raise ValueError("mount failed")
    if held != path and not Path(path).is_mount():
        Path(path).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", held, path], check=True)

def flush_and_unmount():
    Path("flushed").touch()
'''
_USERDATA = """
import os

def get(name):
    return os.environ[f"COLAB_SECRET_{name}"]
"""
_RUNTIME = """
from pathlib import Path

def unassign():
    Path("given-back").touch()
"""


def write_colab(folder: Path) -> Path:
    """The modules of Colab that its notebooks import, below `folder`, for PYTHONPATH."""
    package = folder / "google" / "colab"
    package.mkdir(parents=True)
    for name, text in (("drive", _DRIVE), ("userdata", _USERDATA), ("runtime", _RUNTIME)):
        (package / f"{name}.py").write_text(text)
    (package / "__init__.py").touch()
    return folder


def write_gpu(folder: Path, told: str) -> Path:
    """A driver's program that shows one GPU, as in "Tesla T4, 7.5", or fails; for PATH."""
    folder.mkdir()
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{f'echo {told!r}' if told else 'exit 9'}\n")
    program.chmod(0o755)
    return folder


def code_of(notebook: Path) -> list[str]:
    """The source of its cells of code."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run_cells(
    notebook: Path,
    until: str,
    cwd: Path,
    changes: Mapping[str, str],
    env: Mapping[str, str],
    without: str | None = None,
    then: str = "",
) -> str:
    """Run its cells, as far as the first that has the text `until`, as one script.

    One that has the text `without` is left out; `changes` are made in the others before, and `then`
    is added. Returns what was said; the last line is that of an error.
    """
    script = []
    for cell in code_of(notebook):
        if until in cell:
            break
        if without is None or without not in cell:
            script.append(cell)
    text = "\n\n".join([*script, then])
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    done = subprocess.run(
        [sys.executable, "-P", "-c", text],
        cwd=cwd, env={"PATH": os.environ["PATH"], **env}, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    return done.stdout + done.stderr
