"""Publish a release: to the Hub over HTTP, so that it looks like one step; or to another store.

    publishing-v7   a branch that the files go to, some in each commit, and are proven on
    main            moves when all of them are there, in one commit, which sends nothing anew
    v7              the tag, last: who finds it finds the whole release

What is done is worked out from the Hub alone, so any machine that has the release goes on where
another was stopped, and what was finished is not begun again.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from modersmal import store
from modersmal.errors import HubError, StoreError
from modersmal.progress import progress
from modersmal.release.facts import REPOSITORY
from modersmal.release.hub import BACKOFF, MAIN, TIMEOUT_S, Look, Repository
from modersmal.release.parcel import Parcel, checkpoints_of, manifest_of, pack
from modersmal.store.faults import fault
from modersmal.store.releases import Releases
from modersmal.store.retry import Backoff

CARD = "README.md"
BATCH_BYTES = 256 << 20
BATCH_FILES = 50


@dataclass(frozen=True)
class Published:
    """What was published, or, of a dry run, would be.

    `sent` and `there` are sizes in bytes by name: of what went, and of what was there already.
    `left_out` says why other files stay here. `commit` is the Hub's, which `tag` names. `note` says
    what a dry run could not find out.
    """

    title: str
    where: str
    sent: dict[str, int]
    there: dict[str, int]
    left_out: dict[str, str]
    dry_run: bool = False
    private: bool | None = None
    tag: str | None = None
    commit: str | None = None
    checkpoints: tuple[str, ...] = ()
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        if self.dry_run:
            lines = [f"Dry run: nothing is sent. To {self.where} would go of {self.title}:"]
            lines += [f"  {name}  {size / 1e6:,.1f} MB" for name, size in self.sent.items()]
            lines += [f"{sum(self.sent.values()) / 1e6:,.1f} MB in {len(self.sent)} files."]
        else:
            seen = {True: ", private", False: ", public", None: ""}[self.private]
            under = f" as {self.tag}" if self.tag else ""
            lines = [f"Published {self.title} at {self.where}{under}{seen}."]
            lines += [f"{len(self.sent)} files sent, {sum(self.sent.values()) / 1e6:,.1f} MB."]
        if self.there:
            lines.append(f"{len(self.there)} files are there already.")
        if self.checkpoints:
            lines.append(f"Checkpoints: {', '.join(self.checkpoints)}.")
        for reason in dict.fromkeys(self.left_out.values()):
            names = [name for name, why in self.left_out.items() if why == reason]
            lines.append(f"Left out: {', '.join(names)} ({reason}).")
        return "\n".join([*lines, *([self.note] if self.note else [])])


def publish(
    release: str | Path,
    repo: str,
    *,
    dry_run: bool = False,
    private: bool = True,
    checkpoints: bool = False,
    timeout_s: float = TIMEOUT_S,
    backoff: Backoff = BACKOFF,
) -> Published:
    """Publish `release` to `repo`: USER/NAME on the Hub, or the URL or folder of another store.

    `release` is a release's folder, STORE#7, a store (its latest), or a corpus that may be passed
    on. `private` makes a new repository private, and refuses one that is public. `checkpoints`
    sends those of the run too, to the branch checkpoints-v7. Started again after a failure, it
    goes on; what is published already is not sent again.

    Raises:
        ModelError, CorpusError: `release` is none, or its data's terms forbid it.
        HubError: no repository, token or rights; or the Hub does not answer for long.
        StoreError: the release is half-written, or a store cannot be read or written.
    """
    parcel = pack(release)
    if _is_store(repo):
        return _to_store(parcel, repo, dry_run=dry_run, checkpoints=checkpoints)
    repository = Repository(repo, parcel.kind, timeout_s=timeout_s, backoff=backoff)
    states = checkpoints_of(parcel) if checkpoints else {}
    with repository.session(), _as_published(parcel, repository.name) as files:
        publication = _Publication(parcel, files, states, repository)
        return publication.forecast(private) if dry_run else publication.run(private)


class _Publication:
    """One parcel, and the checkpoints asked for, on the way to one repository."""

    def __init__(
        self,
        parcel: Parcel,
        files: Mapping[str, Path],
        checkpoints: Mapping[str, Path],
        repository: Repository,
    ) -> None:
        self.parcel, self.files, self.checkpoints = parcel, files, checkpoints
        self.repository = repository
        self.staging = f"publishing-{parcel.tag or 'corpus'}"
        self.states = f"checkpoints-{parcel.tag}"

    def run(self, private: bool) -> Published:
        self.repository.must_be_writable()
        look = self._opened(private)
        lacking, commit = self._sent_before(look)
        if commit is None:
            fault("publish.before-files")
            commit = self._send(lacking)
            fault("publish.before-tag")
            if self.parcel.tag:
                self.repository.tag(self.parcel.tag, commit)
            fault("publish.after-tag")
        if lacking or self.staging in look.branches:
            self.repository.delete_branch(self.staging)
        if self.checkpoints:
            lacking |= self._send_checkpoints()
        return self._told(lacking, look.private, commit=commit)

    def forecast(self, private: bool) -> Published:
        """Ask what is there, change nothing. Where the Hub cannot say, all would go."""
        lacking, note, look = {*self.files, *self.checkpoints}, "", None
        try:
            look = self.repository.look()
            if look:
                _must_be_private(look, self.repository, private)
                lacking = self._sent_before(look)[0] | set(self.checkpoints)
            if look and self.states in look.branches:
                lacking -= set(self.checkpoints)
                lacking |= self.repository.lacking(self.checkpoints, self.states)
        except HubError as error:
            note = f"Note: {error}."
        return self._told(lacking, look.private if look else private, dry_run=True, note=note)

    def _told(self, lacking: set[str], private: bool, **rest: Any) -> Published:
        sizes = _sizes({**self.files, **self.checkpoints})
        return Published(
            title=self.parcel.title,
            where=self.repository.url,
            sent={name: size for name, size in sizes.items() if name in lacking},
            there={name: size for name, size in sizes.items() if name not in lacking},
            left_out=self.parcel.left_out,
            private=private,
            tag=self.parcel.tag,
            checkpoints=tuple(sorted({name.split("/")[1] for name in self.checkpoints})),
            **rest,
        )

    def _opened(self, private: bool) -> Look:
        """The repository, made where there is none."""
        look = self.repository.look()
        if look is None:
            self.repository.make(private=private)
            look = self.repository.look()
        if look is None:
            raise HubError(f"{self.repository.name} was made, but cannot be seen; look at its page")
        _must_be_private(look, self.repository, private)
        return look

    def _sent_before(self, look: Look) -> tuple[set[str], str | None]:
        """What is lacking, and the commit that has it all, where a tag says that one does."""
        if self.parcel.tag and self.parcel.tag in look.tags:
            commit = look.tags[self.parcel.tag]
            if other := self.repository.lacking(self.files, commit):
                raise HubError(
                    f"{self.repository.name} has another release as {self.parcel.tag} already "
                    f"({min(other)} differs): publish to another repository, or delete that tag"
                )
            return set(), commit
        if self.staging in look.branches:
            return self.repository.lacking(self.files, self.staging), None
        return self.repository.lacking(self.files, look.head), None

    def _send(self, lacking: set[str]) -> str:
        """Send to the branch what it lacks, then let main hold all. Returns main's commit."""
        earlier = self.repository.read(store.MANIFEST)
        gone = _names_in(earlier) - set(self.files) if earlier else set()
        if lacking:
            self.repository.branch(self.staging)
            self._send_batches(lacking, self.files, self.staging, self.parcel.title)
        fault("publish.before-main")
        return self.repository.send(self.files, MAIN, f"Publish {self.parcel.title}", gone)

    def _send_checkpoints(self) -> set[str]:
        """Returns the names of files that were not there."""
        self.repository.branch(self.states)
        lacking = self.repository.lacking(self.checkpoints, self.states)
        title = f"checkpoints of {self.parcel.title}"
        self._send_batches(lacking, self.checkpoints, self.states, title)
        return lacking

    def _send_batches(
        self, lacking: set[str], files: Mapping[str, Path], branch: str, title: str
    ) -> None:
        sizes = {name: files[name].stat().st_size for name in sorted(lacking)}
        groups = _batches(sizes)
        total = sum(sizes.values()) / 1e6
        with progress(f"Publishing {title}", total=total, unit="MB") as advance:
            for number, names in enumerate(groups, 1):
                advance(0, note=names[0])
                message = f"Upload {title}, {number} of {len(groups)}"
                self.repository.send({name: files[name] for name in names}, branch, message)
                advance(sum(sizes[name] for name in names) / 1e6)
                fault("publish.after-batch")


