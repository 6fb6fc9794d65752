"""What is put into the page comes out as text, is edited, downloaded, and erased."""

import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import soundfile
from api_server import CLIP, SAID, SPEECH, Running, running, running_beside
from docx import Document

from modersmal.audio import SAMPLE_RATE, decode
from modersmal.config import LimitsConfig, ServeConfig
from modersmal.serve.backup import restore, save
from modersmal.serve.serving import database_address

if TYPE_CHECKING:
    from postgres_server import Postgres

Job = dict[str, Any]
FORMATS = ("txt", "srt", "vtt", "json", "docx")


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as opened:
        yield opened


@pytest.fixture(scope="module")
def recording() -> bytes:
    """Five sentences with a second between them."""
    pause = np.zeros(SAMPLE_RATE, np.float32)
    parts = [decode(path).samples for path in sorted(SPEECH.glob("*.ogg"))[:5]]
    out = io.BytesIO()
    samples = np.concatenate([one for part in parts for one in (part, pause)])
    soundfile.write(out, samples, SAMPLE_RATE, format="WAV")
    return out.getvalue()


def submit(client: httpx.Client, data: bytes, **fields: Any) -> str:
    answer = client.post("/jobs", files={"file": ("möte.wav", data)}, data=fields)
    assert answer.status_code == 201, answer.text
    assert answer.json()["url"].endswith(answer.json()["token"])
    return str(answer.json()["token"])


def until(
    client: httpx.Client, token: str, wanted: Callable[[Job], bool] = lambda job: ended(job)
) -> Job:
    end_s = time.monotonic() + 120
    while time.monotonic() < end_s:
        job: Job = client.get(f"/jobs/{token}").raise_for_status().json()
        if wanted(job):
            return job
        time.sleep(0.05)
    raise AssertionError(job)


def ended(job: Job) -> bool:
    return job["state"] in ("done", "failed", "cancelled")


@pytest.fixture(scope="module")
def done(client: httpx.Client, recording: bytes) -> tuple[str, Job]:
    token = submit(client, recording)
    return token, until(client, token)


def fresh(client: httpx.Client, token: str) -> list[dict[str, Any]]:
    return list(client.get(f"/jobs/{token}").json()["segments"])


def test_a_recording_becomes_text_with_words(done: tuple[str, Job]) -> None:
    _, job = done
    assert job["state"] == "done"
    assert job["title"] == "möte.wav"
    assert job["language"] == "sv"
    assert job["release"] == "bundled"
    assert len(job["segments"]) == 5
    assert SAID in [segment["text"] for segment in job["segments"]]
    for segment in job["segments"]:
        assert " ".join(word["text"] for word in segment["words"]) == segment["written"]
        assert 0 < segment["probability"] <= 1
        assert segment["version"] == 1
    assert job["expires"] - time.time() == pytest.approx(7 * 24 * 3600, abs=300)


def test_its_audio_is_served_in_parts(client: httpx.Client, done: tuple[str, Job]) -> None:
    token, job = done
    whole = client.get(f"/jobs/{token}/audio")
    samples, rate = soundfile.read(io.BytesIO(whole.content))
    assert rate == SAMPLE_RATE
    assert len(samples) / rate == pytest.approx(job["duration_s"], abs=0.01)
    part = client.get(f"/jobs/{token}/audio", headers={"Range": "bytes=10-19"})
    assert part.status_code == 206
    assert part.content == whole.content[10:20]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_downloaded(
    client: httpx.Client, done: tuple[str, Job], format: str
) -> None:
    token, job = done
    answer = client.get(f"/jobs/{token}/download", params={"format": format})
    assert answer.status_code == 200
    assert f"m%C3%B6te.wav.{format}" in answer.headers["content-disposition"]
    texts = [segment["text"] for segment in job["segments"]]
    if format == "docx":
        written = "\n".join(one.text for one in Document(io.BytesIO(answer.content)).paragraphs)
    else:
        written = answer.text
    for text in texts:
        assert text in written


def test_words_are_timed_in_downloads_too(client: httpx.Client, done: tuple[str, Job]) -> None:
    token, _ = done
    answer = client.get(f"/jobs/{token}/download", params={"format": "json", "words": "true"})
    assert json.loads(answer.text)["segments"][0]["words"]
    assert client.get(f"/jobs/{token}/download?format=pdf").status_code == 400


