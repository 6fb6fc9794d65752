"""Corrections, consents and tombstones in a database. Each method is one transaction.

Nothing is deleted here without a tombstone: its id, which says that it must not come back.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from modersmal.corpus.corrections.correction import (
    Consent,
    Correction,
    Ground,
    State,
    Terms,
    Voice,
)
from modersmal.corpus.corrections.tables import (
    CONSENTS,
    CORRECTIONS,
    PEOPLE,
    PLACES,
    TERMS,
    TOMBSTONES,
)
from modersmal.database import Database

Verdict = Literal["accept", "reject"]

_KEY_PREFIX = "msp-"
_KEY_BYTES = 32
_VOICES = "voices"
_LOCK = 0x6D6F6463
_AT_ONCE = 500  # ids in one statement; SQLite takes 32,766 values


class Book:
    """What one database knows of corrections. `now` gives UTC seconds since 1970."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self.database, self.now = database, now

    # Consent

    def agree(
        self, recording: str, terms: Terms, voice: Voice, ground: Ground, key: str | None = None
    ) -> str:
        """Note what was agreed to for a recording; returns the person's key.

        That is `key` where somebody has it, and else a new one, which is nowhere else.
        """
        with self.database.transaction() as connection:
            _alone(connection)
            person_id = _person(connection, key) if key else None
            if person_id is None:
                key, person_id = _KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES), _new_id()
                values = {"id": person_id, "key_hash": _hashed(key), "created_s": self.now()}
                connection.execute(PEOPLE.insert().values(**values))
            known = sa.select(TERMS.c.version).where(TERMS.c.version == terms.version)
            if connection.execute(known).first() is None:
                values = asdict(terms) | {"version": terms.version, "first_s": self.now()}
                connection.execute(TERMS.insert().values(**values))
            connection.execute(CONSENTS.delete().where(CONSENTS.c.job_id == recording))
            consent = Consent(terms.version, voice, ground, person_id, self.now())
            connection.execute(CONSENTS.insert().values(job_id=recording, **asdict(consent)))
        return str(key)

    def consent(self, recording: str) -> Consent | None:
        """What stands for a recording."""
        with self.database.transaction() as connection:
            row = connection.execute(
                sa.select(CONSENTS).where(CONSENTS.c.job_id == recording)
            ).first()
        if row is None:
            return None
        return Consent(row.version, row.voice, row.ground, row.person_id, row.given_s)

    def terms(self, version: str) -> Terms | None:
        """What was agreed to under a version."""
        with self.database.transaction() as connection:
            row = connection.execute(sa.select(TERMS).where(TERMS.c.version == version)).first()
        return Terms(row.purpose, row.consent, row.retention_days) if row else None

    def consented(self) -> list[str]:
        """The recordings for which a consent stands."""
        with self.database.transaction() as connection:
            return list(connection.execute(sa.select(CONSENTS.c.job_id)).scalars())

    def end_consents(self, recordings: Collection[str]) -> None:
        """Let no consent stand for these; what was corrected under it stays."""
        with self.database.transaction() as connection:
            for some in _parts(recordings):
                connection.execute(CONSENTS.delete().where(CONSENTS.c.job_id.in_(some)))

    # Corrections

    def get(self, correction_id: str) -> Correction | None:
        found = self._select(CORRECTIONS.c.id == correction_id)
        return found[0] if found else None

    def all(self, state: State | None = None) -> list[Correction]:
        """All corrections, or those in a state, by recording and place."""
        return self._select(*([CORRECTIONS.c.state == state] if state else []))

    def of_recording(self, recording: str) -> list[Correction]:
        return self._select(CORRECTIONS.c.recording == recording)

    def of_person(self, person_id: str) -> list[Correction]:
        return self._select(CORRECTIONS.c.person_id == person_id)

    def ids(self) -> set[str]:
        with self.database.transaction() as connection:
            return set(connection.execute(sa.select(CORRECTIONS.c.id)).scalars())

    def expired(self) -> list[str]:
        """The ids of those whose time is over."""
        over = sa.select(CORRECTIONS.c.id).where(CORRECTIONS.c.expires_s <= self.now())
        with self.database.transaction() as connection:
            return list(connection.execute(over).scalars())

    def settle(self, recording: str, saved: Sequence[Correction], gone: Collection[str]) -> bool:
        """Erase those in `gone`, put in what is new, change what is known of a recording.

        False, and nothing is saved, where its person's consent does not stand any more.
        """
        with self.database.transaction() as connection:
            _erase(connection, gone, self.now())
            standing = sa.select(CONSENTS.c.person_id).where(CONSENTS.c.job_id == recording)
            person_id = connection.execute(standing.with_for_update()).scalar()
            if any(one.person_id != person_id for one in saved):
                return False
            dead = _dead(connection, [one.id for one in saved])
            for one in saved:
                if one.id in dead:  # it was erased meanwhile
                    continue
                same = CORRECTIONS.c.id == one.id
                change = CORRECTIONS.update().where(same).values(**asdict(one))
                if not connection.execute(change).rowcount:
                    connection.execute(CORRECTIONS.insert().values(**asdict(one)))
        return True

    def erase(self, ids: Collection[str]) -> None:
        """Delete these and leave a tombstone for each, also for those that are not here."""
        with self.database.transaction() as connection:
            _erase(connection, ids, self.now())

    # Review

    def waiting(self, limit: int) -> list[Correction]:
        """What waits for a reviewer, the most uncertain first."""
        chosen = (
            sa.select(CORRECTIONS)
            .where(CORRECTIONS.c.state == "waiting")
            .order_by(CORRECTIONS.c.probability, CORRECTIONS.c.created_s, CORRECTIONS.c.id)
            .limit(limit)
        )
        with self.database.transaction() as connection:
            return [_correction(row) for row in connection.execute(chosen)]

    def count_waiting(self) -> int:
        waiting = sa.select(sa.func.count()).where(CORRECTIONS.c.state == "waiting")
        with self.database.transaction() as connection:
            return connection.execute(waiting).scalar_one()

    def judge(
        self, seen: Correction, verdict: Verdict, reviewer: str, text: str | None = None
    ) -> bool:
        """Accept or reject what waits, as it was `seen`; False where it is not that any more.

        `text` is what the reviewer would rather have.
        """
        change = (
            CORRECTIONS.update()
            .where(
                CORRECTIONS.c.id == seen.id,
                CORRECTIONS.c.state == "waiting",
                CORRECTIONS.c.text == seen.text,
                CORRECTIONS.c.segment_version == seen.segment_version,
            )
            .values(
                state="accepted" if verdict == "accept" else "rejected",
                text=seen.text if text is None else text,
                reviewer=reviewer,
                reviewed_s=self.now(),
                changed_s=self.now(),
            )
        )
        with self.database.transaction() as connection:
            return connection.execute(change).rowcount > 0

    # People

    def person(self, key: str) -> str | None:
        """The id of whose key it is."""
        with self.database.transaction() as connection:
            return _person(connection, key)

    def erase_person(self, person_id: str) -> list[str]:
        """Delete a person: key, consents and corrections, whose ids are returned."""
        theirs = sa.select(CORRECTIONS.c.id).where(CORRECTIONS.c.person_id == person_id)
        with self.database.transaction() as connection:
            connection.execute(CONSENTS.delete().where(CONSENTS.c.person_id == person_id))
            connection.execute(PEOPLE.delete().where(PEOPLE.c.id == person_id))
            ids = list(connection.execute(theirs).scalars())
            _erase(connection, ids, self.now())
        return ids

    def remove_unused(self) -> None:
        """Delete people and texts of consent that no correction and no consent stands on."""
        with self.database.transaction() as connection:
            _alone(connection)
            for table, column, here, there in (
                (PEOPLE, PEOPLE.c.id, CONSENTS.c.person_id, CORRECTIONS.c.person_id),
                (TERMS, TERMS.c.version, CONSENTS.c.version, CORRECTIONS.c.consent_version),
            ):
                connection.execute(
                    table.delete().where(
                        column.not_in(sa.select(here)), column.not_in(sa.select(there))
                    )
                )

    # Tombstones

    def tombstones(self) -> set[str]:
        """The ids of all that was erased."""
        with self.database.transaction() as connection:
            return set(connection.execute(sa.select(TOMBSTONES.c.id)).scalars())

    def unforgotten(self) -> set[str]:
        """Those whose traces outside of the server's own folder and database may still be there."""
        traces = sa.select(TOMBSTONES.c.id).where(TOMBSTONES.c.forgotten_s.is_(None))
        with self.database.transaction() as connection:
            return set(connection.execute(traces).scalars())

    def note_forgotten(self, ids: Collection[str]) -> None:
        """Remember that no trace of these is left outside either."""
        with self.database.transaction() as connection:
            for some in _parts(ids):
                connection.execute(
                    TOMBSTONES.update()
                    .where(TOMBSTONES.c.id.in_(some))
                    .values(forgotten_s=self.now())
                )

    # Places

    def note_voices(self, folder: Path) -> None:
        """Remember where the audio lies, for who knows the database alone."""
        with self.database.transaction() as connection:
            connection.execute(PLACES.delete().where(PLACES.c.name == _VOICES))
            connection.execute(PLACES.insert().values(name=_VOICES, value=str(folder)))

    def voices(self) -> Path | None:
        """Where the audio lies; None where no server has kept any."""
        with self.database.transaction() as connection:
            value = connection.execute(
                sa.select(PLACES.c.value).where(PLACES.c.name == _VOICES)
            ).scalar()
        return Path(value) if value else None

    def _select(self, *conditions: sa.ColumnElement[bool]) -> list[Correction]:
        chosen = (
            sa.select(CORRECTIONS)
            .where(*conditions)
            .order_by(CORRECTIONS.c.recording, CORRECTIONS.c.start_s, CORRECTIONS.c.id)
        )
        with self.database.transaction() as connection:
            return [_correction(row) for row in connection.execute(chosen)]