def _batches(sizes: Mapping[str, int]) -> list[list[str]]:
    """Names in order, few enough bytes and files in each commit that little is sent twice."""
    groups: list[list[str]] = []
    held_bytes = 0
    for name, size in sizes.items():
        full = held_bytes + size > BATCH_BYTES or (groups and len(groups[-1]) == BATCH_FILES)
        if not groups or full:
            groups.append([])
            held_bytes = 0
        groups[-1].append(name)
        held_bytes += size
    return groups


def _to_store(parcel: Parcel, url: str, *, dry_run: bool, checkpoints: bool) -> Published:
    """Put a release into another store, under its own number, and let it be latest there."""
    if parcel.number is None:
        raise StoreError(f"{parcel.folder} is a corpus; `modersmal prepare` can write it to a URL")
    if checkpoints:
        raise StoreError("checkpoints go to a branch of a Hub repository, which a store has not")
    target = Releases.open(url)
    files = {name: parcel.folder / name for name in (*parcel.files, *parcel.left_out)}
    there = target.has(parcel.folder)
    if not dry_run:
        target.receive(parcel.folder)
    return Published(
        title=parcel.title,
        where=target.url,
        sent={} if there else _sizes(files),
        there=_sizes(files) if there else {},
        left_out={},
        dry_run=dry_run,
    )


