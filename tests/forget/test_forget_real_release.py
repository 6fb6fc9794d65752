"""A real run and a real release of it, out of which half of the people have themselves erased."""

import json
import secrets
import shutil
from csv import DictReader
from pathlib import Path

import pytest
from huggingface_hub import constants
from remembered import World, found, make_world, needles

import modersmal
from modersmal import store
from modersmal.config import parse_recipe
from modersmal.corpus import Corpus
from modersmal.corpus.prepare import prepare
from modersmal.forget.forgetting import Forgetting
from modersmal.release.release import release
from modersmal.release.source import open_run
from modersmal.store.releases import Releases
from modersmal.store.remote import Remote
from modersmal.train.train import train
from writable_hub import writable_hub

SPEECH = Path(__file__).parents[1] / "data" / "speech"
SPLITS = {"train": range(12), "dev": range(12, 15), "test": range(15, 21)}

pytestmark = pytest.mark.chaos


def correct(folder: Path) -> tuple[list[str], dict[str, bytes]]:
    """Speech as corrections; the ids of every second one, and what may not be found of those."""
    with (SPEECH / "texts.tsv").open() as file:
        texts = {row["id"]: row["text"] for row in DictReader(file, delimiter="\t")}
    folder.mkdir(parents=True)
    rows, ids, wanted = [], [], {}
    for split, numbers in SPLITS.items():
        for number in numbers:
            name, clip = secrets.token_hex(16), SPEECH / f"{number:02d}.ogg"
            shutil.copyfile(clip, folder / f"{name}.ogg")
            text = texts[f"{number:02d}"]
            if number % 2:
                text = f"{text} Kvastfening{number}."
                audio = clip.read_bytes()
                wanted[f"audio {number}"] = audio[len(audio) // 2 :][:64]
                wanted[f"text {number}"] = f"Kvastfening{number}.".encode()
                wanted[f"id {number}"] = name.encode()
                ids.append(name)
            rows.append({"audio": f"{name}.ogg", "text": text, "split": split, "speaker": name[:4]})
    (folder / "clips.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return ids, wanted


@pytest.mark.timeout(1500)
def test_a_real_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODERSMAL_CACHE", str(tmp_path / "cache"))
    ids, wanted = correct(tmp_path / "corrections")
    corpus, run = tmp_path / "store" / "corpora" / "sv", tmp_path / "store" / "runs" / "sv"
    prepare([str(tmp_path / "corrections" / "clips.jsonl")], corpus, language="sv")
    keys = {
        "max_steps": 4, "batch_s": 10.0, "save_every": 2, "evaluate_every": 2, "device": "cpu",
        "learning_rate": 1e-5, "packed_share": 0.0, "full_share": 0.0,
    }  # fmt: skip
    table = {"language": "sv", "model": "bundled", "train": keys}
    table["release"] = {"interpolate": [], "average_last": 2, "golden_clips": 4}
    train(parse_recipe(table), corpus, run)
    modersmal.evaluate(str(run), [corpus], output=run / "scores" / "test")
    made = release(run, tmp_path / "store", formats=["ct2-int8"])
    assert set(found(tmp_path / "store", wanted)) == set(wanted)
    forgetting = Forgetting([str(tmp_path / "store")])
    assert forgetting.learned(ids) == [f"release-{made.number}"]
    forgetting.forget(ids)
    for folder in (tmp_path / "store", tmp_path / "cache"):
        assert found(folder, wanted) == {}
    releases = Releases.open(str(tmp_path / "store"))
    store.verify_manifest(releases.folder())
    Corpus.open(corpus).verify()
    assert forgetting.learned(ids) == [f"release-{made.number}"]
    assert open_run(run).corpus.hash == Corpus.open(corpus).hash  # it may be released again
    [heard] = modersmal.transcribe([SPEECH / "03.ogg"], model=str(tmp_path / "store"))
    assert heard.error is None


def test_a_store_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODERSMAL_CACHE", str(tmp_path / "cache"))
    world: World = make_world(tmp_path / "world")
    with writable_hub() as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        template = served.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", "hf_notarealtoken")
        address = "hf://anna/svenska/work"
        remote = Remote.open(address)
        for folder in ("corpora/sv", "runs/sv/scores/test", "releases/0001"):
            remote.put_folder(world.store / folder, folder)
        shutil.rmtree(world.store)
        done = modersmal.forget(world.database, [address], person_key=world.keys["anna"])
        assert done.complete
        assert [one.number for one in done.releases] == []
        assert any("squash its history" in remark for remark in done.remarks)
        for name in remote.list():
            remote.get(name, world.store / name)
    assert found(world.store, needles(world, "anna")) == {}
    for folder in ("corpora/sv", "runs/sv/scores/test", "releases/0001"):
        store.verify_manifest(world.store / folder)
