"""Where a release grows: what is done in it is not done again, however often it is interrupted."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modersmal import store
from modersmal.store.faults import fault

WORK = ".release"
_DONE = "done.json"


class Draft:
    """`folder` is what becomes the release; what is only needed meanwhile lies in `work`.

    A draft is of one `key`, which names all that it depends on: one of another key is thrown away.
    """

    def __init__(self, work: Path, key: Any) -> None:
        self.work, self.folder = work, work / "draft"
        self._path = work / _DONE
        told = json.dumps(key, sort_keys=True, default=str).encode()
        self._key = hashlib.sha256(told).hexdigest()
        self._done: dict[str, Any] = {}
        table = self._read()
        if table is None or table["key"] != self._key:
            with store.writing(work):
                shutil.rmtree(work, ignore_errors=True)
                self.folder.mkdir(parents=True)
            self._write()
        else:
            self._done = table["done"]

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` returns, as JSON has it; it is called only where that is not known yet."""
        if name not in self._done:
            self._done[name] = json.loads(json.dumps(make()))
            fault("release.before-note")
            self._write()
        return self._done[name]

    def forget(self, name: str) -> None:
        """Let `once` make this again."""
        if name in self._done:
            del self._done[name]
            self._write()

    def remove(self) -> None:
        """Nothing of it is needed any more."""
        shutil.rmtree(self.work, ignore_errors=True)

    def _read(self) -> Any:
        try:
            return json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # what cannot be read is begun anew
            return None

    def _write(self) -> None:
        store.write_json(self._path, {"key": self._key, "done": self._done})
