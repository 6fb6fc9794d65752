"""Rid one store of corrections: corpora, unfinished work, reports, releases.

Of a folder that a manifest makes complete, the manifest is written first and then the files, so
that whoever is cut short finds again what is left to do: the texts that still name a clip.
"""

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout

from modersmal import store
from modersmal.corpus.corrections.traces import ids_in
from modersmal.corpus.erasing import Erasing, brought, holds, may_hold_corrections
from modersmal.corpus.schema import CORPUS_FILE, SHARD_FILE, WORK_FOLDER
from modersmal.corpus.unfinished import alone, discard
from modersmal.errors import Held, ModersmalError, StoreMissing
from modersmal.forget.texts import may_name_clips, text_without
from modersmal.release.draft import WORK as DRAFT
from modersmal.store.faults import fault
from modersmal.store.files import manifest_after
from modersmal.store.lease import holder_alive
from modersmal.store.releases import FOLDER as RELEASES
from modersmal.store.releases import Releases
from modersmal.store.remote import Remote

_RUNS, _CORPORA, _REHEARSALS = "runs", "corpora", "rehearsals"
_IMPROVEMENTS = "improvements"  # whoever improves holds its lease
_RECIPE, _CHECKPOINTS = "recipe.json", "checkpoints"  # those of train.keeping, which loads torch
_PART = ".part"


