"""What is published: the files of a release, or of a corpus whose terms let it be passed on."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modersmal import store
from modersmal.errors import CorpusError, ModelError, StoreError, StoreMissing
from modersmal.release.facts import FACTS_FILE, Release
from modersmal.release.hub import Kind
from modersmal.store.files import files_of, read_manifest
from modersmal.store.releases import FOLDER as RELEASES
from modersmal.store.releases import Releases
from modersmal.store.remote import Remote
from modersmal.store.tokens import counted
from modersmal.store.trouble import without_secrets
from modersmal.store.workspace import at_hand

_CORPUS_FILE = "corpus.json"
_TEXTS = ("scores/", ".jsonl")  # what people said and who they were, clip by clip
_HIDDEN = "."
_NAMED = re.compile(rf"(?P<store>.+?)(?:#|/{RELEASES}/)(?P<number>\d+)/?")


@dataclass(frozen=True)
class Parcel:
    """`files` by their names; `left_out` says by name why others stay here.

    `tag` marks the finished publication, and is None of a corpus; `store` is where the release
    came from, if that is known, and `run` the run that made it.
    """

    folder: Path
    title: str
    kind: Kind
    files: dict[str, Path]
    left_out: dict[str, str] = field(default_factory=dict)
    number: int | None = None
    run: str = ""
    store: str | None = None

    @property
    def tag(self) -> str | None:
        return None if self.number is None else f"v{self.number}"

    @property
    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.files.values())


def pack(release: str | Path) -> Parcel:
    """Gather what goes along of `release`: its folder, STORE#7, a store (its latest), or a corpus.

    A model may be published whatever it learned from. The texts of the test split, which are beside
    its scores, go along only where the terms of all data let them be passed on.

    Raises:
        ModelError: it is none of these.
        StoreError: it is half-written, damaged or cannot be reached.
        CorpusError: it is a corpus whose terms forbid that it is passed on, or do not say.
    """
    folder, origin = _found(str(release))
    if (folder / _CORPUS_FILE).is_file():
        return _corpus(folder)
    facts = Release.read(folder)
    store.verify_manifest(folder)
    if facts.number is None:
        raise ModelError(f"{folder} is a draft of a release: it has no number yet")
    files = {name: folder / name for name in (*read_manifest(folder), store.MANIFEST)}
    kept = [source.name for source in facts.data.sources if source.may_pass_on is not True]
    reason = f"the terms of {_named(kept)} do not say that texts may be passed on" if kept else ""
    left_out = {name: reason for name in files if reason and _has_texts(name)}
    return Parcel(
        folder=folder,
        title=f"release {facts.number}",
        kind="model",
        files={name: path for name, path in files.items() if name not in left_out},
        left_out=left_out,
        number=facts.number,
        run=facts.run,
        store=origin,
    )


def manifest_of(parcel: Parcel, changed: Mapping[str, Path]) -> dict[str, Any]:
    """The manifest of what goes along, which the next publication finds it by; of `changed`, what
    it is now."""
    listed = read_manifest(parcel.folder)
    for name, path in changed.items():
        listed[name] = {"bytes": path.stat().st_size, "sha256": store.sha256(path)}
    return {"format": 1, "files": {name: listed[name] for name in parcel.files if name in listed}}


def checkpoints_of(parcel: Parcel) -> dict[str, Path]:
    """The files of the run's complete checkpoints, on this machine, by their names in the run.

    Raises:
        StoreError: the run is not to be found, has no checkpoints or cannot be reached.
    """
    places = [parcel.run] if "/" in parcel.run else []
    if parcel.store is not None:
        places.append(f"{parcel.store.rstrip('/')}/runs/{Path(parcel.run).name}")
    for address in places:
        run = Remote.open(address)
        suffix = f"/{store.MANIFEST}"
        whole = [name.removesuffix(suffix) for name in run.list("checkpoints")
                 if name.endswith(suffix)]  # fmt: skip
        folders = {name: at_hand(f"{address}/{name}") for name in counted(run, whole)}
        if folders:
            return {
                f"{name}/{inside}": folder / inside
                for name, folder in folders.items()
                for inside in (*read_manifest(folder), store.MANIFEST)
            }
    looked = f" at {' or '.join(map(without_secrets, places))}" if places else ""
    raise StoreError(
        f"the run {parcel.run!r}, which made {parcel.title}, has no checkpoints{looked}; give the "
        "release as STORE#NUMBER of the store that has its run"
    )


def _found(release: str) -> tuple[Path, str | None]:
    """The folder of a release or a corpus on this machine, and the store that it is in."""
    folder = Path(release).expanduser()
    if (folder / FACTS_FILE).is_file() or (folder / _CORPUS_FILE).is_file():
        inside = folder.absolute().parent.name == RELEASES
        return folder, str(folder.absolute().parent.parent) if inside else None
    if named := _NAMED.fullmatch(release):
        return Releases.open(named["store"]).folder(int(named["number"])), named["store"]
    if "://" not in release and not folder.is_dir():
        raise ModelError(f"there is no release at {release}; give its folder, or STORE#NUMBER")
    try:
        return Releases.open(release).folder(), release
    except StoreMissing as error:
        raise ModelError(f"there is no release to publish at {release}: {error}") from error


def _corpus(folder: Path) -> Parcel:
    try:
        info = json.loads((folder / _CORPUS_FILE).read_text(encoding="utf-8"))
        sources = [(source["name"], source["redistributable"]) for source in info["sources"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{folder / _CORPUS_FILE} cannot be read: {error}") from error
    for allowed, why in (
        (False, "forbid that it is passed on"),
        (None, "do not say that it may be passed on"),
    ):
        if kept := [name for name, redistributable in sources if redistributable is allowed]:
            raise CorpusError(
                f"the corpus {folder} is not published: the terms of {_named(kept)} {why}; publish "
                "the model alone, and say in its card where others get the data"
            )
    if not sources:
        raise CorpusError(f"the corpus {folder} is not published: it does not say its sources")
    files = {name: folder / name for name in files_of(folder) if not name.startswith(_HIDDEN)}
    return Parcel(folder, f"corpus {folder.name}", "dataset", files)


def _has_texts(name: str) -> bool:
    inside, ending = _TEXTS
    return name.startswith(inside) and name.endswith(ending)


def _named(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
