"""What every request passes: who asks, how often, from where, how much; and what is told of it."""

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_server import CLIP, SAID, Running, running_beside
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from modersmal.config import LimitsConfig, ServeConfig
from modersmal.database import Database
from modersmal.serve.access import Access
from modersmal.serve.guard import Guard
from modersmal.serve.keys import Keys
from modersmal.serve.serving import Serving

ROUTE = "/v1/audio/transcriptions"
ELSEWHERE = {"origin": "https://elsewhere.example"}
FILE = {"file": ("clip.ogg", CLIP.read_bytes())}


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as opened:
        yield opened


@pytest.fixture
def keyed(server: Running, tmp_path: Path) -> Iterator[Running]:
    """A server of its own, which is to have keys."""
    with running_beside(server, tmp_path, ServeConfig()) as found:
        yield found


def error_of(answer: httpx.Response) -> dict[str, Any]:
    assert set(answer.json()) == {"error"}
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/health", 200), ("GET", "/", 200), ("GET", "/nowhere", 404), ("GET", "/docs", 200),
     ("PUT", "/health", 405), ("POST", ROUTE, 415), ("GET", "/jobs/none", 404),
     ("POST", "/v1/chat/completions", 404), ("GET", ROUTE, 405)],
)  # fmt: skip
def test_every_answer_has_an_id_and_headers_that_protect(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    first, second = client.request(method, path), client.request(method, path)
    assert first.status_code == status
    for answer in (first, second):
        assert re.fullmatch("req_[0-9a-f]{24}", answer.headers["x-request-id"])
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        if answer.status_code >= 400:
            error_of(answer)
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


def test_a_page_of_another_site_changes_nothing(client: httpx.Client) -> None:
    for headers in (ELSEWHERE, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}):
        answer = client.post(ROUTE, files=FILE, headers=headers)
        assert answer.status_code == 403
        assert error_of(answer)["type"] == "permission_error"
    assert client.get("/health", headers=ELSEWHERE).status_code == 200
    own = {"origin": str(client.base_url).rstrip("/")}
    assert client.post(ROUTE, files=FILE, headers=own).status_code == 200
    assert "access-control-allow-origin" not in client.get("/health", headers=ELSEWHERE).headers


def form(*parts: tuple[str, str | None, bytes]) -> dict[str, Any]:
    """A form of (name, filename, content), as httpx is given it."""
    lines = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="' + name.encode() + b'"'
        + (b'; filename="' + filename.encode() + b'"' if filename is not None else b"")
        + b"\r\n\r\n" + content + b"\r\n"
        for name, filename, content in parts
    )  # fmt: skip
    return {
        "content": lines + b"--x--\r\n",
        "headers": {"content-type": "multipart/form-data; boundary=x"},
    }


AUDIO = ("file", "a.ogg", CLIP.read_bytes())


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([AUDIO, *[("prompt", None, b"x")] * 64], "over 64 parts"),
        ([AUDIO, ("prompt", None, b"x" * 70_000)], "over 64 KiB"),
        ([AUDIO, *[("keywords[]", None, b"x" * 3_000)] * 30], "over 64 KiB"),
        ([AUDIO, AUDIO], "send one file"),
        ([("file", None, b"x")], "send a file"),
        ([("prompt", None, b"x")], "file is missing"),
        ([AUDIO, ("prompt", None, b"\xff\xfe")], "not UTF-8"),
        ([AUDIO, ("prompt", None, b"a\0b")], "zero byte"),
        ([("", "a.ogg", b"x")], "malformed"),
    ],
)
def test_a_form_has_bounds(
    client: httpx.Client, parts: list[tuple[str, str | None, bytes]], says: str
) -> None:
    answer = client.post(ROUTE, **form(*parts))
    assert answer.status_code == 400
    assert says in error_of(answer)["message"]


def test_a_form_that_ends_midway_is_refused(client: httpx.Client) -> None:
    whole = form(AUDIO)
    answer = client.post(ROUTE, content=whole["content"][:-500], headers=whole["headers"])
    assert answer.status_code == 400
    assert "ended midway" in error_of(answer)["message"]
    assert client.post(ROUTE, json={"file": "https://elsewhere.example/a.wav"}).status_code == 415


