"""What is corrected with consent becomes a row with its audio, and follows the text."""

import io
import logging
import secrets
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from api_server import CLIP, Running
from correcting import EACH_S, SAID, SETTINGS, Desk, Told, contents, put_job

from modersmal.audio import SAMPLE_RATE
from modersmal.corpus.corrections.correction import Terms, split_of

DAY_S = 24 * 3600.0


@pytest.fixture
def job(desk: Desk) -> Told:
    return desk.job()


def test_off_until_an_administrator_has_said_what_for(server: Running) -> None:
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/corrections/terms").json() == {"enabled": False}
        told = put_job(server.serving, client)
        answers = [
            told.send("POST", "/consent", version="x", voice="mine", ground="consent"),
            told.send("DELETE", "/consent"),
            told.send("POST", f"/segments/{told.segments()[0]['id']}/confirm", version=1),
            client.get("/review/queue"),
            client.get(f"/review/{'a' * 32}/audio"),
            client.post(f"/review/{'a' * 32}", json={"verdict": "accept"}),
            client.get("/person/export", headers={"X-Person-Key": "msp-x"}),
            client.delete("/person", headers={"X-Person-Key": "msp-x"}),
        ]
        assert [answer.status_code for answer in answers] == [404] * len(answers)
        told.edit(0, "Klockan är halv nio.")
        assert told.get()["consent"] is False
    assert not (server.serving.folder / "corrections").exists()


def test_the_terms_are_told(desk: Desk) -> None:
    said = SETTINGS.corrections
    terms = desk.client.get("/corrections/terms").json()
    assert terms == {
        "enabled": True,
        "purpose": said.purpose,
        "consent": said.consent,
        "retention_days": said.retention_days,
        "version": Terms(said.purpose, said.consent, said.retention_days).version,
    }


def test_an_edit_with_consent_becomes_a_row_with_its_audio(desk: Desk, job: Told) -> None:
    job.agreed(voice="others", ground="employment")
    assert job.get()["consent"] is True
    assert desk.kept(job) == []
    saved = job.edit(0, "  Klockan  a\u0308r halv nio. ")
    (kept,) = desk.kept(job)
    assert (kept.hypothesis, kept.text) == (SAID[0], "Klockan är halv nio.")
    assert (kept.start_s, kept.end_s, kept.duration_s) == (0.0, EACH_S, EACH_S)
    assert (kept.segment, kept.segment_version) == (saved["id"], saved["version"])
    assert (kept.release, kept.language) == ("small#3", "sv")
    assert (kept.voice, kept.ground) == ("others", "employment")
    assert kept.consent_version == desk.client.get("/corrections/terms").json()["version"]
    assert kept.state == "waiting"
    assert kept.split == split_of(job.id)
    assert kept.probability == pytest.approx(np.exp(-0.1), abs=1e-3)
    assert 0 <= time.time() - kept.created_s < 60
    assert kept.expires_s - kept.created_s == pytest.approx(30 * DAY_S)

    path = desk.voices.path(kept.id)
    assert path.stat().st_mode & 0o777 == 0o600
    info = soundfile.info(path)
    assert (info.format, info.samplerate, info.channels) == ("FLAC", SAMPLE_RATE, 1)
    whole, _ = soundfile.read(job.folder / "audio.flac", dtype="int16")
    span, _ = soundfile.read(path, dtype="int16")
    assert np.array_equal(span, whole[: round(EACH_S * SAMPLE_RATE)])

    again = job.edit(0, "Klockan är halv tio.")
    (changed,) = desk.kept(job)
    assert (changed.id, changed.text) == (kept.id, "Klockan är halv tio.")
    assert changed.segment_version == again["version"]


def test_what_was_corrected_before_the_consent_is_kept_too(desk: Desk, job: Told) -> None:
    job.edit(1, "Vi ses i morgon kväll.")
    assert desk.kept(job) == []
    job.agreed()
    assert [one.text for one in desk.kept(job)] == ["Vi ses i morgon kväll."]


def test_what_nobody_changed_is_kept_only_where_it_is_confirmed(desk: Desk, job: Told) -> None:
    segment = job.segments()[2]
    refused = job.send("POST", f"/segments/{segment['id']}/confirm", version=1)
    assert refused.status_code == 409
    assert not job.segments()[2]["confirmed"]
    job.agreed()
    assert job.do(2, "confirm")["confirmed"]
    (kept,) = desk.kept(job)
    assert kept.text == kept.hypothesis == SAID[2]
    stale = job.send("POST", f"/segments/{segment['id']}/confirm", version=1)
    assert stale.status_code == 409
    assert stale.json()["version"] == 2
    job.edit(2, "Det snöar i Borås.")
    assert not job.segments()[2]["confirmed"]
    assert [one.text for one in desk.kept(job)] == ["Det snöar i Borås."]


