"""Which release of a store is deployed, as the newest of its moves says.

    releases/latest/00000012.json   the twelfth move: to which release, and through which before it

Of two who move at once, one creates the next file and the other is refused, so nothing is lost and
no reader sees half of it. Where files arrive late (a mounted Drive), a move that cannot be read
does not count yet.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from modersmal.errors import StoreDamaged
from modersmal.store.faults import fault
from modersmal.store.remote import Remote
from modersmal.store.tokens import to_json

FOLDER = "releases/latest"
ROLLBACK = "rollback"
_NAME = re.compile(rf"{FOLDER}/(\d{{8,}})\.json")


@dataclass(frozen=True)
class Move:
    """A move of latest to a release, whose manifest has the SHA-256 `manifest`.

    `before` are the releases that rollbacks go back through, the last of them first. `by` says what
    moved it, and `moved` when (UTC).
    """

    release: int
    before: tuple[int, ...]
    manifest: str
    moved: str
    by: str


class Latest:
    """The moves in one store."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def newest(self) -> tuple[int, Move | None]:
        """How many moves there were, and the newest that can be read.

        Raises:
            StoreDamaged: the newest is there, on a store that confirms what it holds, and broken.
        """
        found = (_NAME.fullmatch(name) for name in self._remote.list(FOLDER))
        counts = sorted((int(match[1]) for match in found if match), reverse=True)
        for count in counts:
            name = _name(count)
            try:
                return counts[0], _parsed(self._remote.read(name))
            except (ValueError, TypeError, KeyError) as error:
                if self._remote.confirms:
                    where = f"{self._remote.url}/{name}"
                    raise StoreDamaged(
                        f"{where} is damaged, so nobody can say what is deployed: delete it to go "
                        "back to the move before it"
                    ) from error
        return max(counts, default=0), None

    def move(
        self, release: int, manifest: bytes, after: tuple[int, Move | None], by: str
    ) -> Move | None:
        """Move to `release`, whose manifest has these bytes, where `after` is still the newest.

        Returns None where another has moved since.
        """
        count, deployed = after
        digest = hashlib.sha256(manifest).hexdigest()
        move = Move(release, before(release, deployed, by), digest, now(), by)
        fault("release.before-move")
        made = self._remote.create(_name(count + 1), to_json(asdict(move)))
        fault("release.after-move")
        return move if made else None


def before(release: int, deployed: Move | None, by: str) -> tuple[int, ...]:
    """Which releases rollbacks go back through after a move to `release`.

    A rollback drops those that it went over; anything else goes on top of what was there.
    """
    stack = (*deployed.before, deployed.release) if deployed else ()
    if by == ROLLBACK and release in stack:
        return stack[: stack.index(release)]
    return tuple(other for other in stack if other != release)


def now() -> str:
    """The time of day, for people to read."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _parsed(data: bytes) -> Move:
    table = json.loads(data)
    return Move(**table | {"before": tuple(table["before"])})


def _name(count: int) -> str:
    return f"{FOLDER}/{count:08d}.json"
