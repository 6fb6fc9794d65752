"""The text beside its recording: heard, doubted, changed, found, downloaded."""

import json
import re
from pathlib import Path
from typing import Any

from browsing import Open, put_in, saved, slowly, text_of, written
from docx import Document
from playwright.sync_api import Page, expect

Said = list[dict[str, Any]]
SRT_TIME = re.compile(r"^\d\d:\d\d:\d\d,\d{3} --> \d\d:\d\d:\d\d,\d{3}$", re.MULTILINE)


# Which words are marked as spoken, one after the other: numbers of segment and word.
MARKED = """() => {
  window.marked = [];
  const list = document.querySelector("[data-segments]");
  new MutationObserver((changes) => {
    for (const { target } of changes) {
      if (!target.matches(".word.spoken")) continue;
      const row = target.closest(".segment");
      window.marked.push([[...list.children].indexOf(row), Number(target.dataset.n)]);
    }
  }).observe(list, { subtree: true, attributes: true, attributeFilter: ["class"] });
}"""


def time_s(page: Page) -> float:
    return float(page.evaluate("document.querySelector('audio').currentTime"))


def doubted(said: Said) -> list[str]:
    words = [word for segment in said for word in segment["words"]]
    return [word["text"] for word in words if word["probability"] < 0.5]


def test_it_is_the_text_that_the_server_wrote(text: Page, said: Said) -> None:
    assert text.locator(".segment .text").all_text_contents() == [one["text"] for one in said]


def test_a_word_that_is_pressed_plays_and_the_spoken_one_is_marked(text: Page, said: Said) -> None:
    page = text
    page.evaluate(MARKED)
    slowly(page)
    page.locator(".segment").nth(1).locator(".word").nth(2).click()
    expect(page.locator(".word.spoken")).to_have_text(said[1]["words"][2]["text"])
    expect(page.locator(".segment.now")).to_have_count(1)
    assert time_s(page) >= said[1]["words"][2]["start_s"]
    page.evaluate("document.querySelector('audio').playbackRate = 1")
    page.wait_for_function("document.querySelector('audio').ended")
    marked = page.evaluate("window.marked")
    assert len(marked) > 2
    assert [place for place in marked if place[0] == 2]
    assert marked == sorted(marked)
    page.click("[data-skip='-5']")
    assert time_s(page) < said[2]["start_s"]


def test_doubtful_words_show_and_can_be_hidden(text: Page, said: Said) -> None:
    page = text
    unsure = page.locator(".word.unsure")
    assert doubted(said)
    assert unsure.all_inner_texts() == doubted(said)
    assert re.search(r"\d+ %", unsure.first.get_attribute("title"))
    line = "(one) => getComputedStyle(one).textDecorationLine"
    assert unsure.first.evaluate(line) == "underline"
    page.click("[data-unsure]")
    assert unsure.first.evaluate(line) == "none"
    page.click("[data-unsure]")
    page.click("[data-next-unsure]")
    expect(page.locator(".word.cursor")).to_have_text(doubted(said)[0])


def test_segments_are_split_and_merged(text: Page, said: Said) -> None:
    page = text
    before, after = said[1]["text"].split(" ", 1)
    page.locator(".segment").nth(1).locator(".word").first.dblclick()
    page.keyboard.press("Enter")
    expect(page.locator(".segment")).to_have_count(4)
    expect(page.locator(".edit textarea")).to_have_value(after)
    assert text_of(page, 1) == before
    page.keyboard.press("Backspace")
    expect(page.locator(".segment")).to_have_count(3)
    page.keyboard.press("Escape")
    assert text_of(page, 1) == said[1]["text"]
    assert page.locator(".segment .at").nth(1).inner_text() == "0:03"

    page.locator(".segment").first.locator("[data-act=edit]").click()
    page.click("text=Slå ihop med nästa")
    expect(page.locator(".segment")).to_have_count(2)
    page.keyboard.press("Escape")
    assert text_of(page, 0) == f"{said[0]['text']} {said[1]['text']}"
    words = page.locator(".segment").first.locator(".word")
    slowly(page)
    words.last.click()
    expect(page.locator(".word.spoken")).to_have_text(words.last.inner_text())


def test_keys_do_all_that_is_done_to_a_text(text: Page, said: Said) -> None:
    page, press = text, text.keyboard.press
    page.locator(".segment").first.focus()
    press("End")
    expect(page.locator(".segment").nth(2)).to_be_focused()
    press("Home")
    press("u")
    expect(page.locator(".word.cursor")).to_have_text(doubted(said)[0])
    press("Home")
    press("ArrowDown")
    press("m")
    expect(page.locator(".segment")).to_have_count(2)
    press("Enter")
    page.keyboard.type(" Ja.")
    press("Escape")
    assert text_of(page, 1) == f"{said[1]['text']} {said[2]['text']}"  # Escape takes it back
    press("/")
    expect(page.locator("[data-find-what]")).to_be_focused()
    press("Escape")
    page.locator(".segment").first.focus()
    press("?")
    keys = page.locator("dialog kbd")
    expect(keys.first).to_be_visible()
    assert {"U", "M", "/", "?", "Esc"} <= set(keys.all_inner_texts())
    press("Escape")
    expect(page.locator("dialog")).to_be_hidden()


