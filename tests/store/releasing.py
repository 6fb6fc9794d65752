"""Release a draft into a store, as a process that can be killed at any write point.

python releasing.py STORE DRAFT [WAIT_FOR]   prints the number; begins when the file is there
"""

import json
import os
import sys
import time
from pathlib import Path

from modersmal import store
from modersmal.store.releases import FACTS_FILE, Releases


def write_draft(folder: Path, content: str, size_bytes: int = 2000) -> Path:
    store.write_bytes(folder / "model.safetensors", os.urandom(size_bytes))
    store.write_bytes(folder / "ct2" / "int8" / "model.bin", os.urandom(size_bytes))
    store.write_json(folder / FACTS_FILE, {"content": content, "run": "sv"})
    return folder


def main(url: str, draft: str, wait_for: str = "") -> None:
    if wait_for:
        print("ready", flush=True)
        while not Path(wait_for).exists():
            time.sleep(0.002)
    compared: list[int | None] = []

    def decide(deployed: int | None) -> bool:
        compared.append(deployed)
        return True

    number = Releases.open(url).add(Path(draft), decide)
    print(json.dumps({"number": number, "compared": compared}))


if __name__ == "__main__":
    main(*sys.argv[1:])
