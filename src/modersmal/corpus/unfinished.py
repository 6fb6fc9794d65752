"""A corpus that is being prepared, or was until its process ended: by one at a time, or not at all.

What was read before somebody's correction was erased would come back with it when `prepare` goes
on. So such work is thrown away, and the next `prepare` begins anew.
"""

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from modersmal import store
from modersmal.corpus.corrections.traces import ids_in
from modersmal.corpus.plan import planned_names
from modersmal.corpus.schema import CORPUS_FILE, REJECTED_FILE, SHARD_FILE, WORK_FOLDER
from modersmal.errors import Held


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let nobody else on this machine prepare or change the corpus in `folder`.

    Raises:
        Held: another process does.
        StoreError: the folder beside it cannot be written.
    """
    path = folder.absolute()
    lock = FileLock(path.with_name(f".{path.name}.prepare.lock"))
    with store.writing(folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise Held(f"another process makes {folder}; start again when it has ended") from None
    try:
        yield
    finally:
        lock.release()


def discard(folder: Path, ids: Collection[str]) -> bool:
    """Throw away what an ended `prepare` left in `folder`, if any of the corrections is in it.

    Raises:
        Held: it has not ended.
        StoreError: it cannot be removed.
    """
    work, wanted = folder / WORK_FOLDER, set(ids)
    with alone(folder):
        for inside in (folder, work):
            store.remove_drafts(inside)
        if not any(ids_in(name) & wanted for name in planned_names(work)):
            return False
        with store.writing(folder):
            if not (folder / CORPUS_FILE).exists():
                for path in folder.iterdir():
                    if SHARD_FILE.fullmatch(path.name) or path.name == REJECTED_FILE:
                        path.unlink()
            shutil.rmtree(work)
    return True
