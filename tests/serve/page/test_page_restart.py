"""A server that is killed while somebody looks, and started again at the same address."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from browsing import put_in, recorded, saved, text_of, visits
from playwright.sync_api import Browser, expect

CLIPS = [f"{clip:02}" for clip in range(27)]


def start(folder: Path, port: int) -> subprocess.Popen[str]:
    """A server in a group of its own, once it answers."""
    command = [sys.executable, "-m", "modersmal", "serve", "--model", "bundled"]
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert any("is served at" in line for line in process.stderr)
    return process


def kill(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)


@pytest.mark.chaos
@pytest.mark.timeout(1200)
def test_a_page_that_stays_open_ends_with_the_whole_text(
    browser: Browser, tmp_path: Path, cache: Path
) -> None:
    recording = tmp_path / "lång.wav"
    recording.write_bytes(recorded(*CLIPS * 3))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    address = f"http://127.0.0.1:{port}/"
    process = start(tmp_path, port)
    try:
        with visits(browser, address) as visit:
            page = visit()
            put_in(page, recording)
            expect(page.locator(".segment").nth(5)).to_be_attached(timeout=120_000)
            page.locator("[data-act=edit]").first.click()
            page.locator(".edit textarea").fill("Ändrat före olyckan.")
            page.locator(".edit >> text=Klar").click()
            saved(page)
            token = page.url.partition("#job=")[2]
            before = httpx.get(f"{address}jobs/{token}").json()
            assert before["state"] == "writing"
            kill(process)
            expect(page.locator("[data-alert]")).to_contain_text("Servern svarar inte")
            process = start(tmp_path, port)
            expect(page.locator("[data-working]")).to_be_hidden(timeout=600_000)
            after = httpx.get(f"{address}jobs/{token}").json()
            assert after["state"] == "done"
            texts = [one["text"] for one in after["segments"]]
            assert texts[0] == "Ändrat före olyckan."
            assert texts[: len(before["segments"])] == [one["text"] for one in before["segments"]]
            assert len(texts) > 0.9 * 3 * len(CLIPS)
            expect(page.locator(".segment")).to_have_count(len(texts))
            assert text_of(page, 0) == texts[0]
    finally:
        kill(process)
