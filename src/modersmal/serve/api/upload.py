"""A form with a file, straight to the disk: capped while it comes in, named by us."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from modersmal.serve.problems import Problem

FILE_NAME = "upload"

_MIB = 1 << 20
_MOST_PARTS = 64
_MOST_FIELD_BYTES = 64 * 1024  # of all fields but the file together
_MOST_OVERHEAD_BYTES = _MIB
_IDLE_S = 60.0


@dataclass(frozen=True)
class Upload:
    """A form as it was received.

    `file` lies in the request's folder; `filename` is what its sender calls it, and never a path
    of ours. `fields` has the values of each other field, in their order.
    """

    file: Path
    filename: str
    fields: dict[str, list[str]]


@asynccontextmanager
async def request_folder(parent: Path) -> AsyncIterator[Path]:
    """A folder for one request, which only this user can read; gone at its end."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent))
    try:
        yield folder
    finally:
        await run_in_threadpool(shutil.rmtree, folder, ignore_errors=True)


async def receive_form(
    request: Request,
    folder: Path,
    *,
    max_bytes: int,
    file_field: str = "file",
) -> Upload:
    """Receive a multipart form, whose `file_field` of up to `max_bytes` goes to `folder`.

    Raises:
        Problem: 400 it is no such form, 408 nothing came for a minute, 413 it is too large,
            415 it is no form at all.
        ClientDisconnect: the client left midway.
    """
    most_bytes = max_bytes + _MOST_OVERHEAD_BYTES
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most_bytes:
        raise _too_large(max_bytes)
    form = _Form(file_field, max_bytes)
    parser = _parser(request, form)
    path = folder / FILE_NAME
    received = 0
    with path.open("xb") as file:
        stream = request.stream()
        while True:
            try:
                async with asyncio.timeout(_IDLE_S):
                    chunk = await anext(stream)
            except StopAsyncIteration:
                break
            except TimeoutError:
                raise Problem(408, f"nothing came for {_IDLE_S:g} s", code="timeout") from None
            received += len(chunk)
            if received > most_bytes:
                raise _too_large(max_bytes)
            _feed(parser, chunk)
            if len(form.held) >= _MIB:
                await run_in_threadpool(form.write, file)
        await run_in_threadpool(form.write, file)
    return form.finish(path)


def _parser(request: Request, form: "_Form") -> MultipartParser:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Problem(415, "send a form: multipart/form-data with its boundary", code="no_form")
    try:
        return MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": form.part_begins,
                "on_header_field": form.header_name_goes_on,
                "on_header_value": form.header_goes_on,
                "on_header_end": form.header_ends,
                "on_headers_finished": form.headers_end,
                "on_part_data": form.data,
                "on_part_end": form.part_ends,
                "on_end": form.ends,
            },
        )
    except FormParserError as error:
        raise _malformed() from error


def _feed(parser: MultipartParser, chunk: bytes) -> None:
    try:
        parser.write(chunk)
    except FormParserError as error:
        raise _malformed() from error


@dataclass
class _Form:
    """Takes the parts of a form as they come; `held` is what of the file is not written yet."""

    file_field: str
    max_bytes: int
    held: bytearray = field(default_factory=bytearray)
    fields: dict[str, list[str]] = field(default_factory=dict)
    filename: str | None = None
    complete: bool = False
    _parts: int = 0
    _file_bytes: int = 0
    _field_bytes: int = 0
    _headers: dict[bytes, bytes] = field(default_factory=dict)
    _header_name: bytes = b""
    _header: bytes = b""
    _name: str = ""
    _value: bytearray | None = None

    def part_begins(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise Problem(400, f"the form has over {_MOST_PARTS} parts", code="form_too_large")
        self._headers = {}

    def header_name_goes_on(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def header_goes_on(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def header_ends(self) -> None:
        self._headers[self._header_name.lower()] = self._header
        self._header_name = self._header = b""

    def headers_end(self) -> None:
        """Decide where the part's data goes: to the file, or to a field."""
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = _text(options.get(b"name", b""), "the name of a part")
        if not self._name:
            raise _malformed()
        if self._name != self.file_field:
            self._value = bytearray()
            return
        if b"filename" not in options:
            raise Problem(400, f"{self.file_field}: send a file", param=self.file_field)
        if self.filename is not None:
            raise Problem(400, f"{self.file_field}: send one file", param=self.file_field)
        self.filename = _text(options[b"filename"], "the name of the file")
        self._value = None

    def data(self, data: bytes, start: int, end: int) -> None:
        if self._value is None:
            self._file_bytes += end - start
            if self._file_bytes > self.max_bytes:
                raise _too_large(self.max_bytes)
            self.held += data[start:end]
            return
        self._field_bytes += end - start
        if self._field_bytes > _MOST_FIELD_BYTES:
            raise Problem(
                400,
                f"the fields of the form have over {_MOST_FIELD_BYTES // 1024} KiB",
                param=self._name,
                code="form_too_large",
            )
        self._value += data[start:end]

    def part_ends(self) -> None:
        if self._value is not None:
            self.fields.setdefault(self._name, []).append(_text(self._value, self._name))

    def ends(self) -> None:
        self.complete = True

    def write(self, file: BinaryIO) -> None:
        file.write(self.held)
        self.held.clear()

    def finish(self, path: Path) -> Upload:
        if not self.complete:
            raise _malformed()
        if self.filename is None:
            raise Problem(
                400, f"{self.file_field} is missing", param=self.file_field, code="missing"
            )
        return Upload(path, self.filename, self.fields)


def _text(data: bytes | bytearray, what: str) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Problem(400, f"{what} is not UTF-8", code="invalid_value") from None
    if "\0" in text:
        raise Problem(400, f"{what} holds a zero byte", code="invalid_value")
    return text


def _too_large(max_bytes: int) -> Problem:
    return Problem(
        413, f"the file is larger than {max_bytes / _MIB:g} MiB", param="file", code="too_large"
    )


def _malformed() -> Problem:
    return Problem(400, "the form is malformed, or it ended midway", code="malformed_form")
