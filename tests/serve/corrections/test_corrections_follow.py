"""Rows follow the text whatever is done to it, and go when their time is over."""

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_server import Running
from correcting import SAID, SETTINGS, Desk, Store, Told, put_job
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modersmal.database import Database
from modersmal.serve.corrections.corrections import Corrections
from modersmal.serve.jobs.edits import retold
from modersmal.serve.jobs.jobs import Jobs
from modersmal.serve.jobs.shelf import Place, Shelf
from modersmal.serve.serving import Serving

DAY_S = 24 * 3600.0
TEXTS = st.lists(st.sampled_from("Klockan är halv nio snart igen.".split()), max_size=5)
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            "edit edit merge split replace confirm agree withdraw accept reject leave".split()
        ),
        st.integers(0, 3),
        TEXTS.map(" ".join),
    ),
    min_size=3,
    max_size=12,
)


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(actions=ACTIONS)
def test_rows_are_those_of_the_segments_whatever_is_done(
    desk: Desk, actions: list[tuple[str, int, str]]
) -> None:
    job = desk.job()
    job.agreed()
    judged: dict[str, str] = {}  # what a reviewer wrote, by the id of the correction
    for action, number, text in actions:
        do(desk, job, action, number, text, judged)
        state = job.get()
        wanted = {
            one["id"]: (one["start_s"], one["end_s"], one["text"], one["written"])
            for one in state["segments"]
            if state["consent"]
            and not one["unfit"]
            and (one["text"] != one["written"] or one["confirmed"])
        }
        rows = desk.kept(job)
        versions = {one["id"]: one["version"] for one in state["segments"]}
        assert {one.segment for one in rows} == wanted.keys()
        for one in rows:
            start_s, end_s, said, written = wanted[one.segment]
            assert (one.start_s, one.end_s, one.hypothesis) == (start_s, end_s, written)
            assert one.segment_version == versions[one.segment]
            assert one.text == (judged.get(one.id, said) if one.state == "accepted" else said)
            assert desk.voices.path(one.id).is_file()
        dead = desk.book.tombstones()
        assert dead <= desk.voices.tombstones.buried()
        assert not dead & desk.book.ids()
    job.send("DELETE")
    assert desk.kept(job) == []


def do(desk: Desk, job: Told, action: str, number: int, text: str, judged: dict[str, str]) -> None:
    segments = job.segments()
    number %= len(segments)
    rows = desk.kept(job)
    if action == "edit":
        job.edit(number, text)
    elif action == "merge" and number < len(segments) - 1:
        job.do(number, "merge")
    elif action == "split" and len(segments[number]["text"].split()) > 1:
        job.do(number, "split", at_char=segments[number]["text"].index(" "))
    elif action == "replace":
        job.send("POST", "/replace", find="i", replace=text).raise_for_status()
    elif action == "confirm" and job.get()["consent"]:
        job.do(number, "confirm")
    elif action == "agree" and not job.get()["consent"]:
        job.agreed()
    elif action == "withdraw":
        job.send("DELETE", "/consent")
    elif action in ("accept", "reject") and rows:
        one = rows[number % len(rows)]
        if one.state == "waiting":
            judged[one.id] = "Så här."
            body = {"verdict": action} | ({"text": "Så här."} if action == "accept" else {})
            desk.client.post(f"/review/{one.id}", json=body).raise_for_status()
    elif action == "leave" and rows:
        assert desk.book.erase_person(rows[0].person_id)
        desk.voices.tombstones.bury(
            [one.id for one in rows]
        )  # as the server does, but behind its back
        for one in rows:
            desk.voices.erase(one.id)


@dataclass
class Office:
    """A server's corrections and jobs without its door, whose clock is ours."""

    serving: Serving
    store: Store
    now_s: float = 1_000_000.0

    def corrections(self) -> Corrections:
        return Corrections(self.serving, lambda: self.now_s)

    def put(self, **values: Any) -> Place:
        told = put_job(self.serving, httpx.Client(), **values)
        shelf = Shelf.lasting_at(self.serving.database, self.serving.recordings_folder)
        job = shelf.ledger.get(told.id)
        assert job is not None
        return Place(job, shelf)

    async def edit(self, corrections: Corrections, place: Place, text: str) -> None:
        first = place.shelf.ledger.segments(place.job.id)[0]
        place.shelf.ledger.edit(
            place.job.id, first.id, first.version, lambda before: retold(before, text)
        )
        await corrections.edited(place)

    async def agree(self, corrections: Corrections, place: Place) -> str:
        version = corrections.terms.version
        return await corrections.agree(place, version, "mine", "consent", None)


@pytest.fixture
def office(server: Running, database_address: str, tmp_path: Path) -> Iterator[Office]:
    database, store = Database.open(database_address), Store()
    serving = replace(
        server.serving,
        settings=SETTINGS,
        database=database,
        folder=tmp_path / "office",
        forgetting=store,
    )
    yield Office(serving, store)
    database.close()


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


def test_what_was_kept_long_enough_is_erased(office: Office) -> None:
    async def work() -> None:
        corrections, place = office.corrections(), office.put()
        await office.agree(corrections, place)
        await office.edit(corrections, place, "Klockan är halv nio.")
        (kept,) = corrections.book.all()
        office.now_s += 29 * DAY_S
        await office.edit(corrections, place, "Klockan är halv tio.")
        await corrections.sweep()
        assert [one.id for one in corrections.book.all()] == [kept.id]
        office.now_s += 1.5 * DAY_S
        await corrections.sweep()
        assert corrections.book.all() == []
        assert not corrections.collection.voices.path(kept.id).exists()
        assert corrections.book.tombstones() == {kept.id} == office.store.forgotten
        assert corrections.book.unforgotten() == set()

    run(work)


