"""The Hugging Face Hub as storage: every change is one commit on top of the one that was read."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modersmal.errors import StoreError
from modersmal.store.backend import OnProgress, Stat
from modersmal.store.trouble import Damaged

if TYPE_CHECKING:
    from huggingface_hub import HfApi, RepoFile

    Files = list[RepoFile]  # `list` means listing in the class

_KINDS = {"datasets": "dataset", "spaces": "space", "models": "model"}
_TIMEOUT_S = 60.0
_CHUNK_BYTES = 8 << 20
_GIT_ATTRIBUTES = ".gitattributes"


def open_hub(url: str) -> "Hub":
    """The storage of hf://USER/REPO[/FOLDER] or hf://datasets/USER/REPO[/FOLDER].

    Raises:
        StoreError: this is no such URL.
    """
    from huggingface_hub import HfApi

    parts = [part for part in url.partition("://")[2].split("/") if part]
    kind = _KINDS[parts.pop(0)] if parts and parts[0] in _KINDS else "model"
    if len(parts) < 2:
        raise StoreError(f"{url} is no place on the Hub: write hf://USER/REPO or hf://datasets/…")
    return Hub(HfApi(), "/".join(parts[:2]), kind, "/".join(parts[2:]))


class Hub:
    """A folder of a repository on the Hub, made (private) when it is first written to.

    The Hub counts commits by the hour, so leases here live long and are seldom renewed.
    """

    confirms = True
    one_commit = True
    lease_ttl_s = 600.0

    def __init__(self, api: "HfApi", repo: str, kind: str, folder: str) -> None:
        self.api, self.repo, self.kind, self.folder = api, repo, kind, folder
        self._of: dict[str, Any] = {"repo_id": repo, "repo_type": kind}

    def exclusive(self) -> bool:
        return True  # a commit is refused where its parent is not the newest any more

    def put_all(self, files: Mapping[str, Path], on_bytes: OnProgress) -> None:
        from huggingface_hub import CommitOperationAdd

        sizes = {name: local.stat().st_size for name, local in files.items()}
        additions = [
            CommitOperationAdd(self._path(name), str(local)) for name, local in files.items()
        ]
        commit = self._commit(additions, f"Add {_folder_of(files)}")
        there = {file.path: file for file in self._files(list(map(self._path, files)), commit)}
        for name, local in files.items():
            _confirm(local, there.get(self._path(name)))
            on_bytes(sizes[name])

    def write(self, name: str, data: bytes) -> None:
        from huggingface_hub import CommitOperationAdd

        self._commit([CommitOperationAdd(self._path(name), data)], f"Write {name}")

    def create(self, name: str, data: bytes) -> bool:
        from huggingface_hub import CommitOperationAdd

        head = self._head(make=True)
        if self._files([self._path(name)], head):
            return False
        self._commit([CommitOperationAdd(self._path(name), data)], f"Create {name}", head)
        return True

    def read(self, name: str, begin: int = 0, end: int | None = None) -> bytes:
        from huggingface_hub import get_session, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

        headers = build_hf_headers()
        if begin or end is not None:
            headers["Range"] = f"bytes={begin}-{'' if end is None else end - 1}"
        url = hf_hub_url(**self._of, filename=self._path(name), endpoint=self.api.endpoint)
        with _missing_is_not_found():
            answer = get_session().get(url, headers=headers, timeout=_TIMEOUT_S)
            hf_raise_for_status(answer)
        data = answer.content
        return data if answer.status_code == 206 or "Range" not in headers else data[begin:end]

    def stat(self, name: str) -> Stat:
        found = self._files([self._path(name)], "main")
        if not found:
            raise FileNotFoundError(name)
        return Stat(found[0].size, hash_of(found[0]))

    def list(self, prefix: str) -> dict[str, int]:
        from huggingface_hub import RepoFile

        cut = len(self.folder) + 1 if self.folder else 0
        try:
            with _missing_is_not_found():
                tree = list(
                    self.api.list_repo_tree(
                        **self._of, path_in_repo=self._path(prefix) or None, recursive=True
                    )
                )
        except FileNotFoundError:
            return {}
        files = [file for file in tree if isinstance(file, RepoFile)]
        return {file.path[cut:]: file.size for file in files if file.path != _GIT_ATTRIBUTES}

    def delete(self, names: Sequence[str]) -> None:
        from huggingface_hub import CommitOperationDelete

        with _missing_is_not_found():
            head = self._head(make=False)
            there = [file.path for file in self._files(list(map(self._path, names)), head)]
        if there:
            deletions = [CommitOperationDelete(path, is_folder=False) for path in there]
            self._commit(deletions, f"Delete {_folder_of(names)}", head)

    def free_bytes(self) -> int | None:
        return None

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name}".strip("/")

    def _head(self, *, make: bool) -> str:
        """The newest commit. `make` makes a private repository where there is none."""
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            return str(self.api.repo_info(**self._of, revision="main", timeout=_TIMEOUT_S).sha)
        except RepositoryNotFoundError:
            if not make:
                raise
        self.api.create_repo(**self._of, private=True, exist_ok=True)
        return str(self.api.repo_info(**self._of, revision="main", timeout=_TIMEOUT_S).sha)

    def _commit(self, operations: Sequence[Any], message: str, parent: str | None = None) -> str:
        """Commit on top of `parent`, or of what is newest now. Returns the new commit."""
        parent = parent or self._head(make=True)
        with without_bars():
            return self.api.create_commit(
                **self._of, operations=operations, commit_message=message, parent_commit=parent
            ).oid

    def _files(self, paths: Sequence[str], revision: str) -> "Files":
        from huggingface_hub import RepoFile

        with _missing_is_not_found():
            found = self.api.get_paths_info(**self._of, paths=list(paths), revision=revision)
        return [file for file in found if isinstance(file, RepoFile)]


def _confirm(local: Path, file: "RepoFile | None") -> None:
    if file is None:
        raise Damaged(f"{local.name} is not in the commit")
    if file.size != local.stat().st_size:
        raise Damaged(f"{file.size} of {local.stat().st_size} bytes of {local.name} arrived")
    if hash_of(file) != local_hash(local, large=file.lfs is not None):
        raise Damaged(f"other bytes of {local.name} arrived than were sent")


def hash_of(file: "RepoFile") -> str:
    """The hash that the Hub lists of a file: SHA-256 of a large one, else git's own."""
    return str(file.lfs.sha256 if file.lfs else file.blob_id)


def local_hash(local: Path, *, large: bool) -> str:
    """What `hash_of` must be, read from the file."""
    return _sha256(local) if large else _git_sha1(local)


def _sha256(local: Path) -> str:
    with local.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git_sha1(local: Path) -> str:
    digest = hashlib.sha1(b"blob %d\0" % local.stat().st_size, usedforsecurity=False)
    with local.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _folder_of(names: Mapping[str, Path] | Sequence[str]) -> str:
    """What a commit's message says of several files: the folder of the first."""
    first = next(iter(names))
    return first if len(names) == 1 else first.rpartition("/")[0] or first


@contextmanager
def _missing_is_not_found() -> Iterator[None]:
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except GatedRepoError:
        raise
    except (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise FileNotFoundError(str(error).splitlines()[0]) from error


@contextmanager
def without_bars() -> Iterator[None]:
    """The Hub's own progress bars would run through ours."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            enable_progress_bars()
