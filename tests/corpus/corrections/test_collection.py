"""Corrections and their audio appear whole, are erased whole, and never come back."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from collecting import TERMS, correction, tone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modersmal.corpus.corrections.book import Book
from modersmal.corpus.corrections.collection import Collection
from modersmal.corpus.corrections.correction import Correction, Terms, split_of
from modersmal.corpus.corrections.improvements import Improvement, Improvements
from modersmal.corpus.corrections.voices import Voices
from modersmal.database import Database
from modersmal.errors import StoreError


@pytest.fixture
def collection(database_address: str, tmp_path: Path) -> Iterator[Collection]:
    database = Database.open(database_address)
    yield Collection(Book(database, lambda: 150.0), Voices(tmp_path / "corrections"))
    database.close()


def agreed(collection: Collection, recording: str, key: str | None = None) -> tuple[str, str]:
    """A person's key and id, who has agreed to what becomes of a recording."""
    key = collection.book.agree(recording, TERMS, "mine", "consent", key)
    person_id = collection.book.person(key)
    assert person_id is not None
    return key, person_id


def keep(collection: Collection, one: Correction) -> Correction:
    assert collection.settle(one.recording, [one], [], {one.id: tone()})
    return one


def test_a_correction_is_kept_with_its_audio(collection: Collection) -> None:
    _, person_id = agreed(collection, "r1")
    one = keep(collection, correction("r1", "s1", person_id))
    assert collection.book.get(one.id) == one
    path = collection.voices.path(one.id)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    changed = replace(one, text="Nu.", segment_version=3)
    assert collection.settle("r1", [changed], [], {})
    assert collection.book.all() == [changed]


def test_without_consent_nothing_is_kept(collection: Collection) -> None:
    _, person_id = agreed(collection, "r1")
    stranger = correction("r2", "s1", person_id)
    assert not collection.settle("r2", [stranger], [], {stranger.id: tone()})
    assert collection.book.all() == []
    assert not collection.voices.path(stranger.id).exists()


def test_withdrawing_erases_that_recording_alone(collection: Collection) -> None:
    key, person_id = agreed(collection, "r1")
    agreed(collection, "r2", key)
    first = keep(collection, correction("r1", "s1", person_id))
    second = keep(collection, correction("r2", "s1", person_id))
    collection.withdraw("r1")
    assert collection.book.consent("r1") is None
    assert collection.book.all() == [second]
    assert collection.book.tombstones() == {first.id} == collection.voices.tombstones.buried()
    assert not collection.voices.path(first.id).exists()


def test_a_person_is_erased_by_key(collection: Collection) -> None:
    key, person_id = agreed(collection, "r1")
    _, other_id = agreed(collection, "r2")
    mine = keep(collection, correction("r1", "s1", person_id))
    theirs = keep(collection, correction("r2", "s1", other_id))
    assert collection.erase_person(person_id) == [mine.id]
    assert collection.book.person(key) is None
    assert collection.book.consent("r1") is None
    assert collection.book.ids() == {theirs.id}
    assert collection.book.unforgotten() == {mine.id}
    collection.book.note_forgotten([mine.id])
    assert collection.book.unforgotten() == set()


@pytest.mark.parametrize("lost", ["database", "voices"])
def test_a_backup_of_either_brings_nothing_back(
    collection: Collection, lost: str, tmp_path: Path
) -> None:
    """The row and its audio are put back as an older backup had them."""
    _, person_id = agreed(collection, "r1")
    one = keep(collection, correction("r1", "s1", person_id))
    backup = tmp_path / "backup"
    shutil.copytree(collection.voices.folder, backup)
    collection.erase([one.id])
    book, voices = collection.book, collection.voices
    if lost == "database":  # as it was before: the row is there, and no tombstone
        with book.database.transaction() as connection:
            connection.exec_driver_sql("DELETE FROM tombstones")
        assert book.settle("r1", [one], [])
    shutil.copytree(backup, voices.folder, dirs_exist_ok=True)
    if lost == "voices":
        (voices.folder / "tombstones").unlink(missing_ok=True)
    collection.unite()
    assert book.ids() == set()
    assert book.tombstones() == {one.id} == voices.tombstones.buried()
    assert [path.name for path in voices.folder.iterdir()] == ["tombstones"]


def test_what_writing_left_midway_is_removed(collection: Collection) -> None:
    _, person_id = agreed(collection, "r1")
    one = keep(collection, correction("r1", "s1", person_id))
    orphan = correction("r1", "s2", person_id)
    collection.voices.write(orphan.id, tone())
    (collection.voices.folder / ".half.tmp").write_bytes(b"x")
    collection.unite()
    assert [path.name for path in collection.voices.folder.iterdir()] == [f"{one.id}.flac"]


def test_a_tombstone_that_was_cut_short_spoils_none(tmp_path: Path) -> None:
    voices = Voices(tmp_path / "voices")
    voices.tombstones.bury(["a" * 32])
    with (voices.folder / "tombstones").open("a") as file:
        file.write("b" * 7)
    voices.tombstones.bury(["c" * 32, "d" * 32])
    assert voices.tombstones.buried() == {"a" * 32, "c" * 32, "d" * 32}
    with pytest.raises(StoreError, match="no correction"):
        voices.path("../secrets")


