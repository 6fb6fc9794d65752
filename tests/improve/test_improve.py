"""When an improvement begins, what it waits for, and how it ends; nothing is trained here."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import modersmal
from hard_of_hearing import correct, correct_all, open_collection, write_attempt, write_recipe
from modersmal import cli
from modersmal.corpus.corrections.collection import Collection
from modersmal.corpus.corrections.improvements import Improvements
from modersmal.errors import RecipeError, StoreDamaged, StoreError
from modersmal.improve.attempt import Attempts
from modersmal.store.releases import Releases
from modersmal.store.remote import Remote

TOLD = (
    "24 corrections took WER from 31.2 % to 24.8 % (-6.4 points, 95 %: -10.1 to -2.1), on 40 "
    "clips that were set aside, transcribed from scratch."
)


def improve(recipe: Path, *arguments: str) -> int:
    return cli.main(["improve", str(recipe), *arguments])


def latest(recipe: Path) -> int | None:
    return Releases.open(str(recipe.parent / "store")).latest()


def attempts(recipe: Path) -> Attempts:
    return Attempts(Remote.open(str(recipe.parent / "store")))


def test_too_little_to_learn_from_is_told_and_nothing_begins(
    recipe: Path, collection: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert improve(recipe) == 0
    assert "0 corrections were accepted since the last time" in capsys.readouterr().out
    correct(collection, "train", range(3))
    assert improve(recipe) == 0
    said = capsys.readouterr().out
    assert "0 accepted corrections are set aside" in said
    assert "improve.min_set_aside asks for 2" in said
    assert not list((recipe.parent / "store").glob("improvements/*.json"))


@pytest.mark.parametrize(
    "values", [{"state": "waiting"}, {"voice": "unknown"}, {"ground": "unknown"}]
)
def test_what_must_not_be_learned_from_does_not_count(
    values: dict[str, Any], recipe: Path, collection: Collection
) -> None:
    correct_all(collection)
    for one in collection.book.all():
        assert collection.settle(one.recording, [replace(one, **values)], [], {})
    result = modersmal.improve(recipe)
    assert result.state == "nothing"
    assert "0 corrections were accepted" in str(result)


def test_what_an_earlier_one_has_learned_from_is_not_new(
    recipe: Path, collection: Collection
) -> None:
    correct_all(collection)
    for state in ("live", "refused"):
        write_attempt(recipe, state=state, began_s=collection.book.now() + 60)
        assert modersmal.improve(recipe).state == "nothing"


def test_a_release_that_waits_is_told_and_nothing_is_made_anew(
    recipe: Path, collection: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    write_attempt(recipe)
    for _ in range(2):
        assert improve(recipe) == 0
        said = capsys.readouterr().out
        assert TOLD in said
        assert "Release 2 waits for approval" in said
        assert f"--model {recipe.parent / 'store'}#2" in said
    assert latest(recipe) == 1


def test_approved_it_is_the_latest_and_the_page_can_tell(
    recipe: Path, collection: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    write_attempt(recipe)
    assert improve(recipe, "--approve") == 0
    assert f"{TOLD}\n" in (said := capsys.readouterr().out)
    assert "Release 2 is live." in said
    assert latest(recipe) == 2
    (shown,) = Improvements(collection.book.database).all("live")
    assert (shown.corrections, shown.release, shown.clips) == (24, 2, 40)
    rates = (shown.wer_before, shown.wer_after, shown.difference_low, shown.difference_high)
    assert rates == pytest.approx((31.2, 24.8, -10.1, -2.1))
    with pytest.raises(RecipeError, match="no release waits for approval"):
        modersmal.improve(recipe, approve=True)


def test_refused_it_stays_in_the_store_and_never_is_the_latest(
    recipe: Path, collection: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    write_attempt(recipe)
    assert improve(recipe, "--refuse", "it misses names") == 0
    assert "Release 2 is not live: it misses names." in capsys.readouterr().out
    assert latest(recipe) == 1
    assert [one.number for one in Releases.open(str(recipe.parent / "store")).list()] == [1, 2]
    (shown,) = Improvements(collection.book.database).all()
    assert (shown.state, shown.reason) == ("refused", "it misses names")
    assert improve(recipe, "--approve") == 1
    assert "no release waits for approval" in capsys.readouterr().err


def test_where_the_recipe_waives_approval_it_is_live_unless_it_errs_more(
    recipe: Path, collection: Collection
) -> None:
    waiting = write_attempt(recipe)
    waived = write_recipe(recipe.parent, min_set_aside="2\napproval = false")
    assert waiting.measured is not None
    worse = replace(waiting.measured, difference=0.001, low=-0.01, high=0.02)
    attempts(recipe).save(replace(waiting, measured=worse))
    assert modersmal.improve(waived).state == "waiting"
    other = replace(waiting, parent=7)  # it was proven against another than it began with
    attempts(recipe).save(other)
    assert modersmal.improve(waived).state == "waiting"
    attempts(recipe).save(waiting)
    assert modersmal.improve(waived).state == "live"
    assert latest(recipe) == 2


def test_what_was_erased_since_is_told_to_who_approves(
    recipe: Path, collection: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    """The corpus is rid of it; here it is gone altogether."""
    write_attempt(recipe)
    assert improve(recipe) == 0
    assert "24 of them have been erased since it learned from them." in capsys.readouterr().out


def test_approving_and_refusing_at_once_is_wrong_usage(
    recipe: Path, collection: Collection
) -> None:
    with pytest.raises(RecipeError, match="not both"):
        modersmal.improve(recipe, approve=True, refuse="no")


def test_one_of_another_recipe_is_left_alone(recipe: Path, collection: Collection) -> None:
    write_attempt(recipe)
    other = write_recipe(recipe.parent, name='"another"')
    with pytest.raises(RecipeError, match=r"sv-improve-1 .* begun with another recipe"):
        modersmal.improve(other)


def test_a_store_without_a_release_or_a_server_without_corrections_is_told(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "new")
    assert improve(recipe) == 1


def test_without_a_release_there_is_nothing_to_improve(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    opened = open_collection(recipe)
    correct_all(opened)
    opened.book.database.close()
    with pytest.raises(StoreError, match="has no release to improve"):
        modersmal.improve(recipe)


def test_how_far_one_is_that_cannot_be_read_is_told(recipe: Path, collection: Collection) -> None:
    write_attempt(recipe)
    file = recipe.parent / "store" / "improvements" / "0001.json"
    file.write_text(file.read_text()[:40])
    with pytest.raises(StoreDamaged, match="delete it to begin anew"):
        modersmal.improve(recipe)


def test_as_json_it_is_all_that_is_known(
    recipe: Path, collection: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    write_attempt(recipe)
    assert improve(recipe, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["release"], told["corrections"]) == ("waiting", 2, 24)
    assert told["measured"]["against"] == 1
    assert told["measured"]["low"] == -0.101
