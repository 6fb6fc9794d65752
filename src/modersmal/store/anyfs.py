"""Storage behind fsspec: `memory://`, `gs://` and all it knows; S3 and the Hub have their own."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from modersmal.errors import StoreError
from modersmal.store.backend import OnProgress, Stat
from modersmal.store.trouble import Damaged, plain

_CHUNK_BYTES = 8 << 20
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
# Flat stores have no folders to make; in memory there is no network, and names are exclusive.
_WITHOUT_FOLDERS = {"memory", "gs", "gcs", "abfs", "abfss", "az", "oss", "oci"}
_CONDITIONAL = {"memory", "s3", "s3a", "gs", "gcs"}


def open_fsspec(url: str, **options: Any) -> tuple[Any, str]:
    """A fresh fsspec filesystem without listing cache, and the path of `url` in it.

    Raises:
        StoreError: nobody knows this kind of URL, or its package is not installed.
    """
    import fsspec

    scheme = url.partition("://")[0]
    try:
        filesystem = fsspec.filesystem(
            scheme, skip_instance_cache=True, use_listings_cache=False, **options
        )
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        remedy = f"`pip install 'modersmal[{extra}]'`" if extra else plain(error)
        raise StoreError(f"{scheme}:// needs a package that is not installed: {remedy}") from error
    except ValueError as error:
        raise StoreError(
            f"{scheme}:// is no storage we know: use a folder, s3://, gs://, hf:// or another "
            "that fsspec has"
        ) from error
    return filesystem, str(filesystem._strip_protocol(url)).rstrip("/")


class AnyFs:
    """Any fsspec filesystem: confirmed by size, and by MD5 where it tells it (Google's)."""

    confirms = True
    one_commit = False
    lease_ttl_s = 60.0

    def __init__(self, filesystem: Any, root: str) -> None:
        self.fs, self.root = filesystem, root
        protocols = filesystem.protocol
        self.protocols = {protocols} if isinstance(protocols, str) else set(protocols)

    def exclusive(self) -> bool:
        return self._exclusive

    @cached_property
    def _exclusive(self) -> bool:
        """Asked of the storage itself: some accept a conditional write and ignore the condition.

        Of others, fsspec looks first and writes then, between which another may write.
        """
        if not self.protocols & _CONDITIONAL:
            return False
        name = f".exclusive-{uuid4().hex}"
        try:
            return self.create(name, b"1") and not self.create(name, b"2")
        except NotImplementedError:
            return False
        finally:
            self.delete([name])

    def put_all(self, files: Mapping[str, Path], on_bytes: OnProgress) -> None:
        for name, local in files.items():
            self._put(local, self._path(name), on_bytes)

    def _put(self, local: Path, path: str, on_bytes: OnProgress) -> None:
        self._make_folder(path)
        self.fs.put_file(str(local), path)
        size_bytes, md5 = _size_and_md5(local)
        info = self._info(path)
        if info["size"] != size_bytes:
            raise Damaged(f"{info['size']} of {size_bytes} bytes arrived")
        if (stored := info.get("md5Hash")) and base64.b64decode(stored) != md5:
            raise Damaged("other bytes arrived than were sent")
        on_bytes(size_bytes)

    def write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        self._make_folder(path)
        self.fs.pipe_file(path, data)

    def create(self, name: str, data: bytes) -> bool:
        path = self._path(name)
        self._make_folder(path)
        try:
            self.fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        return True

    def read(self, name: str, begin: int = 0, end: int | None = None) -> bytes:
        whole = begin == 0 and end is None
        return self.fs.cat_file(self._path(name), **({} if whole else {"start": begin, "end": end}))

    def stat(self, name: str) -> Stat:
        info = self._info(self._path(name))
        if info.get("type") == "directory":
            raise FileNotFoundError(name)
        tags = (info.get(key) for key in ("ETag", "md5Hash", "etag", "mtime", "created"))
        return Stat(int(info["size"]), f"{info['size']}-{next(filter(None, tags), '')}")

    def list(self, prefix: str) -> dict[str, int]:
        self.fs.invalidate_cache()
        found = self.fs.find(self._path(prefix), detail=True)
        cut = len(self.root) + 1 if self.root else 0
        below = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        listed = {path[cut:]: int(info["size"] or 0) for path, info in found.items()}
        return {name: size for name, size in listed.items() if name.startswith(below)}

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            try:
                self.fs.rm_file(self._path(name))
            except FileNotFoundError:
                continue

    def free_bytes(self) -> int | None:
        return None

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}".rstrip("/")

    def _info(self, path: str) -> dict[str, Any]:
        self.fs.invalidate_cache()
        return self.fs.info(path)

    def _make_folder(self, path: str) -> None:
        if not self.protocols & _WITHOUT_FOLDERS:
            self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)


def _size_and_md5(local: Path) -> tuple[int, bytes]:
    digest, size_bytes = hashlib.md5(usedforsecurity=False), 0
    with local.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size_bytes += len(chunk)
    return size_bytes, digest.digest()
