"""The text of a job as a file: plain, subtitles, data, or a document for a word processor."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from modersmal.errors import RecipeError, nearest
from modersmal.serve.jobs.edits import retimed
from modersmal.serve.jobs.job import Job, Segment
from modersmal.transcribe.formats import FORMATS, render, write_time
from modersmal.transcribe.formats import Segment as Cue

TYPES = {
    "txt": "text/plain; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "json": "application/json",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}
_NAME_LETTERS = 80


@dataclass(frozen=True)
class Document:
    """A file to be downloaded."""

    name: str
    type: str
    data: bytes

    @property
    def disposition(self) -> str:
        """The header that names it, in letters that every browser reads (RFC 6266)."""
        plain = self.name.encode("ascii", "replace").decode().replace("?", "_")
        return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(self.name)}"


def write_document(
    job: Job, segments: Sequence[Segment], format: str, *, words: bool = False
) -> Document:
    """Write the text that stands as txt, srt, vtt, json or docx.

    Raises:
        RecipeError: there is no such format, or it has no place for the times of words.
    """
    if format not in TYPES:
        raise RecipeError(
            f"there is no format {format!r}{nearest(format, TYPES)}; there are {', '.join(TYPES)}"
        )
    cues = [
        Cue(one.start_s, one.end_s, one.text, tuple(retimed(one)) if words else ())
        for one in segments
        if one.text
    ]
    name = f"{_file_name(job.title)}.{format}"
    if format == "docx":
        return Document(name, TYPES[format], _docx(job, cues))
    chosen = next(one for one in FORMATS if one == format)
    text = render(cues, chosen, words=words, about=_about(job))
    return Document(name, TYPES[format], text.encode())


def _about(job: Job) -> dict[str, Any]:
    return {
        "title": job.title,
        "language": job.language,
        "release": job.release,
        "duration_s": job.duration_s,
    }


def _docx(job: Job, cues: Sequence[Cue]) -> bytes:
    """A heading, and a paragraph for each segment behind its time."""
    from docx import Document as Word

    document = Word()
    document.core_properties.author = ""
    document.core_properties.title = _printable(job.title)
    document.add_heading(_printable(job.title), level=1)
    for cue in cues:
        paragraph = document.add_paragraph()
        time = write_time(round(cue.start_s * 1000), ".").partition(".")[0]
        paragraph.add_run(f"{time}  ").bold = True
        paragraph.add_run(_printable(cue.text))
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _printable(text: str) -> str:
    """XML has no place for control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _file_name(title: str) -> str:
    plain = re.sub(r"[^\w .,()-]+", "_", title).strip(" .")
    return plain[:_NAME_LETTERS] or "transcript"
