"""The tables of corrections, as statements name them; `database/migrations.py` made them."""

import sqlalchemy as sa

_TABLES = sa.MetaData()
PEOPLE = sa.Table(
    "people",
    _TABLES,
    sa.Column("id", sa.Text),
    sa.Column("key_hash", sa.Text),
    sa.Column("created_s", sa.Double),
)
TERMS = sa.Table(
    "consent_texts",
    _TABLES,
    sa.Column("version", sa.Text),
    sa.Column("purpose", sa.Text),
    sa.Column("consent", sa.Text),
    sa.Column("retention_days", sa.Integer),
    sa.Column("first_s", sa.Double),
)
CONSENTS = sa.Table(
    "consents",
    _TABLES,
    sa.Column("job_id", sa.Text),
    sa.Column("version", sa.Text),
    sa.Column("voice", sa.Text),
    sa.Column("ground", sa.Text),
    sa.Column("person_id", sa.Text),
    sa.Column("given_s", sa.Double),
)
CORRECTIONS = sa.Table(
    "corrections",
    _TABLES,
    sa.Column("id", sa.Text),
    sa.Column("person_id", sa.Text),
    sa.Column("recording", sa.Text),
    sa.Column("segment", sa.Text),
    sa.Column("segment_version", sa.Integer),
    sa.Column("start_s", sa.Double),
    sa.Column("end_s", sa.Double),
    sa.Column("duration_s", sa.Double),
    sa.Column("language", sa.Text),
    sa.Column("hypothesis", sa.Text),
    sa.Column("text", sa.Text),
    sa.Column("release", sa.Text),
    sa.Column("probability", sa.Double),
    sa.Column("voice", sa.Text),
    sa.Column("ground", sa.Text),
    sa.Column("consent_version", sa.Text),
    sa.Column("state", sa.Text),
    sa.Column("split", sa.Text),
    sa.Column("created_s", sa.Double),
    sa.Column("changed_s", sa.Double),
    sa.Column("expires_s", sa.Double),
    sa.Column("reviewed_s", sa.Double),
    sa.Column("reviewer", sa.Text),
)
TOMBSTONES = sa.Table(
    "tombstones",
    _TABLES,
    sa.Column("id", sa.Text),
    sa.Column("erased_s", sa.Double),
    sa.Column("forgotten_s", sa.Double),
)
PLACES = sa.Table("places", _TABLES, sa.Column("name", sa.Text), sa.Column("value", sa.Text))
IMPROVEMENTS = sa.Table(
    "improvements",
    _TABLES,
    sa.Column("id", sa.Text),
    sa.Column("made_s", sa.Double),
    sa.Column("corrections", sa.Integer),
    sa.Column("wer_before", sa.Double),
    sa.Column("wer_after", sa.Double),
    sa.Column("difference_low", sa.Double),
    sa.Column("difference_high", sa.Double),
    sa.Column("clips", sa.Integer),
    sa.Column("release", sa.Integer),
    sa.Column("state", sa.Text),
    sa.Column("reason", sa.Text),
)
