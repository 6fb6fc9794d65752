"""The whole way, with models that hear: corpus, training, release, measuring, approval."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import modersmal
from hard_of_hearing import CORRECTED, OLD, correct, open_collection, texts, write_recipe
from modersmal import cli, store
from modersmal.corpus import Corpus
from modersmal.corpus.corrections.improvements import Improvement, Improvements
from modersmal.improve.attempt import Attempt, Attempts
from modersmal.release.facts import Release
from modersmal.store.releases import Releases
from modersmal.store.remote import Remote

pytestmark = pytest.mark.chaos

Team = Callable[..., Path]
EXIT_USER_ERROR, EXIT_STOPPED = 1, 3


def releases(recipe: Path) -> Releases:
    return Releases.open(str(recipe.parent / "store"))


def newest(recipe: Path) -> Attempt:
    return Attempts(Remote.open(str(recipe.parent / "store"))).all()[0]


def shown(recipe: Path) -> list[Improvement]:
    collection = open_collection(recipe)
    try:
        return Improvements(collection.book.database).all()
    finally:
        collection.book.database.close()


def erase(recipe: Path, number: int) -> None:
    collection = open_collection(recipe)
    collection.erase([f"{number:032x}"])
    collection.book.database.close()


def start(
    recipe: Path, *arguments: str, fault: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modersmal", "improve", str(recipe), *arguments],
        env=os.environ | {"MODERSMAL_FAULT": fault} | environment, capture_output=True, text=True,
    )  # fmt: skip


def test_corrections_become_a_release_that_is_measured_from_scratch(team: Team) -> None:
    """The recipe's sources have gone since: its corpus is taken as it is."""
    recipe = team()
    home = recipe.parent / "store"
    shutil.rmtree(recipe.parent / "source")
    result = modersmal.improve(recipe)
    assert (result.state, result.release) == ("waiting", 2)
    assert releases(recipe).latest() == 1

    corpus = Corpus.open(home / "corpora" / "sv-improve-1")
    heard = {split: set(corpus.split(split).texts) for split in ("train", "dev", "test")}
    known = texts()
    for split in ("train", "dev"):
        assert heard[split] == {known[n] for n in (*OLD[split], *CORRECTED[split])}
    assert heard["test"] == {known[number] for number in OLD["test"]}
    assert not heard["train"] & {known[number] for number in CORRECTED["test"]}
    same = "train-00000.parquet"
    assert os.path.samefile(corpus.path / same, home / "corpora" / "sv" / same)

    found = result.measured
    assert found is not None
    alone = home / "corpora" / "sv-improve-1-corrections"
    (score,) = modersmal.evaluate(f"{home}#2", [alone], baseline=f"{home}#1").scores
    assert score.comparison is not None
    interval = score.comparison.difference.interval
    assert interval is not None
    assert found.before == score.comparison.baseline.score.wer
    assert found.after == score.result.score.wer < found.before
    assert (found.low, found.high) == (interval.low, interval.high)
    assert found.clips == len(CORRECTED["test"])
    assert found.high < 0

    facts = Release.read(releases(recipe).folder(2))
    assert facts.data.corpus == "sv-improve-1"
    assert facts.data.corrections == len(CORRECTED["train"]) == result.corrections
    assert "corrections" in [source.name for source in facts.data.sources]
    assert facts.parent == 1
    assert "consent" not in json.dumps(facts.recipe)
    assert (
        f"{result.corrections} clips of train are what people have corrected"
        in (releases(recipe).folder(2) / "README.md").read_text()
    )

    assert modersmal.improve(recipe, approve=True).state == "live"
    assert releases(recipe).latest() == 2
    assert [(one.state, one.release) for one in shown(recipe)] == [("live", 2)]
    assert modersmal.improve(recipe).state == "nothing"


def test_killed_at_any_stage_the_same_command_goes_on_to_one_release(team: Team) -> None:
    recipe = team()
    for point in ("corpus", "training", "release", "measuring"):
        killed = start(recipe, fault=f"improve.after-{point}:1")
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert releases(recipe).latest() == 1
    killed = start(recipe, fault="improve.before-note:1")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = start(recipe)
    assert done.returncode == 0, done.stderr
    assert "Release 2 waits for approval" in done.stdout
    for fault in ("improve.before-note:1", "improve.before-live:1", "improve.after-live:1"):
        killed = start(recipe, "--approve", fault=fault)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = start(recipe)
    assert "Release 2 is live" in done.stdout, done.stderr
    assert [one.state for one in releases(recipe).list()] == ["complete", "latest"]
    assert [(one.state, one.release) for one in shown(recipe)] == [("live", 2)]


