"""A person at the page: by mouse, by touch, by keyboard alone; in both languages and colours."""

from pathlib import Path

import pytest
from api_server import SAID
from browsing import Open, put_in, record_s, saved, serious, slowly, tab_to, text_of, written
from playwright.sync_api import Page, expect


def recorded_there(page: Page) -> None:
    """The microphone has been heard, and the sentence it hears is written."""
    written(page, segments=1)
    assert text_of(page, 0) == SAID


def test_by_mouse_from_the_microphone_to_subtitles(visit: Open) -> None:
    page = visit()
    page.click("[data-record]")
    record_s(page, 4)
    page.click("[data-stop]")
    recorded_there(page)

    slowly(page)
    page.locator(".word").nth(2).click()
    expect(page.locator(".word.spoken")).to_have_text("halv")
    page.locator(".word").nth(1).dblclick()
    page.keyboard.type(" nästan")
    page.keyboard.press("Control+Enter")
    saved(page)
    page.reload()
    written(page, segments=1)
    assert text_of(page, 0) == "Klockan är nästan halv nio."

    page.click("summary:has-text('Ladda ner')")
    with page.expect_download() as download:
        page.click("text=Undertexter (srt)")
    assert "är nästan halv" in Path(download.value.path()).read_text(encoding="utf-8")
    assert download.value.suggested_filename.endswith(".srt")


def test_by_touch_on_a_narrow_phone(visit: Open, phone: dict) -> None:
    page = visit(**phone)
    page.tap("[data-record]")
    record_s(page, 4)
    page.tap("[data-stop]")
    recorded_there(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390

    slowly(page)
    page.locator(".word").nth(3).tap()
    expect(page.locator(".word.spoken")).to_have_text("nio.")
    page.locator("[data-act=edit]").first.tap()
    page.locator(".edit textarea").fill("Nu står det något annat.")
    page.locator(".edit >> text=Klar").tap()
    saved(page)
    assert text_of(page, 0) == "Nu står det något annat."
    small = page.evaluate(
        "[...document.querySelectorAll('button, summary, select, a, input')]"
        ".filter((one) => one.checkVisibility() && !one.closest('.unseen, p'))"
        ".filter((one) => one.getBoundingClientRect().height < 40).map((one) => one.outerHTML)"
    )
    assert not small

    page.locator("summary:has-text('Ladda ner')").tap()
    with page.expect_download() as download:
        page.locator("text=Undertexter (srt)").tap()
    assert "något annat" in Path(download.value.path()).read_text(encoding="utf-8")


def test_by_keyboard_alone(visit: Open) -> None:
    page = visit()
    press = page.keyboard.press
    tab_to(page, "[data-record]")
    press("Enter")
    record_s(page, 4)
    press("Enter")  # the focus is on "done"
    recorded_there(page)

    tab_to(page, ".segment")
    press("ArrowRight")
    press("ArrowRight")
    expect(page.locator(".word.cursor")).to_have_text("är")
    slowly(page)
    press("Space")
    expect(page.locator(".word.spoken")).to_have_text("är")
    press("Space")
    press("Enter")
    page.keyboard.type(" nästan")
    press("Control+Enter")
    saved(page)
    assert text_of(page, 0) == "Klockan är nästan halv nio."

    tab_to(page, "summary", back=True)
    tab_to(page, "summary", back=True)
    press("Enter")
    tab_to(page, "[href*='format=srt']")
    with page.expect_download() as download:
        press("Enter")
    assert "är nästan halv" in Path(download.value.path()).read_text(encoding="utf-8")


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_nothing_keeps_people_out(visit: Open, phone: dict, speech: Path, look: str) -> None:
    page = visit(**(phone if look == "phone" else {"color_scheme": look}))
    page.click(".options summary")
    assert not serious(page)
    put_in(page, speech)
    written(page)
    page.locator(".word").nth(2).click()
    page.click("[data-find-open]")
    page.click("summary:has-text('Ladda ner')")
    assert not serious(page)
    page.keyboard.press("Escape")
    page.locator(".segment").first.locator("[data-act=edit]").click()
    assert not serious(page)
    page.keyboard.press("Escape")
    page.locator(".segment").first.focus()
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()
    assert not serious(page)


def test_both_languages_and_both_colours_are_kept(visit: Open) -> None:
    page = visit()
    expect(page.locator("h1:visible")).to_have_text("Tal blir text")
    page.select_option("[data-interface]", "en")
    expect(page.locator("h1:visible")).to_have_text("Speech becomes text")
    page.click("[data-theme]")
    page.click("[data-theme]")  # as the computer, light, dark
    page.reload()
    expect(page.locator("h1:visible")).to_have_text("Speech becomes text")
    assert page.evaluate("document.documentElement.lang") == "en"
    paper = page.evaluate("getComputedStyle(document.querySelector('[data-page]')).backgroundColor")
    assert paper == "rgb(21, 22, 24)"


def test_whose_browser_is_english_reads_english(visit: Open) -> None:
    expect(visit(locale="en-GB").locator("h1:visible")).to_have_text("Speech becomes text")


def test_the_language_and_the_release_that_answer_are_shown(desk: Page, text: Page) -> None:
    expect(text.locator("[data-facts]")).to_contain_text("svenska · bundled · raderas")
    text.evaluate("location.hash = ''")
    expect(desk.locator("[data-served]")).to_have_text("svenska · bundled")
