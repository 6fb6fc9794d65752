"""A folder of audio, each file with its text beside it: a .txt, or subtitles for a recording."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from modersmal.audio import CHUNK_S, EXTENSIONS, length_s
from modersmal.corpus.schema import split_name
from modersmal.corpus.sources.base import LongRow, Refused, Row, Source, clip_size
from modersmal.corpus.sources.recordings import subtitled
from modersmal.corpus.subtitles import SUFFIXES
from modersmal.errors import CorpusError
from modersmal.language import is_spaced

_MAX_TEXT_BYTES = 1 << 20
_MAX_LONG_TEXT_BYTES = 1 << 24
_SPLITS = {"train", "dev", "test"}
_FEWEST_LONG_BYTES = 20_000  # no codec of speech keeps 30 s in fewer


class Folder(Source):
    """Audio with same-named .txt, .vtt or .srt files, at any depth; `rec_2` comes before `rec_10`.

    A folder named train, dev (or validation) or test directly below is that split. Subtitles may
    name their language, as in rec.sv.vtt. Audio over 30 s with nothing but a .txt is a LongRow.
    """

    kind = "folder"

    def __init__(self, path: Path, language: str, longest_s: float = CHUNK_S) -> None:
        resolved = path.resolve()
        super().__init__(resolved.name, resolved)
        self.path, self.folder = path, resolved
        self.language, self.longest_s = language, longest_s

    def rows(self) -> Iterator[Row | Refused]:
        found, self.unaligned = False, 0
        for folder, names in self._folders():
            texts = _Texts(names, self.language)
            clips = [name for name in names if Path(name).suffix.lower() in EXTENSIONS]
            for name in clips:
                found = True
                yield from self._rows(folder, name, texts)
            for name in texts.alone(clips) if clips else ():
                path = (folder / name).as_posix()
                yield Refused(path, "no-audio", f"{path} has no audio file of its name beside it")
        if not found:
            raise CorpusError(
                f"{self.path} holds no audio; give a Common Voice release (with clips/ and .tsv "
                "files), a .csv, .tsv or .jsonl manifest, or a folder of audio and .txt, .srt or "
                ".vtt files"
            )

    def _folders(self) -> Iterator[tuple[Path, list[str]]]:
        """Folders relative to the source with the names of their files, in natural order."""
        for folder, below, names in os.walk(self.folder, onerror=self._refuse):
            below.sort(key=_naturally)
            yield Path(folder).relative_to(self.folder), sorted(names, key=_naturally)

    def _refuse(self, error: OSError) -> None:
        raise CorpusError(f"{error.filename} cannot be read: {error.strerror}") from error

    def _rows(self, folder: Path, name: str, texts: "_Texts") -> Iterator[Row | Refused]:
        path, stem = (folder / name).as_posix(), Path(name).stem
        if not path.isprintable():
            readable = ascii(path)
            detail = f"{readable} is no name for a file; rename it"
            yield Refused(readable, "unreadable", detail)
            return
        split = split_name(folder.parts[0]) if folder.parts else None
        if split not in _SPLITS:
            split = None
        plain, timed = texts.plain.get(stem), texts.subtitles.get(stem)
        size = clip_size(self.folder, path)
        long_s = self._long_s(path, size) if plain else None
        if timed and (long_s or not plain):
            yield from subtitled(
                self.folder,
                path,
                (folder / timed).as_posix(),
                split=split,
                longest_s=self.longest_s,
                space=" " if is_spaced(self.language) else "",
            )
        elif plain:
            yield self._row(path, (folder / plain).as_posix(), split, size, long_s)
        else:
            detail = f"there is no {stem}.txt beside {path}"
            yield Refused(path, "no-text", detail, path, split)

    def _row(
        self, path: str, text_path: str, split: str | None, size: int, long_s: float | None
    ) -> Row | Refused:
        try:
            text = self._read_text(text_path, _MAX_LONG_TEXT_BYTES if long_s else _MAX_TEXT_BYTES)
        except (OSError, ValueError) as error:
            return Refused(path, "no-text", f"{text_path}: {error}", path, split)
        if long_s is None:
            return Row(path=path, text=text, where=path, split=split, size=size)
        self.unaligned += 1
        return LongRow(
            path=path, text=text, where=text_path, split=split, size=size, duration_s=long_s
        )

    def _long_s(self, path: str, size: int) -> float | None:
        """Seconds of a recording, None for a clip and for what is no audio."""
        if size < _FEWEST_LONG_BYTES:
            return None
        file = (self.folder / path).resolve()
        duration_s = length_s(file) if file.is_relative_to(self.folder) else None
        return duration_s if duration_s and duration_s > CHUNK_S else None

    def _read_text(self, relative: str, max_bytes: int) -> str:
        path = (self.folder / relative).resolve()
        if not path.is_relative_to(self.folder):
            raise ValueError("it leads out of the source")
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise ValueError(f"it has over {max_bytes:,} bytes")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ValueError("it is not UTF-8") from None


class Recording(Folder):
    """One recording, with its subtitles or its text beside it."""

    kind = "recording"

    def __init__(self, path: Path, language: str, longest_s: float = CHUNK_S) -> None:
        super().__init__(path.parent, language, longest_s)
        self.name, self.path, self.file = path.name, path, path.name

    def _folders(self) -> Iterator[tuple[Path, list[str]]]:
        stem = Path(self.file).stem
        try:
            names = sorted(os.listdir(self.folder), key=_naturally)
        except OSError as error:
            self._refuse(error)
        texts = [
            name
            for name in names
            if name.startswith(f"{stem}.") and name.lower().endswith((*SUFFIXES, ".txt"))
        ]
        yield Path(), [self.file, *texts]


class _Texts:
    """The files of text in a folder, and which of them belongs to which audio."""

    def __init__(self, names: list[str], language: str) -> None:
        self._names = [name for name in names if name.lower().endswith((*SUFFIXES, ".txt"))]
        self.plain = {name[:-4]: name for name in self._names if name.lower().endswith(".txt")}
        self.subtitles: dict[str, str] = {}
        spoken = language.split("-")[0].lower()
        timed = [name for name in self._names if name not in self.plain.values()]
        timed.sort(key=lambda name: SUFFIXES.index(name[-4:].lower()))
        for name in timed:
            self.subtitles.setdefault(name[:-4], name)
        for name in timed:
            stem, _, tag = name[:-4].rpartition(".")
            if tag.lower().split("-")[0] == spoken:
                self.subtitles.setdefault(stem, name)

    def alone(self, clips: list[str]) -> Iterator[str]:
        """Those that belong to no audio at all."""
        stems = {Path(name).stem for name in clips}
        for name in self._names:
            tagged = name[:-4] if name.lower().endswith(".txt") else Path(name[:-4]).stem
            if name[:-4] not in stems and tagged not in stems:
                yield name


def _naturally(name: str) -> list[tuple[int, str]]:
    """Sort key under which numbers in names count as numbers."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), part) if part.isdecimal() else (0, part) for part in parts]
