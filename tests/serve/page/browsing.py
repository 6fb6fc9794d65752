"""Looking at the page as people do, in Chromium."""

import io
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import soundfile
from api_server import SPEECH
from playwright.sync_api import Browser, BrowserContext, Page, expect

from modersmal.audio import SAMPLE_RATE, decode

Open = Callable[..., Page]
PATIENCE_MS = 120_000  # with a machine that does much else
AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")


@contextmanager
def visits(browser: Browser, address: str) -> Iterator[Open]:
    """Open the page in a browser of one's own; at the end nothing has gone wrong or elsewhere."""
    contexts: list[BrowserContext] = []
    asked: list[str] = []
    wrong: list[str] = []

    def opened(
        path: str = "",
        microphone: bool = True,
        base: str = address,
        key: str | None = None,
        **options: Any,
    ) -> Page:
        settings = {"locale": "sv-SE", "viewport": {"width": 1000, "height": 760}} | options
        context = browser.new_context(**settings)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        if microphone:
            context.grant_permissions(["microphone"], origin=base.rstrip("/"))
        context.on("request", lambda request: asked.append(request.url))
        context.on("weberror", lambda error: wrong.append(str(error.error)))
        context.on("console", lambda message: _note_refusal(wrong, message.text))
        page = context.new_page()
        page.goto(base + path)
        if key is not None:
            log_in(page, key)
        page.wait_for_selector("[data-page]:visible")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong
    elsewhere = [url for url in asked if not url.startswith((address, "blob:", "data:"))]
    assert not [url for url in elsewhere if "//plain.test:" not in url]


def _note_refusal(wrong: list[str], message: str) -> None:
    if "Content Security Policy" in message:
        wrong.append(message)


def recorded(*clips: str, before_s: float = 0.0, after_s: float = 0.5) -> bytes:
    """A WAV file of some of the tests' sentences, a second between them."""
    quiet = np.zeros(SAMPLE_RATE, np.float32)
    spoken = [decode(SPEECH / f"{clip}.ogg").samples for clip in clips]
    between = [part for samples in spoken for part in (samples, quiet)][:-1]
    ends = [np.zeros(round(SAMPLE_RATE * end_s), np.float32) for end_s in (before_s, after_s)]
    out = io.BytesIO()
    samples = np.concatenate([ends[0], *between, ends[1]])
    soundfile.write(out, samples, SAMPLE_RATE, format="WAV")
    return out.getvalue()


def film(path: Path, sound: bytes) -> Path:
    """A film that shows nothing, with that sound."""
    samples, rate = soundfile.read(io.BytesIO(sound), dtype="float32")
    with av.open(str(path), "w") as out:
        picture = out.add_stream("mpeg4", rate=5, width=64, height=64, pix_fmt="yuv420p")
        voice = out.add_stream("aac", rate=rate, layout="mono")
        for _ in range(5 * len(samples) // rate):
            black = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            out.mux(picture.encode(black))
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="fltp", layout="mono")
        frame.sample_rate = rate
        for stream, rest in ((voice, frame), (voice, None), (picture, None)):
            out.mux(stream.encode(rest))
    return path


def segments_of(address: str, recording: bytes) -> list[dict[str, Any]]:
    """What the server makes of a recording, asked without a browser."""
    with httpx.Client(base_url=address, timeout=60) as client:
        token = client.post("jobs", files={"file": ("a.wav", recording)}).json()["token"]
        for _ in range(600):
            job = client.get(f"jobs/{token}").json()
            if job["state"] == "done":
                return list(job["segments"])
            time.sleep(0.1)
    raise AssertionError(job)


def log_in(page: Page, key: str) -> None:
    page.fill("input[name=key]", key)
    page.click("form button")


def put_in(page: Page, *files: Path) -> None:
    page.set_input_files("[data-files]", files)


def written(page: Page, segments: int = 3) -> None:
    """Wait until all is written."""
    page.wait_for_url("**/#job=*")
    expect(page.locator(".segment")).to_have_count(segments)
    expect(page.locator("[data-working]")).to_be_hidden()


def saved(page: Page) -> None:
    expect(page.locator("[data-saved]")).to_have_text(re.compile("Sparat|Saved"))


def record_s(page: Page, seconds: int) -> None:
    """Wait until the microphone has been heard for so long, or longer."""
    page.wait_for_function(
        """(least) => {
          const [minutes, seconds] = document.querySelector("[data-clock]").innerText.split(":");
          return 60 * Number(minutes) + Number(seconds) >= least;
        }""",
        arg=seconds,
    )


def slowly(page: Page) -> None:
    """Play so slowly that a word lasts as long as any machine needs to look at it."""
    page.evaluate("document.querySelector('audio').playbackRate = 0.0625")


def text_of(page: Page, number: int) -> str:
    return page.locator(".segment .text").nth(number).text_content() or ""


def tab_to(page: Page, what: str, back: bool = False) -> None:
    for _ in range(40):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        if page.evaluate("(what) => document.activeElement.matches(what)", what):
            return
    raise AssertionError(f"Tab does not lead to {what}")


def serious(page: Page) -> Sequence[str]:
    """What axe-core finds that keeps people out."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
    return [
        f"{rule['id']}: {node['html']}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
