"""A release of Mozilla Data Collective: downloaded once, to its end, then read as an archive.

A download that breaks off goes on where it was, within a call and in the next. What came whole lies
in the downloads folder, below its id, with `release.json` beside it, which is written last; from
then on neither the network nor a key is needed.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from modersmal import store
from modersmal.corpus.licences import licence
from modersmal.corpus.sources.archive import ARCHIVE_SUFFIXES, CommonVoiceArchive
from modersmal.corpus.sources.base import Refused, Row, Source
from modersmal.errors import CorpusError, HubError, StoreError
from modersmal.offline import is_offline
from modersmal.progress import progress
from modersmal.store.retry import Backoff
from modersmal.store.trouble import of_the_remote, passing, plain
from modersmal.store.workspace import cache_folder

SITE = "https://mozilladatacollective.com"
KEYS_PAGE = f"{SITE}/api-reference"
_RELEASE_FILE = "release.json"
_FRUITLESS_ATTEMPTS = 6  # in a row, none of which brought a byte
_SHOW_EVERY_S = 0.5


def downloads_folder() -> Path:
    """MDC_DOWNLOAD_PATH, as in Mozilla's own client; else within the platform's cache folder."""
    if chosen := os.environ.get("MDC_DOWNLOAD_PATH"):
        return Path(chosen).expanduser()
    return cache_folder() / "downloads"


@dataclass(frozen=True)
class Release:
    """What Data Collective says of a release; `checksum` is SHA-256 where it has 64 digits."""

    id: str
    filename: str
    bytes: int
    checksum: str | None
    licence: str | None
    licence_url: str | None
    page: str


class DataCollectiveRelease(CommonVoiceArchive):
    """`mdc:ID`, a Common Voice release; `language` chooses where it holds several."""

    kind = "data-collective"

    def __init__(self, written: str, language: str) -> None:
        if not re.fullmatch(r"mdc:[\w-]+", written):
            raise CorpusError(f"{written!r} is not mdc:ID; the id ends the address of the release")
        Source.__init__(self, written, None)
        self.address, self.language = written, language
        self._id = written.removeprefix("mdc:")
        self._folder = self.path = downloads_folder() / self._id
        self._here = False
        if release := _kept(self._folder):
            self._settle_on(release)

    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.address} {self.language}".encode()).hexdigest()

    def check(self) -> None:
        if not self._here:
            self._ask()

    def fetch(self) -> bool:
        if not self._here:
            release = self._ask()
            _download(release, self._folder)
            store.write_json(self._folder / _RELEASE_FILE, asdict(release))
            self._settle_on(release)
        return True

    def settle(self, described: dict[str, Any]) -> bool:
        self.fetch()
        return self.revision == described["revision"]

    def rows(self) -> Iterator[Row | Refused]:
        self.fetch()
        yield from super().rows()

    def _ask(self) -> Release:
        """What the site says of it; raises where package, network, release or key are missing."""
        if is_offline():
            raise HubError(
                f"{self.address} was not downloaded before, and this is offline; with the network, "
                "`modersmal fetch` brings it"
            )
        page = f"{SITE}/datasets/{self._id}"
        with _told(self._id, page):
            release = _release(_client().get_dataset_details(self._id), page)
        if not os.environ.get("MDC_API_KEY"):
            raise HubError(
                f"{self.address} needs a key of Mozilla Data Collective: make a free account at "
                f"{SITE}, accept the terms of the release at {release.page}, create a key at "
                f"{KEYS_PAGE}, and set MDC_API_KEY to it"
            )
        return release

    def _settle_on(self, release: Release) -> None:
        self._here = True
        self.path = self._folder / release.filename
        self.revision = release.checksum or super().fingerprint()
        # The site's terms forbid passing releases on, whatever the licence of the clips allows.
        known = licence(release.licence, release.licence_url, redistributable=False)
        self.licence = replace(known, url=known.url or release.page)


def _client() -> ModuleType:
    try:
        import datacollective
    except ImportError:
        raise CorpusError(
            "mdc: sources need the package datacollective: pip install 'modersmal[mdc]'"
        ) from None
    return datacollective


def _kept(folder: Path) -> Release | None:
    """The release that was downloaded to its end, if it is still there."""
    try:
        release = Release(**json.loads((folder / _RELEASE_FILE).read_text(encoding="utf-8")))
        return release if _size(folder / release.filename) == release.bytes else None
    except (OSError, ValueError, TypeError):
        return None


def _release(details: Any, page: str) -> Release:
    """Check what the site said. Raises CorpusError where it is no archive that we read."""
    filename = str(details.filename or "")
    if Path(filename).name != filename or not filename.endswith(ARCHIVE_SUFFIXES):
        raise CorpusError(
            f"mdc:{details.id} is {filename or 'no file'}, not a .tar.gz of Common Voice; "
            f"download it at {details.datasetUrl or page}, unpack it and give a manifest of it"
        )
    return Release(
        id=details.id,
        filename=filename,
        bytes=int(details.sizeBytes or 0),
        checksum=details.checksum,
        licence=details.licenseAbbreviation or details.license,
        licence_url=details.get("licenseUrl"),
        page=details.datasetUrl or page,
    )


def _download(release: Release, folder: Path) -> None:
    """Bring the archive into `folder`, going on where it broke off, and check that it is whole."""
    whole, part = folder / release.filename, folder / f"{release.filename}.part"
    with store.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _check_space(release, folder, _size(part))
    if _size(part) > release.bytes:
        part.unlink()
    if _size(part) == release.bytes:  # killed between the last byte and the renaming
        part.replace(whole)
    if not whole.exists():
        with _watched(release, part):
            _go_on_until_whole(release, folder, part)
    _check_whole(release, whole)


def _go_on_until_whole(release: Release, folder: Path, part: Path) -> None:
    from datacollective.errors import DownloadError

    backoff, fruitless, most = Backoff(first_s=1.0), 0, _size(part)
    while True:
        try:
            with _told(release.id, release.page):
                _client().download_dataset(release.id, str(folder), show_progress=False)
            return
        except DownloadError as error:
            if isinstance(error.__cause__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            fruitless = 0 if _size(part) > most else fruitless + 1
            most = max(most, _size(part))
            if not passing(error) or fruitless == _FRUITLESS_ATTEMPTS:
                raise _broken_off(release, folder, part, error) from error
        backoff.sleep(backoff.wait_s(fruitless))


def _broken_off(release: Release, folder: Path, part: Path, error: Exception) -> Exception:
    if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENOSPC:
        return _no_space(release, folder)
    return HubError(
        f"the download of {release.filename} broke off at {_size(part) / 1e9:.2f} of "
        f"{release.bytes / 1e9:.2f} GB ({plain(error.__cause__ or error)}); start the same command "
        "again, it goes on where it was"
    )


def _check_space(release: Release, folder: Path, here: int) -> None:
    if shutil.disk_usage(folder).free < release.bytes - here:
        raise _no_space(release, folder)


def _no_space(release: Release, folder: Path) -> StoreError:
    return StoreError(
        f"{release.filename} ({release.bytes / 1e9:.2f} GB) does not fit on the disk of {folder}; "
        "free some space, or set MDC_DOWNLOAD_PATH to a folder on a larger one, and start again"
    )


def _check_whole(release: Release, path: Path) -> None:
    """Raises CorpusError, and removes the file, where it is not what the site has."""
    sound = _size(path) == release.bytes
    if sound and re.fullmatch(r"[0-9a-f]{64}", release.checksum or ""):
        sound = store.sha256(path) == release.checksum
    if not sound:
        path.unlink()
        raise CorpusError(
            f"{release.filename} came damaged from Data Collective and was removed; start the same "
            "command again to download it anew"
        )


@contextmanager
def _watched(release: Release, part: Path) -> Iterator[None]:
    """Show how far a download is, from the size of its file."""
    done, title = threading.Event(), f"Downloading {release.filename}"
    before = _size(part)

    def watch() -> None:
        shown = before
        while not done.wait(_SHOW_EVERY_S):
            size = max(shown, _size(part))
            advance((size - shown) / 1e6)
            shown = size

    with progress(title, total=release.bytes / 1e6, unit="MB", done=before / 1e6) as advance:
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


@contextmanager
def _told(id_: str, page: str) -> Iterator[None]:
    """Turn what goes wrong with the site into one sentence, with the page to visit."""
    _client()
    from datacollective import errors

    name = f"mdc:{id_}"
    try:
        yield
    except (errors.DownloadError, StoreError):
        raise
    except errors.AuthenticationError as error:
        raise HubError(
            f"Data Collective does not accept the key in MDC_API_KEY; create a new one at "
            f"{KEYS_PAGE}"
        ) from error
    except errors.ResourceRemovedError as error:
        raise HubError(f"{name} was removed from Data Collective; see {page}") from error
    except errors.RateLimitError as error:
        raise HubError(
            "Data Collective has had too many requests from this account; try again in an hour"
        ) from error
    except PermissionError as error:
        if error.errno is not None:  # of the disk
            raise StoreError(f"{error.filename} cannot be written: {error.strerror}") from error
        raise HubError(
            f"Data Collective does not let this account download {name}: accept the terms of the "
            f"release at {page}, or ask there for access"
        ) from error
    except FileNotFoundError as error:
        raise HubError(
            f"Data Collective has no release {id_}; the id ends the release's address at "
            f"{SITE}/datasets"
        ) from error
    except Exception as error:
        if getattr(getattr(error, "response", None), "status_code", None) == 402:
            raise HubError(f"{name} has to be bought first, at {page}") from error
        if not (of_the_remote(error) or isinstance(error, RuntimeError)):
            raise
        raise HubError(
            f"Data Collective cannot be asked for {name} ({plain(error)}); check the network and "
            "start the same command again"
        ) from error
