"""The demo: bundled Swedish speech through every stage, offline, in minutes on two cores.

The bundled base never heard this family of voices, nor weather reports; fine-tuning teaches it
both. All speech is synthetic (espeak-ng).
"""

import csv
import io
import shutil
import tarfile
import tempfile
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from modersmal import store
from modersmal.config import load_recipe
from modersmal.progress import duration
from modersmal.run import RunResult, run
from modersmal.transcribe.transcribe import transcribe

RELEASE = "cv-corpus-demo-sv.tar.gz"
RECIPE = "recipe.toml"
SHOWN_CLIP = 3


@dataclass(frozen=True)
class DemoResult:
    """What the demo did; `folder` is None where it was thrown away."""

    run: RunResult
    reference: str
    transcript: str
    seconds: float
    folder: Path | None

    def __str__(self) -> str:
        heard = [f"Read aloud:  {self.reference}", f"Transcribed: {self.transcript}"]
        parts = [str(self.run.test), "\n".join(heard), f"All of it took {duration(self.seconds)}."]
        if self.folder is not None:
            parts.append(
                f"Everything is in {self.folder}; transcribe with its model:\n"
                f"  modersmal transcribe AUDIO --model {self.run.run}"
            )
        parts.append(
            "Now your own language:\n"
            "  modersmal doctor  # what this machine can train\n"
            "  modersmal init recipe.toml  # a recipe with every key explained\n"
            "  modersmal run recipe.toml  # from corpus to scored model"
        )
        return "\n\n".join(parts)


def demo(directory: Path | None = None) -> DemoResult:
    """Prepare, fine-tune, score and transcribe, all with what ships in the package.

    What it makes stays in `directory`; without one it is thrown away.

    Raises:
        Stopped: stopped with everything saved in `directory`; the same call goes on.
    """
    if directory is not None:
        return _demo(directory, directory)
    with tempfile.TemporaryDirectory(prefix="modersmal-demo-") as folder:
        return _demo(Path(folder), None)


def _demo(folder: Path, kept: Path | None) -> DemoResult:
    began = time.monotonic()
    assets = resources.files("modersmal") / "assets" / "demo"
    for name in (RELEASE, RECIPE):
        if not (folder / name).is_file():
            store.write_bytes(folder / name, (assets / name).read_bytes())
    done = run(load_recipe(folder / RECIPE))
    clip, reference = _shown_clip(folder / RELEASE, folder)
    [transcript] = transcribe([clip], model=str(done.run))
    return DemoResult(done, reference, transcript.text, time.monotonic() - began, kept)


def _shown_clip(release: Path, folder: Path) -> tuple[Path, str]:
    """Take one clip of the test split, and its sentence, out of the release."""
    with tarfile.open(release) as archive:
        [table] = [name for name in archive.getnames() if name.endswith("/test.tsv")]
        opened = archive.extractfile(table)
        rows = csv.DictReader(
            io.StringIO(opened.read().decode() if opened else ""),
            delimiter="\t",
            quoting=csv.QUOTE_NONE,
        )
        row = list(rows)[SHOWN_CLIP]
        packed = archive.extractfile(f"{Path(table).parent}/clips/{row['path']}")
        clip = folder / row["path"]
        with clip.open("wb") as out:
            shutil.copyfileobj(packed or io.BytesIO(), out)
    return clip, row["sentence"]
