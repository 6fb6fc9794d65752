"""The page and what corrections make of it: recorded, read, corrected, reviewed, improved, told."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from api_server import SAID
from browsing import Open, record_s, saved, text_of, visits, written
from playwright.sync_api import Browser, Page, expect

from hard_of_hearing import correct_all, open_collection, write_recipe, write_store
from modersmal.corpus import Corpus

FOUND = (
    '{"corrections": %d, "metric": "wer", "before": 31.24, "after": 24.8, "low": -10.1,'
    ' "high": -2.04, "clips": 40, "release": 7}'
)


@pytest.mark.parametrize(
    ("language", "count", "sentence"),
    [
        ("sv", 1234, "1 234 rättelser tog WER från 31,2 % till 24,8 % "
         "(95 %: −10,1 till −2,0 enheter); release 7 används nu."),
        ("en", 24, "24 corrections took WER from 31.2 % to 24.8 % (95 %: -10.1 to -2.0 points); "
         "release 7 is live."),
        ("en", 1, "1 correction took WER from 31.2 % to 24.8 % (95 %: -10.1 to -2.0 points); "
         "release 7 is live."),
    ],
)  # fmt: skip
def test_what_corrections_took_the_rate_from_and_to_is_told_in_the_persons_numbers(
    visit: Open, language: str, count: int, sentence: str
) -> None:
    page = visit(locale=language)
    expect(page.locator("[data-improvement]")).to_be_hidden()
    page.route("**/improvements/latest", lambda route: route.fulfill(body=FOUND % count))
    page.reload()
    expect(page.locator("[data-improvement]")).to_have_text(sentence)


@contextmanager
def served(recipe: Path) -> Iterator[str]:
    """The address of a server of the recipe's store."""
    process = subprocess.Popen(
        [sys.executable, "-m", "modersmal", "serve", "--model", str(recipe.parent / "store"),
         "--recipe", str(recipe), "--port", "0"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        found = None
        for line in process.stderr:
            if found := re.search(r"is served at (http://\S+)", line):
                break
        assert found is not None
        yield f"{found[1]}/"
    finally:
        process.terminate()
        process.communicate(timeout=60)


def improve(recipe: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "modersmal", "improve", str(recipe), *arguments],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def record(page: Page) -> None:
    page.click("[data-record]")
    record_s(page, 4)
    page.click("[data-stop]")
    written(page, segments=1)


def agree(page: Page) -> None:
    page.click("text=Läs och svara")
    page.check("input[name=voice][value=mine]")
    page.check("input[name=ground][value=consent]")
    page.click("text=Ja, det får de")
    expect(page.locator("code.key")).to_contain_text("msp-")
    page.click("dialog >> text=Stäng")


Picture = Callable[[Page, str], None]


@pytest.fixture
def picture(pytestconfig: pytest.Config) -> Picture:
    """Takes the guide's pictures of what happens, where `--pictures` names a folder for them."""
    folder = pytestconfig.getoption("--pictures")

    def take(page: Page, name: str) -> None:
        if folder is not None:
            page.wait_for_timeout(400)  # for what fades
            page.screenshot(path=folder / f"{name}.png")

    return take


@pytest.mark.chaos
def test_what_a_person_corrects_is_in_the_release_that_answers_next(
    browser: Browser, tmp_path: Path, picture: Picture
) -> None:
    """The first release hears badly, and the server goes on running while the second is made."""
    recipe = write_recipe(tmp_path, folder='"serve"\nwatch_s = 1.0')
    write_store(recipe)
    collection = open_collection(recipe)
    correct_all(collection)  # what others have corrected before
    with served(recipe) as address, visits(browser, address) as visit:
        page = visit(viewport={"width": 900, "height": 560}, color_scheme="light")
        record(page)
        picture(page, "improve-1-heard-badly")
        assert text_of(page, 0) != SAID
        expect(page.locator("[data-served]")).to_contain_text("release-1")
        agree(page)
        page.click("[data-act=edit]")
        page.locator(".edit textarea").fill(SAID)
        picture(page, "improve-2-corrected")
        page.click(".edit >> text=Klar")
        saved(page)

        page.evaluate("location.hash = 'review'")
        expect(page.locator("[data-review-text]")).to_have_value(SAID)
        picture(page, "improve-3-reviewed")
        page.click("[data-review-accept]")
        expect(page.locator("[data-review-empty]")).to_be_visible()

        page.evaluate("location.hash = ''")
        assert "Release 2 waits for approval" in improve(recipe)
        expect(page.locator("[data-improvement]")).to_be_hidden()
        assert "Release 2 is live" in improve(recipe, "--approve")
        expect(page.locator("[data-served]")).to_contain_text("release-2")
        expect(page.locator("[data-improvement]")).to_have_text(
            re.compile(r"^\d+ rättelser tog WER från .* till .*; release 2 används nu\.$"),
            timeout=120_000,
        )
        picture(page, "improve-4-told")
        record(page)
        assert text_of(page, 0) == SAID
        picture(page, "improve-5-heard-well")
    collection.book.database.close()
    corpus = Corpus.open(tmp_path / "store" / "corpora" / "sv-improve-1-corrections")
    assert SAID in [text for split in corpus.splits for text in corpus.split(split).texts]
