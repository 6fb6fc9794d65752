"""The voice store: a folder for each recording, which only the server's own user can read."""

import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from modersmal.audio import SAMPLE_RATE
from modersmal.errors import StoreError
from modersmal.serve.engine.results import Heard
from modersmal.store.files import writing
from modersmal.store.tombstones import TOMBSTONES_FILE, Tombstones

AUDIO_FILE = "audio.flac"
UPLOAD_FILE = "upload"
_BLOCK_SAMPLES = 1 << 20


@dataclass(frozen=True)
class Voices:
    """Recordings by the id of what they belong to: 16 kHz FLAC, and until it is decoded the file
    as it came. Of those that a person has erased, the ids stay."""

    root: Path

    def make(self, name: str) -> Path:
        """A new folder. Raises StoreError where it cannot be made."""
        folder = self.folder(name)
        with writing(folder):
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
        return folder

    def folder(self, name: str) -> Path:
        """Where a recording is. Raises StoreError for a name that is none of ours."""
        if not name.isalnum():
            raise StoreError(f"{name!r} names no recording")
        return self.root / name

    def audio(self, name: str) -> Path:
        return self.folder(name) / AUDIO_FILE

    def take(self, upload: Path, name: str) -> None:
        """Move a file that came into its folder."""
        target = self.folder(name) / UPLOAD_FILE
        with writing(target):
            shutil.move(upload, target)
            target.chmod(0o600)

    def encode(self, heard: Heard, name: str) -> None:
        """Write the decoded recording as FLAC, block by block, whole or not at all."""
        target = self.audio(name)
        draft = target.with_suffix(".tmp")
        with (
            writing(target),
            heard.samples.open("rb") as samples,
            soundfile.SoundFile(
                draft, "w", SAMPLE_RATE, channels=1, format="FLAC", subtype="PCM_16"
            ) as file,
        ):
            while len(block := np.fromfile(samples, dtype="<f4", count=_BLOCK_SAMPLES)):
                file.write(block)
        draft.chmod(0o600)
        draft.replace(target)

    def span(self, name: str, start_s: float, end_s: float) -> np.ndarray:
        """A stretch of a recording, (n,) float32 at 16 kHz. Raises StoreError: it is gone."""
        path = self.audio(name)
        try:
            with soundfile.SoundFile(path) as file:
                first = min(max(0, round(start_s * SAMPLE_RATE)), file.frames)
                file.seek(first)
                count = max(0, round(end_s * SAMPLE_RATE) - first)
                return np.asarray(file.read(count, dtype="float32"))
        except (OSError, soundfile.LibsndfileError) as error:
            raise StoreError("the recording is gone") from error

    def erase(self, name: str) -> None:
        """Remove a recording; one that is not there, or that somebody else removes, is fine."""
        folder = self.folder(name)
        with writing(folder), suppress(FileNotFoundError):
            shutil.rmtree(folder)

    def keep_only(self, known: Collection[str]) -> None:
        """Remove all recordings but these."""
        there = [one.name for one in self.root.iterdir()] if self.root.is_dir() else []
        for name in there:
            if name not in known and name != TOMBSTONES_FILE:
                self.erase(name)

    @property
    def tombstones(self) -> Tombstones:
        return Tombstones(self.root)
