"""Where keys are on and corrections are kept: from the login to what a reviewer has accepted."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from api_server import Running, running_beside
from browsing import Open, log_in, put_in, saved, serious, text_of, visits, written
from playwright.sync_api import Browser, Page, expect

from modersmal.config.serving import CorrectionsConfig, ServeConfig
from modersmal.corpus.corrections.book import Book

TERMS = CorrectionsConfig(
    purpose="För att skriva svenska bättre.",
    consent="Mina rättelser och ljudet till dem får läras av.",
    retention_days=30,
)
RIGHT = "Det är tjugofem grader i Umeå."


@dataclass(frozen=True)
class Office:
    """A server of people with keys."""

    running: Running
    anna: str
    reviewer: str

    @property
    def book(self) -> Book:
        return Book(self.running.serving.database)


@pytest.fixture(scope="module")
def office(server: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    settings = ServeConfig(corrections=TERMS)
    with running_beside(server, tmp_path_factory.mktemp("office"), settings) as found:
        yield Office(found, found.keys.add("anna"), found.keys.add("bo", "reviewer"))


@pytest.fixture
def visit(browser: Browser, office: Office) -> Iterator[Open]:
    with visits(browser, f"{office.running.url}/") as opened:
        yield opened


@pytest.fixture
def agreed(visit: Open, office: Office, speech: Path) -> Page:
    """Anna's page with a text whose corrections may be kept."""
    page = visit(key=office.anna)
    put_in(page, speech)
    written(page)
    page.click("text=Läs och svara")
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text(TERMS.purpose)
    expect(dialog).to_contain_text(TERMS.consent)
    expect(dialog).to_contain_text("30 dagar")
    assert not serious(page)
    dialog.get_by_text("Ja, det får de").click()
    expect(dialog).to_be_visible()  # both questions are to be answered first
    dialog.get_by_text("Min egen").click()
    dialog.get_by_text("Den som talar har sagt ja").click()
    dialog.get_by_text("Ja, det får de").click()
    expect(dialog.locator("code.key")).to_contain_text("msp-")
    dialog.get_by_text("Stäng").click()
    expect(page.locator("[data-consent]")).to_contain_text("får göra modellen bättre")
    return page


def correct(page: Page) -> None:
    """Correct the sentence that the model was not sure of, and confirm the first."""
    page.locator(".segment").nth(2).locator("[data-act=edit]").click()
    page.locator(".edit textarea").fill(RIGHT)
    page.locator(".edit >> text=Klar").click()
    saved(page)
    page.locator(".segment").first.locator("[data-act=confirm]").click()
    expect(page.locator(".segment").first.locator("[data-act=confirm]")).to_have_attribute(
        "aria-pressed", "true"
    )


def test_who_has_no_key_logs_in_and_the_link_still_leads_to_the_text(
    visit: Open, office: Office, speech: Path
) -> None:
    page = visit(key=office.anna)
    put_in(page, speech)
    written(page)
    link = page.url.partition("#")[2]
    page.click("[data-logout]")
    page.wait_for_url("**/login")
    assert not serious(page)
    log_in(page, "msk-nobody")
    expect(page.locator("[role=alert]")).to_contain_text("finns inte")
    log_in(page, office.anna)
    page.wait_for_selector("[data-page]:visible")

    other = visit(f"#{link}", key=office.anna)
    written(other)
    other.context.clear_cookies()
    other.locator("[data-act=edit]").first.click()
    other.locator(".edit textarea").fill("Efter utloggningen.")
    other.locator(".edit >> text=Klar").click()
    other.wait_for_url("**/login*")
    log_in(other, office.anna)
    written(other)


def test_from_consent_by_edit_and_review_to_what_is_accepted(
    agreed: Page, visit: Open, office: Office
) -> None:
    page = agreed
    before = office.book.count_waiting()
    correct(page)
    waiting = [one for one in office.book.waiting(10) if one.text == RIGHT]
    assert office.book.count_waiting() == before + 2
    assert [(one.voice, one.ground, one.release) for one in waiting] == [
        ("mine", "consent", "bundled")
    ]
    expect(page.locator("[data-review]")).to_be_hidden()
    page.evaluate("location.hash = 'review'")
    expect(page.locator("[data-review-empty]")).to_contain_text("granskares nyckel")

    judge = visit("#review", key=office.reviewer)
    expect(judge.locator("[data-review-left]")).to_have_text(f"{before + 2} väntar")
    expect(judge.locator("[data-review-facts]")).to_contain_text("bundled · Min egen")
    expect(judge.locator("ins")).to_have_text("grader")  # the model was least sure of this one
    assert not serious(judge)
    expect(judge.locator("[data-review-item]")).to_be_focused()
    judge.keyboard.press("Space")
    judge.wait_for_function("document.querySelector('[data-review-audio]').currentTime > 0")
    judge.keyboard.press("a")
    expect(judge.locator("[data-review-left]")).to_have_text("1 väntar")
    judge.click("[data-review-reject]")
    expect(judge.locator("[data-review-empty]")).to_have_text("Inga rättelser väntar.")
    kept = office.book.of_recording(waiting[0].recording)
    assert sorted((one.state, one.text) for one in kept) == [
        ("accepted", RIGHT),
        ("rejected", "Skicka ett meddelande till Emil."),
    ]


def test_consent_can_be_taken_back(agreed: Page, office: Office) -> None:
    page = agreed
    before = office.book.count_waiting()
    correct(page)
    assert office.book.count_waiting() == before + 2
    page.click("text=Ta tillbaka")
    expect(page.locator("[data-consent]")).to_contain_text("Läs och svara")
    assert office.book.count_waiting() == before
    assert text_of(page, 2) == RIGHT  # the text itself is the person's own


def test_a_persons_data_is_fetched_and_erased_by_key(agreed: Page, office: Office) -> None:
    page = agreed
    before = office.book.count_waiting()
    correct(page)
    page.click("[data-person]")
    assert not serious(page)
    with page.expect_download() as download:
        page.click("text=Hämta allt")
    with zipfile.ZipFile(download.value.path()) as got:
        assert RIGHT in got.read("corrections.json").decode("utf-8")
        assert len([name for name in got.namelist() if name.endswith(".flac")]) == 2
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("text=Radera allt")
    expect(page.locator("dialog")).to_contain_text("Allt är raderat.")
    assert office.book.count_waiting() == before


def test_what_cannot_be_learned_from_is_said_beside_it(agreed: Page) -> None:
    page = agreed
    page.locator(".segment").first.locator("[data-act=edit]").click()
    page.locator(".edit textarea").fill("ett två tre fyra")
    page.evaluate("document.activeElement.setSelectionRange(7, 7)")
    page.keyboard.press("Enter")
    expect(page.locator(".segment")).to_have_count(4)
    expect(page.locator("textarea:visible")).to_have_value("tre fyra")
    page.keyboard.press("Escape")
    expect(page.locator(".unfit").first).to_contain_text("Där det delades hördes inget ord")


def test_of_a_protected_source_nothing_is_asked(visit: Open, office: Office, speech: Path) -> None:
    page = visit(key=office.anna)
    page.click(".options summary")
    page.check("[data-protected]")
    put_in(page, speech)
    written(page)
    expect(page.locator("[data-consent]")).to_be_hidden()
