"""A reviewer hears what waits, the most uncertain first, and accepts or rejects it."""

from collections.abc import Iterator

import httpx
import pytest
import soundfile
from correcting import SAID, Desk, Told

from modersmal.corpus.corrections.correction import Correction


@pytest.fixture
def job(desk: Desk) -> Iterator[Told]:
    """A job with two corrections, and nothing else that waits."""
    for one in desk.book.waiting(1000):
        desk.book.judge(one, "reject", "before")
    told = desk.job()
    told.agreed()
    told.edit(0, "Klockan är halv nio.")
    told.edit(3, "Tack för idag.")
    yield told
    told.send("DELETE")


def judge(desk: Desk, one: Correction, verdict: str, **body: object) -> httpx.Response:
    return desk.client.post(f"/review/{one.id}", json={"verdict": verdict, **body})


def test_the_most_uncertain_waits_first_and_can_be_heard(desk: Desk, job: Told) -> None:
    answer = desk.client.get("/review/queue").json()
    assert answer["waiting"] == 2
    unsure, sure = answer["items"]
    assert unsure["probability"] < sure["probability"]
    assert (unsure["text"], unsure["hypothesis"]) == ("Tack för idag.", SAID[3])
    assert unsure["release"] == "small#3"
    assert (unsure["voice"], unsure["ground"], unsure["trained_on"]) == ("mine", "consent", True)
    assert len(desk.client.get("/review/queue?limit=1").json()["items"]) == 1
    assert desk.client.get("/review/queue?limit=0").status_code == 400
    audio = desk.client.get(f"/review/{unsure['id']}/audio")
    assert audio.headers["content-type"] == "audio/flac"
    assert audio.content == desk.voices.path(unsure["id"]).read_bytes()


def test_accepted_rejected_and_written_otherwise(desk: Desk, job: Told) -> None:
    first, second = desk.kept(job)
    assert judge(desk, second, "accept", text=" Tack för i  da\u030ag. ").status_code == 200
    assert judge(desk, first, "reject").status_code == 200
    first, second = desk.kept(job)
    assert (first.state, first.text) == ("rejected", "Klockan är halv nio.")
    assert (second.state, second.text) == ("accepted", "Tack för i dåg.")
    assert second.reviewed_s is not None
    assert second.untrainable is None
    assert desk.client.get("/review/queue").json() == {"items": [], "waiting": 0}
    assert judge(desk, second, "reject").status_code == 409
    assert judge(desk, first, "accept", text=" ").status_code == 400
    assert desk.client.post("/review/nothing", json={"verdict": "accept"}).status_code == 404
    assert desk.client.get(f"/review/{'f' * 32}/audio").status_code == 404
    assert judge(desk, first, "perhaps").status_code == 400


def test_what_a_reviewer_wrote_holds_until_the_segment_is_changed(desk: Desk, job: Told) -> None:
    _, second = desk.kept(job)
    judge(desk, second, "accept", text="Tack för den här dagen.")
    job.edit(1, "Vi ses i övermorgon.")
    assert desk.kept(job)[2].text == "Tack för den här dagen."
    assert desk.kept(job)[2].state == "accepted"
    job.edit(3, "Tack för mig.")
    third = desk.kept(job)[2]
    assert (third.text, third.state, third.reviewed_s) == ("Tack för mig.", "waiting", None)


def test_nothing_is_judged_that_was_not_seen(desk: Desk, job: Told) -> None:
    first, _ = desk.kept(job)
    job.edit(0, "Klockan är kvart i nio.")
    refused = judge(desk, first, "accept", version=first.segment_version)
    assert refused.status_code == 409
    current = desk.book.get(first.id)
    assert current is not None
    assert current.state == "waiting"
    assert judge(desk, first, "accept", version=current.segment_version).status_code == 200


def test_what_cannot_be_trained_on_is_marked(desk: Desk) -> None:
    told = desk.job()
    told.agreed(ground="unknown")
    told.edit(0, "Klockan är halv nio.")
    (kept,) = desk.kept(told)
    items = desk.client.get("/review/queue?limit=100").json()["items"]
    assert [one["trained_on"] for one in items if one["id"] == kept.id] == [False]
    told.send("DELETE")


def test_only_reviewers_review(sqlite_desk: Desk) -> None:
    desk = sqlite_desk
    told = desk.job()
    told.agreed()
    told.edit(0, "Klockan är halv nio.")
    (kept,) = desk.kept(told)
    stranger = {"Host": "example.org"}  # without keys, only who sits at the machine may
    for method, path in (
        ("GET", "/review/queue"),
        ("GET", f"/review/{kept.id}/audio"),
        ("POST", f"/review/{kept.id}"),
    ):
        answer = desk.client.request(
            method, path, headers=stranger, json={"verdict": "accept"} if method == "POST" else None
        )
        assert answer.status_code == 403, path
    assert desk.kept(told) == [kept]
    assert soundfile.info(desk.voices.path(kept.id)).frames > 0
    told.send("DELETE")