class StoreEraser:
    """Erases the corrections `ids` from the store at `place`.

    `keeper` is where its runs' leases lie, if that is elsewhere; `work` a folder on this machine
    for what has to be fetched. What cannot be done now is in `left`, and does not keep the rest
    from being done; `changed` says what was.
    """

    def __init__(
        self, place: Remote, ids: Collection[str], work: Path, *, keeper: Remote | None = None
    ) -> None:
        self._place, self._ids, self._work = place, frozenset(ids), work
        self._keeper = keeper or place
        self.changed: list[str] = []
        self.left: list[ModersmalError] = []

    def run(self) -> None:
        """Do all that can be done. Raises StoreError where the store does not answer."""
        if self._place.folder is not None:
            self._clear_halves(self._place.folder)
        names = set(self._place.sizes())
        corpora = _folders_of(names, CORPUS_FILE)
        self._discard_unfinished(names)
        self._discard_orphans(set(self._place.sizes()), corpora)
        erasings = {name: found for name in corpora if (found := self._look(name))}
        concerned = {name for name, found in erasings.items() if found.needed}
        self._discard_drafts(names, corpora, concerned)
        self._discard_rehearsals(concerned)
        self._clean_texts(names, corpora)
        for name, erasing in erasings.items():
            if name.split("/")[0] == _REHEARSALS:
                continue
            self._tried(name, partial(self._erase, name, erasing))

    # Corpora

    def _look(self, name: str) -> Erasing | None:
        place = self._place.at(name) if name else self._place
        with self._trying():
            if may_hold_corrections(json.loads(place.read(CORPUS_FILE))):
                return Erasing(place, self._ids, self._work)
        return None

    def _erase(self, name: str, looked: Erasing) -> bool:
        if not looked.needed:
            return False
        with self._unused(name):
            place = self._place.at(name) if name else self._place
            return Erasing(place, self._ids, self._work).erase()

    @contextmanager
    def _unused(self, name: str) -> Iterator[None]:
        """While nobody prepares a corpus, improves by it or trains on it. Raises Held."""
        for run in self._runs_on(name):
            if holder := holder_alive(self._keeper.at(f"{_RUNS}/{run}")):
                raise Held(
                    f"{holder} trains the run {run} on {self._shown(name)}; what was corrected is "
                    "erased from it when that has ended"
                )
        if holder := self._improver(name):
            raise Held(
                f"{holder} improves the model by {self._shown(name)}; what was corrected is erased "
                "from it when that has ended"
            )
        with ExitStack() as stack:
            if self._place.folder is not None:
                folder = self._place.folder / name
                stack.enter_context(alone(folder))
                store.remove_drafts(folder)
            yield

    def _improver(self, corpus: str) -> str | None:
        if PurePosixPath(corpus).parent.name != _CORPORA:
            return None
        return holder_alive(self._keeper.at(_IMPROVEMENTS))

    def _runs_on(self, corpus: str) -> list[str]:
        if PurePosixPath(corpus).parent.name != _CORPORA:
            return []
        return [run for run, name in self._corpus_of_runs().items() if name == corpus]

    def _corpus_of_runs(self) -> dict[str, str]:
        """By run, the folder of the corpus that it learns from."""
        found = {}
        for name in self._keeper.list(_RUNS):
            path = PurePosixPath(name)
            if len(path.parts) == 3 and path.name == _RECIPE:
                run = path.parent.name
                found[run] = f"{_CORPORA}/{self._recipe(name).get('corpus') or run}"
        return found

    def _recipe(self, name: str) -> Mapping[str, Any]:
        try:
            recipe = json.loads(self._keeper.read(name))["recipe"]
        except (StoreMissing, ValueError, KeyError, TypeError):
            return {}
        return recipe if isinstance(recipe, dict) else {}

    # What was begun

    def _discard_unfinished(self, names: Collection[str]) -> None:
        root = self._place.folder
        if root is None:
            return  # what is prepared is prepared on a machine
        for name in sorted(_works_of(names)):
            self._tried(name, partial(discard, root / name, self._ids))

    def _discard_orphans(self, names: Collection[str], corpora: Collection[str]) -> None:
        """Shards of what is no corpus any more: whoever was to delete them was killed."""
        works = _works_of(names)
        for name in sorted(names):
            folder, _, file = name.rpartition("/")
            if SHARD_FILE.fullmatch(file) and folder not in corpora and folder not in works:
                self._tried(name, partial(self._discard_orphan, name))

    def _discard_orphan(self, name: str) -> bool:
        with brought(self._place, name, self._work) as path:
            if not holds(path, self._ids):
                return False
        self._place.delete(name)
        return True

    def _discard_rehearsals(self, concerned: Collection[str]) -> None:
        """Their stand-ins give clips other names: the whole of it goes, the corpus last."""
        for corpus in sorted(concerned):
            kind, *inside = corpus.split("/")
            if kind == _REHEARSALS and len(inside) > 1:
                self._tried(f"{kind}/{inside[0]}", partial(self._discard_rehearsal, inside[0]))

    def _discard_rehearsal(self, rehearsal: str) -> bool:
        names = self._place.list(f"{_REHEARSALS}/{rehearsal}")
        for name in sorted(names, key=lambda name: f"/{CORPUS_FILE}" in name):
            self._place.delete(name)
        return True

    def _discard_drafts(
        self, names: Collection[str], corpora: Collection[str], concerned: Collection[str]
    ) -> None:
        """Releases that were begun: they keep what a model writes of its golden clips."""
        root = self._place.folder
        if root is None:
            return
        inside = f"/{DRAFT}/"
        runs = {name.partition(inside)[0] for name in names if inside in name}
        learned_from = self._corpus_of_runs()
        for run in sorted(runs):
            corpus = learned_from.get(PurePosixPath(run).name)
            if corpus in concerned or corpus not in corpora:
                self._tried(f"{run}/{DRAFT}", partial(_discard_draft, root / run))

    def _clear_halves(self, root: Path) -> None:
        """Remove what fetching and writing left midway."""
        for half in sorted(root.rglob(f".*{_PART}")):
            if half.is_dir() and any(map(self._may_hold, half.rglob("*"))):
                self._tried(half.relative_to(root).as_posix(), partial(_discard_half, half))
        for draft in sorted(root.rglob(".*.tmp")):
            name = draft.name[1:].removesuffix(".tmp").rpartition(".")[0]
            if may_name_clips(name) and self._named_in(draft):
                self._tried(draft.relative_to(root).as_posix(), partial(_unlink, draft))

    def _may_hold(self, path: Path) -> bool:
        if SHARD_FILE.fullmatch(path.name):
            return True
        return may_name_clips(path.name) and self._named_in(path)

    def _named_in(self, path: Path) -> bool:
        try:
            text = path.read_bytes().decode("utf-8", "replace")
        except (FileNotFoundError, IsADirectoryError):
            return False
        return bool(ids_in(text) & self._ids)

    # Texts

    def _clean_texts(self, names: Collection[str], corpora: Collection[str]) -> None:
        complete = _folders_of(names, store.MANIFEST)
        cleaned: dict[str, dict[str, bytes]] = defaultdict(dict)
        for name in sorted(names):
            if not may_name_clips(name) or {_CHECKPOINTS, WORK_FOLDER} & set(name.split("/")[:-1]):
                continue
            folders = [*map(str, PurePosixPath(name).parents[:-1]), ""]
            if any(folder in corpora for folder in folders):
                continue
            with self._trying():
                new = text_without(name, self._read(name), self._ids)
                if new is not None:
                    of = next((folder for folder in folders if folder in complete), "")
                    cleaned[of][name] = new
        for folder, texts in cleaned.items():
            with self._trying():
                self._write(folder, texts, sealed=folder in complete)
                self.changed += map(self._shown, texts)

    def _read(self, name: str) -> bytes:
        try:
            return self._place.read(name)
        except StoreMissing:
            return b""  # gone since

    def _write(self, folder: str, texts: Mapping[str, bytes], *, sealed: bool) -> None:
        if sealed:
            cut = len(folder) + 1 if folder else 0
            path = f"{folder}/{store.MANIFEST}".lstrip("/")
            manifest = manifest_after(
                self._place.read(path), {name[cut:]: _weighed(data) for name, data in texts.items()}
            )
            if number := _release_number(folder):
                Releases(self._place).expect(number, manifest)
                fault("forget.after-move")
            self._place.write(path, manifest)
            fault("forget.after-manifest")
        for name, data in texts.items():
            self._place.write(name, data)
            fault("forget.after-text")

    def _tried(self, name: str, work: Callable[[], bool]) -> None:
        with self._trying():
            if work():
                self.changed.append(self._shown(name))

    @contextmanager
    def _trying(self) -> Iterator[None]:
        try:
            yield
        except ModersmalError as error:
            self.left.append(error)

    def _shown(self, name: str) -> str:
        return f"{self._place.url.rstrip('/')}/{name}".rstrip("/")