def _is_store(repo: str) -> bool:
    """Whether a URL or a folder is meant; a name that is neither must be one of the Hub."""
    if "://" in repo or repo.startswith((".", "/", "~")):
        return True
    return repo.count("/") != 1 and Path(repo).is_dir()


def _must_be_private(look: Look, repository: Repository, private: bool) -> None:
    if private and not look.private:
        raise HubError(
            f"{repository.name} is public: everybody could have the release at once; make it "
            "private on its page, or say that it may be public"
        )


@contextmanager
def _as_published(parcel: Parcel, repo: str) -> Iterator[dict[str, Path]]:
    """The files as they go: the card's examples name the repository, and the manifest lists what
    goes and nothing else."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        changed = _naming(parcel, repo, folder)
        if not (parcel.left_out or changed):
            yield parcel.files
            return
        store.write_json(folder / store.MANIFEST, manifest_of(parcel, changed))
        yield parcel.files | changed | {store.MANIFEST: folder / store.MANIFEST}


def _naming(parcel: Parcel, repo: str, folder: Path) -> dict[str, Path]:
    """A copy of the card that says where it is published, where it leaves that open."""
    card = parcel.files.get(CARD)
    text = card.read_bytes() if card and parcel.kind == "model" else b""
    if REPOSITORY.encode() not in text:
        return {}
    store.write_bytes(folder / CARD, text.replace(REPOSITORY.encode(), repo.encode()))
    return {CARD: folder / CARD}


def _names_in(manifest: bytes) -> set[str]:
    """What an earlier publication put there; another's manifest names nothing of ours."""
    try:
        return set(json.loads(manifest)["files"])
    except (ValueError, KeyError, TypeError):
        return set()


def _sizes(files: Mapping[str, Path]) -> dict[str, int]:
    return {name: path.stat().st_size for name, path in files.items()}
