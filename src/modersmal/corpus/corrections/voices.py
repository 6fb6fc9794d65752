"""Where spans of audio lie: one FLAC for each correction, which only the server's user can read.

Beside them, in `tombstones`, are the ids of those that were erased: a backup of the database or of
the voices that is brought back finds there what must go again.
"""

import io
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from modersmal.audio import SAMPLE_RATE
from modersmal.errors import StoreError
from modersmal.store.files import write_bytes, writing
from modersmal.store.tombstones import TOMBSTONES_FILE, Tombstones

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Voices:
    """The audio of corrections by their ids, below `folder`."""

    folder: Path

    def path(self, correction_id: str) -> Path:
        """Where its audio is: 16 kHz, mono, 16 bits. Raises StoreError for what is no id."""
        if not _ID.fullmatch(correction_id):
            raise StoreError(f"{correction_id!r} is the id of no correction")
        return self.folder / f"{correction_id}.flac"

    def write(self, correction_id: str, samples: np.ndarray) -> None:
        """Keep `samples`, (n,) float32 at 16 kHz. Raises StoreError where that fails."""
        path, encoded = self.path(correction_id), io.BytesIO()
        soundfile.write(encoded, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        self._make()
        write_bytes(path, encoded.getvalue())
        with writing(path):
            path.chmod(0o600)

    def erase(self, correction_id: str) -> None:
        """Remove its audio; that there is none is fine."""
        path = self.path(correction_id)
        with writing(path):
            path.unlink(missing_ok=True)

    def keep_only(self, known: Collection[str]) -> None:
        """Remove all audio but that of these, and what writing left midway."""
        kept = {f"{one}.flac" for one in known} | {TOMBSTONES_FILE}
        there = list(self.folder.iterdir()) if self.folder.is_dir() else []
        for path in there:
            if path.name not in kept:
                with writing(path):
                    path.unlink(missing_ok=True)

    @property
    def tombstones(self) -> Tombstones:
        return Tombstones(self.folder)

    def _make(self) -> None:
        with writing(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
