"""Where a run is kept, and who may write to it: its lease, its checkpoints here and there, uploads.

`run` is the folder in which this machine works. Where there is a `place`, the run's folder in a
remote, that is what counts: checkpoints go there behind the training's back, logs follow them, and
old checkpoints are deleted there once newer ones have arrived. The lease lies where counts.
"""

import json
import shutil
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from modersmal.errors import Held, StoreError
from modersmal.store.lease import Lease
from modersmal.store.queue import UploadQueue
from modersmal.store.remote import Remote, local_place
from modersmal.store.uploader import sending
from modersmal.train import writer
from modersmal.train.candidates import CANDIDATES
from modersmal.train.checkpoint import Checkpoints, Name, Retention
from modersmal.train.heartbeat import EVERY_S, STATUS, HeartbeatWriter
from modersmal.train.journal import JOURNAL
from modersmal.train.log import METRICS
from modersmal.train.saver import Event
from modersmal.whisper.load import LEARNED_FROM

CHECKPOINTS = "checkpoints"
RECIPE = "recipe.json"
_SPOOL = ".uploads"
_LOGS = (RECIPE, JOURNAL, METRICS, CANDIDATES)
_UPLOADS_WAITING = 3  # checkpoints on this disk for want of a remote; older ones are dropped
_PATIENCE_S = 1.5  # with a remote, when all that must be done is done
_UNCONFIRMED = 2  # more are kept where nobody can tell what has arrived

Say = Callable[[str], None]


@dataclass(frozen=True)
class Keeping:
    """A run that this process may write to, as long as `lease.check()` does not raise."""

    run: Path
    place: Remote | None
    lease: Lease
    checkpoints: Checkpoints

    def check_room(self, size: int, keep: int) -> None:
        """Hold what will be kept against what is free; `size` is that of a checkpoint in bytes.

        Raises:
            StoreError: it will not fit: now, and not after hours.
        """
        wanted = (keep + 2) * size  # the best one stays too, and one is being written
        waiting = _UPLOADS_WAITING * size if self.place is not None else 0
        here = len({name.step for name in self.checkpoints.local_names()})
        self.run.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.run).free
        _must_fit(wanted + waiting - here * size, free, str(self.run))
        if self.place is not None:
            there = sum(self.place.sizes(CHECKPOINTS).values())
            if not self.place.confirms:
                wanted += _UNCONFIRMED * size
            _must_fit(wanted - there, self.place.free_bytes(), self.place.url)

    @contextmanager
    def uploading(self, size: int, say: Say) -> Iterator[UploadQueue | None]:
        """The queue of uploads of checkpoints of `size` bytes, if there is a remote."""
        if self.place is None:
            yield None
            return
        with sending(self.place) as sender:
            queue = UploadQueue(sender, self.run / _SPOOL, _UPLOADS_WAITING * size, say)
            try:
                yield queue
            finally:
                queue.close()

    def heartbeat(self, max_steps: int, say: Say) -> HeartbeatWriter:
        """What tells those who watch, here and in the remote if there is one."""
        place = self.place
        return HeartbeatWriter(
            self.run,
            max_steps=max_steps,
            token=self.lease.token,
            send=None if place is None else partial(place.write, STATUS),
            send_every_s=max(EVERY_S, self.lease.ttl_s / 4),  # as dear as renewing the lease
            confirms=None if place is None else place.confirms,
            say=say,
        )

    def fetch_logs(self) -> None:
        """Take over what another machine has logged, before going on from its checkpoint."""
        there = self.place.list() if self.place is not None else []
        for name in (METRICS, CANDIDATES):
            if self.place is not None and name in there:
                self.place.get(name, self.run / name)

    def send_logs(self) -> None:
        """Put into the remote what the run has written down so far."""
        for name in _LOGS:
            if self.place is not None and (self.run / name).is_file():
                self.place.write(name, (self.run / name).read_bytes())

    def prune(self, retention: Retention, needed: Collection[int]) -> None:
        """Delete in the remote what is superseded there by what has arrived there."""
        if self.place is not None:
            if not self.place.confirms:
                retention = replace(retention, newest=retention.newest + _UNCONFIRMED)
            for name in retention.superseded(self.checkpoints.remote_names(), needed):
                self.place.delete(f"{CHECKPOINTS}/{name}")


class Errands:
    """What follows a checkpoint to the remote, done in a thread of its own, one after the other.

    What fails is said once, and done again with the next checkpoint.
    """

    def __init__(self, keeping: Keeping, retention: Retention, say: Say) -> None:
        self._keeping, self._retention, self._say = keeping, retention, say
        self._events: SimpleQueue[Event | None] = SimpleQueue()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="errands", daemon=True)
        self._thread.start()

    def attend(self, event: Event) -> None:
        """React to what became of a checkpoint; returns at once."""
        self._events.put(event)

    def close(self) -> None:
        """End, without waiting for a remote that does not answer."""
        self._events.put(None)
        self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        while event := self._events.get():
            try:
                if event.kind == "saved":
                    self._keeping.send_logs()
                else:
                    self._keeping.prune(self._retention, event.needed)
            except StoreError as error:
                if not self._failing:
                    self._say(f"{error}; training goes on")
                self._failing = True
            else:
                self._failing = False


@contextmanager
def hold(run: Path, place: Remote | None, say: Say) -> Iterator[Keeping]:
    """Take the run's lease, and with it all checkpoints that count; give it back at the end.

    Raises:
        Held: another machine trains this run, says who and until when.
        StoreError: the place cannot be reached.
    """
    lease = Lease.take(place or local_place(run), say=say)
    lost = False
    try:
        with lease.kept(say):
            everything = Checkpoints(run / CHECKPOINTS, place, CHECKPOINTS)
            lease.adopt(map(str, everything.names()))
            lease.sweep(CHECKPOINTS)
            _sweep_local(run / CHECKPOINTS, lease)
            counting = Checkpoints(run / CHECKPOINTS, place, CHECKPOINTS, lease.counted)
            yield Keeping(run, place, lease, counting)
    except Held:
        lost = True
        raise
    finally:
        if not lost:
            _release(lease, say)


def lineage_of(run: Path) -> list[str]:
    """Traces of the corrections that a run has learned from, as it noted when it began."""
    try:
        told = json.loads((run / RECIPE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise StoreError(f"{run / RECIPE} cannot be read: {error}") from error
    return list(told.get(LEARNED_FROM, ()))


def _release(lease: Lease, say: Say) -> None:
    """Give the lease back; where the remote does not answer, it runs out by itself."""

    def release() -> None:
        try:
            lease.release()
        except StoreError as error:
            say(f"The lease could not be given back ({error}); it runs out by itself")

    thread = threading.Thread(target=release, name="release", daemon=True)
    thread.start()
    thread.join(_PATIENCE_S)


def _sweep_local(folder: Path, lease: Lease) -> None:
    """Remove drafts, and what this machine wrote when it had lost the lease already."""
    names = [path.name for path in folder.glob("step-*") if Name.parse(path.name)]
    counted = set(lease.counted(names))
    writer.remove(folder, [name for name in names if name not in counted])


def _must_fit(wanted: int, free: int | None, where: str) -> None:
    if free is not None and wanted > free:
        raise StoreError(
            f"{where} has {free / 1e9:.1f} GB free, and the checkpoints of this run will take "
            f"{wanted / 1e9:.1f} GB more; make room there, or set another store"
        )
