"""A recipe that every target can be launched with, and the environment that its files run in."""

import os
import sys
from pathlib import Path

import modersmal
from writable_hub import TOKEN

REPO = "anna/svenska"
RECIPE = f"""
language = "sv"
store = "hf://anna/store"

[data]
sources = ["/home/anna/interviews"]

[serve]
names = ["Åsa Östlund", "Ängelholm"]
database = "postgresql://modersmal@db.internal/modersmal"

[serve.limits]
max_upload_mib = 5

[launch.kaggle]
user = "anna"
datasets = ["anna/interviews"]

[launch.space]
model = "{REPO}"

[launch.office]
name = "speech.example.se"
"""


def write_recipe(folder: Path, text: str = RECIPE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def environment(home: Path, hub: str = "http://127.0.0.1:9") -> dict[str, str]:
    """What a process sees that runs this modersmal, with a home and a Hub of its own."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(modersmal.__file__).parents[1]),
        "HOME": str(home),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(home / "cache")),
        "HF_HOME": str(home / "hub"),
        "HF_ENDPOINT": hub,
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": TOKEN,
        "OMP_NUM_THREADS": "1",
    }
