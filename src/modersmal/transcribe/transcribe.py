"""Transcribe files and folders: each on its own, so that a bad one does not stop the others."""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from modersmal import store
from modersmal.audio import EXTENSIONS, SAMPLE_RATE, decode
from modersmal.errors import AudioError, RecipeError
from modersmal.progress import Advance, duration, progress
from modersmal.transcribe.engine import BEAMS, Device, Engine
from modersmal.transcribe.formats import Format, Segment, check_format, render

_KB = 1000
_GROUP_S = 600.0  # of audio in short files, which are transcribed at once


@dataclass(frozen=True)
class Transcript:
    """What became of one file.

    `written` is the file it was written to, or None where it is for standard output; `kept` says
    that this file was there already and was left as it is. `error` says in one sentence why there
    is no transcript.
    """

    file: Path
    model: str
    language: str | None = None
    duration_s: float = 0.0
    segments: list[Segment] = field(default_factory=list)
    format: Format = "txt"
    words: bool = False
    written: Path | None = None
    kept: bool = False
    error: str | None = None

    @property
    def text(self) -> str:
        """All that was said, in one line."""
        return " ".join(segment.text for segment in self.segments)

    def render(self) -> str:
        """The transcript in its format, as it stands in the file."""
        about = {
            "file": str(self.file),
            "model": self.model,
            "language": self.language,
            "duration_s": round(self.duration_s, 3),
        }
        return render(self.segments, self.format, words=self.words, about=about)

    def __str__(self) -> str:
        if self.error:
            return self.error
        if self.kept:
            return f"{self.written} was there already and is kept"
        return f"{self.file} → {self.written}" if self.written else self.render().rstrip("\n")


def transcribe(
    audio: Sequence[Path],
    *,
    model: str,
    format: Format = "txt",
    words: bool = False,
    output: Path | None = None,
    language: str | None = None,
    language_token: str | None = None,
    device: Device = "auto",
    beams: int = BEAMS,
    overwrite: bool = False,
    offline: bool = False,
) -> list[Transcript]:
    """Transcribe files, and all audio in folders, of any length.

    Transcripts are written beside their audio, or below `output`, where each keeps its path
    relative to the folder that all have in common. Files that are there already are kept, unless
    `overwrite` is set: a text beside its audio may be somebody's own, and a run that was stopped
    goes on. One single file without `output` is not written, only returned. Without `language`
    it is the one that the model was fine-tuned for, else detected per file.

    What is wrong with a file stands in its transcript's `error`; the others are done.

    Raises:
        RecipeError: nothing to do, or an option that makes no sense.
        ModelError, HubError, LanguageError: the model cannot be used.
        StoreError: a transcript cannot be written.
    """
    check_format(format, words)
    if not audio:
        raise RecipeError("give at least one audio file or folder")
    found, failed = _find(audio)
    to_stdout = output is None and len(audio) == 1 and not audio[0].is_dir()
    targets = [None] * len(found) if to_stdout else _targets(found, format, output)
    blank = Transcript(audio[0], model, format=format, words=words)
    done = {path: replace(blank, file=path, error=reason) for path, reason in failed.items()}
    todo: list[tuple[Path, Path | None]] = []
    for path, target in zip(found, targets, strict=True):
        if target and target.exists() and not overwrite:
            done[path] = replace(blank, file=path, written=target, kept=True)
        else:
            todo.append((path, target))
    if todo:
        engine = Engine.open(
            model,
            language=language,
            language_token=language_token,
            device=device,
            offline=offline,
            warn=_warn,
        )
        total = sum(_kilobytes(path) for path, _ in todo)
        with progress("Transcribing", total=total, unit="kB") as advance:
            for group in _groups(engine, todo, blank, advance):
                for transcript in _transcribed(engine, group, beams, advance):
                    done[transcript.file] = transcript
    return [done[path] for path in [*found, *failed]]


@dataclass(frozen=True)
class _Heard:
    """A file whose samples are in memory, or whose transcript says why they are not."""

    blank: Transcript
    target: Path | None
    samples: np.ndarray | None

    @property
    def duration_s(self) -> float:
        return 0.0 if self.samples is None else len(self.samples) / SAMPLE_RATE


