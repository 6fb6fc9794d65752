"""How far an improvement is, kept in the store, so that any machine goes on with it.

improvements/0003.json   the third: from which release, which run, what was measured, how it
                         ended
"""

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Literal

from modersmal.errors import StoreDamaged
from modersmal.store.lease import Lease
from modersmal.store.remote import Remote
from modersmal.store.tokens import to_json

FOLDER = "improvements"
State = Literal["making", "waiting", "approved", "live", "refused", "abandoned"]
_NAME = re.compile(r"(\d{4,})\.json")
_ID_BYTES = 16


@dataclass(frozen=True)
class Measured:
    """Error rates as shares on `clips` that were set aside, before and after; the difference is
    after minus before, with its 95 % interval. `metric` is "wer" or "cer"; `against` is the number
    of the release before."""

    against: int
    metric: str
    before: float
    after: float
    difference: float
    low: float
    high: float
    clips: int


@dataclass(frozen=True)
class Attempt:
    """One improvement. `run` names its run, and its corpus, in the store.

    `parent` is the release that was the latest when it began, at `began_s` (UTC seconds since
    1970).
    `corpus` is the hash of its corpus and `corrections` how many of them train has; `release` is
    the number that it became. `reason` says why it was refused or abandoned.
    """

    number: int
    id: str
    run: str
    parent: int
    began_s: float
    state: State = "making"
    corpus: str | None = None
    corrections: int = 0
    release: int | None = None
    measured: Measured | None = None
    reason: str | None = None

    @property
    def goes_on(self) -> bool:
        return self.state in ("making", "waiting", "approved")


class Attempts:
    """The improvements of one store. Every method raises StoreError where that does not answer."""

    def __init__(self, store: Remote) -> None:
        self._place = store.at(FOLDER)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others from improving the same store. Raises Held where another does."""
        lease = Lease.take(self._place)
        try:
            with lease.kept():
                yield
        finally:
            lease.release()

    def all(self) -> list[Attempt]:
        """All of them, the newest first."""
        matches = filter(None, map(_NAME.fullmatch, self._place.list()))
        numbers = sorted((int(match[1]) for match in matches), reverse=True)
        return [self._read(number) for number in numbers]

    def begin(self, run: str, parent: int, now_s: float) -> Attempt:
        """A new one, whose run is named after `run`."""
        number = max((attempt.number for attempt in self.all()), default=0) + 1
        name = f"{run}-improve-{number}"
        return self.save(Attempt(number, secrets.token_hex(_ID_BYTES), name, parent, now_s))

    def save(self, attempt: Attempt) -> Attempt:
        """Keep it as it is now, and return it."""
        self._place.write(_file(attempt.number), to_json(asdict(attempt)))
        return attempt

    def _read(self, number: int) -> Attempt:
        try:
            table = json.loads(self._place.read(_file(number)))
            measured = table["measured"] and Measured(**table["measured"])
            return Attempt(**table | {"measured": measured})
        except (ValueError, TypeError, KeyError) as error:
            where = f"{self._place.url}/{_file(number)}"
            raise StoreDamaged(
                f"{where} is damaged, so nobody can say how far that improvement is: delete it to "
                "begin anew"
            ) from error


def _file(number: int) -> str:
    return f"{number:04d}.json"
