"""Where clips come from: one file per kind of source, told apart here."""

from pathlib import Path

from modersmal.audio import CHUNK_S, EXTENSIONS
from modersmal.corpus.licences import UNKNOWN, Licence
from modersmal.corpus.sources.archive import ARCHIVE_SUFFIXES, CommonVoiceArchive
from modersmal.corpus.sources.base import Source
from modersmal.corpus.sources.common_voice import CommonVoiceFolder, find_release
from modersmal.corpus.sources.folder import Folder, Recording
from modersmal.corpus.sources.manifest import READERS, Manifest
from modersmal.errors import CorpusError

_HUB, _DATA_COLLECTIVE, _CORRECTIONS = "hf:", "mdc:", "corrections:"


def is_address(written: str) -> bool:
    """Whether a source is from afar and not a path."""
    return written.startswith((_HUB, _DATA_COLLECTIVE, _CORRECTIONS))


def open_source(
    written: str, language: str, own: Licence = UNKNOWN, longest_s: float = CHUNK_S
) -> Source:
    """Find out what kind of source a path or an address is; nothing is read or downloaded yet.

    `own` is the licence of manifests and folders, which cannot say it themselves; `longest_s` how
    long the clips may be that recordings are cut into.

    Raises:
        CorpusError: there is nothing, or nothing that is a source.
    """
    if written.startswith(_HUB):  # imported here, since workers need neither
        from modersmal.corpus.sources.hf import HubDataset

        return HubDataset(written)
    if written.startswith(_DATA_COLLECTIVE):
        from modersmal.corpus.sources.mdc import DataCollectiveRelease

        return DataCollectiveRelease(written, language)
    if written.startswith(_CORRECTIONS):
        return _open_corrections(written, language)
    source = _open_path(Path(written).expanduser(), language, longest_s)
    if isinstance(source, Folder | Manifest):
        source.licence = own
    return source


def _open_corrections(written: str, language: str) -> Source:
    try:
        from modersmal.corpus.sources.corrections import Corrections
    except ImportError:
        raise CorpusError(
            "corrections: sources need the package sqlalchemy: pip install 'modersmal[serve]'"
        ) from None
    return Corrections(written, language)


def _open_path(path: Path, language: str, longest_s: float) -> Source:
    if path.is_dir():
        release = find_release(path, language)
        return CommonVoiceFolder(release) if release else Folder(path, language, longest_s)
    if not path.exists():
        raise CorpusError(f"there is no source at {path}; check the path")
    if path.name.endswith(ARCHIVE_SUFFIXES):
        return CommonVoiceArchive(path, language)
    if path.suffix.lower() in READERS:
        return Manifest(path)
    if path.suffix.lower() in EXTENSIONS:
        return Recording(path, language, longest_s)
    raise CorpusError(
        f"{path} is no source: give a Common Voice release (folder, .tar.gz, or mdc:ID), a dataset "
        f"on the Hub (hf:OWNER/NAME), a manifest ({', '.join(READERS)}), a folder of audio with "
        "same-named .txt, .srt or .vtt files, one recording with such a file beside it, or what "
        "people have corrected (corrections:DATABASE)"
    )


def open_sources(
    written: list[str], language: str, own: Licence = UNKNOWN, longest_s: float = CHUNK_S
) -> list[Source]:
    """Open all sources. Raises CorpusError, also for none."""
    if not written:
        raise CorpusError("there are no sources; name at least one (data.sources in a recipe)")
    return [open_source(one, language, own, longest_s) for one in written]
