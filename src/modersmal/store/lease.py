"""Who may train: one machine at a time, proven by a fencing token that every name carries.

    leases/t00000007.json           created by one alone: who, since when, for how long
    leases/t00000007.alive          rewritten by the holder; unchanged for `ttl_s`: run out
    leases/t00000007.adopted.json   the checkpoints that count, taken over from older tokens

A contender judges by its own monotonic clock alone: the lease has run out when it saw the same
`.alive` for `ttl_s` seconds. It then creates token 8, lists the complete checkpoints and adopts
them. Whatever the old holder still writes, even woken from a frozen write, bears token 7 and is not
in that list: it is never counted, and swept away.

Where a store cannot create exclusively (a mounted Drive), a contender writes a claim, waits
`CLAIM_WINDOW_S`, and the lowest claim wins: two machines that do not see each other's files within
that window may both train for a while, until a renewal shows one of them that it has lost.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from modersmal.errors import Held, StoreError, StoreMissing
from modersmal.store.faults import fault
from modersmal.store.tokens import (
    FOLDER,
    Holder,
    Place,
    View,
    adopted_file,
    alive_file,
    read_holder,
    to_json,
    token_file,
    tokens,
)

CLAIM_WINDOW_S = 60.0
_PATIENCE_S = 0.5  # with a place that does not answer, when all that must be done is done


class Lease:
    """The right to train a run, while `renew` succeeds. Use `take`."""

    def __init__(self, place: Place, holder: Holder, wall: Callable[[], float]) -> None:
        self._place, self._holder, self._wall = place, holder, wall
        self._renewals = 0
        self._view: View | None = None
        self._lost: BaseException | None = None

    @classmethod
    def take(
        cls,
        place: Place,
        holder: str | None = None,
        ttl_s: float | None = None,
        wait_s: float | None = None,
        *,
        say: Callable[[str], object] = lambda sentence: None,
        window_s: float = CLAIM_WINDOW_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        wall: Callable[[], float] = time.time,
    ) -> "Lease":
        """Take the lease of the run at `place`, waiting at most `wait_s` seconds for it.

        With `wait_s` None, wait only as long as it takes to see whether the holder is alive. `say`
        is told once for whom we wait. The wall clock is for people to read and decides nothing.

        Raises:
            Held: another holds it.
            StoreError: the place cannot be reached.
        """
        holder = holder or f"{socket.gethostname()}, process {os.getpid()}"
        ttl_s = place.lease_ttl_s if ttl_s is None else ttl_s
        began_s, watch = clock(), _Watch(place, clock)
        said = False
        while True:
            free, other = watch.look()
            if free or other is None:
                wanted = Holder((other.token if other else 0) + 1, holder, _iso(wall()), ttl_s)
                if _claim(place, wanted, window_s, sleep):
                    lease = cls(place, wanted, wall)
                    lease.renew()
                    return lease
                watch.forget()
                continue
            if watch.saw_it_alive if wait_s is None else clock() - began_s >= wait_s:
                raise _held(other, watch.left_s(), wall)
            if not said:
                said = True
                say(f"{_who(other)} holds this run; waiting to see whether it is alive")
            sleep(min(max(other.ttl_s / 20, 0.02), 5.0))

    @property
    def token(self) -> int:
        return self._holder.token

    @property
    def ttl_s(self) -> float:
        return self._holder.ttl_s

    def renew(self) -> None:
        """Say that we are alive; call it several times per `ttl_s`.

        Raises:
            Held: a newer token exists: another has taken over.
            StoreError: the place cannot be reached; the lease is kept, try again later.
        """
        self._must_hold()
        self._renewals += 1
        fault("lease.before-renew")
        alive = {"renewals": self._renewals, "at": _iso(self._wall())}
        self._place.write(alive_file(self.token), to_json(alive))
        fault("lease.after-renew")

    def check(self) -> None:
        """Raise Held if a renewal in the background found that it is lost; costs nothing."""
        if self._lost is not None:
            raise self._lost

    @contextmanager
    def kept(self, say: Callable[[str], object] = lambda sentence: None) -> Iterator["Lease"]:
        """Renew in a background thread, four times per `ttl_s`; `check` tells what it found.

        `say` is told once when the place cannot be reached, and once when it can be again.
        """
        ended = threading.Event()
        thread = threading.Thread(target=self._keep, args=(ended, say), name="lease", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            ended.set()
            thread.join(timeout=_PATIENCE_S)

    def release(self) -> None:
        """Give the lease up, so that another need not wait. Raises StoreError."""
        fault("lease.before-release")
        self._place.write(
            alive_file(self.token), to_json({"released": True, "at": _iso(self._wall())})
        )

    def adopt(self, complete: Iterable[str]) -> list[str]:
        """Take over, of the `complete` checkpoints' names, those that counted until now.

        Call it once, before anything is written under this token. Returns them.
        """
        before = View.of(self._place, below=self.token)
        adopted = [name for name in complete if before.counts(name)]
        fault("lease.before-adopt")
        self._place.write(adopted_file(self.token), to_json({"checkpoints": sorted(adopted)}))
        self._view = View.with_names(self.token, adopted)
        return adopted

    def counted(self, names: Iterable[str]) -> list[str]:
        """Of checkpoints' names, those that count: our own, and those adopted."""
        view = self._adopting_view()
        return [name for name in names if view.counts(name)]

    def sweep(self, below: str = "checkpoints") -> list[str]:
        """Delete what older holders wrote in the folder `below` of the place and nobody adopted.

        Returns the names of the deleted folders. Raises Held or StoreError.
        """
        self._must_hold()
        view = self._adopting_view()
        cut = len(below) + 1
        there = {name[cut:].partition("/")[0] for name in self._place.list(below)}
        stale = [name for name in sorted(there) if not view.counts(name)]
        for name in stale:
            self._place.delete(f"{below}/{name}")
        return stale

    def _adopting_view(self) -> View:
        if self._view is None:
            raise ValueError("adopt() comes first: until then nothing of older tokens counts")
        return self._view

    def _keep(self, ended: threading.Event, say: Callable[[str], object]) -> None:
        failing = False
        while not ended.wait(self.ttl_s / 4):
            try:
                self.renew()
            except StoreError as error:
                if not failing:
                    say(f"The lease could not be renewed ({error}); training goes on, and so do we")
                failing = True
            except BaseException as error:  # Held, mostly; `check` raises it where it is heard
                self._lost = error
                return
            else:
                if failing:
                    say("The lease is renewed again")
                failing = False

    def _must_hold(self) -> None:
        newest = max(tokens(self._place), default=0)
        if newest > self.token:
            other = read_holder(self._place, newest)
            raise _held(other, other.ttl_s, self._wall)
        if not self._place.exclusive:
            other = read_holder(self._place, self.token)
            if other.nonce != self._holder.nonce:
                raise _held(other, other.ttl_s, self._wall)