def test_the_most_uncertain_wait_first_and_are_judged_as_they_were_seen(
    collection: Collection,
) -> None:
    _, person_id = agreed(collection, "r1")
    unsure = correction("r1", "s1", person_id, probability=0.1)
    sure = correction("r1", "s2", person_id, probability=0.9)
    collection.settle("r1", [sure, unsure], [], {sure.id: tone(), unsure.id: tone()})
    book = collection.book
    assert book.waiting(9) == [unsure, sure]
    assert book.waiting(1) == [unsure]
    assert book.count_waiting() == 2
    changed = replace(unsure, text="Annat.", segment_version=3)
    collection.settle("r1", [changed], [], {})
    assert not book.judge(unsure, "accept", "anna")
    assert book.judge(changed, "accept", "anna", "Bättre.")
    assert not book.judge(changed, "reject", "eva")
    assert book.judge(sure, "reject", "eva")
    assert [(one.state, one.text) for one in book.of_recording("r1")] in (
        [("accepted", "Bättre."), ("rejected", sure.text)],
        [("rejected", sure.text), ("accepted", "Bättre.")],
    )
    assert book.count_waiting() == 0


def test_texts_of_consent_and_people_go_with_the_last_that_stands_on_them(
    collection: Collection,
) -> None:
    book = collection.book
    key, person_id = agreed(collection, "r1")
    one = keep(collection, correction("r1", "s1", person_id))
    book.end_consents(book.consented())
    book.remove_unused()
    assert book.terms(TERMS.version) == TERMS
    assert book.person(key) == person_id
    assert book.expired() == []
    book.now = lambda: 200.0
    assert book.expired() == [one.id]
    collection.erase(book.expired())
    book.remove_unused()
    assert book.terms(TERMS.version) is None
    assert book.person(key) is None


def test_where_the_audio_lies_is_known_by_the_database(collection: Collection) -> None:
    assert collection.book.voices() is None
    for folder in ("/elsewhere", "/here"):
        collection.book.note_voices(Path(folder))
    assert collection.book.voices() == Path("/here")


def test_improvements_are_told_newest_first(collection: Collection) -> None:
    improvements = Improvements(collection.book.database)
    older = Improvement("a", 1.0, 12, 20.0, 15.0, -8.0, -2.0, 40, None, "waiting")
    newer = Improvement("b", 2.0, 20, 15.0, 14.0, -3.0, 1.0, 50, 4, "live")
    for one in (older, newer, replace(older, state="refused", reason="worse")):
        improvements.save(one)
    assert improvements.all() == [newer, replace(older, state="refused", reason="worse")]
    assert improvements.all("live") == [newer]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"state": "accepted"}, None),
        ({}, "no reviewer"),
        ({"state": "rejected"}, "rejected"),
        ({"state": "accepted", "voice": "unknown"}, "whose voice"),
        ({"state": "accepted", "ground": "unknown"}, "ground"),
    ],
)
def test_what_is_unknown_is_never_trained_on(values: dict[str, str], reason: str | None) -> None:
    found = correction("r", "s", "p", **values).untrainable
    assert found is None if reason is None else reason in str(found)


def test_a_consents_version_changes_with_each_of_its_parts() -> None:
    versions = {
        Terms("a", "b", 1).version,
        Terms("a", "b", 2).version,
        Terms("a", "c", 1).version,
        Terms("c", "b", 1).version,
        Terms("ab", "", 1).version,
    }
    assert len(versions) == 5
    assert Terms("a", "b", 1).version in versions


def test_recordings_are_split_once_and_for_all() -> None:
    splits = [split_of(f"{number:032x}") for number in range(2000)]
    assert splits == [split_of(f"{number:032x}") for number in range(2000)]
    assert 0.07 < splits.count("test") / 2000 < 0.13
    assert 0.07 < splits.count("dev") / 2000 < 0.13


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["agree", "keep", "erase", "withdraw", "person", "unite", "rot"]),
        st.integers(0, 2),
        st.integers(0, 3),
    ),
    max_size=20,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_rows_have_their_audio_and_what_was_erased_stays_so(
    actions: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    database = Database.open("sqlite://")
    collection = Collection(Book(database, lambda: 150.0), Voices(folder / "corrections"))
    book, voices = collection.book, collection.voices
    keys: dict[str, str] = {}
    erased: set[str] = set()
    for action, recording_number, number in actions:
        recording = f"r{recording_number}"
        before = book.ids()
        consent = book.consent(recording)
        if action == "agree":
            keys[recording] = book.agree(recording, TERMS, "mine", "consent", keys.get(recording))
        elif action == "keep":
            person_id = consent.person_id if consent else "nobody"
            known = [one for one in book.of_recording(recording) if one.segment == f"s{number}"]
            one = correction(recording, f"s{number}", person_id)
            stands = collection.settle(
                recording, [one], [old.id for old in known], {one.id: tone()}
            )
            assert stands == (consent is not None)
        elif action == "erase":
            collection.erase(sorted(before)[number : number + 1])
        elif action == "withdraw":
            collection.withdraw(recording)
            assert book.of_recording(recording) == []
        elif action == "person" and consent:
            collection.erase_person(consent.person_id)
            assert book.of_person(consent.person_id) == []
        elif action == "rot":
            voices.write(f"{number:032x}", tone())
        else:
            collection.unite()
        erased |= before - book.ids()
        assert not erased & book.ids()
        assert book.tombstones() == erased == voices.tombstones.buried()
        for correction_id in book.ids():
            assert voices.path(correction_id).is_file()
        for correction_id in erased:
            assert not voices.path(correction_id).exists()
    collection.unite()
    there = {path.stem for path in (folder / "corrections").glob("*.flac")}
    assert there == book.ids()
    database.close()
