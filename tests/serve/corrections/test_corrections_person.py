"""By their key, a person gets all that they have corrected, and has it erased for good."""

import io
import json
import secrets
import time
import zipfile
from collections.abc import Callable

import httpx
import pytest
from api_server import Running
from correcting import SAID, SETTINGS, Desk, Told, contents, put_job

from modersmal.corpus.corrections.book import Book
from modersmal.corpus.corrections.correction import Terms


def by(key: str) -> dict[str, str]:
    return {"X-Person-Key": key}


def corrected(desk: Desk, text: str, key: str | None = None) -> tuple[Told, str]:
    job = desk.job()
    key = job.agreed(key=key)
    job.edit(0, text)
    return job, key


def test_all_of_it_is_given_as_one_file(desk: Desk) -> None:
    first, key = corrected(desk, "Klockan är halv nio.")
    second, _ = corrected(desk, "Klockan är halv åtta.", key)
    corrected(desk, "Klockan är halv två.")  # by somebody else
    answer = desk.client.get("/person/export", headers=by(key))
    assert answer.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    told = json.loads(archive.read("corrections.json"))
    rows = {row["id"]: row for row in told["corrections"]}
    kept = [*desk.kept(first), *desk.kept(second)]
    assert rows.keys() == {one.id for one in kept}
    for one in kept:
        row = rows[one.id]
        assert (row["text"], row["hypothesis"]) == (one.text, SAID[0])
        assert archive.read(row["audio"]) == desk.voices.path(one.id).read_bytes()
        terms = told["agreed_to"][row["consent_version"]]
        assert terms["consent"] == SETTINGS.corrections.consent
        assert "reviewer" not in row
    assert len(archive.namelist()) == 3
    requests = desk.running.serving.requests_folder
    until(lambda: {one.name for one in requests.iterdir()} <= {"protected"})


@pytest.mark.parametrize("key", ["msp-none", "x" * 500, ""])
def test_who_has_no_key_gets_nothing(desk: Desk, key: str) -> None:
    for method, path in (("GET", "/person/export"), ("DELETE", "/person")):
        answer = desk.client.request(method, path, headers=by(key))
        assert answer.status_code in (400, 404)
    assert desk.client.delete("/person").status_code == 400


def test_a_person_is_erased_and_others_stay(desk: Desk) -> None:
    marker = f"Xerxes{secrets.token_hex(8)}"
    job, key = corrected(desk, f"Jag heter {marker}.")
    other, _ = corrected(desk, "Klockan är halv två.")
    (kept,) = desk.kept(job)
    audio = desk.voices.path(kept.id).read_bytes()
    answer = desk.client.delete("/person", headers=by(key))
    assert answer.json() == {"corrections": 1, "releases": ["small#4"], "pending": True}
    assert desk.kept(job) == []
    assert not desk.voices.path(kept.id).exists()
    assert len(desk.kept(other)) == 1
    assert job.get()["consent"] is False
    assert desk.client.get("/person/export", headers=by(key)).status_code == 404
    assert kept.id in desk.book.tombstones() & desk.voices.tombstones.buried()
    until(lambda: kept.id in desk.store.forgotten and kept.id not in desk.book.unforgotten())
    job.edit(0, "Klockan är halv nio.")
    assert desk.kept(job) == []
    job.send("DELETE")
    assert_nowhere(desk, marker.encode(), audio[-2000:], key.encode())


def test_a_store_that_is_away_keeps_nobody_from_leaving(desk: Desk) -> None:
    job, key = corrected(desk, "Klockan är halv nio.")
    (kept,) = desk.kept(job)
    desk.store.away = True
    answer = desk.client.delete("/person", headers=by(key)).json()
    assert answer["releases"] == ["unknown: the store does not answer"]
    assert answer["pending"]
    assert desk.kept(job) == []
    assert kept.id in desk.book.unforgotten()
    desk.store.away = False
    again, _ = corrected(desk, "Klockan är halv nio.")
    again.send("DELETE", "/consent")  # the next erasure asks for all that is left
    until(lambda: kept.id in desk.store.forgotten and not desk.book.unforgotten())


def until(wanted: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not wanted() and time.monotonic() < end_s:
        time.sleep(0.02)
    assert wanted()


def assert_nowhere(desk: Desk, *traces: bytes) -> None:
    """In no file of the server's folder, SQLite's and its log among them."""
    desk.book.database.scrub()
    for path, content in contents(desk.running.serving.folder):
        for trace in traces:
            assert trace not in content, path


def test_only_hashes_of_keys_are_kept(sqlite_desk: Desk) -> None:
    _, key = corrected(sqlite_desk, "Klockan är halv nio.")
    assert_nowhere(sqlite_desk, key.encode(), key.removeprefix("msp-").encode())


def test_a_person_may_leave_a_server_that_keeps_nothing_new(server: Running) -> None:
    """Corrections were turned off after they were given."""
    with httpx.Client(base_url=server.url) as client:
        told = put_job(server.serving, client)
        book = Book(server.serving.database)
        key = book.agree(told.id, Terms("a", "b", 3), "mine", "consent")
        assert told.get()["consent"] is True
        told.edit(0, "Klockan är halv nio.")
        assert book.of_recording(told.id) == []
        assert client.get("/person/export", headers=by(key)).status_code == 200
        assert client.delete("/person", headers=by(key)).json()["corrections"] == 0
        assert told.get()["consent"] is False
        told.send("DELETE")
