"""A Mozilla Common Voice release, from its folder or straight from its archive.

A release keeps each language in a folder of its own: `clips/`, and one unquoted TSV a split. Of
those, train, dev and test are read; where there is no train.tsv, validated.tsv, without splits.
"""

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePath

from modersmal import store
from modersmal.corpus.licences import licence
from modersmal.corpus.sources.base import Refused, Row, Source, clip_size
from modersmal.corpus.sources.tables import (
    Record,
    find_column,
    read_tsv,
    read_tsv_line,
    table_lines,
)
from modersmal.errors import CorpusError

LICENCE = licence("CC0-1.0")
_SPLITS = ("train", "dev", "test")
_UNSPLIT = "validated"
TABLES = tuple(f"{name}.tsv" for name in (*_SPLITS, _UNSPLIT))
_EXTRAS = {
    "age": "age",
    "gender": "gender",
    "accents": "accent",
    "accent": "accent",
    "variant": "variant",
    "sentence_domain": "sentence_domain",
}


class CommonVoiceFolder(Source):
    """The language folder of an unpacked release."""

    kind = "common-voice"
    licence = LICENCE

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.clips_folder = (self.folder / "clips").resolve()
        super().__init__(release_name(self.folder), self.clips_folder)

    def rows(self) -> Iterator[Row | Refused]:
        there = [name for name in TABLES if (self.folder / name).is_file()]
        for table in tables_to_read(there, str(self.folder)):
            path = self.folder / table
            for row in Table(table, str(path)).rows(table_lines(path)):
                if isinstance(row, Row):
                    row = replace(row, size=clip_size(self.clips_folder, row.path))
                yield row

    def fingerprint(self) -> str:
        """Of the tables' bytes and the sizes of all clips: the same promise, without parsing."""
        digest = hashlib.sha256()
        for table in TABLES:
            if (self.folder / table).is_file():
                digest.update(f"{table} {store.sha256(self.folder / table)}\n".encode())
        with os.scandir(self.clips_folder) as entries:
            sizes = sorted((entry.name, entry.stat().st_size) for entry in entries)
        digest.update(repr(sizes).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


class Table:
    """One TSV of a release: what its rows say."""

    def __init__(self, file: str, name: str) -> None:
        stem = file.removesuffix(".tsv")
        self.file, self.name = file, name
        self.split = stem if stem in _SPLITS else None
        self._columns: list[str] = []
        self._path = self._text = self._speaker = ""

    def rows(self, lines: Iterable[bytes]) -> Iterator[Row | Refused]:
        """Read the table. Raises CorpusError where its header lacks a column."""
        return (row for _, row in self.numbered_rows(lines))

    def numbered_rows(self, lines: Iterable[bytes]) -> Iterator[tuple[int, Row | Refused]]:
        """Read the table, each row with the number of its line (from 1)."""
        records = read_tsv(lines, self.name)
        self._find_columns(next(records))
        for record in records:
            yield record.line, self._row(record)

    def row_of(self, line: bytes, number: int) -> Row | Refused:
        """Read one line alone, after `rows` has read the header."""
        return self._row(read_tsv_line(line, number, self._columns))

    def _find_columns(self, header: Record) -> None:
        columns = self._columns = list(header.values)
        self._path = find_column(columns, ("path",), "the clip", self.name) or ""
        self._text = find_column(columns, ("sentence",), "its text", self.name) or ""
        self._speaker = find_column(columns, ("client_id",), "the speaker", self.name) or ""

    def _row(self, record: Record) -> Row | Refused:
        where, values = f"{self.file} line {record.line}", record.values
        if record.fault or not values[self._path].strip():
            fault = record.fault or "it names no clip"
            detail = f"{where} cannot be read: {fault}"
            return Refused(where, "broken-row", detail, split=self.split)
        return Row(
            path=values[self._path],
            text=values[self._text],
            where=where,
            speaker=values[self._speaker].strip() or None,
            split=self.split,
            extras={
                kept: values[column]
                for column, kept in _EXTRAS.items()
                if values.get(column, "").strip()
            },
        )


def tables_to_read(there: Collection[str], name: str) -> list[str]:
    """The split tables; where train is missing, the one of all validated clips instead."""
    if "train.tsv" in there:
        return [f"{split}.tsv" for split in _SPLITS if f"{split}.tsv" in there]
    if f"{_UNSPLIT}.tsv" in there:
        return [f"{_UNSPLIT}.tsv"]
    raise CorpusError(f"{name} has neither train.tsv nor {_UNSPLIT}.tsv; is the release complete?")


def find_release(folder: Path, language: str) -> Path | None:
    """The language folder at or up to two levels below `folder`; None where there is none.

    Raises:
        CorpusError: there are several, and none of them or more than one is the language.
    """
    found = list(_releases(folder, depth=2))
    return Path(choose_language(found, language, str(folder))) if found else None


def _releases(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / "clips").is_dir() and any((folder / table).is_file() for table in TABLES):
        yield folder
    elif depth:
        try:
            with os.scandir(folder) as entries:
                below = sorted(entry.name for entry in entries if entry.is_dir())
        except OSError:
            return  # where it is the source itself that cannot be read, reading it will tell
        for name in below:
            yield from _releases(folder / name, depth - 1)


def choose_language(folders: Collection[PurePath], language: str, name: str) -> PurePath:
    """The only language folder, or the one of several that is `language`."""
    if len(folders) == 1:
        return next(iter(folders))
    wanted = language.lower()
    exact = [folder for folder in folders if folder.name.lower() == wanted]
    primary = [folder for folder in folders if folder.name.lower().split("-")[0] == wanted]
    matching = exact or primary
    if len(matching) == 1:
        return matching[0]
    names = ", ".join(sorted(folder.name for folder in folders)) or "none"
    raise CorpusError(
        f"{name} holds several languages ({names}); give the folder of one of them as the source"
        if folders
        else f"{name} holds no Common Voice release: no clips/ with {', '.join(TABLES)} beside it"
    )


def release_name(folder: PurePath) -> str:
    """What a release is called in the corpus: cv-corpus-17.0-2024-03-15/sv-SE."""
    return "/".join(part for part in folder.parts[-2:] if part not in ("/", ".", ".."))
