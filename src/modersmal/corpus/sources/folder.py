"""A folder of audio, each file with its text beside it in a .txt of the same name."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from modersmal.audio import EXTENSIONS
from modersmal.corpus.schema import split_name
from modersmal.corpus.sources.base import Refused, Row, Source, clip_size
from modersmal.errors import CorpusError

_MAX_TEXT_BYTES = 1 << 20
_SPLITS = {"train", "dev", "test"}


class Folder(Source):
    """Audio with same-named .txt files, at any depth; `rec_2` comes before `rec_10`.

    A folder named train, dev (or validation) or test directly below is that split.
    """

    kind = "folder"

    def __init__(self, path: Path) -> None:
        resolved = path.resolve()
        super().__init__(resolved.name, resolved)
        self.path, self.folder = path, resolved

    def rows(self) -> Iterator[Row | Refused]:
        found = False
        for folder, names in self._folders():
            texts = {name[:-4]: name for name in names if name.lower().endswith(".txt")}
            clips = [name for name in names if Path(name).suffix.lower() in EXTENSIONS]
            spoken = {Path(name).stem for name in clips}
            for name in clips:
                found = True
                yield self._row(folder, name, texts.get(Path(name).stem))
            for stem, name in texts.items():
                if stem not in spoken and clips:
                    path = (folder / name).as_posix()
                    yield Refused(
                        path, "no-audio", f"{path} has no audio file of its name beside it"
                    )
        if not found:
            raise CorpusError(
                f"{self.path} holds no audio; give a Common Voice release (with clips/ and .tsv "
                "files), a .csv, .tsv or .jsonl manifest, or a folder of audio and .txt files"
            )

    def _folders(self) -> Iterator[tuple[Path, list[str]]]:
        """Folders relative to the source with the names of their files, in natural order."""
        for folder, below, names in os.walk(self.folder, onerror=self._refuse):
            below.sort(key=_naturally)
            yield Path(folder).relative_to(self.folder), sorted(names, key=_naturally)

    def _refuse(self, error: OSError) -> None:
        raise CorpusError(f"{error.filename} cannot be read: {error.strerror}") from error

    def _row(self, folder: Path, name: str, text_name: str | None) -> Row | Refused:
        path = (folder / name).as_posix()
        if not path.isprintable():
            readable = ascii(path)
            return Refused(readable, "unreadable", f"{readable} is no name for a file; rename it")
        split = split_name(folder.parts[0]) if folder.parts else None
        if split not in _SPLITS:
            split = None
        if text_name is None:
            stem = Path(name).stem
            return Refused(path, "no-text", f"there is no {stem}.txt beside {path}", path, split)
        try:
            text = self._read_text(folder / text_name)
        except (OSError, ValueError) as error:
            return Refused(path, "no-text", f"{folder / text_name}: {error}", path, split)
        size = clip_size(self.folder, path)
        return Row(path=path, text=text, where=path, split=split, size=size)

    def _read_text(self, relative: Path) -> str:
        path = (self.folder / relative).resolve()
        if not path.is_relative_to(self.folder):
            raise ValueError("it leads out of the source")
        with path.open("rb") as file:
            data = file.read(_MAX_TEXT_BYTES + 1)
        if len(data) > _MAX_TEXT_BYTES:
            raise ValueError(f"it has over {_MAX_TEXT_BYTES:,} bytes")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ValueError("it is not UTF-8") from None


def _naturally(name: str) -> list[tuple[int, str]]:
    """Sort key under which numbers in names count as numbers."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), part) if part.isdecimal() else (0, part) for part in parts]