def test_find_and_replace(text: Page) -> None:
    page = text
    page.click("[data-find-open]")
    page.fill("[data-find-what]", "ÄR")
    page.check("[data-find-whole]")
    expect(page.locator("[data-find-count]")).to_have_text("2 träffar")
    page.check("[data-find-case]")
    expect(page.locator("[data-find-count]")).to_have_text("Finns inte")
    page.uncheck("[data-find-case]")
    page.fill("[data-find-with]", "blir")
    page.click("[data-find-one]")
    page.click("[data-find-one]")
    expect(page.locator("[data-find-count]")).to_have_text("1 av 1")
    assert text_of(page, 1) == "Klockan blir halv nio."
    page.click("[data-find-all]")
    expect(page.locator("[data-find-count]")).to_have_text("1 ersatt")
    assert text_of(page, 2).startswith("Det blir ")
    page.click("[data-find-close]")


def test_every_format_is_downloaded_as_the_text_stands(text: Page, said: Said) -> None:
    page = text
    page.locator(".segment").nth(1).locator("[data-act=edit]").click()
    page.locator(".edit textarea").fill("Åtta & trettio <ungefär>.")
    page.locator(".edit >> text=Klar").click()
    saved(page)
    expected = [said[0]["text"], "Åtta & trettio <ungefär>.", said[2]["text"]]
    for format in ("txt", "docx", "srt", "vtt", "json"):
        page.click("summary:has-text('Ladda ner')")
        with page.expect_download() as download:
            page.click(f"[href*='format={format}']")
        assert download.value.suggested_filename == f"möte i dag.{format}"
        assert texts_in(Path(download.value.path()), format) == expected


def texts_in(file: Path, format: str) -> list[str]:
    """The texts of the segments in a file that was downloaded."""
    if format == "docx":
        paragraphs = Document(str(file)).paragraphs
        assert paragraphs[0].text == "möte i dag"
        return [one.text.split("  ", 1)[1] for one in paragraphs[1:]]
    written = file.read_text(encoding="utf-8")
    if format == "json":
        return [one["text"] for one in json.loads(written)["segments"]]
    if format == "txt":
        return written.split("\n")[:3]
    if format == "vtt":
        assert written.startswith("WEBVTT")
        written = written.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
        return [block.split("\n", 1)[1].strip() for block in written.split("\n\n")[1:]]
    assert len(SRT_TIME.findall(written)) == 3
    return [block.split("\n", 2)[2].strip() for block in written.strip().split("\n\n")]


def test_two_people_at_one_segment_are_asked(visit: Open, text: Page) -> None:
    one = text
    other = visit("#" + one.url.partition("#")[2])
    written(other)
    for page, wrote in ((one, "Den ena skrev."), (other, "Den andra skrev.")):
        page.locator("[data-act=edit]").first.click()
        page.locator(".edit textarea").fill(wrote)
        page.locator(".edit >> text=Klar").click()
        if page is one:
            saved(one)
    expect(other.locator("dialog")).to_contain_text("Den ena skrev.")
    other.click("text=Ta min text")
    saved(other)
    one.reload()
    written(one)
    assert text_of(one, 0) == "Den andra skrev."


def test_an_edit_is_saved_when_the_server_answers_again(visit: Open, speech: Path) -> None:
    page = visit()
    put_in(page, speech)
    written(page)
    page.context.set_offline(True)
    page.locator("[data-act=edit]").first.click()
    page.locator(".edit textarea").fill("Skrivet utan nät.")
    page.locator(".edit >> text=Klar").click()
    expect(page.locator("[data-saved]")).to_have_text("Sparas när servern svarar")
    expect(page.locator("[data-alert]")).to_contain_text("Servern svarar inte")
    page.context.set_offline(False)
    expect(page.locator("[data-saved]")).to_have_text("Sparat")
    expect(page.locator("[data-alert]")).to_be_hidden()
    page.reload()
    written(page)
    assert text_of(page, 0) == "Skrivet utan nät."


def test_words_that_a_person_wrote_get_times_between_those_that_were_heard(desk: Page) -> None:
    timed = desk.evaluate(
        """async () => {
          const main = performance.getEntriesByType("resource").find((one) => one.name.endsWith("/main.js"));
          const { timedWords } = await import(main.name.replace("main.js", "align.js"));
          const heard = (text, start_s) => ({ text, start_s, end_s: start_s + 1, probability: 0.9 });
          const words = [heard("en", 1), heard("liten", 2), heard("katt", 6)];
          return timedWords({ text: "En mycket söt katt.", start_s: 1, end_s: 7, words });
        }"""  # noqa: E501
    )
    assert [(word["text"], word["start_s"], word["end_s"]) for word in timed] == [
        ("En", 1, 2),
        ("mycket", 2, 4),
        ("söt", 4, 6),
        ("katt.", 6, 7),
    ]
    assert [word["probability"] for word in timed] == [0.9, None, None, 0.9]