def _folders_of(names: Collection[str], file: str) -> set[str]:
    """The folders that have such a file; "" is the store itself."""
    return {
        name.removesuffix(file).rstrip("/") for name in names if PurePosixPath(name).name == file
    }


def _works_of(names: Collection[str]) -> set[str]:
    """The folders in which `prepare` is, or was, at work."""
    return {
        name.rpartition(f"{WORK_FOLDER}/")[0].rstrip("/")
        for name in names
        if WORK_FOLDER in name.split("/")[:-1]
    }


def _release_number(folder: str) -> int | None:
    path = PurePosixPath(folder)
    is_release = path.parent.as_posix() == RELEASES and path.name.isdigit()
    return int(path.name) if is_release else None


def _discard_draft(run: Path) -> bool:
    with store.writing(run):
        try:
            lock = FileLock(run / f"{DRAFT}.lock").acquire(blocking=False)
        except Timeout:
            raise Held(
                f"another process releases {run}; what was corrected is erased when that has ended"
            ) from None
        with lock:
            shutil.rmtree(run / DRAFT)
    return True


def _discard_half(half: Path) -> bool:
    lock = FileLock(half.with_name(f"{half.name.removesuffix(_PART)}.lock"))
    with store.writing(half):
        try:
            with lock.acquire(timeout=0):
                shutil.rmtree(half)
        except Timeout:
            raise Held(f"{half} is being fetched; start again when it is here") from None
    return True


def _unlink(path: Path) -> bool:
    with store.writing(path):
        path.unlink(missing_ok=True)
    return True


def _weighed(data: bytes) -> tuple[int, str]:
    return len(data), hashlib.sha256(data).hexdigest()
