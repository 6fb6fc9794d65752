"""Where clips come from: one file per kind of source, told apart here."""

from pathlib import Path

from modersmal.corpus.sources.archive import ARCHIVE_SUFFIXES, CommonVoiceArchive
from modersmal.corpus.sources.base import Source
from modersmal.corpus.sources.common_voice import CommonVoiceFolder, find_release
from modersmal.corpus.sources.folder import Folder
from modersmal.corpus.sources.manifest import READERS, Manifest
from modersmal.errors import CorpusError


def open_source(written: str, language: str) -> Source:
    """Find out what kind of source a path is.

    Raises:
        CorpusError: there is nothing, or nothing that is a source.
    """
    path = Path(written).expanduser()
    if path.is_dir():
        release = find_release(path, language)
        return CommonVoiceFolder(release) if release else Folder(path)
    if not path.exists():
        raise CorpusError(f"there is no source at {path}; check the path")
    if path.name.endswith(ARCHIVE_SUFFIXES):
        return CommonVoiceArchive(path, language)
    if path.suffix.lower() in READERS:
        return Manifest(path)
    raise CorpusError(
        f"{path} is no source: give a Common Voice release (folder or .tar.gz), a manifest "
        f"({', '.join(READERS)}), or a folder of audio with same-named .txt files"
    )


def open_sources(written: list[str], language: str) -> list[Source]:
    """Open all sources. Raises CorpusError, also for none."""
    if not written:
        raise CorpusError("there are no sources; name at least one (data.sources in a recipe)")
    return [open_source(one, language) for one in written]
