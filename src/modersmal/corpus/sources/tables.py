"""Read tables of text (TSV, CSV, JSONL) row by row; a broken row costs itself and nothing else."""

import csv
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modersmal.errors import CorpusError, nearest

_MAX_LINE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """One row: its line number (from 1), its values by column, or why it cannot be read."""

    line: int
    values: dict[str, str]
    fault: str | None = None


def table_lines(path: Path) -> Iterator[bytes]:
    """The lines of a table. Raises CorpusError where it cannot be read."""
    try:
        with path.open("rb") as file:
            yield from iter(lambda: file.readline(_MAX_LINE_BYTES), b"")
    except FileNotFoundError:
        raise CorpusError(f"there is no file {path}") from None
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror or error}") from error


def read_tsv(lines: Iterable[bytes], name: str) -> Iterator[Record]:
    """Read an unquoted TSV: a quotation mark is a plain character. First comes the header.

    The first record's values map each column to itself; the others' map columns to cells.

    Raises:
        CorpusError: the header is missing or is not text.
    """
    lines = iter(lines)
    columns = _header(lines, name).split("\t")
    yield _header_record(columns, name)
    for number, line in enumerate(lines, 2):
        if line.strip(b"\r\n"):
            yield read_tsv_line(line, number, columns)


def read_tsv_line(line: bytes, number: int, columns: Sequence[str]) -> Record:
    """Read one row of a TSV alone."""
    try:
        cells = line.decode("utf-8").rstrip("\r\n").split("\t")
    except UnicodeDecodeError:
        return Record(number, {}, "it is not UTF-8")
    return _record(number, columns, cells)


def read_csv(lines: Iterable[bytes], name: str) -> Iterator[Record]:
    """Read a quoted CSV, of commas or (Excel, in many languages) semicolons; header as above."""
    lines = iter(lines)
    header = _header(lines, name)
    delimiter = ";" if header.count(";") > header.count(",") else ","
    columns = [cell.strip() for cell in next(csv.reader([header], delimiter=delimiter), [])]
    yield _header_record(columns, name)
    feed = _Feed(lines)
    while True:
        try:
            cells = next(csv.reader(feed, delimiter=delimiter, strict=True), None)
        except (csv.Error, UnicodeDecodeError) as error:
            fault = str(error) if isinstance(error, csv.Error) else "it is not UTF-8"
            yield Record(feed.rewind(), {}, fault)
            continue
        if cells is None:
            return
        line = feed.accept()
        if cells:
            yield _record(line, columns, cells)


def read_jsonl(lines: Iterable[bytes], name: str) -> Iterator[Record]:
    """Read a file of one JSON object a line. The first record's values are the first object's."""
    seen = False
    for number, line in enumerate(lines, 1):
        if not line.strip(b"\xef\xbb\xbf \t\r\n"):
            continue
        try:
            value = json.loads(line.decode("utf-8-sig"))
        except ValueError as error:
            yield Record(number, {}, f"it is not JSON: {error}")
            continue
        if not isinstance(value, dict):
            yield Record(number, {}, "it is not a JSON object")
            continue
        values = {
            _as_text(key): _as_text(inner) for key, inner in value.items() if inner is not None
        }
        if not seen:
            seen = True
            yield Record(number, {_as_text(column): _as_text(column) for column in value})
        yield Record(number, values)
    if not seen:
        raise CorpusError(f"{name} holds no JSON object; write one a line")


def find_column(
    columns: Sequence[str], accepted: Sequence[str], what: str, name: str, *, needed: bool = True
) -> str | None:
    """Find the column for `what` under one of its accepted names, whatever the case.

    Raises:
        CorpusError: it is needed and not there; names the columns there are, and the nearest.
    """
    by_name = {column.strip().lower(): column for column in reversed(columns)}
    for one in accepted:
        if one in by_name:
            return by_name[one]
    if not needed:
        return None
    hints = [hint for one in accepted if (hint := nearest(one, list(by_name)))]
    raise CorpusError(
        f"{name} has no column for {what} ({', '.join(accepted)}); its columns are "
        f"{', '.join(columns)[:300] or 'none'}{hints[0] if hints else ''}"
    )


class _Feed:
    """Gives a csv.reader its lines, and takes back those that a broken row swallowed."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines, self._returned = lines, deque[bytes]()
        self._taken: list[bytes] = []
        self._line = 2

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else next(self._lines)
        self._taken.append(line)
        return line.decode("utf-8")

    def accept(self) -> int:
        """The row is whole; return the line it began on."""
        began = self._line
        self._line += len(self._taken)
        self._taken = []
        return began

    def rewind(self) -> int:
        """The row is broken: only its first line is lost. Return its number."""
        began = self._line
        self._returned.extendleft(reversed(self._taken[1:]))
        self._line += 1
        self._taken = []
        return began


def _header(lines: Iterator[bytes], name: str) -> str:
    first = next(lines, b"")
    try:
        header = first.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise CorpusError(f"{name} is not UTF-8 text; save it as UTF-8") from None
    if not header.strip() or "\0" in header:
        raise CorpusError(f"{name} does not begin with a line of column names")
    if "\r" in header:
        raise CorpusError(f"{name} ends its lines with CR alone; save it with LF or CR LF")
    return header


def _header_record(columns: Sequence[str], name: str) -> Record:
    twice = [column for column in columns if columns.count(column) > 1]
    if twice:
        raise CorpusError(f"{name} has the column {twice[0]!r} twice; name each column once")
    return Record(1, {column: column for column in columns})


def _record(line: int, columns: Sequence[str], cells: Sequence[str]) -> Record:
    if len(cells) != len(columns):
        return Record(line, {}, f"it has {len(cells)} columns, the header has {len(columns)}")
    return Record(line, dict(zip(columns, cells, strict=True)))


def _as_text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode("utf-8")  # JSON can spell half characters