def _groups(
    engine: Engine, todo: Sequence[tuple[Path, Path | None]], blank: Transcript, advance: Advance
) -> Iterator[list[_Heard]]:
    """Files that are transcribed at once: short ones together, where the engine can do that."""
    together = engine.trained and not blank.words
    group: list[_Heard] = []
    for path, target in todo:
        one = _hear(replace(blank, file=path), target)
        if one.samples is None:
            advance(_kilobytes(path))
        group.append(one)
        if not together or sum(heard.duration_s for heard in group) > _GROUP_S:
            yield group
            group = []
    yield group


def _hear(blank: Transcript, target: Path | None) -> _Heard:
    try:
        return _Heard(blank, target, decode(blank.file).samples)
    except AudioError as error:
        return _Heard(replace(blank, error=str(error)), target, None)


def _transcribed(
    engine: Engine, group: list[_Heard], beams: int, advance: Advance
) -> Iterator[Transcript]:
    """Transcribe the files of a group, and write what is to be written."""
    yield from (heard.blank for heard in group if heard.samples is None)
    group = [heard for heard in group if heard.samples is not None]
    if not group:
        return
    reached = _reached(group, advance)
    samples = [heard.samples for heard in group if heard.samples is not None]
    if len(samples) == 1:
        words = group[0].blank.words
        results = [engine.transcribe(samples[0], words=words, beams=beams, on_progress=reached)]
    else:
        results = engine.transcribe_all(samples, beams=beams, on_progress=reached)
    reached(sum(heard.duration_s for heard in group))
    for heard, result in zip(group, results, strict=True):
        transcript = replace(
            heard.blank,
            language=result.language,
            duration_s=result.duration_s,
            segments=result.segments,
            written=heard.target,
        )
        if heard.target:
            store.write_bytes(heard.target, transcript.render().encode())
        yield transcript


def _reached(group: list[_Heard], advance: Advance) -> Callable[[float], None]:
    """Shows how many seconds of a group are done, as the share of its kilobytes."""
    kilobytes = sum(_kilobytes(heard.blank.file) for heard in group)
    total_s, shown = sum(heard.duration_s for heard in group), 0.0
    name = group[0].blank.file.name if len(group) == 1 else f"{len(group)} files"

    def reached(seconds: float) -> None:
        nonlocal shown
        share = kilobytes * seconds / total_s
        note = f"{name}, {duration(seconds)} of {duration(total_s)}"
        advance(max(0.0, share - shown), note=note)
        shown = max(shown, share)

    reached(0.0)
    return reached


def _find(audio: Sequence[Path]) -> tuple[list[Path], dict[Path, str]]:
    """Files to transcribe, each once, and why others cannot be; folders in natural order."""
    found: dict[Path, Path] = {}
    failed: dict[Path, str] = {}
    for path in audio:
        files = list(_walk(path)) if path.is_dir() else [path]
        if not files:
            failed[path] = f"{path} holds no audio ({', '.join(sorted(EXTENSIONS))})"
        elif not path.exists():
            failed[path] = f"{path} does not exist"
        else:
            for file in files:
                found.setdefault(file.resolve(), file)
    return list(found.values()), failed


def _walk(folder: Path) -> Iterator[Path]:
    """Audio below a folder, by extension; hidden files and folders are left alone."""
    for here, folders, names in os.walk(folder):
        folders[:] = sorted((name for name in folders if name[0] != "."), key=_natural)
        for name in sorted(names, key=_natural):
            path = Path(here, name)
            if name[0] != "." and path.suffix.lower() in EXTENSIONS and path.is_file():
                yield path


def _natural(name: str) -> list[tuple[int, int | str]]:
    """rec_2 before rec_10."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]


def _targets(files: Sequence[Path], format: Format, output: Path | None) -> list[Path]:
    """Where each transcript goes, no two to one place: a.mp3 and a.wav keep their extensions."""
    bases = [file.resolve() for file in files] if output else list(files)
    if output and files:
        common = os.path.commonpath([base.parent for base in bases])
        bases = [output / base.relative_to(common) for base in bases]
    short = [base.with_suffix(f".{format}") for base in bases]
    times = Counter(short)
    return [
        name if times[name] == 1 else base.with_name(f"{base.name}.{format}")
        for base, name in zip(bases, short, strict=True)
    ]


def _kilobytes(path: Path) -> float:
    try:
        return path.stat().st_size / _KB
    except OSError:
        return 0.0


def _warn(sentence: str) -> None:
    print(f"modersmal: {sentence}", file=sys.stderr)