def test_an_edit_that_is_taken_back_is_no_correction(desk: Desk, job: Told) -> None:
    job.agreed()
    job.edit(0, "Något annat.")
    (kept,) = desk.kept(job)
    job.edit(0, SAID[0])
    assert desk.kept(job) == []
    assert not desk.voices.path(kept.id).exists()
    assert kept.id in desk.book.tombstones()


def test_rows_follow_what_is_merged_split_and_replaced(desk: Desk, job: Told) -> None:
    job.agreed()
    job.edit(0, "Klockan är halv nio.")
    job.edit(1, "Vi ses i morgon kväll.")
    first, second = desk.kept(job)
    job.do(0, "merge")
    (joined,) = desk.kept(job)
    assert joined.text == "Klockan är halv nio. Vi ses i morgon kväll."
    assert joined.hypothesis == f"{SAID[0]} {SAID[1]}"
    assert (joined.start_s, joined.end_s) == (0.0, 2 * EACH_S)
    assert len(soundfile.read(desk.voices.path(joined.id))[0]) == 2 * EACH_S * SAMPLE_RATE
    assert {first.id, second.id} <= desk.book.tombstones()
    assert not desk.voices.path(first.id).exists()

    job.do(0, "split", at_char=len("Klockan är halv nio."))
    left, right = desk.kept(job)
    assert (left.text, left.hypothesis) == ("Klockan är halv nio.", SAID[0])
    assert (right.text, right.hypothesis) == ("Vi ses i morgon kväll.", SAID[1])
    assert left.end_s == right.start_s == EACH_S

    replaced = job.send("POST", "/replace", find="i ", replace="på ", whole_words=False)
    assert len(replaced.json()["segments"]) == 3
    assert [one.text for one in desk.kept(job)] == [
        "Klockan är halv nio.",
        "Vpå ses på morgon kväll.",
        "Det regnar på Borås.",
        "Tack för på dag.",
    ]


def test_whose_edge_is_guessed_is_not_kept(desk: Desk, job: Told) -> None:
    """Where it was split no word was heard, so nobody knows what is said on either side."""
    job.agreed()
    job.edit(0, "Helt andra ord här nu.")
    assert len(desk.kept(job)) == 1
    job.do(0, "split", at_char=len("Helt andra"))
    assert [one["unfit"] for one in job.segments()[:3]] == ["guessed", "guessed", None]
    assert desk.kept(job) == []
    job.do(0, "merge")
    assert [one.text for one in desk.kept(job)] == ["Helt andra ord här nu."]


def test_what_no_model_hears_at_a_time_is_not_kept_and_that_is_told(desk: Desk) -> None:
    job = desk.job([f"Mening {number} i raden." for number in range(17)])
    job.agreed()
    job.edit(0, "Första meningen.")
    for _ in range(16):
        job.do(0, "merge")
    (segment,) = job.segments()
    assert segment["unfit"] == "long"
    assert desk.kept(job) == []
    other = desk.job(["Hej då."])
    other.agreed()
    other.edit(0, "")
    assert [one["unfit"] for one in other.segments()] == ["empty"]
    assert desk.kept(other) == []


def test_unknown_voices_and_grounds_are_kept_and_never_trained_on(desk: Desk) -> None:
    for choices in ({"voice": "unknown"}, {"ground": "unknown"}):
        job = desk.job()
        job.agreed(**choices)
        job.edit(0, "Klockan är halv nio.")
        (kept,) = desk.kept(job)
        assert "nobody knows" in str(kept.untrainable)


def test_consent_is_given_to_the_terms_that_stand(desk: Desk, job: Told) -> None:
    older = job.send("POST", "/consent", version="0" * 16, voice="mine", ground="consent")
    assert older.status_code == 409
    assert older.json()["terms"] == desk.client.get("/corrections/terms").json()
    version = older.json()["terms"]["version"]
    for body in (
        {"version": version, "voice": "anybody's", "ground": "consent"},
        {"version": version, "voice": "mine"},
    ):
        assert job.send("POST", "/consent", **body).status_code == 400
    assert not job.get()["consent"]


