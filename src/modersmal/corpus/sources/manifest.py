"""Manifests: a CSV, TSV or JSONL that names an audio file and its text in each row."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from modersmal.corpus.schema import COLUMNS, split_name
from modersmal.corpus.sources.base import Refused, Row, Source, clip_size
from modersmal.corpus.sources.tables import (
    Record,
    find_column,
    read_csv,
    read_jsonl,
    read_tsv,
    table_lines,
)

AUDIO_COLUMNS = ("audio", "path", "file", "file_name", "filename", "audio_filepath")
TEXT_COLUMNS = ("text", "sentence", "transcription", "transcript")
SPEAKER_COLUMNS = ("speaker", "speaker_id", "client_id")
SPLIT_COLUMNS = ("split",)

READERS: dict[str, Callable[[Iterable[bytes], str], Iterator[Record]]] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_jsonl,
}


class Manifest(Source):
    """A table beside its audio; paths are relative to its folder. Other columns are kept."""

    kind = "manifest"

    def __init__(self, path: Path) -> None:
        resolved = path.resolve()
        super().__init__(f"{resolved.parent.name}/{resolved.name}", resolved.parent)
        self.path = path

    def rows(self) -> Iterator[Row | Refused]:
        read = READERS[self.path.suffix.lower()]
        columns: _Columns | None = None
        for record in read(table_lines(self.path), str(self.path)):
            where = f"{self.path.name} line {record.line}"
            if record.fault:
                yield Refused(where, "broken-row", f"{where} cannot be read: {record.fault}")
            elif columns is None:
                columns = _Columns(list(record.values), str(self.path))
            else:
                yield self._row(record, columns, where)

    def _row(self, record: Record, columns: "_Columns", where: str) -> Row | Refused:
        values = record.values
        path, text = values.get(columns.audio, ""), values.get(columns.text, "")
        written = values.get(columns.split, "") if columns.split else ""
        split = split_name(written)
        if not path.strip():
            return Refused(where, "broken-row", f"{where} names no audio file", text=text)
        if written.strip() and split is None:
            return Refused(
                where,
                "broken-row",
                f"{where}: {written!r} is not the name of a split",
                path,
                None,
                text,
            )
        speaker = values.get(columns.speaker, "") if columns.speaker else ""
        return Row(
            path=path,
            text=text,
            where=where,
            speaker=speaker.strip() or None,
            split=split,
            size=clip_size(self.root, path) if self.root else 0,
            extras={
                name.strip(): value
                for name, value in values.items()
                if name not in columns.known and name.strip() not in COLUMNS and value.strip()
            },
        )


class _Columns:
    """Under which names a manifest's columns go."""

    def __init__(self, columns: list[str], name: str) -> None:
        self.audio = find_column(columns, AUDIO_COLUMNS, "the audio file", name) or ""
        self.text = find_column(columns, TEXT_COLUMNS, "its text", name) or ""
        self.speaker = find_column(columns, SPEAKER_COLUMNS, "the speaker", name, needed=False)
        self.split = find_column(columns, SPLIT_COLUMNS, "the split", name, needed=False)
        self.known = {self.audio, self.text, self.speaker, self.split}
