"""Takes the guide's pictures of the page: python docs/pictures.py ADDRESS RECORDING.

ADDRESS is a running `modersmal serve`, RECORDING a WAV file with some sentences of Swedish, of
which the model is unsure of a word. The microphone hears the recording. With corrections on, there
are pictures of them too.
"""

import shutil
import sys
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, expect, sync_playwright

PICTURES = Path(__file__).parent / "pictures"
DESK = {"viewport": {"width": 900, "height": 640}, "locale": "sv-SE", "color_scheme": "light"}
PHONE = {"viewport": {"width": 390, "height": 760}, "locale": "sv-SE", "color_scheme": "dark",
         "has_touch": True, "is_mobile": True}  # fmt: skip


def take(page: Page, name: str) -> None:
    page.wait_for_timeout(400)  # for what fades
    page.screenshot(path=PICTURES / f"{name}.png")


def at_the_desk(browser: Browser, address: str, recording: Path) -> str:
    """The start, and a text while it plays; returns the text's address."""
    page = browser.new_page(**DESK)
    page.goto(address)
    page.wait_for_selector("[data-record]:visible")
    take(page, "page-start")
    page.set_input_files("[data-files]", recording)
    written(page)
    page.locator(".segment").nth(1).locator(".word").nth(4).click()
    page.click("[data-play]")
    page.wait_for_selector(".word.spoken")
    take(page, "page-text")
    return page.url


def in_the_dark(browser: Browser, address: str) -> None:
    """The same text, of which a word is being changed."""
    page = browser.new_page(**DESK | {"color_scheme": "dark"})
    page.goto(address)
    correct(page)
    take(page, "page-edit")
    page.keyboard.press("Escape")


def on_a_phone(browser: Browser, address: str, text: str) -> None:
    """A recording being made, by daylight, and the text at night."""
    page = browser.new_page(**PHONE | {"color_scheme": "light"}, permissions=["microphone"])
    page.goto(address)
    page.tap("[data-record]")
    expect(page.locator("[data-clock]")).to_have_text("0:07")
    take(page, "page-phone-recording")
    page.tap("[data-discard]")
    page = browser.new_page(**PHONE)
    page.goto(text)
    page.wait_for_selector(".segment")
    take(page, "page-phone")


def where_corrections_are_kept(browser: Browser, address: str, text: str) -> None:
    """The question, and what a reviewer sees of an answer."""
    page = browser.new_page(**DESK | {"viewport": {"width": 900, "height": 720}})
    page.goto(text)
    page.click("[data-consent] button")
    page.check("[value=mine]")
    page.locator("input[name=ground][value=consent]").check()
    take(page, "page-consent")
    page.click("dialog .primary")
    expect(page.locator("code.key")).to_be_visible()
    page.click("dialog .primary")
    correct(page)
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-saved]")).to_have_text("Sparat")
    page.set_viewport_size({"width": 900, "height": 560})
    page.goto(f"{address}#review")
    expect(page.locator("[data-review-item]")).to_be_visible()
    take(page, "page-review")


def correct(page: Page) -> None:
    """Begin to write another word where the model was unsure."""
    unsure = page.locator(".word.unsure").first
    length = len(unsure.inner_text())
    unsure.dblclick()
    for _ in range(length):
        page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.type("grader")


def written(page: Page) -> None:
    page.wait_for_selector(".segment")
    page.wait_for_selector("[data-working]", state="hidden")


def main() -> None:
    address, recording = sys.argv[1].rstrip("/") + "/", Path(sys.argv[2])
    PICTURES.mkdir(exist_ok=True)
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=[
                "--no-sandbox",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={recording}",
            ],
        )
        text = at_the_desk(browser, address, recording)
        in_the_dark(browser, text)
        on_a_phone(browser, address, text)
        if httpx.get(f"{address}corrections/terms").json()["enabled"]:
            where_corrections_are_kept(browser, address, text)
        browser.close()


if __name__ == "__main__":
    main()
