"""Chromium with a microphone that says something, and the server that is looked at."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_server import Running
from browsing import PATIENCE_MS, Open, put_in, recorded, segments_of, visits, written
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WAV file of three sentences; of one of them the model is not sure."""
    path = tmp_path_factory.mktemp("speech") / "möte i dag.wav"
    path.write_bytes(recorded("12", "03", "13"))
    return path


@pytest.fixture(scope="session")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the microphone hears: a sentence, and then nothing for as long as a test records."""
    path = tmp_path_factory.mktemp("microphone") / "heard.wav"
    path.write_bytes(recorded("03", before_s=0.7, after_s=30))
    return path


@pytest.fixture(scope="session")
def address(server: Running) -> str:
    return f"{server.url}/"


@pytest.fixture(scope="session")
def said(address: str, speech: Path) -> list[dict[str, Any]]:
    """The segments of `speech`, as the server's own interface tells them."""
    return segments_of(address, speech.read_bytes())


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Playwright, microphone: Path) -> Iterator[Browser]:
    launched = playwright.chromium.launch(
        executable_path=CHROMIUM,
        args=[
            "--no-sandbox",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-audio-capture={microphone}",
            "--host-resolver-rules=MAP plain.test 127.0.0.1",
        ],
    )
    yield launched
    launched.close()


@pytest.fixture(scope="session")
def visitors(browser: Browser, address: str) -> Iterator[Open]:
    """Open the page in a browser of one's own; at the end nothing has gone wrong or elsewhere."""
    with visits(browser, address) as opened:
        yield opened


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Open]:
    """As `visitors`, for one test."""
    with visits(browser, address) as opened:
        yield opened


@pytest.fixture(scope="session")
def desk(visitors: Open) -> Page:
    """A page that stays open; opening it takes as long as a test."""
    return visitors()


@pytest.fixture
def text(desk: Page, speech: Path) -> Page:
    """A page that shows the text of a new job."""
    desk.evaluate("location.hash = ''")
    put_in(desk, speech)
    written(desk)
    return desk


@pytest.fixture(scope="session")
def phone(playwright: Playwright) -> dict:
    """What makes a browser a phone, 390 px wide, without a mouse."""
    return {**playwright.devices["iPhone 13"], "viewport": {"width": 390, "height": 780}}
