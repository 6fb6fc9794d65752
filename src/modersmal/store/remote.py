"""A place far away, behind a URL or a mounted Drive: put, confirm, and only then count.

    remote = Remote.open("s3://bucket/people/anna")
    remote.put_folder(Path("model"), "runs/sv/model")

A folder counts when its manifest is there, and the manifest goes last, when all other files are
confirmed; nothing is ever renamed on a remote, since a folder's own name is unique. Whatever may
pass (a busy server, a lost connection, bytes damaged on the way) is tried again.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import TypeVar

from modersmal.errors import StoreDamaged, StoreError, StoreMissing
from modersmal.store import files
from modersmal.store.backend import Backend, OnProgress, Stat
from modersmal.store.faults import fault
from modersmal.store.folder import Folder, SyncedFolder, is_synced
from modersmal.store.retry import Backoff
from modersmal.store.trouble import Damaged, of_the_remote, plain, without_secrets

T = TypeVar("T")
Names = list[str]  # `list` means listing below
RANGE_BYTES = 16 << 20
_RANGES_AT_ONCE = 4
_PART = ".part"


class Remote:
    """Files behind a URL, by names relative to it, with forward slashes.

    Every method raises StoreError, in one sentence without secrets, where it does not succeed
    within the backoff's time; nothing else of the network comes through.
    """

    def __init__(
        self,
        backend: Backend,
        url: str,
        *,
        address: str | None = None,
        below: str = "",
        backoff: Backoff | None = None,
    ) -> None:
        self._backend, self._below = backend, below
        self._backoff = backoff or Backoff()
        self.url = without_secrets(url)
        self.address = address
        """What another process opens this place by, or None. May hold secrets: not for show."""

    @classmethod
    def open(cls, url: str, *, backoff: Backoff | None = None) -> "Remote":
        """Open a folder, `drive:///folder` (a mounted Drive), s3://, gs://, hf://, memory://, ….

        Nothing is asked of the network yet.

        Raises:
            StoreError: nobody knows such URLs, or a package is missing.
        """
        backoff = backoff or Backoff()
        scheme, separator, rest = url.partition("://")
        if not separator or scheme == "file":
            path = Path(rest if separator else url).expanduser()
            folder = SyncedFolder(path) if is_synced(path) else Folder(path)
            address = url if separator else str(path.absolute())
            return cls(folder, url, address=address, backoff=backoff)
        if scheme == "drive":
            return cls(SyncedFolder(Path(rest)), url, address=url, backoff=backoff)
        elsewhere = None if scheme == "memory" else url  # that is this process's own memory
        return cls(_opened(scheme, url, backoff), url, address=elsewhere, backoff=backoff)

    def at(self, prefix: str, *, backoff: Backoff | None = None) -> "Remote":
        """The same place, with names relative to the folder `prefix`."""
        tail = f"/{_checked(prefix)}"
        return Remote(
            self._backend,
            self.url.rstrip("/") + tail,
            address=None if self.address is None else self.address.rstrip("/") + tail,
            below=self._name(prefix),
            backoff=backoff or self._backoff,
        )

    @property
    def folder(self) -> Path | None:
        """The folder of this machine that it is, a mounted Drive too; None of what is far away."""
        return self._backend.root / self._below if isinstance(self._backend, Folder) else None

    @property
    def confirms(self) -> bool:
        """False for a mounted Drive, where files are handed over, not confirmed."""
        return self._backend.confirms

    @property
    def exclusive(self) -> bool:
        """Whether of several that `create` one name, one alone succeeds. May ask the storage."""
        return self._try("", "asked", self._backend.exclusive)

    @property
    def lease_ttl_s(self) -> float:
        """Seconds that suit a lease here: long where writing is dear or slow to arrive."""
        return self._backend.lease_ttl_s

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises StoreMissing where there is none."""
        return self._try(name, "read", lambda: self._backend.read(self._name(name)))

    def write(self, name: str, data: bytes) -> None:
        """Write a small file, in place of what is there."""
        self._try(name, "written", lambda: self._backend.write(self._name(name), data))

    def create(self, name: str, data: bytes) -> bool:
        """Write a small file that must not be there yet; False where it is.

        Where an answer was lost and the file holds `data`, it was this call that wrote it: let
        `data` be unique.
        """
        tries = 0

        def attempt() -> bool:
            nonlocal tries
            tries += 1
            made = self._backend.create(self._name(name), data)
            return made or (tries > 1 and self._backend.read(self._name(name)) == data)

        return self._try(name, "created", attempt)

    def list(self, prefix: str = "") -> Names:
        """Names of all files below the folder `prefix`, sorted, as they are now."""
        return sorted(self.sizes(prefix))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Names and sizes in bytes of all files below the folder `prefix`, as they are now."""
        found = self._try(prefix, "listed", lambda: self._backend.list(self._name(prefix)))
        cut = len(self._below) + 1 if self._below else 0
        return {name[cut:]: size for name, size in found.items()}

    def delete(self, name: str) -> None:
        """Delete a file, or a folder with all below it: the manifest first."""
        inside = self.list(name) or [name]
        marks = [path for path in inside if PurePosixPath(path).name == files.MANIFEST]
        fault("remote.before-delete")
        self._delete(marks, of=name)
        self._delete([path for path in inside if path not in marks], of=name)

    def free_bytes(self) -> int | None:
        """Bytes that fit in, where the storage tells."""
        return self._try("", "measured", self._backend.free_bytes)

    def put(self, local: Path, name: str, on_progress: OnProgress | None = None) -> None:
        """Send a file; when this returns it is there, confirmed (see `confirms`).

        `on_progress` is told of bytes that got through; what it raises stops the transfer.
        """
        self._put_all({name: local}, on_progress)

    def put_folder(self, local: Path, name: str, on_progress: OnProgress | None = None) -> None:
        """Send a complete folder: its files, confirmed, and then its manifest, confirmed.

        What an earlier attempt has put there is not sent again. Raises StoreError also where the
        local folder is not what its manifest says.
        """
        if self.holds(local, name):
            return
        files.verify_manifest(local)
        inside = {f"{name}/{path}": local / path for path in _listed(local)}
        manifest = {f"{name}/{files.MANIFEST}": local / files.MANIFEST}
        fault("remote.before-files")
        if self._backend.one_commit:
            self._put_all(inside | manifest, on_progress)
        else:
            if self._mark(name) is not None:  # an older folder is not complete any more
                self._delete([f"{name}/{files.MANIFEST}"], of=name)
            for path, file in inside.items():
                self._put_all({path: file}, on_progress)
                fault("remote.after-file")
            fault("remote.before-manifest")
            self._put_all(manifest, on_progress)
        fault("remote.after-manifest")
        self._forget_others(name, {*inside, *manifest})

    def holds(self, local: Path, name: str) -> bool:
        """Whether the complete folder `local` is here, as it is now."""
        mark = self._mark(name)
        return mark is not None and mark == _bytes(local / files.MANIFEST)

    def get(self, name: str, local: Path, on_progress: OnProgress | None = None) -> None:
        """Fetch a file, going on where an earlier attempt stopped; it appears whole or not at all.

        Whether its bytes are right is for the caller's manifest to say; their number is checked.
        """
        stat = self._try(name, "read", lambda: self._backend.stat(self._name(name)))
        part = local.with_name(f".{local.name}.{_short(stat)}{_PART}")
        with files.writing(local):
            local.parent.mkdir(parents=True, exist_ok=True)
            for other in local.parent.glob(f".{local.name}.*{_PART}"):
                if other != part:
                    other.unlink()
            with part.open("ab") as file:
                if file.tell() > stat.size_bytes:
                    file.truncate(0)
                if on_progress and file.tell():
                    on_progress(file.tell())
                for data in self._ranges(name, file.tell(), stat.size_bytes):
                    file.write(data)
                    if on_progress:
                        on_progress(len(data))
                file.flush()
                os.fsync(file.fileno())
            fault("remote.before-got")
            os.replace(part, local)

    def get_folder(self, name: str, local: Path, on_progress: OnProgress | None = None) -> None:
        """Fetch a complete folder, whole or not at all; one process at a time.

        Files that an interrupted attempt has fetched stay. What was at `local` is replaced.

        Raises:
            StoreMissing: there is no such folder, or it has no manifest yet.
            StoreDamaged: what came is not what the manifest lists.
        """
        draft = local.with_name(f".{local.name}{_PART}")
        mark = self.read(f"{name}/{files.MANIFEST}")
        with files.writing(local):
            draft.mkdir(parents=True, exist_ok=True)
        files.write_bytes(draft / files.MANIFEST, mark)
        try:
            for path, sha256 in _listed(draft).items():
                if not ((draft / path).is_file() and files.sha256(draft / path) == sha256):
                    self.get(f"{name}/{path}", draft / path, on_progress)
                elif on_progress:
                    on_progress((draft / path).stat().st_size)
            files.verify_manifest(draft)
        except StoreMissing as error:
            raise StoreDamaged(f"{error}, though the manifest beside it lists it") from error
        except StoreDamaged:
            shutil.rmtree(draft, ignore_errors=True)  # else what is damaged would stay for ever
            raise
        with files.writing(local):
            if local.exists():
                shutil.rmtree(local)
            fault("remote.before-got-folder")
            os.replace(draft, local)

    def _put_all(self, wanted: dict[str, Path], on_progress: OnProgress | None) -> None:
        where = next(iter(wanted))
        named = {self._name(name): local for name, local in wanted.items()}
        counted = _Counted(on_progress)

        def attempt() -> None:
            counted.again()
            self._backend.put_all(named, counted)

        try:
            self._try(where, "sent", attempt)
        except _FromCaller as error:
            raise error.original from error.original.__cause__

    def _forget_others(self, name: str, wanted: set[str]) -> None:
        """Delete files below a folder that its manifest does not list."""
        self._delete([path for path in self.list(name) if path not in wanted], of=name)

    def _delete(self, names: Names, *, of: str) -> None:
        if paths := [self._name(name) for name in names]:
            self._try(of, "deleted", lambda: self._backend.delete(paths))

    def _mark(self, name: str) -> bytes | None:
        try:
            return self.read(f"{name}/{files.MANIFEST}")
        except StoreMissing:
            return None

    def _ranges(self, name: str, begin: int, size_bytes: int) -> Iterator[bytes]:
        """The bytes from `begin`, in order, a few ranges under way at once."""
        starts = range(begin, size_bytes, RANGE_BYTES)
        ahead: list[Future[bytes]] = []
        with ThreadPoolExecutor(_RANGES_AT_ONCE) as pool:
            try:
                for start in starts:
                    end = min(start + RANGE_BYTES, size_bytes)
                    ahead.append(pool.submit(self._range, name, start, end))
                    if len(ahead) == _RANGES_AT_ONCE:
                        yield ahead.pop(0).result()
                for future in ahead:
                    yield future.result()
            finally:
                for future in ahead:
                    future.cancel()

    def _range(self, name: str, begin: int, end: int) -> bytes:
        def attempt() -> bytes:
            data = self._backend.read(self._name(name), begin, end)
            if len(data) != end - begin:
                raise Damaged(f"{len(data)} of {end - begin} bytes came")
            return data

        return self._try(name, "read", attempt)

    def _name(self, name: str) -> str:
        return f"{self._below}/{_checked(name)}".strip("/")

    def _try(self, name: str, done: str, attempt: Callable[[], T]) -> T:
        """Run one request under the backoff, and say in one sentence what did not work."""
        where = f"{self.url.rstrip('/')}/{name}".rstrip("/")
        try:
            return self._backoff.run(attempt)
        except StoreError:
            raise
        except Exception as error:
            if isinstance(error, FileNotFoundError) and done == "read":
                raise StoreMissing(f"{where} is not there") from error
            if not of_the_remote(error):
                raise
            raise StoreError(
                f"{where} cannot be {done}: {plain(error)}; see that the address is right, that "
                "it can be reached from here and that you may use it"
            ) from error


def local_place(folder: Path) -> Remote:
    """A folder of this machine's own, for what works on a `Remote`."""
    return Remote(Folder(folder), str(folder))


