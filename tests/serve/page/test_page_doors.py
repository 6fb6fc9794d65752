"""What of Gradio can be reached beside the page: nothing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from modersmal.config.serving import LimitsConfig, ServeConfig
from modersmal.database import Database
from modersmal.serve.access import Access
from modersmal.serve.guard import Guard
from modersmal.serve.page import mount


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()
    return TestClient(mount(app, SimpleNamespace(settings=ServeConfig())))


def test_the_page_is_at_the_root_and_names_no_script_of_another_host(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "data-record" in page.text.replace("\\u003c", "<")
    assert '<script src="http' not in page.text


def test_gradios_files_for_the_page_are_served(client: TestClient) -> None:
    assert client.get("/theme.css").status_code == 200


def test_the_pages_scripts_may_be_kept_because_their_address_changes(client: TestClient) -> None:
    address = client.get("/").text.partition('import(new URL(\\"')[2].partition('\\"')[0]
    script = client.get(address)
    assert "javascript" in script.headers["content-type"]
    assert "immutable" in script.headers["cache-control"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/upload"),
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", "/gradio_api/proxy=https://example.org/"),
        ("POST", "/gradio_api/queue/join"),
        ("POST", "/gradio_api/run/predict"),
        ("GET", "/gradio_api/info"),
        ("GET", "/gradio_api/startup-events"),
        ("GET", "/monitoring/summary"),
        ("POST", "/login"),
        ("POST", "/"),
        ("GET", "/custom_component/x/client/component/y"),
        ("GET", "//etc/passwd"),
        ("GET", "/assets/../../../../etc/passwd"),
        ("GET", "/static/..%2f..%2f..%2fpyproject.toml"),
    ],
)
def test_no_other_door_of_gradio_is_open(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code in (403, 404)
    assert "root:" not in answer.text


def test_gradios_queue_which_holds_nothing_hardly_ever_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, real = [], gradio.mount_gradio_app

    def noting(app: FastAPI, blocks: gradio.Blocks, *arguments: Any, **keys: Any) -> FastAPI:
        seen.append(blocks._queue)
        return real(app, blocks, *arguments, **keys)

    monkeypatch.setattr(gradio, "mount_gradio_app", noting)
    mount(FastAPI(), SimpleNamespace(settings=ServeConfig()))
    (queue,) = seen
    assert {name: value for name, value in vars(queue).items() if name.endswith("_when_free")} == {
        "sleep_when_free": 1.0,
        "progress_update_sleep_when_free": 1.0,
    }


def test_looking_at_the_page_is_not_counted_file_by_file(tmp_path: Path) -> None:
    serving = SimpleNamespace(
        settings=ServeConfig(limits=LimitsConfig(requests_per_minute=2)),
        access=Access(Database.open(f"sqlite:///{tmp_path / 'keys.db'}"), loopback=True),
    )
    app = mount(FastAPI(), serving)
    client = TestClient(Guard(app, serving))
    script = client.get("/").text.partition('import(new URL(\\"')[2].partition('\\"')[0]
    assert {client.get(path).status_code for path in [script, "/theme.css"] * 5} == {200}
    assert [client.get("/jobs/x").status_code for _ in range(2)] == [404, 429]
