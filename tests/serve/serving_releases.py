"""Stores of releases, to be served."""

import shutil
from pathlib import Path

from modersmal import store
from modersmal.store.releases import FACTS_FILE, Releases
from modersmal.whisper.load import locate


def add_release(url: Path, model: str = "bundled", content: str = "one") -> int:
    """Release a model as it is, and let it be latest."""
    draft = url.parent / f"draft-{content}"
    shutil.copytree(locate(model), draft)
    store.write_json(draft / FACTS_FILE, {"content": content})
    return Releases.open(str(url)).add(draft, lambda deployed: True)


def damage(url: Path, number: int) -> None:
    """Let half of a release's weights be zeros."""
    weights = url / "releases" / f"{number:04d}" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    weights.write_bytes(bytes(data))