def test_consent_is_one_persons_and_may_be_given_anew(desk: Desk, job: Told) -> None:
    key = job.agreed(voice="unknown")
    job.edit(0, "Klockan är halv nio.")
    assert job.agree().status_code == 409
    assert job.agree(key="msp-unknown").status_code == 409
    assert job.agreed(voice="mine", key=key) == key
    assert [one.voice for one in desk.kept(job)] == ["mine"]
    other = desk.job()
    assert other.agreed(key=key) == key
    assert other.agree(key=key).json()["person_key"] == key
    third = desk.job()
    assert third.agreed(key="msp-unknown") not in (key, "msp-unknown")


def test_withdrawing_consent_erases_what_was_kept_of_that_job(desk: Desk, job: Told) -> None:
    other = desk.job()
    other.agreed(key=job.agreed())
    for told in (job, other):
        told.edit(0, "Klockan är halv nio.")
    (kept,) = desk.kept(job)
    assert job.send("DELETE", "/consent").status_code == 204
    assert job.get()["consent"] is False
    assert desk.kept(job) == []
    assert kept.id in desk.book.tombstones()
    assert kept.id in desk.voices.tombstones.buried()
    assert not desk.voices.path(kept.id).exists()
    assert len(desk.kept(other)) == 1
    job.edit(0, "Klockan är halv tio.")
    assert desk.kept(job) == []
    assert job.send("DELETE", "/consent").status_code == 404


def test_a_job_that_somebody_erases_takes_its_corrections_along(desk: Desk, job: Told) -> None:
    job.agreed()
    job.edit(0, "Klockan är halv nio.")
    (kept,) = desk.kept(job)
    assert job.send("DELETE").status_code == 204
    assert desk.kept(job) == []
    assert desk.book.consent(job.id) is None
    assert kept.id in desk.book.tombstones()


def test_of_a_protected_source_nothing_is_kept_or_logged(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    before = desk.book.ids()
    files = {"file": ("intervju.ogg", CLIP.read_bytes())}
    token = desk.client.post("/jobs", files=files, data={"protected": "true"}).json()["token"]
    job = Told(desk.client, token, "", None)
    end_s = time.monotonic() + 120
    while job.get()["state"] not in ("done", "failed") and time.monotonic() < end_s:
        time.sleep(0.05)
    assert job.agree().status_code == 403
    secret = f"Xerxes{secrets.token_hex(4)}"
    job.edit(0, f"Jag heter {secret}.")
    assert job.get()["consent"] is False
    assert job.get()["segments"][0]["text"] == f"Jag heter {secret}."
    confirm = f"/segments/{job.segments()[0]['id']}/confirm"
    assert job.send("POST", confirm, version=2).status_code == 409
    assert desk.book.ids() == before
    assert secret not in caplog.text
    for path, content in contents(desk.running.serving.folder):
        assert secret.encode() not in content, path
    job.send("DELETE")


def test_no_speech_and_no_text_is_logged(
    desk: Desk, job: Told, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = f"Xerxes{secrets.token_hex(4)}"
    key = job.agreed()
    job.edit(0, f"Jag heter {secret}.")
    desk.client.delete("/person", headers={"X-Person-Key": key})
    logged = "".join(one.getMessage() for one in caplog.records if "http" not in one.name)
    assert "a person was erased" in logged
    for hidden in (secret, key, job.token):
        assert hidden not in logged


def test_a_recording_from_the_page_is_corrected(desk: Desk) -> None:
    """The whole way: a file, its text, consent, an edit, a row with what was said."""
    answer = desk.client.post("/jobs", files={"file": ("a.ogg", CLIP.read_bytes())})
    found: list[Any] = []
    job = Told(desk.client, answer.json()["token"], "", None)
    end_s = time.monotonic() + 120
    while job.get()["state"] not in ("done", "failed") and time.monotonic() < end_s:
        time.sleep(0.05)
    key = job.agreed()
    saved = job.edit(0, "Klockan är halv tio.")
    found = [one for one in desk.book.all() if one.segment == saved["id"]]
    assert [(one.text, one.hypothesis) for one in found] == [
        ("Klockan är halv tio.", "Klockan är halv nio.")
    ]
    spoken, rate = soundfile.read(io.BytesIO(desk.voices.path(found[0].id).read_bytes()))
    assert len(spoken) / rate == pytest.approx(found[0].duration_s, abs=1e-3)
    assert np.abs(spoken).max() > 0.01
    assert not [path for path in Path("/tmp/gradio").rglob(f"*{found[0].id}*") if path.is_file()]
    desk.client.delete("/person", headers={"X-Person-Key": key})
