"""What is known of jobs, in a database: the lasting one, or one in memory for protected sources."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import sqlalchemy as sa

from modersmal.database import Database
from modersmal.serve.engine.results import Piece
from modersmal.serve.jobs.edits import merged, split
from modersmal.serve.jobs.job import UNDER_WAY, Job, Segment, State
from modersmal.serve.keys import hashed
from modersmal.serve.problems import Problem
from modersmal.transcribe.formats import Word

_TABLES = sa.MetaData()
JOBS = sa.Table(
    "jobs",
    _TABLES,
    sa.Column("id", sa.Text),
    sa.Column("token_hash", sa.Text),
    sa.Column("title", sa.Text),
    sa.Column("state", sa.Text),
    sa.Column("wish", sa.JSON),
    sa.Column("protected", sa.Boolean),
    sa.Column("created_s", sa.Double),
    sa.Column("expires_s", sa.Double),
    sa.Column("duration_s", sa.Double),
    sa.Column("reached_s", sa.Double),
    sa.Column("next_part", sa.Integer),
    sa.Column("language", sa.Text),
    sa.Column("release", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("changes", sa.Integer),
)
SEGMENTS = sa.Table(
    "segments",
    _TABLES,
    sa.Column("id", sa.Text),
    sa.Column("job_id", sa.Text),
    sa.Column("place", sa.Double),
    sa.Column("start_s", sa.Double),
    sa.Column("end_s", sa.Double),
    sa.Column("text", sa.Text),
    sa.Column("written", sa.Text),
    sa.Column("words", sa.JSON),
    sa.Column("probability", sa.Double),
    sa.Column("version", sa.Integer),
    sa.Column("changed", sa.Integer),
    sa.Column("release", sa.Text),
    sa.Column("confirmed", sa.Boolean),
    sa.Column("start_guessed", sa.Boolean),
    sa.Column("end_guessed", sa.Boolean),
)


class OldVersion(Problem):
    """Somebody has changed the segment meanwhile; the answer is how it stands."""

    def __init__(self, current: Segment) -> None:
        super().__init__(409, "the segment was changed meanwhile; look at it again")
        self.current = current

    def body(self) -> dict[str, Any]:
        return self.current.to_table()


class NoSuchSegment(Problem):
    """A job has no such segment."""

    def __init__(self, sentence: str) -> None:
        super().__init__(404, sentence)


class Ledger:
    """Jobs and their segments. Each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job: Job, token: str) -> None:
        with self._database.transaction() as connection:
            connection.execute(JOBS.insert().values(**asdict(job), token_hash=hashed(token)))

    def find(self, token: str) -> Job | None:
        """The job that a private link leads to."""
        with self._database.transaction() as connection:
            row = connection.execute(
                sa.select(JOBS).where(JOBS.c.token_hash == hashed(token))
            ).first()
        return _job(row) if row else None

    def get(self, job_id: str) -> Job | None:
        with self._database.transaction() as connection:
            row = connection.execute(sa.select(JOBS).where(JOBS.c.id == job_id)).first()
        return _job(row) if row else None

    def under_way(self) -> list[Job]:
        """What is not done yet, oldest first."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                sa.select(JOBS).where(JOBS.c.state.in_(UNDER_WAY)).order_by(JOBS.c.created_s)
            ).all()
        return [_job(row) for row in rows]

    def expired(self, now_s: float) -> list[str]:
        """Ids of what is to be erased."""
        with self._database.transaction() as connection:
            return list(
                connection.execute(sa.select(JOBS.c.id).where(JOBS.c.expires_s <= now_s)).scalars()
            )

    def ids(self) -> set[str]:
        with self._database.transaction() as connection:
            return set(connection.execute(sa.select(JOBS.c.id)).scalars())

    def update(self, job_id: str, **values: Any) -> None:
        with self._database.transaction() as connection:
            connection.execute(JOBS.update().where(JOBS.c.id == job_id).values(**values))

    def move(self, job_id: str, state: State, *, error: str | None = None) -> bool:
        """Give a job that is under way another state; False where it is not any more."""
        change = (
            JOBS.update()
            .where(JOBS.c.id == job_id, JOBS.c.state.in_(UNDER_WAY))
            .values(state=state, error=error)
        )
        with self._database.transaction() as connection:
            return connection.execute(change).rowcount > 0

    def erase(self, job_id: str) -> None:
        with self._database.transaction() as connection:
            _lock(connection, job_id)
            connection.execute(SEGMENTS.delete().where(SEGMENTS.c.job_id == job_id))
            connection.execute(JOBS.delete().where(JOBS.c.id == job_id))

    def segments(self, job_id: str, *, after: int = -1) -> list[Segment]:
        """Segments in order; of those alone that changed after change `after` of the job."""
        chosen = (
            sa.select(SEGMENTS)
            .where(SEGMENTS.c.job_id == job_id, SEGMENTS.c.changed > after)
            .order_by(SEGMENTS.c.place)
        )
        with self._database.transaction() as connection:
            return [_segment(row) for row in connection.execute(chosen)]

    def corrected(self, job_id: str) -> list[Segment]:
        """Segments whose text is another than the model wrote, or was confirmed, in order."""
        chosen = (
            sa.select(SEGMENTS)
            .where(
                SEGMENTS.c.job_id == job_id,
                sa.or_(SEGMENTS.c.text != SEGMENTS.c.written, SEGMENTS.c.confirmed),
            )
            .order_by(SEGMENTS.c.place)
        )
        with self._database.transaction() as connection:
            return [_segment(row) for row in connection.execute(chosen)]

    def write(self, job_id: str, piece: Piece, reached_s: float) -> bool:
        """Keep a piece of text, and how far it goes; False where the job is not under way."""
        with self._database.transaction() as connection:
            number = _count(connection, job_id, under_way=True)
            if number is None:
                return False
            for place, spoken in enumerate(piece.segments):
                segment = Segment(
                    id=secrets.token_hex(8),
                    place=piece.part + place / (len(piece.segments) + 1),
                    start_s=spoken.start_s,
                    end_s=spoken.end_s,
                    text=spoken.text,
                    written=spoken.text,
                    words=spoken.words,
                    probability=round(spoken.probability, 4),
                    version=1,
                    changed=number,
                    release=piece.release,
                )
                _insert(connection, job_id, segment)
            connection.execute(
                JOBS.update()
                .where(JOBS.c.id == job_id)
                .values(
                    next_part=piece.next_part,
                    reached_s=reached_s,
                    release=piece.release,
                    language=sa.func.coalesce(JOBS.c.language, piece.language),
                )
            )
        return True

    def edit(
        self, job_id: str, segment_id: str, version: int, change: Callable[[Segment], Segment]
    ) -> Segment:
        """Change one segment.

        Raises:
            NoSuchSegment, OldVersion: it is not there, or not in that version.
        """
        with self._database.transaction() as connection:
            before = _current(connection, job_id, segment_id, version)
            return _save(connection, job_id, change(before))

    def split(self, job_id: str, segment_id: str, version: int, at_char: int) -> list[Segment]:
        """Part one segment in two. Raises as `edit`."""
        with self._database.transaction() as connection:
            before = _current(connection, job_id, segment_id, version)
            first, second = split(before, at_char)
            following = _following(connection, job_id, before)
            place = (before.place + (following.place if following else before.place + 1)) / 2
            left = _save(connection, job_id, first)
            right = replace(
                second, id=secrets.token_hex(8), place=place, version=1, changed=left.changed
            )
            _insert(connection, job_id, right)
        return [left, right]

    def merge(self, job_id: str, segment_id: str, version: int) -> Segment:
        """Join one segment and the next. Raises as `edit`; NoSuchSegment where it is the last."""
        with self._database.transaction() as connection:
            first = _current(connection, job_id, segment_id, version)
            second = _following(connection, job_id, first)
            if second is None:
                raise NoSuchSegment("there is no segment behind the last")
            connection.execute(SEGMENTS.delete().where(SEGMENTS.c.id == second.id))
            return _save(connection, job_id, merged(first, second))

    def edit_all(self, job_id: str, change: Callable[[str], str]) -> list[Segment]:
        """Change the texts of all segments; returns those that are another text now."""
        changed = []
        with self._database.transaction() as connection:
            _lock(connection, job_id)
            rows = connection.execute(sa.select(SEGMENTS).where(SEGMENTS.c.job_id == job_id)).all()
            for before in map(_segment, rows):
                text = " ".join(change(before.text).split())
                if text != before.text:
                    edited = replace(before, text=text, confirmed=False)
                    changed.append(_save(connection, job_id, edited))
        return changed


def _job(row: Any) -> Job:
    values = dict(row._mapping)
    del values["token_hash"]
    return Job(**values)


def _segment(row: Any) -> Segment:
    values = dict(row._mapping)
    del values["job_id"]
    return Segment(**values | {"words": tuple(Word(**word) for word in values["words"])})


def _values(segment: Segment) -> dict[str, Any]:
    return asdict(segment) | {"words": [asdict(word) for word in segment.words]}


def _insert(connection: sa.Connection, job_id: str, segment: Segment) -> None:
    connection.execute(SEGMENTS.insert().values(**_values(segment), job_id=job_id))


def _count(connection: sa.Connection, job_id: str, *, under_way: bool = False) -> int | None:
    """Count one change more of a job's text, and return its number."""
    of_job: Sequence[Any] = [JOBS.c.id == job_id]
    if under_way:
        of_job = [*of_job, JOBS.c.state.in_(UNDER_WAY)]
    update = JOBS.update().where(*of_job).values(changes=JOBS.c.changes + 1)
    if not connection.execute(update).rowcount:
        return None
    return connection.execute(sa.select(JOBS.c.changes).where(JOBS.c.id == job_id)).scalar_one()