@pytest.mark.parametrize("told", [True, False])
def test_what_takes_no_file_takes_no_large_body(client: httpx.Client, told: bool) -> None:
    body = b'{"find": "' + b"x" * (2 << 20) + b'", "replace": ""}'
    content: Any = body if told else iter([body])
    answer = client.post(
        "/jobs/none/replace", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413
    assert "1 MiB" in error_of(answer)["message"]


def test_a_client_that_leaves_is_not_worked_for(server: Running) -> None:
    """Its recording waits for nobody, and its folder is gone."""
    engine, before = server.serving.engine, server.serving.engine.state().speech_s
    port = int(server.url.rpartition(":")[2])
    whole = form(AUDIO)
    head = (
        f"POST {ROUTE} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: {whole['headers']['content-type']}\r\n"
        f"Content-Length: {len(whole['content'])}\r\n\r\n"
    )
    for sent in (whole["content"][:100], whole["content"]):
        with socket.create_connection(("127.0.0.1", port)) as left:
            left.sendall(head.encode() + sent)
    with httpx.Client(base_url=server.url, timeout=60) as client:
        assert client.post(ROUTE, files=FILE).json()["text"] == SAID
        left_over = [one.name for one in server.serving.requests_folder.iterdir()]
    assert engine.state().waiting == 0
    assert engine.state().speech_s - before <= 2 * 1.7
    assert len(left_over) <= 3


def test_numbers_name_routes_and_never_whose(client: httpx.Client) -> None:
    token = "a-token-that-is-nobodys"
    client.get(f"/jobs/{token}")
    client.post(ROUTE, files=FILE)
    text = client.get("/metrics").text
    assert re.search(
        r'modersmal_requests_total\{method="GET",route="/jobs/\{token\}",status="404"\} [1-9]', text
    )
    assert re.search(rf'route="{ROUTE}",status="200"\}} [1-9]', text)
    assert 'modersmal_release{release="bundled"} 1.0' in text
    assert re.search(r"modersmal_speech_seconds_total [1-9]", text)
    for name in ("modersmal_ready 1.0", "modersmal_swaps_total", "modersmal_request_seconds_bucket",
                 "process_resident_memory_bytes"):  # fmt: skip
        assert name in text
    assert token not in text
    assert "Klockan" not in text


def test_logs_hold_neither_text_nor_names_nor_links(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="modersmal.serve"):
        client.post(ROUTE, files={"file": ("Annas hemlighet.ogg", CLIP.read_bytes())},
                    data={"prompt": "Ängelholm"})  # fmt: skip
        client.post(ROUTE, files={"file": ("Annas hemlighet.wav", b"RIFF")})
        client.get("/jobs/a-token-of-mine?secret=1")
    said = "\n".join(caplog.messages)
    assert f"POST {ROUTE} 200" in said
    assert f"POST {ROUTE} 400" in said
    for word in ("Klockan", "hemlighet", "Ängelholm", "a-token-of-mine", "secret"):
        assert word not in said


def test_it_is_as_it_says_and_pages_load_nothing(client: httpx.Client) -> None:
    assert client.get("/ready").status_code == 200
    assert client.get("/health").json() == {
        "status": "ok", "ready": True, "model": "bundled", "release": "bundled", "trouble": None,
    }  # fmt: skip
    page = client.get("/docs")
    assert "<script" not in page.text
    assert ROUTE in page.text
    described = client.get("/openapi.json").json()["paths"]
    assert {ROUTE, "/v1/models", "/health", "/ready", "/metrics", "/jobs"} <= set(described)


def test_each_may_ask_so_often_and_is_told_when_again(tmp_path: Path) -> None:
    now_s = [1_000.0]
    database = Database.open(f"sqlite:///{tmp_path}/serve.db")
    settings = ServeConfig(limits=LimitsConfig(requests_per_minute=30))
    access = Access(database, loopback=True, now=lambda: now_s[0])
    serving = Serving(settings, None, database, tmp_path, access)  # type: ignore[arg-type]
    routes = [Route(path, lambda request: PlainTextResponse("ok")) for path in ("/a", "/health")]
    client = TestClient(Guard(Starlette(routes=routes), serving, lambda: now_s[0]))
    statuses = [client.get("/a").status_code for _ in range(31)]
    assert statuses == [200] * 30 + [429]
    refused = client.get("/a")
    assert error_of(refused)["type"] == "rate_limit_error"
    assert refused.headers["retry-after"] == "2"
    assert client.get("/health").status_code == 200
    now_s[0] += 2
    assert client.get("/a").status_code == 200
    now_s[0] += 60
    secrets = [Keys(database).add(name) for name in ("anna", "bo")]
    now_s[0] += 60
    for secret in secrets:
        mine = {"authorization": f"Bearer {secret}"}
        asked = [client.get("/a", headers=mine).status_code for _ in range(31)]
        assert asked == [200] * 30 + [429]
    guessed = [
        client.get("/a", headers={"authorization": f"Bearer {number}"}).status_code
        for number in range(31)
    ]
    assert guessed == [401] * 30 + [429]


def test_with_keys_the_page_and_the_api_need_one(keyed: Running) -> None:
    asks = {"accept": "text/html"}
    secret = keyed.keys.add("anna")
    with httpx.Client(base_url=keyed.url, timeout=60) as client:
        while client.get("/v1/models").status_code != 401:  # a running server learns of it
            time.sleep(0.1)
        for path in ("/", "/metrics", "/docs", "/openapi.json", "/jobs/x", "/gradio_api/info"):
            assert client.get(path).status_code == 401, path
        assert client.get("/health").json()["trouble"] is None
        shown = client.get("/", headers=asks)
        assert (shown.status_code, shown.headers["location"]) == (303, "/login")
        assert client.get("/login").status_code == 200
        assert client.post("/login", data={"key": "msk-wrong"}).status_code == 401
        logged_in = client.post("/login", data={"key": secret})
        assert logged_in.status_code == 303
        assert "HttpOnly" in logged_in.headers["set-cookie"]
        assert "SameSite=strict" in logged_in.headers["set-cookie"]
        assert client.get("/v1/models").status_code == 200
        assert client.get("/", headers=asks).status_code == 200
        client.get("/logout")
        assert client.get("/v1/models").status_code == 401
        guesses = [client.post("/login", data={"key": "x"}).status_code for _ in range(15)]
        assert guesses[-1] == 429
