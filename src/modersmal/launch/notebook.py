"""Notebooks, written as scripts: `# %%` begins a cell, `# %% [markdown]` one of text."""

import json
import re
from typing import Any

_CELL = re.compile(r"^# %%(?P<text> \[markdown\])?$", re.MULTILINE)


def notebook(script: str, **metadata: Any) -> str:
    """The script as a notebook's file (nbformat 4.5), in which nothing was run yet."""
    _, *parts = _CELL.split(script)
    cells = [
        _cell(number, bool(text), source.strip("\n"))
        for number, (text, source) in enumerate(zip(parts[::2], parts[1::2], strict=True), 1)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    about = {"kernelspec": kernel, "language_info": {"name": "python"}, **metadata}
    table = {"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(table, ensure_ascii=False, indent=1) + "\n"


def _cell(number: int, is_text: bool, source: str) -> dict[str, Any]:
    if is_text:
        source = re.sub(r"^# ?", "", source, flags=re.MULTILINE)
    common = {"id": f"cell-{number}", "metadata": {}, "source": source.splitlines(keepends=True)}
    if is_text:
        return {"cell_type": "markdown", **common}
    return {"cell_type": "code", "execution_count": None, "outputs": [], **common}
