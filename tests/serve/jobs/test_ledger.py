"""Jobs and edits in a database: the same in SQLite and in Postgres, whoever else is at it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from modersmal.database import Database
from modersmal.serve.engine.results import Piece, Spoken
from modersmal.serve.jobs.edits import retold
from modersmal.serve.jobs.job import Job, Segment
from modersmal.serve.jobs.ledger import Ledger, NoSuchSegment, OldVersion
from modersmal.transcribe.formats import Word

JOB = Job(
    id="a1", title="Möte", state="waiting", wish={"names": ["Åsa"]}, protected=False,
    created_s=1_000.5, expires_s=2_000.25, duration_s=None, reached_s=0.0, next_part=0,
    language=None, release=None, error=None, changes=0,
)  # fmt: skip


@pytest.fixture
def ledger(database_address: str) -> Iterator[Ledger]:
    database = Database.open(database_address)
    yield Ledger(database)
    database.close()


def piece(part: int, text: str) -> Piece:
    words = tuple(
        Word(part + n / 10, part + n / 10 + 0.1, one, 0.9) for n, one in enumerate(text.split())
    )
    spoken = Spoken(part, part + 1.0, text, words, (1, 2), -0.1, 0.01, 1.1, 0.0)
    return Piece(part, part + 1, (spoken,), "sv", "release-1")


def written(ledger: Ledger, *texts: str) -> list[Segment]:
    """The job, with a segment for each text."""
    ledger.add(JOB, "token")
    for part, text in enumerate(texts):
        assert ledger.write(JOB.id, piece(part, text), part + 1.0)
    return ledger.segments(JOB.id)


def test_a_job_is_found_by_its_token_as_it_was_put_in(ledger: Ledger) -> None:
    ledger.add(JOB, "token")
    assert ledger.find("token") == JOB
    assert ledger.find("other") is None
    assert ledger.get(JOB.id) == JOB
    assert ledger.under_way() == [JOB]
    assert ledger.ids() == {JOB.id}


def test_what_is_written_is_there_with_how_far_it_goes(ledger: Ledger) -> None:
    first, second = written(ledger, "Ett två.", "Tre.")
    assert (first.text, second.text) == ("Ett två.", "Tre.")
    assert [word.text for word in first.words] == ["Ett", "två."]
    job = ledger.get(JOB.id)
    assert job is not None
    assert (job.next_part, job.reached_s, job.language, job.release) == (2, 2.0, "sv", "release-1")
    assert job.changes == second.changed == 2
    assert ledger.segments(JOB.id, after=first.changed) == [second]


def test_what_is_not_under_way_takes_no_text(ledger: Ledger) -> None:
    ledger.add(JOB, "token")
    assert ledger.move(JOB.id, "cancelled")
    assert not ledger.move(JOB.id, "writing")
    assert not ledger.write(JOB.id, piece(0, "För sent."), 1.0)
    assert ledger.segments(JOB.id) == []


def test_segments_are_split_and_joined_in_their_order(ledger: Ledger) -> None:
    first, second = written(ledger, "Ett två tre.", "Fyra.")
    left, right = ledger.split(JOB.id, first.id, 1, 4)
    assert [one.text for one in ledger.segments(JOB.id)] == ["Ett", "två tre.", "Fyra."]
    joined = ledger.merge(JOB.id, left.id, left.version)
    assert [one.text for one in ledger.segments(JOB.id)] == ["Ett två tre.", "Fyra."]
    assert joined.words == first.words
    with pytest.raises(NoSuchSegment):
        ledger.edit(JOB.id, right.id, 1, lambda one: one)
    with pytest.raises(NoSuchSegment):
        ledger.merge(JOB.id, second.id, 1)


def test_what_has_expired_is_found_and_erased(ledger: Ledger) -> None:
    written(ledger, "Ett.")
    assert ledger.expired(JOB.expires_s - 1) == []
    assert ledger.expired(JOB.expires_s) == [JOB.id]
    ledger.erase(JOB.id)
    assert ledger.ids() == set()
    assert ledger.segments(JOB.id) == []


def test_of_two_who_change_one_version_one_is_told(ledger: Ledger) -> None:
    (segment,) = written(ledger, "Ett.")

    def change(text: str) -> str:
        try:
            ledger.edit(JOB.id, segment.id, 1, lambda one: retold(one, text))
        except OldVersion as old:
            return old.current.text
        return text

    with ThreadPoolExecutor(8) as threads:
        texts = set(threads.map(change, [f"Text {number}." for number in range(8)]))
    (kept,) = ledger.segments(JOB.id)
    assert texts == {kept.text}
    assert kept.version == 2


def test_edits_replacements_and_new_text_go_together(ledger: Ledger) -> None:
    """Nobody waits for another for ever, and no change is lost."""
    segments = written(ledger, *(f"ord {number} x" for number in range(4)))

    def write(part: int) -> None:
        assert ledger.write(JOB.id, piece(4 + part, f"ord {4 + part} x"), 5.0 + part)

    def replaces(number: int) -> None:
        ledger.edit_all(JOB.id, lambda text: f"{text} y{number}")

    def edit(number: int) -> None:
        while True:
            current = next(one for one in ledger.segments(JOB.id) if one.id == segments[number].id)
            try:
                ledger.edit(
                    JOB.id, current.id, current.version,
                    lambda one: replace(one, text=f"{one.text} z{number}"),
                )  # fmt: skip
            except OldVersion:
                continue
            return

    with ThreadPoolExecutor(12) as threads:
        running = [
            threads.submit(work, number) for number in range(4) for work in (write, replaces, edit)
        ]
        for one in running:
            one.result(120)
    found = ledger.segments(JOB.id)
    assert len(found) == 8
    for number, one in enumerate(found[:4]):
        assert set(one.text.split()[3:]) == {"y0", "y1", "y2", "y3", f"z{number}"}
        assert one.version == 1 + 5
    job = ledger.get(JOB.id)
    assert job is not None
    assert job.changes == 4 + 4 + sum(one.version - 1 for one in found)


def test_erasing_while_text_comes_leaves_nothing(ledger: Ledger) -> None:
    written(ledger, "Ett.")
    with ThreadPoolExecutor(4) as threads:
        writing = [
            threads.submit(ledger.write, JOB.id, piece(part, "Ord."), 1.0) for part in range(1, 9)
        ]
        threads.submit(ledger.erase, JOB.id).result(120)
        for one in writing:
            one.result(120)
    assert ledger.ids() == set()
    assert ledger.segments(JOB.id) == []


def test_what_is_erased_is_in_no_file_of_sqlite(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/serve.db")
    ledger = Ledger(database)
    written(ledger, "Hemligheten Xerxes.")
    ledger.erase(JOB.id)
    database.close()
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"Xerxes" not in kept