def _erase(connection: sa.Connection, ids: Collection[str], now_s: float) -> None:
    for some in _parts(ids):
        connection.execute(CORRECTIONS.delete().where(CORRECTIONS.c.id.in_(some)))
        fresh = set(some) - _dead(connection, some)
        if fresh:
            stones = [{"id": one, "erased_s": now_s} for one in sorted(fresh)]
            connection.execute(TOMBSTONES.insert(), stones)


def _dead(connection: sa.Connection, ids: Collection[str]) -> set[str]:
    """Those that have a tombstone."""
    dead: set[str] = set()
    for some in _parts(ids):
        stones = sa.select(TOMBSTONES.c.id).where(TOMBSTONES.c.id.in_(some))
        dead.update(connection.execute(stones).scalars())
    return dead


def _alone(connection: sa.Connection) -> None:
    """Let who agrees and who removes people wait for each other; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def _parts(ids: Collection[str]) -> list[list[str]]:
    ordered = sorted(ids)
    return [ordered[first : first + _AT_ONCE] for first in range(0, len(ordered), _AT_ONCE)]


def _person(connection: sa.Connection, key: str) -> str | None:
    return connection.execute(
        sa.select(PEOPLE.c.id).where(PEOPLE.c.key_hash == _hashed(key))
    ).scalar()


def _hashed(key: str) -> str:
    """SHA-256: keys are random and long, so nothing slower is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


def _new_id() -> str:
    return secrets.token_hex(16)


def _correction(row: Any) -> Correction:
    return Correction(**row._mapping)
