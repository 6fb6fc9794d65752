"""What is put into the page: files, films, recordings; what is kept of them, and for whom."""

import base64
import re
from pathlib import Path

import pytest
from api_server import CLIP, SAID
from browsing import Open, film, put_in, record_s, recorded, text_of, written
from playwright.sync_api import Page, expect

DROP = """(files) => {
  const dataTransfer = new DataTransfer();
  for (const [name, content] of files) {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    dataTransfer.items.add(new File([bytes], name));
  }
  for (const kind of ["dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
  }
}"""  # noqa: E501


@pytest.fixture
def intake(desk: Page) -> Page:
    """The page where things are put in, open since before."""
    desk.evaluate("location.hash = ''")
    expect(desk.locator("[data-record]")).to_be_visible()
    return desk


def drop(page: Page, *files: Path) -> None:
    content = [[file.name, base64.b64encode(file.read_bytes()).decode()] for file in files]
    page.evaluate(DROP, content)


def test_a_film_is_dropped_anywhere(intake: Page, tmp_path: Path) -> None:
    page = intake
    drop(page, film(tmp_path / "vårt möte.mp4", recorded("03")))
    written(page, segments=1)
    expect(page.locator("[data-title]")).to_have_text("vårt möte")
    assert text_of(page, 0) == SAID


def test_several_files_at_once_are_listed_and_can_be_erased(visit: Open, tmp_path: Path) -> None:
    files = [tmp_path / f"intervju {number}.ogg" for number in range(3)]
    for file in files:
        file.write_bytes(CLIP.read_bytes())
    page = visit()
    put_in(page, files[0], files[1])
    drop(page, files[2], files[0])
    rows = page.locator("[data-recent] li")
    expect(rows).to_have_count(4)
    expect(rows.filter(has_text="raderas")).to_have_count(4)
    page.get_by_role("button", name="Radera intervju 1").click()
    page.locator("dialog >> text=Behåll").click()
    expect(rows).to_have_count(4)
    page.get_by_role("button", name="Radera intervju 1").click()
    page.locator("dialog button", has_text="Radera").click()
    expect(rows).to_have_count(3)
    page.reload()
    expect(rows).to_have_count(3)
    rows.first.locator("a").click()
    written(page, segments=1)


def test_what_is_no_recording_is_said_to_be_none(intake: Page, tmp_path: Path) -> None:
    page = intake
    letter = tmp_path / "brev.wav"
    letter.write_bytes(b"Hej! " * 400)
    put_in(page, letter)
    expect(page.locator("[data-job-trouble]")).to_contain_text("Det gick inte")
    assert page.locator("[data-job-trouble]").inner_text().strip()[-2:] != ". "


def test_a_closed_tab_loses_nothing_and_the_link_opens_it_elsewhere(
    visit: Open, speech: Path
) -> None:
    page = visit()
    put_in(page, speech)
    page.wait_for_url("**/#job=*")
    link = page.url
    page.close()
    other = visit("#" + link.partition("#")[2])
    written(other)
    other.locator("[data-back]:visible").click()
    other.locator("[data-recent] a").click()
    written(other)


def test_a_text_comes_as_it_is_written_with_how_much_is_left(visit: Open, tmp_path: Path) -> None:
    long = tmp_path / "lång.wav"
    long.write_bytes(recorded(*[f"{clip:02}" for clip in range(27)] * 8))
    page = visit()
    put_in(page, long)
    expect(page.locator(".segment").first).to_be_visible()
    expect(page.locator("[data-stage]")).to_contain_text("kvar")
    assert page.locator("[data-progress]").get_attribute("value")
    page.click("[data-cancel]")
    expect(page.locator("[data-working]")).to_be_hidden()
    assert page.locator(".segment").count()


def test_where_a_server_is_away_the_page_waits_for_it(visit: Open, speech: Path) -> None:
    page = visit()
    page.route("**/events", lambda route: route.fulfill(status=502))  # what a proxy says then
    put_in(page, speech)
    page.wait_for_url("**/#job=*")
    place = page.url.partition("#")[2]
    page.unroute("**/events")
    written(page)

    page.evaluate("location.hash = ''")
    expect(page.locator("[data-record]")).to_be_visible()
    page.context.set_offline(True)
    page.evaluate("(place) => (location.hash = place)", place)
    expect(page.locator("[data-alert]")).to_contain_text("Sidan försöker igen")
    page.context.set_offline(False)
    written(page)
    expect(page.locator("[data-alert]")).to_be_hidden()
    expect(page.locator("[data-job-trouble]")).to_be_hidden()


def test_a_recording_outlives_its_tab(visit: Open) -> None:
    page = visit()
    page.click("[data-record]")
    record_s(page, 4)
    other = page.context.new_page()
    page.close()
    other.goto(page.url)
    expect(other.locator("[data-recent]")).to_contain_text("finns kvar här i webbläsaren")
    other.get_by_role("button", name="Försök igen").click()
    written(other, segments=1)
    assert text_of(other, 0) == SAID
    expect(other.locator("[data-title]")).to_have_text(re.compile("^Inspelning "))
    other.reload()
    other.locator("[data-back]:visible").click()
    expect(other.locator("[data-recent] li")).to_have_count(1)


def test_what_was_recorded_without_a_net_is_sent_later(visit: Open) -> None:
    page = visit()
    page.context.set_offline(True)
    page.click("[data-record]")
    record_s(page, 3)
    page.click("[data-pause]")
    expect(page.locator("[data-recording-hint]")).to_have_text("Pausad")
    page.click("[data-pause]")
    page.click("[data-stop]")
    expect(page.locator("[data-recent]")).to_contain_text("Servern svarar inte")
    page.context.set_offline(False)
    page.reload()
    page.get_by_role("button", name="Försök igen").click()
    written(page, segments=1)
    assert text_of(page, 0) == SAID


def test_a_link_that_leads_nowhere_any_more_says_so(intake: Page) -> None:
    intake.evaluate("location.hash = 'job=nothing'")
    expect(intake.locator("[data-alert]")).to_have_text(
        "Den texten finns inte längre. Den har raderats."
    )
    expect(intake.locator("[data-record]")).to_be_visible()


def test_a_protected_source_stays_while_it_is_looked_at_and_is_not_listed(
    visit: Open, speech: Path
) -> None:
    page = visit()
    page.clock.install()
    page.click(".options summary")
    page.check("[data-protected]")
    put_in(page, speech)
    written(page)
    expect(page.locator("[data-facts]")).to_contain_text("Skyddad källa")
    with page.expect_request("**/jobs/*"):
        page.clock.fast_forward("10:00")
    page.locator("[data-back]:visible").click()
    expect(page.locator("[data-recent] li")).to_have_count(0)


def test_a_microphone_that_is_denied_gets_a_sentence_that_helps(visit: Open) -> None:
    page = visit(microphone=False)
    page.click("[data-record]")
    expect(page.locator("[data-intake-trouble]")).to_contain_text("tillåt mikrofonen")


def test_without_https_it_says_what_to_do(visit: Open, address: str) -> None:
    page = visit(base=address.replace("127.0.0.1", "plain.test"), microphone=False)
    page.click("[data-record]")
    expect(page.locator("[data-intake-trouble]")).to_contain_text("https")


def test_what_happens_to_the_recording_is_said_before_it_is_made(intake: Page) -> None:
    expect(intake.locator("[data-keeps]")).to_contain_text("raderas efter 7 dagar")