def holder_alive(
    place: Place,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> str | None:
    """Who holds the lease of a run, in words; None where nobody does.

    Waits as long as it takes to see whether the holder is alive, `ttl_s` at most.
    """
    watch = _Watch(place, clock)
    while True:
        free, other = watch.look()
        if free or other is None:
            return None
        if watch.saw_it_alive:
            return _who(other)
        sleep(min(max(other.ttl_s / 20, 0.02), 5.0))


class _Watch:
    """Looks at the newest token, and knows for how long its `.alive` has not changed."""

    def __init__(self, place: Place, clock: Callable[[], float]) -> None:
        self._place, self._clock = place, clock
        self.forget()

    def forget(self) -> None:
        self._seen: tuple[int, bytes] | None = None
        self._since_s = self._clock()
        self._newest: Holder | None = None
        self.saw_it_alive = False

    def look(self) -> tuple[bool, Holder | None]:
        """Whether the lease is free, and whose it is or was."""
        newest = max(tokens(self._place), default=0)
        if not newest:
            return True, None
        asked_s = self._clock()  # before the answer, so that a slow one makes nobody seem dead
        seen = newest, self._alive(newest)
        if seen != self._seen:
            self.saw_it_alive = self._seen is not None and self._seen[0] == newest
            self._seen, self._since_s = seen, self._clock()
        if self._newest is None or self._newest.token != newest:
            self._newest = read_holder(self._place, newest)
        run_out = asked_s - self._since_s >= self._newest.ttl_s
        return run_out or _released(seen[1]) or self._newest.is_gone(), self._newest

    def left_s(self) -> float:
        ttl_s = self._newest.ttl_s if self._newest else 0.0
        return max(0.0, ttl_s - (self._clock() - self._since_s))

    def _alive(self, token: int) -> bytes:
        try:
            return self._place.read(alive_file(token))
        except StoreMissing:
            return b""


def _claim(place: Place, wanted: Holder, window_s: float, sleep: Callable[[float], object]) -> bool:
    """Try to become the holder of a token; False where another was first."""
    name = token_file(wanted.token)
    fault("lease.before-claim")
    if place.exclusive:
        won = place.create(name, wanted.data())
    else:
        won = _claim_best_effort(place, name, wanted, window_s, sleep)
    fault("lease.after-claim")
    return won and max(tokens(place), default=0) == wanted.token


def _claim_best_effort(
    place: Place, name: str, wanted: Holder, window_s: float, sleep: Callable[[float], object]
) -> bool:
    stem = f"{FOLDER}/t{wanted.token:08d}.claim-"
    own = f"{stem}{wanted.nonce}"
    place.write(own, wanted.data())
    try:
        sleep(window_s)
        claims = [other for other in place.list(FOLDER) if other.startswith(stem)]
        # Looked at after the claims: a winner writes the token before it takes its claim away.
        if min(claims, default=own) != own or name in place.list(FOLDER):
            return False
        place.write(name, wanted.data())
        return True
    finally:
        place.delete(own)


def _held(other: Holder, left_s: float, wall: Callable[[], float]) -> Held:
    until = time.strftime("%H:%M:%S", time.localtime(wall() + left_s))
    return Held(
        f"{_who(other)} holds this run; its lease runs out at {until} unless it renews it; start "
        "the same command again then, or end it there"
    )


def _who(other: Holder) -> str:
    since = f", since {other.began}" if other.began else ""
    return f"{other.holder} (token {other.token}{since})"


def _released(alive: bytes) -> bool:
    try:
        table = json.loads(alive)
    except ValueError:
        return False
    return isinstance(table, dict) and table.get("released") is True


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