def _lock(connection: sa.Connection, job_id: str) -> None:
    """Let nobody else change a job until this transaction ends.

    Whatever changes several rows of a job begins with that of the job: in one order, so that no two
    wait for each other.
    """
    connection.execute(sa.select(JOBS.c.id).where(JOBS.c.id == job_id).with_for_update())


def _current(connection: sa.Connection, job_id: str, segment_id: str, version: int) -> Segment:
    _lock(connection, job_id)
    row = connection.execute(
        sa.select(SEGMENTS).where(SEGMENTS.c.job_id == job_id, SEGMENTS.c.id == segment_id)
    ).first()
    if row is None:
        raise NoSuchSegment("there is no such segment; it may have been joined to another")
    segment = _segment(row)
    if segment.version != version:
        raise OldVersion(segment)
    return segment


def _following(connection: sa.Connection, job_id: str, segment: Segment) -> Segment | None:
    row = connection.execute(
        sa.select(SEGMENTS)
        .where(SEGMENTS.c.job_id == job_id, SEGMENTS.c.place > segment.place)
        .order_by(SEGMENTS.c.place)
        .limit(1)
    ).first()
    return _segment(row) if row else None


def _save(connection: sa.Connection, job_id: str, segment: Segment) -> Segment:
    number = _count(connection, job_id)
    saved = replace(segment, version=segment.version + 1, changed=number or 0)
    connection.execute(
        SEGMENTS.update().where(SEGMENTS.c.id == segment.id).values(**_values(saved))
    )
    return saved