def test_edits_are_kept_and_old_versions_refused(client: httpx.Client, recording: bytes) -> None:
    token = submit(client, recording)
    first, second, *_ = until(client, token)["segments"]
    path = f"/jobs/{token}/segments/{first['id']}"
    saved = client.patch(path, json={"text": "Något  annat här.", "version": 1}).json()
    assert (saved["text"], saved["version"]) == ("Något annat här.", 2)
    assert saved["written"] == first["written"]
    stale = client.patch(path, json={"text": "För sent.", "version": 1})
    assert stale.status_code == 409
    assert stale.json()["text"] == "Något annat här."
    client.post(f"{path}/split", json={"at_char": 6, "version": 2}).raise_for_status()
    left, right, *_ = fresh(client, token)
    assert (left["text"], right["text"]) == ("Något", "annat här.")
    assert left["start_s"] <= left["end_s"] == right["start_s"] <= right["end_s"]
    client.post(f"{path}/merge", json={"version": left["version"]}).raise_for_status()
    joined, after, *_ = fresh(client, token)
    assert joined["text"] == "Något annat här."
    assert joined["written"] == first["written"]
    assert after["id"] == second["id"]
    changed = client.post(
        f"/jobs/{token}/replace", json={"find": "ANNAT", "replace": "nytt", "whole_words": True}
    ).json()["segments"]
    assert [one["text"] for one in changed] == ["Något nytt här."]
    assert client.post(f"{path}x/merge", json={"version": 1}).status_code == 404
    last = fresh(client, token)[-1]
    behind = client.post(
        f"/jobs/{token}/segments/{last['id']}/merge", json={"version": last["version"]}
    )
    assert behind.status_code == 404


def test_events_tell_the_text_as_it_comes_and_go_on_where_they_were(
    client: httpx.Client, recording: bytes
) -> None:
    token = submit(client, recording)
    with client.stream("GET", f"/jobs/{token}/events") as stream:
        lines = list(stream.iter_lines())
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event")]
    assert names.count("segment") == 5
    assert names[-1] == "end"
    last = [line.removeprefix("id: ") for line in lines if line.startswith("id: ")][-1]
    with client.stream("GET", f"/jobs/{token}/events", headers={"Last-Event-ID": last}) as stream:
        again = list(stream.iter_lines())
    assert "event: segment" not in again
    assert "event: end" in again


def test_a_job_is_erased_at_once(server: Running, client: httpx.Client, recording: bytes) -> None:
    token = submit(client, recording)
    until(client, token)
    before = {path.name for path in (server.serving.folder / "voices").iterdir()}
    assert client.delete(f"/jobs/{token}").status_code == 204
    assert client.get(f"/jobs/{token}").status_code == 404
    after = {path.name for path in (server.serving.folder / "voices").iterdir()}
    assert len(before - after) == 1


def test_only_hashes_of_links_are_kept(server: Running, done: tuple[str, Job]) -> None:
    token, _ = done
    for path in server.serving.folder.rglob("*"):
        assert token not in path.name
        if path.is_file():
            assert token.encode() not in path.read_bytes()


def test_what_is_no_audio_fails_in_a_sentence(client: httpx.Client) -> None:
    token = submit(client, b"ffconcat version 1.0\nfile /etc/passwd\n")
    job = until(client, token)
    assert job["state"] == "failed"
    assert "text" in job["error"]
    assert job["segments"] == []