class _FromCaller(BaseException):
    """Carries what a progress callback raised past everything that would try again."""

    def __init__(self, original: BaseException) -> None:
        self.original = original


class _Counted:
    """Tells of progress without counting bytes twice when an attempt begins anew."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self.on_progress, self.told, self.now = on_progress, 0, 0
        self.lock = Lock()

    def again(self) -> None:
        self.now = 0

    def __call__(self, count: int) -> None:
        with self.lock:  # parts of a file are sent by several threads
            self.now += count
            more = max(0, self.now - self.told)
            self.told += more
            if self.on_progress is not None and more:
                try:
                    self.on_progress(more)
                except BaseException as error:
                    raise _FromCaller(error) from None


def _opened(scheme: str, url: str, backoff: Backoff) -> Backend:
    if scheme == "hf":
        from modersmal.store.hub import open_hub

        return open_hub(url)
    if scheme in ("s3", "s3a"):
        from modersmal.store.s3 import open_s3

        return open_s3(url, backoff)
    from modersmal.store.anyfs import AnyFs, open_fsspec

    return AnyFs(*open_fsspec(url))


def _checked(name: str) -> str:
    """`name`, which must stay below the remote's own folder."""
    if ".." in name.split("/") or "\\" in name or name.startswith("/"):
        raise StoreError(f"{name!r} is no name inside a store: it leads out of it")
    return name.strip("/")


def _listed(folder: Path) -> dict[str, str]:
    """Names and SHA-256s of what a folder's manifest lists, largest first. Raises StoreDamaged."""
    listed = sorted(files.read_manifest(folder).items(), key=lambda item: -item[1]["bytes"])
    return {_checked(name): expected["sha256"] for name, expected in listed}


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _short(stat: Stat) -> str:
    return hashlib.sha256(f"{stat.size_bytes} {stat.tag}".encode()).hexdigest()[:12]