def test_a_job_that_expires_leaves_its_corrections_and_takes_its_consent(office: Office) -> None:
    async def work() -> None:
        corrections = office.corrections()
        jobs = Jobs(office.serving, corrections, lambda: office.now_s)
        place = office.put(expires_s=office.now_s + 100)
        await office.agree(corrections, place)
        await office.edit(corrections, place, "Klockan är halv nio.")
        office.now_s += 200
        await jobs.start()
        try:
            async with asyncio.timeout(60):
                while corrections.book.consent(place.job.id):
                    await asyncio.sleep(0.01)
        finally:
            await jobs.stop()
        assert place.shelf.ledger.get(place.job.id) is None
        assert [one.text for one in corrections.book.all()] == ["Klockan är halv nio."]
        assert corrections.book.all()[0].untrainable is not None
        await corrections.sweep()
        assert len(corrections.book.all()) == 1

    run(work)


def test_a_job_that_a_backup_has_brought_back_goes_again_with_its_corrections(
    office: Office,
) -> None:
    """They were agreed to after the job was erased, as far as that backup knows."""

    async def work() -> None:
        corrections, place = office.corrections(), office.put()
        await office.agree(corrections, place)
        await office.edit(corrections, place, "Klockan är halv nio.")
        (kept,) = corrections.book.all()
        place.shelf.voices.tombstones.bury([place.job.id])

        jobs = Jobs(office.serving, corrections, lambda: office.now_s)
        await jobs.start()
        await jobs.stop()
        assert place.shelf.ledger.get(place.job.id) is None
        assert not place.shelf.voices.folder(place.job.id).exists()
        assert corrections.book.consent(place.job.id) is None
        assert corrections.book.all() == []
        assert not corrections.collection.voices.path(kept.id).exists()

    run(work)


def test_a_server_that_starts_catches_up(office: Office) -> None:
    """Edited while corrections were off, and killed between erasing a row and its audio."""

    async def work() -> None:
        corrections, place = office.corrections(), office.put()
        await office.agree(corrections, place)
        first = place.shelf.ledger.segments(place.job.id)[0]
        place.shelf.ledger.edit(
            place.job.id, first.id, 1, lambda before: retold(before, "Klockan är halv nio.")
        )
        other = office.put()
        await office.agree(corrections, other)
        await office.edit(corrections, other, "Klockan är halv två.")
        (gone,) = corrections.book.all()
        corrections.collection.voices.tombstones.bury([gone.id])
        place.shelf.ledger.erase(other.job.id)

        again = office.corrections()
        await again.start()
        try:
            async with asyncio.timeout(60):
                while not again.book.all() or again.book.consent(other.job.id):
                    await asyncio.sleep(0.01)
        finally:
            await again.stop()
        assert [one.text for one in again.book.all()] == ["Klockan är halv nio."]
        assert not again.collection.voices.path(gone.id).exists()
        assert again.book.voices() == again.collection.voices.folder

    run(work)


def test_what_cannot_be_kept_now_spoils_no_edit_and_is_kept_later(office: Office) -> None:
    async def work() -> None:
        corrections, place = office.corrections(), office.put()
        await office.agree(corrections, place)
        audio = place.shelf.voices.audio(place.job.id)
        shutil.move(audio, audio.with_suffix(".away"))
        await office.edit(corrections, place, "Klockan är halv nio.")
        assert corrections.book.all() == []
        shutil.move(audio.with_suffix(".away"), audio)
        await corrections.sweep()
        assert [one.text for one in corrections.book.all()] == ["Klockan är halv nio."]

    run(work)


def test_new_terms_are_for_those_who_agree_to_them(office: Office) -> None:
    async def work() -> None:
        corrections, place = office.corrections(), office.put()
        await office.agree(corrections, place)
        await office.edit(corrections, place, "Klockan är halv nio.")
        asked = SETTINGS.corrections.model_copy(update={"retention_days": 5})
        changed = SETTINGS.model_copy(update={"corrections": asked})
        office.serving = replace(office.serving, settings=changed)
        later, other = office.corrections(), office.put()
        await office.agree(later, other)
        await office.edit(later, other, "Klockan är halv två.")
        await office.edit(later, place, "Klockan är halv tio.")
        by_recording = {one.recording: one for one in later.book.all()}
        older, newer = by_recording[place.job.id], by_recording[other.job.id]
        assert older.text == "Klockan är halv tio."
        assert older.consent_version == corrections.terms.version
        assert older.expires_s == office.now_s + 30 * DAY_S
        assert newer.consent_version == later.terms.version
        assert newer.expires_s == office.now_s + 5 * DAY_S

    run(work)


def test_edits_at_once_make_one_row(office: Office) -> None:
    async def work() -> None:
        corrections, place = office.corrections(), office.put()
        await office.agree(corrections, place)
        texts = [f"Klockan är halv {word}." for word in "två tre fyra fem sex".split()]
        await asyncio.gather(*(office.edit(corrections, place, text) for text in texts))
        segment = place.shelf.ledger.segments(place.job.id)[0]
        assert [one.text for one in corrections.book.all()] == [segment.text]
        assert segment.written == SAID[0]

    run(work)
