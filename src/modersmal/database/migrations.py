"""How the tables came to be, step by step. Steps are appended, and never changed afterwards."""

from collections.abc import Callable

import sqlalchemy as sa

Step = Callable[[sa.Connection], None]


def keys(connection: sa.Connection) -> None:
    """Keys of the page and the API, and who is logged in by one. Of secrets, only hashes."""
    tables = sa.MetaData()
    sa.Table(
        "keys",
        tables,
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False, unique=True),
        sa.Column("created_s", sa.Double, nullable=False),
        sa.Column("revoked_s", sa.Double),
        sa.Column("used_s", sa.Double),
    )
    sa.Table(
        "sessions",
        tables,
        sa.Column("hash", sa.Text, primary_key=True),
        sa.Column("key_id", sa.Text, sa.ForeignKey("keys.id"), nullable=False),
        sa.Column("expires_s", sa.Double, nullable=False),
    )
    tables.create_all(connection)


def jobs(connection: sa.Connection) -> None:
    """Recordings that people put into the page, and their text."""
    tables = sa.MetaData()
    sa.Table(
        "jobs",
        tables,
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("token_hash", sa.Text, nullable=False, unique=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("wish", sa.JSON, nullable=False),
        sa.Column("protected", sa.Boolean, nullable=False),
        sa.Column("created_s", sa.Double, nullable=False),
        sa.Column("expires_s", sa.Double, nullable=False, index=True),
        sa.Column("duration_s", sa.Double),
        sa.Column("reached_s", sa.Double, nullable=False),
        sa.Column("next_part", sa.Integer, nullable=False),
        sa.Column("language", sa.Text),
        sa.Column("release", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("changes", sa.Integer, nullable=False),
    )
    sa.Table(
        "segments",
        tables,
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id"), nullable=False, index=True),
        sa.Column("place", sa.Double, nullable=False),
        sa.Column("start_s", sa.Double, nullable=False),
        sa.Column("end_s", sa.Double, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("written", sa.Text, nullable=False),
        sa.Column("words", sa.JSON, nullable=False),
        sa.Column("probability", sa.Double, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("changed", sa.Integer, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
    )
    tables.create_all(connection)


def corrections(connection: sa.Connection) -> None:
    """What people have corrected and agreed to, what was erased, and what became of it.

    Segments learn whether they were confirmed as right, and which of their edges were guessed.
    """
    tables = sa.MetaData()
    sa.Table(
        "people",
        tables,
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("key_hash", sa.Text, nullable=False, unique=True),
        sa.Column("created_s", sa.Double, nullable=False),
    )
    sa.Table(
        "consent_texts",
        tables,
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("consent", sa.Text, nullable=False),
        sa.Column("retention_days", sa.Integer, nullable=False),
        sa.Column("first_s", sa.Double, nullable=False),
    )
    sa.Table(
        "consents",
        tables,
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("voice", sa.Text, nullable=False),
        sa.Column("ground", sa.Text, nullable=False),
        sa.Column("person_id", sa.Text, nullable=False, index=True),
        sa.Column("given_s", sa.Double, nullable=False),
    )
    sa.Table(
        "corrections",
        tables,
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("person_id", sa.Text, nullable=False, index=True),
        sa.Column("recording", sa.Text, nullable=False),
        sa.Column("segment", sa.Text, nullable=False),
        sa.Column("segment_version", sa.Integer, nullable=False),
        sa.Column("start_s", sa.Double, nullable=False),
        sa.Column("end_s", sa.Double, nullable=False),
        sa.Column("duration_s", sa.Double, nullable=False),
        sa.Column("language", sa.Text),
        sa.Column("hypothesis", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("probability", sa.Double, nullable=False),
        sa.Column("voice", sa.Text, nullable=False),
        sa.Column("ground", sa.Text, nullable=False),
        sa.Column("consent_version", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, index=True),
        sa.Column("split", sa.Text, nullable=False),
        sa.Column("created_s", sa.Double, nullable=False),
        sa.Column("changed_s", sa.Double, nullable=False),
        sa.Column("expires_s", sa.Double, nullable=False, index=True),
        sa.Column("reviewed_s", sa.Double),
        sa.Column("reviewer", sa.Text),
        sa.UniqueConstraint("recording", "segment"),
    )
    sa.Table(
        "tombstones",
        tables,
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("erased_s", sa.Double, nullable=False),
        sa.Column("forgotten_s", sa.Double),
    )
    sa.Table(
        "places",
        tables,
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    sa.Table(
        "improvements",
        tables,
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("made_s", sa.Double, nullable=False),
        sa.Column("corrections", sa.Integer, nullable=False),
        sa.Column("wer_before", sa.Double, nullable=False),
        sa.Column("wer_after", sa.Double, nullable=False),
        sa.Column("difference_low", sa.Double, nullable=False),
        sa.Column("difference_high", sa.Double, nullable=False),
        sa.Column("clips", sa.Integer, nullable=False),
        sa.Column("release", sa.Integer),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
    )
    tables.create_all(connection)
    for name in ("confirmed", "start_guessed", "end_guessed"):
        connection.exec_driver_sql(
            f"ALTER TABLE segments ADD COLUMN {name} BOOLEAN NOT NULL DEFAULT false"
        )


STEPS: list[Step] = [keys, jobs, corrections]
