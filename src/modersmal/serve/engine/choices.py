"""Which model is to answer: the latest of a store, the newest revision on the Hub, or one alone."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modersmal.errors import ModersmalError
from modersmal.store.hub_model import download_model, is_hub_id
from modersmal.store.releases import FACTS_FILE, FOLDER, Releases

_SHORT_COMMIT = 7


@dataclass(frozen=True)
class Choice:
    """A model to load, and the name that answers give it."""

    model: str
    release: str


class Choices(Protocol):
    """Where models come from. `name` is what is served, without the folders that it lies in, and
    `changes` says whether another may be chosen later."""

    @property
    def name(self) -> str: ...
    @property
    def changes(self) -> bool: ...

    def chosen(self) -> Choice:
        """What to load now, brought to this machine. Raises ModersmalError."""
        ...


def choices_of(model: str, release: int | None, *, offline: bool) -> Choices:
    """Where `model` comes from; of a store or a repository that has several, `release` if given.

    Raises:
        ModersmalError: it has no numbered releases, or cannot be reached.
    """
    if store := _store_of(model):
        return Stored(model, store, release)
    if is_hub_id(model):
        return Published(model, release, offline)
    if release is not None:
        raise ModersmalError(f"{model} is no store: it has no release {release}")
    return Single(model)


@dataclass(frozen=True)
class Stored:
    """The latest release of a store, or the one that it is pinned to."""

    address: str
    store: Releases
    pinned: int | None

    @property
    def name(self) -> str:
        return self.address.rstrip("/").split("/")[-1]

    @property
    def changes(self) -> bool:
        return self.pinned is None

    def chosen(self) -> Choice:
        number = self.pinned if self.pinned is not None else self.store.latest()
        return Choice(str(self.store.folder(number)), f"release-{number}")


@dataclass(frozen=True)
class Published:
    """The newest revision of a repository on the Hub, or the release that it is pinned to."""

    name: str
    pinned: int | None
    offline: bool

    @property
    def changes(self) -> bool:
        return self.pinned is None and not self.offline

    def chosen(self) -> Choice:
        tag = None if self.pinned is None else f"v{self.pinned}"
        folder = download_model(self.name, revision=tag, offline=self.offline, silent=True)
        number = _number_of(folder)
        plain = f"{self.name}@{folder.name[:_SHORT_COMMIT]}"
        return Choice(str(folder), plain if number is None else f"release-{number}")


@dataclass(frozen=True)
class Single:
    """A model that stays what it is."""

    model: str
    changes: bool = False

    @property
    def name(self) -> str:
        _, sign, number = self.model.rpartition("#")
        if sign and number.isdigit():
            return f"release-{int(number)}"
        folder = Path(self.model).expanduser()
        if not folder.is_dir():
            return self.model
        inside = folder.absolute()
        if inside.parent.name == FOLDER and inside.name.isdigit():
            return f"release-{int(inside.name)}"
        return inside.name

    def chosen(self) -> Choice:
        return Choice(self.model, self.name)


def may_be_store(model: str) -> bool:
    """Whether `model` is a folder as stores are, or a URL, which may be one."""
    folder = Path(model).expanduser()
    return "://" in model or ((folder / FOLDER).is_dir() and not (folder / "config.json").is_file())


def _store_of(model: str) -> Releases | None:
    """The releases of `model`, where it is a store that has any."""
    if not may_be_store(model):
        return None
    if "://" in model:
        releases = Releases.open(model)
        return releases if releases.latest() is not None else None
    return Releases.open(str(Path(model).expanduser()))


def _number_of(folder: Path) -> int | None:
    """Which release a published model is; others have none."""
    try:
        number = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))["number"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return number if isinstance(number, int) else None
