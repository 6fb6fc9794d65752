"""A repository on the Hub, over HTTP: look, send in a commit, prove that it arrived, tag.

Every step first looks at what is there. So it can be tried again, in this process or a later one,
after any failure, also where the Hub did what was asked and only its answer was lost.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    RepoFile,
    get_session,
    get_token,
    hf_hub_url,
    set_client_factory,
)
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import (
    _http,
    build_hf_headers,
    hf_raise_for_status,
    validate_repo_id,
)
from huggingface_hub.utils import logging as hub_logging
from rich.console import Console

from modersmal.errors import HubError
from modersmal.store.hub import hash_of, local_hash, without_bars
from modersmal.store.retry import Backoff
from modersmal.store.trouble import Damaged, of_the_remote, plain

T = TypeVar("T")
Kind = Literal["model", "dataset"]
MAIN = "main"
TIMEOUT_S = 90.0
BACKOFF = Backoff(first_s=1.0, longest_s=30.0, within_s=900.0)
_SAID_FROM_S = 2.0


@dataclass(frozen=True)
class Look:
    """What a repository is like now: the newest commit of main, and the commits that branches and
    tags name."""

    head: str
    private: bool
    branches: dict[str, str]
    tags: dict[str, str]


class Repository:
    """A repository `name` (USER/NAME) of the Hub that HF_ENDPOINT names.

    `timeout_s` is how long one answer may take, and `backoff` for how long a step is tried again.
    Every method raises HubError, in one sentence without secrets.
    """

    def __init__(
        self,
        name: str,
        kind: Kind = "model",
        *,
        timeout_s: float = TIMEOUT_S,
        backoff: Backoff = BACKOFF,
    ) -> None:
        self.name, self.kind = _checked(name), kind
        self._timeout_s, self._backoff = timeout_s, backoff
        self._api = HfApi()
        self._hashes: dict[tuple[Path, bool], str] = {}
        self._of: dict[str, Any] = {"repo_id": name, "repo_type": kind}

    @property
    def url(self) -> str:
        below = "datasets/" if self.kind == "dataset" else ""
        return f"{self._api.endpoint}/{below}{self.name}"

    @contextmanager
    def session(self) -> Iterator[None]:
        """Within this, no answer is waited for without end, and the Hub's library is silent: we
        say ourselves how it goes, and its log has signed addresses."""
        before = _http._GLOBAL_CLIENT_FACTORY

        def patient() -> Any:
            client = before()
            client.timeout = self._timeout_s
            return client

        verbosity = hub_logging.get_verbosity()
        set_client_factory(patient)
        hub_logging.set_verbosity(hub_logging.CRITICAL)
        try:
            with without_bars():
                yield
        finally:
            hub_logging.set_verbosity(verbosity)
            set_client_factory(before)

    def must_be_writable(self) -> None:
        """Raises HubError where there is no token to write with."""
        if not get_token():
            raise HubError(
                f"there is no token to write to {self.name} with: log in with `hf auth login`, or "
                "set HF_TOKEN, with a token that has the right to write"
            )

    def look(self) -> Look | None:
        """How it is now; None where there is no such repository that this token may see."""

        def attempt() -> Look | None:
            try:
                info = self._api.repo_info(**self._of, revision=MAIN)
            except RepositoryNotFoundError:
                return None
            refs = self._api.list_repo_refs(**self._of)
            return Look(
                str(info.sha),
                bool(info.private),
                {branch.name: branch.target_commit for branch in refs.branches},
                {tag.name: tag.target_commit for tag in refs.tags},
            )

        return self._try(attempt)

    def make(self, *, private: bool) -> None:
        self._try(lambda: self._api.create_repo(**self._of, private=private, exist_ok=True))

    def lacking(self, files: Mapping[str, Path], revision: str) -> set[str]:
        """Of `files`, those that are not there as they are here, down to the last byte."""
        return self._try(lambda: self._lacking(files, revision))

    def send(
        self, files: Mapping[str, Path], branch: str, message: str, gone: Iterable[str] = ()
    ) -> str:
        """Let `branch` hold `files`, and none of those `gone`, by one commit, proven afterwards.

        What it holds already is not sent. Returns the commit that holds them.
        """
        gone = set(gone)

        def attempt() -> str:
            head = str(self._api.repo_info(**self._of, revision=branch).sha)
            lacking = {name: files[name] for name in self._lacking(files, head)}
            deletions = [
                CommitOperationDelete(file.path, is_folder=False)
                for file in self._listed(gone, head)
            ]
            if lacking or deletions:
                additions = [CommitOperationAdd(name, str(file)) for name, file in lacking.items()]
                head = self._api.create_commit(
                    **self._of,
                    operations=[*additions, *deletions],
                    commit_message=message,
                    revision=branch,
                    parent_commit=head,
                ).oid
            if other := self._lacking(lacking, head):
                raise Damaged(f"{', '.join(sorted(other))} arrived otherwise than it was sent")
            return head

        return self._try(attempt)

    def branch(self, name: str) -> None:
        """Let there be a branch `name`, at main where it is new."""
        self._try(lambda: self._api.create_branch(**self._of, branch=name, exist_ok=True))

    def delete_branch(self, name: str) -> None:
        def attempt() -> None:
            if name in {branch.name for branch in self._api.list_repo_refs(**self._of).branches}:
                self._api.delete_branch(**self._of, branch=name)

        self._try(attempt)

    def tag(self, name: str, commit: str) -> None:
        """Let the tag `name` be at `commit`; one that is elsewhere already is an error."""

        def attempt() -> None:
            refs = self._api.list_repo_refs(**self._of)
            there = next((tag.target_commit for tag in refs.tags if tag.name == name), None)
            if there is None:
                self._api.create_tag(**self._of, tag=name, revision=commit)
            elif there != commit:
                raise HubError(f"{self.name} has another {name} since a moment: look at {self.url}")

        self._try(attempt)

    def read(self, name: str, revision: str = MAIN) -> bytes | None:
        """A small file; None where there is none."""

        def attempt() -> bytes | None:
            url = hf_hub_url(**self._of, filename=name, revision=revision)
            answer = get_session().get(url, headers=build_hf_headers())
            try:
                hf_raise_for_status(answer)
            except RemoteEntryNotFoundError:
                return None
            return answer.content

        return self._try(attempt)

    def _lacking(self, files: Mapping[str, Path], revision: str) -> set[str]:
        there = {
            file.path
            for file in self._listed(files, revision)
            if hash_of(file) == self._hash(files[file.path], large=file.lfs is not None)
            and (file.lfs is None or self._is_all_there(file, revision))
        }
        return set(files) - there

    def _hash(self, local: Path, *, large: bool) -> str:
        if (local, large) not in self._hashes:
            self._hashes[local, large] = local_hash(local, large=large)
        return self._hashes[local, large]

    def _listed(self, names: Iterable[str], revision: str) -> list[RepoFile]:
        if not (paths := sorted(names)):
            return []
        found = self._api.get_paths_info(**self._of, paths=paths, revision=revision)
        return [file for file in found if isinstance(file, RepoFile)]

    def _is_all_there(self, file: RepoFile, revision: str) -> bool:
        """Whether a large file ends where it should. What the Hub lists of it (a size, a hash) is
        what the commit said of it; only reading tells what is stored."""
        url = hf_hub_url(**self._of, filename=file.path, revision=revision)
        wanted = f"bytes={file.size - 1}-{file.size - 1}"
        answer = get_session().get(url, headers=build_hf_headers() | {"Range": wanted})
        if answer.status_code == 416:
            return False
        hf_raise_for_status(answer)
        stored = answer.headers.get("Content-Range", "").rpartition("/")[2]
        return stored in (str(file.size), "*")

    def _try(self, attempt: Callable[[], T]) -> T:
        try:
            return replace(self._backoff, sleep=self._wait).run(attempt)
        except HubError:
            raise
        except Exception as error:
            if sentence := self._refused(error):
                raise HubError(sentence) from error
            if not of_the_remote(error):
                raise
            raise HubError(
                f"{self.name} cannot be published to: {self._said(error)}; the release stays as it "
                "is, and the same command goes on later from what the Hub has by then"
            ) from error

    def _wait(self, seconds: float) -> None:
        if seconds >= _SAID_FROM_S:
            Console(stderr=True).print(
                f"The Hub is busy or cannot be reached; trying again in {seconds:.0f} s",
                soft_wrap=True,
                highlight=False,
            )
        self._backoff.sleep(seconds)

    def _refused(self, error: BaseException) -> str | None:
        """What the Hub will not do however often it is asked."""
        chain = [error]
        while chain[-1].__cause__ is not None:
            chain.append(chain[-1].__cause__)
        if any(isinstance(cause, OfflineModeIsEnabled) for cause in chain):
            return f"nothing is published to {self.name} offline: unset HF_HUB_OFFLINE"
        if type(error) is ValueError:  # how its library says that a card or a file is not valid
            return f"the Hub does not take the release for {self.name}: {self._said(error)}"
        statuses = {c.response.status_code for c in chain if isinstance(c, HfHubHTTPError)}
        if 403 in statuses:
            return (
                f"this token may not write to {self.name}: {self._said(error)}; use one with the "
                "right to write there, or a repository of your own"
            )
        if 401 in statuses:
            return (
                f"the Hub does not accept the token for {self.name}: log in again with `hf auth "
                "login`, or set HF_TOKEN anew"
            )
        if any(isinstance(cause, RepositoryNotFoundError) for cause in chain):
            return f"{self.name} is not on the Hub any more, or this token may not see it"
        return None

    def _said(self, error: BaseException) -> str:
        token = get_token()
        said = plain(error)
        return said.replace(token, "***") if token else said


def _checked(name: str) -> str:
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        reason = str(error).partition(":")[0]
        raise HubError(
            f"{name!r} is no name of a repository on the Hub ({reason}): write USER/NAME"
        ) from error
    if "/" not in name:
        raise HubError(f"{name!r} is no whole name of a repository on the Hub: write USER/NAME")
    return name