def test_erased_while_it_is_made_nothing_of_that_is_left_and_it_begins_anew(team: Team) -> None:
    recipe = team()
    home = recipe.parent / "store"
    erased = CORRECTED["train"][0]
    assert start(recipe, fault="improve.after-training:1").returncode == -signal.SIGKILL
    assert (home / "runs" / "sv-improve-1").is_dir()
    erase(recipe, erased)
    done = start(recipe)
    assert done.returncode == 0, done.stderr
    assert "sv-improve-1 is abandoned: some of what it learns from was erased" in done.stderr
    assert not list(home.glob("*/sv-improve-1*"))
    corpus = Corpus.open(home / "corpora" / "sv-improve-2")
    assert texts()[erased] not in corpus.split("train").texts
    assert newest(recipe).state == "waiting"
    assert newest(recipe).corrections == len(CORRECTED["train"]) - 1
    erase(recipe, CORRECTED["train"][1])
    assert "1 of them have been erased since" in start(recipe).stdout


def test_erased_between_two_stages_it_stops_and_says_so(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = team()
    module = __import__("modersmal.improve.improve", fromlist=["improve"])
    real = module.train_here

    def erased_meanwhile(*arguments: object) -> object:
        trained = real(*arguments)
        erase(recipe, CORRECTED["train"][0])
        return trained

    monkeypatch.setattr(module, "train_here", erased_meanwhile)
    assert cli.main(["improve", str(recipe)]) == EXIT_STOPPED
    assert newest(recipe).state == "abandoned"
    assert not list((recipe.parent / "store").glob("*/sv-improve-1*"))
    assert len(releases(recipe).list()) == 1


def test_from_the_release_that_is_served_and_at_once_where_approval_is_waived(team: Team) -> None:
    """The second goes on from the weights of the first, and its release says so."""
    recipe = team(min_set_aside="2\napproval = false")
    assert modersmal.improve(recipe).state == "live"
    assert releases(recipe).latest() == 2
    text = recipe.read_text().replace('start = "base"', 'start = "release"\nmax_steps = 1')
    recipe.write_text(text)
    collection = open_collection(recipe)
    correct(collection, "train", range(24, 27))
    collection.book.database.close()
    result = modersmal.improve(recipe)
    assert result.release == 3
    assert result.measured is not None
    assert result.measured.against == 2
    facts = Release.read(releases(recipe).folder(3))
    assert (facts.began_with, facts.parent, facts.base) == (2, 2, "modersmal/synthetic-sv")
    assert facts.cost.steps == 1
    assert facts.data.corrections == len(CORRECTED["train"]) + 3
    assert facts.base_test is not None
    assert facts.base_test.system == "release 2"
    card = (releases(recipe).folder(3) / "README.md").read_text()
    assert "Training began with the weights of release 2." in card
    assert "| release 2 |" in card


def test_what_has_become_worse_is_refused_and_the_latest_stays(team: Team) -> None:
    recipe = team(min_set_aside="2\napproval = false")
    assert modersmal.improve(recipe).state == "live"
    text = recipe.read_text().replace(
        'start = "base"', 'start = "release"\nlearning_rate = 0.1\nmax_steps = 3'
    )
    recipe.write_text(text.replace("save_every = 2", "save_every = 3").replace(
        "evaluate_every = 2", "evaluate_every = 3"
    ))  # fmt: skip
    collection = open_collection(recipe)
    correct(collection, "train", range(24, 27))
    collection.book.database.close()
    assert cli.main(["improve", str(recipe)]) == EXIT_USER_ERROR
    assert newest(recipe).state == "refused"
    assert newest(recipe).reason is not None
    assert releases(recipe).latest() == 2
    assert modersmal.improve(recipe).state == "nothing"


def test_deployed_meanwhile_another_is_what_it_is_measured_against(team: Team) -> None:
    recipe = team()
    result = modersmal.improve(recipe)
    assert result.measured is not None
    assert result.measured.against == 1
    place = releases(recipe)
    draft = shutil.copytree(place.folder(2), recipe.parent / "draft")
    facts = json.loads((draft / "release.json").read_text()) | {
        "content": "another",
        "number": None,
    }
    (draft / "release.json").write_text(json.dumps(facts))
    assert place.add(draft, lambda deployed: True) == 3
    again = modersmal.improve(recipe)
    assert (again.state, again.release) == ("waiting", 2)
    assert again.measured is not None
    assert (again.measured.against, again.measured.difference) == (3, 0.0)


def test_another_machine_goes_on_with_nothing_but_the_recipe(team: Team, s3_store: str) -> None:
    """The store is a bucket, each machine has a disk of its own, and the sources are elsewhere."""
    here = team().parent
    shutil.rmtree(here / "source")
    remote = Remote.open(s3_store)
    corpus = here / "store" / "corpora" / "sv"
    store.write_manifest(corpus)
    remote.put_folder(corpus, "corpora/sv")
    Releases.open(s3_store).receive(here / "store" / "releases" / "0001")
    recipe = write_recipe(here, store=f'"{s3_store}"')
    for machine, point in (("first", "corpus"), ("second", "training"), ("third", "release")):
        work = str(here / machine)
        killed = start(recipe, fault=f"improve.after-{point}:1", MODERSMAL_WORK=work)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = start(recipe, "--json", MODERSMAL_WORK=str(here / "fourth"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["release"] == 2
    approved = start(recipe, "--approve", MODERSMAL_WORK=str(here / "fifth"))
    assert "Release 2 is live" in approved.stdout, approved.stderr
    assert Releases.open(s3_store).latest() == 2