def test_a_protected_source_leaves_nothing_in_database_and_voices(
    server: Running, client: httpx.Client, recording: bytes
) -> None:
    voices, protected = (
        server.serving.folder / "voices",
        server.serving.requests_folder / "protected",
    )
    before, others = set(voices.iterdir()), set(protected.iterdir())
    token = submit(client, recording, protected="true", title="Förtroligt möte")
    job = until(client, token)
    assert job["protected"]
    assert job["expires"] - time.time() <= 3600
    segment = job["segments"][0]
    client.patch(
        f"/jobs/{token}/segments/{segment['id']}",
        json={"text": "Hemligheten Xerxes.", "version": 1},
    ).raise_for_status()
    secrets = [b"Xerxes", "Förtroligt".encode(), segment["id"].encode(), token.encode()]
    for path in server.serving.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret in content], path
    assert set(voices.iterdir()) == before
    assert len(set(protected.iterdir()) - others) == 1
    client.delete(f"/jobs/{token}").raise_for_status()
    assert set(protected.iterdir()) == others


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"language": "xx-none"}, "language"), ({"words": "maybe"}, "words")],
)
def test_wishes_that_are_none_are_refused(
    client: httpx.Client, fields: dict[str, str], param: str
) -> None:
    answer = client.post("/jobs", files={"file": ("a.wav", b"RIFF")}, data=fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_jobs_are_kept_in_postgres_too(
    server: Running, postgres_server: "Postgres", tmp_path: Path, recording: bytes
) -> None:
    address = postgres_server.new_database()

    @contextmanager
    def beside() -> Iterator[httpx.Client]:
        with (
            running_beside(server, tmp_path, ServeConfig(), database=address) as found,
            httpx.Client(base_url=found.url, timeout=60) as client,
        ):
            yield client

    with beside() as client:
        token = submit(client, recording)
        until(client, token, lambda job: bool(job["segments"]) or ended(job))
    with beside() as client:
        first, *_ = until(client, token)["segments"]
        path = f"/jobs/{token}/segments/{first['id']}"
        client.patch(path, json={"text": "Något annat.", "version": 1}).raise_for_status()
        assert client.patch(path, json={"text": "För sent.", "version": 1}).status_code == 409
        client.post(f"{path}/split", json={"at_char": 6, "version": 2}).raise_for_status()
        assert [one["text"] for one in fresh(client, token)[:2]] == ["Något", "annat."]
        assert len(fresh(client, token)) == 6
        assert client.get(f"/jobs/{token}/download?format=srt").status_code == 200
        assert client.delete(f"/jobs/{token}").status_code == 204
        assert client.get(f"/jobs/{token}").status_code == 404
    assert [path.name for path in (tmp_path / "voices").iterdir()] == ["tombstones"]


def test_what_was_erased_stays_erased_when_a_backup_is_brought_back(
    server: Running, tmp_path: Path
) -> None:
    settings = ServeConfig(folder=str(tmp_path / "serve"))
    address = database_address(settings)

    @contextmanager
    def beside() -> Iterator[httpx.Client]:
        with (
            running_beside(server, tmp_path / "serve", settings, database=address) as found,
            httpx.Client(base_url=found.url, timeout=60) as client,
        ):
            yield client

    with beside() as client:
        stays, goes = (submit(client, CLIP.read_bytes()) for _ in range(2))
        until(client, stays)
        until(client, goes)
        kept = save(settings, tmp_path / "backups")
        client.delete(f"/jobs/{goes}").raise_for_status()
    restore(settings, kept)
    assert len(list((tmp_path / "serve" / "voices").glob("*/audio.flac"))) == 2
    with beside() as client:
        assert client.get(f"/jobs/{goes}").status_code == 404
        assert client.get(f"/jobs/{stays}").json()["state"] == "done"
    assert len(list((tmp_path / "serve" / "voices").glob("*/audio.flac"))) == 1


@pytest.mark.chaos
def test_a_server_that_ends_midway_goes_on_and_what_expires_is_erased(
    tmp_path: Path, recording: bytes
) -> None:
    settings = ServeConfig(limits=LimitsConfig(), retention_days=1e-9)
    with running(tmp_path) as first, httpx.Client(base_url=first.url, timeout=60) as client:
        token = submit(client, recording)
        until(client, token, lambda job: bool(job["segments"]) or ended(job))
    with running(tmp_path) as second, httpx.Client(base_url=second.url, timeout=60) as client:
        job = until(client, token)
        assert job["state"] == "done"
        assert len(job["segments"]) == 5
    with running(tmp_path, settings) as third, httpx.Client(base_url=third.url) as client:
        gone = submit(client, CLIP.read_bytes())
        end_s = time.monotonic() + 90
        while client.get(f"/jobs/{gone}").status_code != 404 and time.monotonic() < end_s:
            time.sleep(0.5)
        assert client.get(f"/jobs/{gone}").status_code == 404
        assert client.get(f"/jobs/{token}").status_code == 200


def test_a_field_that_is_misspelt_is_not_passed_over(
    client: httpx.Client, server: Running, recording: bytes
) -> None:
    before = set(server.serving.recordings_folder.iterdir())
    answer = client.post("/jobs", files={"file": ("a.wav", recording)}, data={"protectd": "true"})
    assert answer.status_code == 400
    assert "there is no field 'protectd'" in answer.text
    assert set(server.serving.recordings_folder.iterdir()) <= before
