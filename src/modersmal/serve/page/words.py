"""The words of the interface, a file for each language."""

import tomllib
from pathlib import Path

_FOLDER = Path(__file__).parent / "words"


def read_words() -> dict[str, dict[str, str]]:
    """For each language's code its words by key; `name` is the language's own name for itself."""
    return {
        path.stem: tomllib.loads(path.read_text(encoding="utf-8"))
        for path in sorted(_FOLDER.glob("*.toml"))
    }
