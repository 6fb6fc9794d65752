"""What corrections have made of the model, release by release."""

from dataclasses import asdict, dataclass
from typing import Literal

import sqlalchemy as sa

from modersmal.corpus.corrections.tables import IMPROVEMENTS
from modersmal.database import Database

State = Literal["waiting", "approved", "live", "refused"]


@dataclass(frozen=True)
class Improvement:
    """`corrections` of them took the word error rate from `wer_before` to `wer_after`.

    Both in percent, on `clips` that were set aside, as the interval of their difference (points,
    95 %) is. `release` is None until there is one; `made_s` is UTC seconds since 1970.
    """

    id: str
    made_s: float
    corrections: int
    wer_before: float
    wer_after: float
    difference_low: float
    difference_high: float
    clips: int
    release: int | None
    state: State
    reason: str | None = None


class Improvements:
    """The improvements of one database. Each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, improvement: Improvement) -> None:
        """Put it in, or in the place of the one with its id."""
        values = asdict(improvement)
        same = IMPROVEMENTS.c.id == improvement.id
        with self._database.transaction() as connection:
            change = IMPROVEMENTS.update().where(same).values(**values)
            if not connection.execute(change).rowcount:
                connection.execute(IMPROVEMENTS.insert().values(**values))

    def all(self, state: State | None = None) -> list[Improvement]:
        """All of them, or those in a state, newest first."""
        chosen = sa.select(IMPROVEMENTS).order_by(IMPROVEMENTS.c.made_s.desc())
        if state:
            chosen = chosen.where(IMPROVEMENTS.c.state == state)
        with self._database.transaction() as connection:
            return [Improvement(**row._mapping) for row in connection.execute(chosen)]
