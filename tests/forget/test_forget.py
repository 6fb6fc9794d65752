"""What a person has corrected leaves everything, and stays away."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from making import contents
from remembered import World, found, make_world, needles

import modersmal
from modersmal import store
from modersmal.corpus import Corpus
from modersmal.corpus.corrections.book import Book
from modersmal.corpus.corrections.collection import Collection
from modersmal.corpus.corrections.voices import Voices
from modersmal.database import Database
from modersmal.errors import ModersmalError, StoreError
from modersmal.forget.forgetting import Forgetting
from modersmal.store.lease import Lease
from modersmal.store.releases import Releases
from modersmal.store.remote import Remote, local_place


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world") / "made")


@pytest.fixture
def world(made: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("MODERSMAL_CACHE", str(tmp_path / "cache"))
    return made.copied(tmp_path / "world")


def must_be_gone(world: World, *folders: Path) -> None:
    """No text, id or audio of Anna's, but for tombstones; and all of Bo's."""
    for folder in (world.store, *folders):
        assert found(folder, needles(world, "anna")) == {}
    said = {name: needle for name, needle in needles(world, "anna").items() if "id" not in name}
    assert found(world.folder / "serve", said) == {}
    assert not any((world.voices / f"{one}.flac").exists() for one in world.ids("anna"))
    assert set(found(world.store, needles(world, "bo"))) == set(needles(world, "bo"))
    assert set(found(world.folder / "serve", needles(world, "bo"))) == set(needles(world, "bo"))


def test_the_world_remembers_everywhere(world: World) -> None:
    hits = found(world.store, needles(world, "anna"))
    assert set(hits) == set(needles(world, "anna"))
    folders = {"/".join(path.split("/")[:3]) for path in hits["text"]}
    assert folders >= {"corpora/half/.prepare", "runs/sv/scores", "runs/sv/.release",
                       "runs/sv/.uploads", "releases/0001/scores", "releases/0001/release.json",
                       "releases/0002/README.md", "corpora/gone/dev-00001.parquet",
                       "rehearsals/sv-1234abcd/score"}  # fmt: skip
    assert any(path.startswith("corpora/sv/train-") for path in hits["text"])


def test_a_person_is_gone_from_everything(world: World) -> None:
    before = Corpus.open(world.store / "corpora" / "sv")
    forgotten = modersmal.forget(world.database, [world.store], person_key=world.keys["anna"])
    assert (forgotten.corrections, forgotten.erased, forgotten.left) == (4, 4, ())
    assert [one.number for one in forgotten.releases] == [2]
    assert "Of this person, 4 corrections were erased." in str(forgotten)
    assert f"It learned from what was erased: release 2 of {world.store}." in str(forgotten)
    must_be_gone(world, world.folder.parent / "cache")
    after = Corpus.open(before.path)
    after.verify()
    store.verify_manifest(after.path)
    assert after.hash != before.hash
    assert after.was == (before.hash,)
    for name, clips in (("train", 2), ("dev", 1), ("test", 1)):
        assert len(after.split(name)) == len(before.split(name)) - clips
        assert after.info["splits"][name]["clips"] == len(after.split(name))
        assert after.info["splits"][name]["speakers"] == len(set(after.split(name).speakers))
    assert [one["rows"] for one in after.info["sources"]] == [10, 4]


def test_what_is_left_is_whole(world: World) -> None:
    modersmal.forget(world.database, [world.store], person_key=world.keys["anna"])
    store.verify_manifest(world.store / "runs" / "sv" / "scores" / "test")
    releases = Releases.open(str(world.store))
    assert [entry.state for entry in releases.list()] == ["complete", "latest"]
    for number in (1, 2):
        store.verify_manifest(releases.folder(number))
    facts = json.loads((releases.folder() / "release.json").read_text("utf-8"))
    assert facts["refused"][0]["failures"] == ["clip (erased)", "it is slow"]
    card = (releases.folder() / "README.md").read_text()
    assert card == "# Card\n\n- `ggml`: clip (erased)\n- Good\n"
    assert not (world.store / "runs" / "sv" / ".release").exists()
    assert list((world.store / "corpora" / "half").iterdir()) == []
    modersmal.rollback(world.store)
    assert releases.latest() == 1


def test_nothing_is_done_twice(world: World) -> None:
    modersmal.forget(world.database, [world.store], person_key=world.keys["anna"])
    before = contents(world.store)
    again = modersmal.forget(world.database, [world.store])
    assert (again.changed, again.left) == ((), ())
    assert [one.number for one in again.releases] == [2]
    assert contents(world.store) == before


def test_a_backup_that_is_brought_back_brings_nothing_back(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.folder, tmp_path / "backup")
    modersmal.forget(world.database, [world.store], person_key=world.keys["anna"])
    tombstones = (world.voices / "tombstones").read_bytes()
    shutil.rmtree(world.folder)
    shutil.copytree(tmp_path / "backup", world.folder)
    (world.voices / "tombstones").write_bytes(tombstones)  # newer than the database
    forgotten = modersmal.forget(world.database, [world.store])
    assert (forgotten.corrections, forgotten.erased) == (0, 4)
    must_be_gone(world)


@pytest.mark.parametrize(
    ("held", "says"),
    [("runs/sv", "trains the run sv"), ("improvements", "improves the model")],
)
def test_a_corpus_in_use_is_left_until_it_is_not(world: World, held: str, says: str) -> None:
    lease = Lease.take(local_place(world.store / held), ttl_s=1.0)
    with lease.kept():
        forgotten = modersmal.forget(world.database, [world.store], person_key=world.keys["anna"])
    [sentence] = forgotten.left
    assert says in sentence
    assert "Not erased yet" in str(forgotten)
    left = {path.rpartition("/")[0] for path in found(world.store, needles(world, "anna"))["text"]}
    assert left == {"corpora/sv"}
    lease.release()
    assert modersmal.forget(world.database, [world.store]).complete
    must_be_gone(world)


@pytest.mark.parametrize("point", ["forget.after-shard", "forget.after-manifest"])
def test_what_is_killed_midway_is_finished(world: World, point: str) -> None:
    kill(world, point)
    forgotten = modersmal.forget(world.database, [world.store])
    assert forgotten.complete
    must_be_whole(world)


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("point", "count"),
    [
        ("forget.after-note", 1), ("forget.after-shard", 2), ("forget.after-shard", 3),
        ("forget.before-corpus", 1), ("forget.before-manifest", 1), ("forget.after-move", 1),
        ("forget.after-manifest", 2), ("forget.after-manifest", 3), ("forget.after-text", 1),
        ("forget.after-text", 2), ("forget.after-text", 5), ("file.before-rename", 1),
        ("file.before-rename", 3), ("file.before-rename", 9), ("file.after-rename", 6),
    ],
)  # fmt: skip
def test_killed_anywhere(world: World, point: str, count: int) -> None:
    kill(world, point, count)
    assert modersmal.forget(world.database, [world.store]).complete
    must_be_whole(world)


def kill(world: World, point: str, count: int = 1) -> None:
    killed = subprocess.run(
        [sys.executable, "-m", "modersmal", "forget", world.database, str(world.store),
         "--person-key"],
        env=os.environ | {"MODERSMAL_FAULT": f"{point}:{count}"},
        input=world.keys["anna"] + "\n", text=True, check=False,
    )  # fmt: skip
    assert killed.returncode == -9


def must_be_whole(world: World) -> None:
    must_be_gone(world, world.folder.parent / "cache")
    corpus = Corpus.open(world.store / "corpora" / "sv")
    corpus.verify()
    for folder in (corpus.path, world.store / "runs" / "sv" / "scores" / "test"):
        store.verify_manifest(folder)
    assert [len(corpus.split(name)) for name in ("train", "dev", "test")] == [8, 3, 3]
    assert {name: len(traces) for name, traces in corpus.forgotten.items()} == {
        "train": 2, "dev": 1, "test": 1,
    }  # fmt: skip
    releases = Releases.open(str(world.store))
    for number in (1, 2):
        store.verify_manifest(releases.folder(number))
    assert releases.folder().name == "0002"


def test_the_key_is_read_from_standard_input(world: World) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "modersmal", "forget", world.database, str(world.store),
         "--person-key", "--json"],
        input=world.keys["anna"] + "\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert (told["corrections"], told["left"]) == (4, [])
    assert world.keys["anna"] not in done.stdout + done.stderr
    must_be_gone(world)


def test_a_key_that_nobody_has_is_said(world: World) -> None:
    with pytest.raises(ModersmalError, match="nobody has that key"):
        modersmal.forget(world.database, [world.store], person_key="msp-nobodys")
    assert set(found(world.store, needles(world, "anna"))) == set(needles(world, "anna"))


def test_a_store_that_is_not_there_is_said_before_anything_is_erased(world: World) -> None:
    with pytest.raises(StoreError, match="there is no store at"):
        modersmal.forget(world.database, [world.folder / "no"], person_key=world.keys["anna"])
    assert (world.voices / f"{world.ids('anna')[0]}.flac").exists()


def test_a_database_that_is_not_there_is_said_and_not_made(world: World, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no database at .*wrong\.db"):
        modersmal.forget(f"sqlite:///{tmp_path / 'wrong.db'}", [world.store])
    assert not (tmp_path / "wrong.db").exists()


def test_a_server_erases_from_its_stores(world: World) -> None:
    forgetting = Forgetting([str(world.store), f"{world.store}/", str(world.folder / "none yet")])
    ids = world.ids("anna")
    assert forgetting.learned(ids) == ["release-2"]
    assert forgetting.learned(["0" * 32]) == []
    database = Database.open(world.database)
    Collection(Book(database), Voices(world.voices)).erase(ids)
    database.close()
    forgetting.forget(ids)
    must_be_gone(world)
    assert forgetting.learned(ids) == ["release-2"]


@pytest.mark.chaos
def test_a_store_far_away_and_its_copies_here(world: World, s3_store: str) -> None:
    remote = Remote.open(s3_store)
    for folder in ("corpora/sv", "runs/sv/scores/test", "releases/0001", "releases/0002"):
        remote.put_folder(world.store / folder, folder)
    for name in local_place(world.store).list("releases/latest"):
        remote.put(world.store / name, name)
    remote.put(world.store / "runs/sv/recipe.json", "runs/sv/recipe.json")
    copied = Releases.open(s3_store).folder()  # a copy on this machine
    shutil.rmtree(world.store)
    cache = world.folder.parent / "cache"
    assert found(cache, needles(world, "anna"))
    forgotten = modersmal.forget(world.database, [s3_store], person_key=world.keys["anna"])
    assert forgotten.complete
    assert [one.number for one in forgotten.releases] == [2]
    assert any("keep earlier versions" in remark for remark in forgotten.remarks)
    for name in remote.list():
        remote.get(name, world.store / name)
    must_be_gone(world, cache)
    for folder in ("corpora/sv", "runs/sv/scores/test", "releases/0001", "releases/0002"):
        store.verify_manifest(world.store / folder)
    Corpus.open(world.store / "corpora" / "sv").verify()
    assert Releases.open(s3_store).folder() == copied
    assert modersmal.forget(world.database, [s3_store]).changed == ()


def test_no_torch_is_needed() -> None:
    code = "import sys, modersmal.forget.forget; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
