"""Over HTTP: new releases take over, and processes are killed, and nobody who asks has to care."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from api_server import CLIP, SAID, SPEECH, Running, running
from serving_releases import add_release, damage

from modersmal.audio import SAMPLE_RATE, decode
from modersmal.config import LimitsConfig, ServeConfig

ROUTE = "/v1/audio/transcriptions"
SWAPS, CLIENTS = 20, 4
UNBOUNDED = LimitsConfig(requests_per_minute=1_000_000)


def until(true: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 240
    while not true():
        assert time.monotonic() < end_s, "it did not come"
        time.sleep(0.05)


def ask(client: httpx.Client, file: Path = CLIP) -> httpx.Response:
    return client.post(ROUTE, files={"file": file.read_bytes()})


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it is being replaced already
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty sentences with a second between them."""
    pause = np.zeros(SAMPLE_RATE, np.float32)
    parts = [decode(path).samples for path in sorted(SPEECH.glob("*.ogg"))[:20]]
    path = tmp_path_factory.mktemp("recording") / "twenty.wav"
    soundfile.write(path, np.concatenate([one for part in parts for one in (part, pause)]), 16_000)
    return path


@contextmanager
def asking(url: str) -> Iterator[list[tuple[int, str, str]]]:
    """Clients that ask all the time: status, release and text of each answer, as they come."""
    answers: list[tuple[int, str, str]] = []
    over = threading.Event()

    def work() -> None:
        with httpx.Client(base_url=url, timeout=120) as client:
            while not over.is_set():
                answer = ask(client)
                text = answer.json().get("text", answer.text)
                answers.append((answer.status_code, answer.headers["x-model-release"], text))

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join(120)


@pytest.mark.chaos
@pytest.mark.timeout(1500)
def test_twenty_releases_take_over_and_no_request_fails(tmp_path: Path, cache: Path) -> None:
    url = tmp_path / "store"
    add_release(url)
    settings = ServeConfig(watch_s=0.1, limits=UNBOUNDED)
    with (
        running(tmp_path, settings, model=str(url)) as server,
        httpx.Client(base_url=server.url, timeout=120) as client,
        asking(server.url) as answers,
    ):
        for number in range(2, SWAPS + 2):
            add_release(url, content=str(number))
            seen = len(answers)
            until(lambda: client.get("/health").json()["release"] == f"release-{number}")  # noqa: B023
            until(lambda: f"release-{number}" in [one[1] for one in answers[seen:]])  # noqa: B023
        assert server.serving.engine.state().swaps == SWAPS
        damage(url, add_release(url, content="broken"))
        until(lambda: client.get("/health").json()["status"] == "trouble")
        health = client.get("/health").json()
        assert (health["ready"], health["release"]) == (True, f"release-{SWAPS + 1}")
        assert "the former one does" in health["trouble"]
        assert "modersmal_trouble 1.0" in client.get("/metrics").text
        assert client.get("/ready").status_code == 200
        seen = len(answers)
        until(lambda: len(answers) > seen + 2 * CLIENTS)
        assert {one[1] for one in answers[seen + CLIENTS :]} == {f"release-{SWAPS + 1}"}
        add_release(url, content="mended")
        until(lambda: client.get("/health").json()["status"] == "ok")
    assert {status for status, _, _ in answers} == {200}
    assert {text for _, _, text in answers} == {SAID}
    assert {f"release-{number}" for number in range(2, SWAPS + 2)} <= {one[1] for one in answers}


@pytest.mark.chaos
def test_a_release_that_is_pinned_stays(tmp_path: Path, cache: Path) -> None:
    url = tmp_path / "store"
    for content in ("one", "two"):
        add_release(url, content=content)
    settings = ServeConfig(watch_s=0.1, release=1, limits=UNBOUNDED)
    with (
        running(tmp_path, settings, model=str(url)) as server,
        httpx.Client(base_url=server.url, timeout=120) as client,
    ):
        assert ask(client).headers["x-model-release"] == "release-1"
        add_release(url, content="three")
        time.sleep(1)
        assert client.get("/health").json()["release"] == "release-1"
        assert ask(client).headers["x-model-release"] == "release-1"
        assert client.get("/v1/models").json()["data"][0]["id"] == "release-1"


def job(client: httpx.Client, token: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/jobs/{token}").raise_for_status().json()
    return found


@pytest.mark.chaos
def test_a_job_goes_on_where_it_was_whatever_is_killed(server: Running, recording: Path) -> None:
    def done(token: str) -> bool:
        return bool(job(client, token)["state"] in ("done", "failed"))

    with httpx.Client(base_url=server.url, timeout=120) as client:
        tokens = []
        for _ in range(2):
            answer = client.post("/jobs", files={"file": recording.read_bytes()})
            tokens.append(answer.json()["token"])
            if tokens[1:]:
                kill(server.serving.engine.state().pids[2:])  # what decodes it, or is about to
                until(lambda: len(job(client, tokens[1])["segments"]) >= 3)
                before = job(client, tokens[1])["segments"]
                kill(server.serving.engine.state().pids[:1])
            until(lambda: done(tokens[-1]))
        undisturbed, killed = (job(client, token) for token in tokens)
        assert killed["state"] == "done"
        assert killed["segments"][: len(before)] == before
        spoken = [[(one["start_s"], one["text"]) for one in found["segments"]]
                  for found in (undisturbed, killed)]  # fmt: skip
        assert spoken[0] == spoken[1]
        assert ask(client).json()["text"] == SAID


@pytest.mark.chaos
def test_a_request_whose_process_is_killed_is_answered(server: Running, recording: Path) -> None:
    with httpx.Client(base_url=server.url, timeout=120) as client:
        whole = ask(client, recording).json()["text"]
        for kills in (1, 6):
            answers: list[httpx.Response] = []
            thread = threading.Thread(target=lambda: answers.append(ask(client, recording)))  # noqa: B023
            thread.start()
            for _ in range(kills):
                until(lambda: server.serving.engine.state().waiting > 0 or bool(answers))  # noqa: B023
                kill(server.serving.engine.state().pids[:1])
                time.sleep(0.2)
            thread.join(240)
            (answer,) = answers
            assert answer.status_code in (200, 503)
            if answer.status_code == 200:
                assert answer.json()["text"] == whole
            else:
                assert answer.json()["error"]["type"] == "server_error"
                assert int(answer.headers["retry-after"]) > 0
        assert ask(client).json()["text"] == SAID
