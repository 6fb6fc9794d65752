"""Publishing over HTTP to a Hub that fails in every way: nothing is lost, nothing is doubled."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants, snapshot_download
from huggingface_hub.utils import _http
from publishing import LARGE, QUICK, facts, write_release, write_release_draft

from modersmal import store
from modersmal.errors import CorpusError, HubError, ModelError, ModersmalError, StoreError
from modersmal.release import publish as module
from modersmal.release.facts import Source
from modersmal.release.publish import publish
from modersmal.store import faults
from modersmal.store.releases import Releases
from modersmal.store.retry import Backoff
from writable_hub import RETRY_AFTER_S, TOKEN, WritableHub, writable_hub

PUBLISHING = Path(__file__).parent / "publishing.py"
REPO = "anna/svenska"


@pytest.fixture
def slept(monkeypatch) -> list[float]:
    """What the Hub's own library waited, which here takes no time."""
    waits: list[float] = []
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=waits.append))
    return waits


@pytest.fixture
def hub(monkeypatch, slept):
    with writable_hub() as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        template = served.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(module, "BATCH_BYTES", 25_000)
        yield served


@pytest.fixture
def release(tmp_path):
    return write_release(tmp_path / "releases" / "0001")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def on_the_hub(hub: WritableHub, revision: str = "main", repo: str = REPO) -> dict[str, bytes]:
    files = hub.files(repo, revision)
    return {path: data for path, (data, _) in files.items() if path != ".gitattributes"}


def stored(hub: WritableHub, release: Path) -> list[int]:
    """How often each large file was stored."""
    oids = [store.sha256(release / name) for name in LARGE]
    return [hub.count(f"^PUT lfs/{oid}$") for oid in oids]


def assert_published(hub: WritableHub, release: Path, tag: str = "v1") -> None:
    """All of it, once, main in one step, the tag on it, and nothing left over."""
    assert on_the_hub(hub) == contents(release)
    assert hub.repos[REPO].tags[tag] == hub.repos[REPO].branches["main"]
    assert set(hub.repos[REPO].branches) == {"main"}
    assert hub.messages.count(f"Publish release {tag[1:]}") == 1
    assert len(set(hub.messages)) == len(hub.messages)


def test_a_release_is_on_the_hub_whole_private_and_tagged(hub, release, capsys):
    done = publish(release, REPO, backoff=QUICK)
    assert_published(hub, release)
    assert hub.repos[REPO].private
    assert stored(hub, release) == [1, 1, 1]
    assert done.commit == hub.repos[REPO].branches["main"]
    assert set(done.sent) == set(contents(release))
    assert sum(done.sent.values()) == sum(map(len, contents(release).values()))
    assert f"Published release 1 at {hub.url}/{REPO} as v1, private" in str(done)
    assert json.loads(json.dumps(done.to_json()))["tag"] == "v1"
    assert "Publishing release 1" in capsys.readouterr().err


def test_what_was_published_comes_down_again_as_it_was(hub, release, tmp_path):
    publish(release, REPO, backoff=QUICK)
    folder = tmp_path / "downloaded"
    snapshot_download(REPO, revision="v1", local_dir=folder, cache_dir=tmp_path / "cache")
    store.verify_manifest(folder)
    came = {name: (folder / name).read_bytes() for name in contents(release)}
    assert came == contents(release)


def test_published_again_nothing_is_sent(hub, release):
    publish(release, REPO, backoff=QUICK)
    commits, seen = len(hub.messages), len(hub.seen)
    again = publish(release, REPO, backoff=QUICK)
    assert again.sent == {}
    assert set(again.there) == set(contents(release))
    assert len(hub.messages) == commits
    assert not any(request.startswith("PUT") for request in hub.seen[seen:])


def test_the_next_release_takes_mains_place_at_once_and_the_first_keeps_its_tag(
    hub, release, tmp_path
):
    publish(release, REPO, backoff=QUICK)
    theirs = {"pictures/cat.png": (b"a cat", False)}
    hub.commit(REPO, hub.files(REPO) | theirs, "A cat")
    second = write_release(tmp_path / "releases" / "0002", number=2)
    (second / "ggml/ggml-model-q5_0.bin").unlink()
    store.write_manifest(second)
    begun = len(hub.moves)
    publish(second, REPO, backoff=QUICK)
    assert on_the_hub(hub) == contents(second) | {"pictures/cat.png": b"a cat"}
    assert on_the_hub(hub, "v2") == on_the_hub(hub)
    assert on_the_hub(hub, "v1") == contents(release)
    assert [branch for branch, _ in hub.moves[begun:]].count("main") == 1


@pytest.mark.parametrize("folder", ["folder", "number", "store", "path in a store"])
def test_a_release_may_be_named_in_every_way(hub, tmp_path, folder):
    releases = Releases.open(str(tmp_path / "store"))
    releases.add(write_release_draft(tmp_path / "draft"), lambda deployed: True)
    named = {
        "folder": releases.folder(), "number": f"{tmp_path}/store#1", "store": tmp_path / "store",
        "path in a store": f"file://{tmp_path}/store/releases/0001",
    }  # fmt: skip
    publish(named[folder], REPO, backoff=QUICK)
    assert_published(hub, releases.folder())


FAULTS = [
    ("commit/main", "race", 3), ("commit/publishing-v1", "race", 2),
    ("commit/main", "busy", 1), ("PUT lfs", "busy", 1), ("preupload", "busy", 1),
    ("", "error", 14), ("commit", "error", 3), ("PUT lfs", "error", 9), ("refs", "error", 2),
    ("PUT lfs", "cut", 2), ("PUT lfs", "short", 1), ("PUT lfs", "short", 3),
    ("PUT lfs", "hang", 1), ("commit/main", "hang", 1), ("repos/create", "hang", 1),
    ("paths-info", "hang", 1), ("tag/", "hang", 1),
    ("commit/main", "lost", 1), ("commit/publishing-v1", "lost", 1), ("tag/", "lost", 1),
    ("repos/create", "lost", 1), ("POST .*branch/", "lost", 1), ("DELETE", "lost", 1),
    ("PUT lfs", "lost", 1), ("resolve", "error", 3),
]  # fmt: skip


@pytest.mark.parametrize(("where", "kind", "times"), FAULTS)
def test_under_every_fault_nothing_is_lost_and_nothing_doubled(
    hub, release, slept, where, kind, times
):
    hub.trouble(where, kind, times)
    done = publish(release, REPO, backoff=QUICK, timeout_s=0.4)
    assert all(trouble.times == 0 for trouble in hub.troubles), "the fault was not met"
    assert_published(hub, release)
    assert set(done.sent) == set(contents(release))
    if kind in ("race", "busy", "error", "hang") or "commit" in where:
        # What was stored is not stored again; a request that failed stored nothing.
        refused = times if where == "PUT lfs" else 0
        assert sum(stored(hub, release)) <= 3 + refused
    if kind == "busy" and where != "commit/main":
        assert max(slept) >= RETRY_AFTER_S


def test_a_connection_cut_in_the_middle_of_a_large_file(hub, tmp_path):
    release = write_release(tmp_path / "releases" / "0001", size_bytes=4_000_000)
    hub.trouble("PUT lfs", "cut", 3)
    publish(release, REPO, backoff=QUICK)
    assert_published(hub, release)
    whole = sum((release / name).stat().st_size for name in LARGE)
    assert hub.received_bytes == whole + 3 * 2_400_000


@pytest.mark.parametrize("trusting", [False, True])
def test_a_file_stored_shorter_than_sent_is_found_out_and_sent_again(hub, release, trusting):
    """Also where the Hub lists the size and hash that the commit told it."""
    hub.trusting = trusting
    hub.trouble("PUT lfs", "short", 2)
    publish(release, REPO, backoff=QUICK)
    assert_published(hub, release)
    assert sum(stored(hub, release)) == 5


def test_a_file_that_is_never_stored_whole_leaves_main_and_tags_alone(hub, release):
    hub.trusting = True
    hub.trouble("PUT lfs", "short", 10_000)
    brief = Backoff(first_s=0.01, longest_s=0.02, within_s=0.3)
    with pytest.raises(HubError, match="arrived otherwise than it was sent; the release stays"):
        publish(release, REPO, backoff=brief)
    assert on_the_hub(hub) == {}
    assert hub.repos[REPO].tags == {}
    hub.troubles.clear()
    publish(release, REPO, backoff=QUICK)
    assert on_the_hub(hub) == contents(release)


def test_a_commit_of_another_in_between_is_kept(hub, release):
    def another_commits():
        hub.commit(REPO, {**hub.files(REPO), "notes.txt": (b"theirs", False)}, "Notes")

    hub.before_commit += [*[lambda: None] * len(LARGE), another_commits]
    publish(release, REPO, backoff=QUICK)
    assert hub.before_commit == []
    assert on_the_hub(hub) == contents(release) | {"notes.txt": b"theirs"}
    assert on_the_hub(hub, "v1")["config.json"] == (release / "config.json").read_bytes()


def test_the_wait_that_the_hub_asks_for_is_kept_to_and_said(hub, release, capsys):
    waits = []
    backoff = Backoff(first_s=0.01, longest_s=0.02, within_s=60.0, sleep=waits.append)
    hub.trouble("commit/main", "busy", 2)
    publish(release, REPO, backoff=backoff)
    assert [wait for wait in waits if wait >= RETRY_AFTER_S] == [RETRY_AFTER_S] * 2
    assert f"trying again in {RETRY_AFTER_S} s" in capsys.readouterr().err


def test_while_the_hub_is_down_the_release_stands_and_publishing_goes_on_later(hub, release):
    brief = Backoff(first_s=0.01, longest_s=0.02, within_s=0.2)
    gone = []
    hub.before_commit += [lambda: None, lambda: (setattr(hub, "down", True), gone.append(1))]
    with pytest.raises(HubError, match="the same command goes on later"):
        publish(release, REPO, backoff=brief)
    assert gone
    store.verify_manifest(release)
    assert on_the_hub(hub) == {}
    hub.down = False
    before = stored(hub, release)
    assert sum(before) >= 1
    publish(release, REPO, backoff=QUICK)
    assert_published(hub, release)
    assert stored(hub, release) == [max(1, times) for times in before]


@pytest.mark.parametrize(
    "point",
    ["publish.before-files:1", "publish.after-batch:1", "publish.after-batch:3",
     "publish.before-main:1", "publish.before-tag:1", "publish.after-tag:1"],
)  # fmt: skip
def test_killed_anywhere_it_goes_on_from_what_the_hub_has(hub, release, point):
    environment = os.environ | {
        "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1",
        faults.VARIABLE: point,
    }  # fmt: skip
    killed = subprocess.run(
        [sys.executable, PUBLISHING, release, REPO], env=environment, capture_output=True
    )
    assert killed.returncode == -9, killed.stderr.decode()
    assert on_the_hub(hub) in ({}, contents(release))
    publish(release, REPO, backoff=QUICK)
    assert_published(hub, release)
    assert stored(hub, release) == [1, 1, 1]


def test_a_dry_run_lists_what_would_go_and_changes_nothing(hub, release):
    told = publish(release, REPO, dry_run=True, backoff=QUICK)
    assert set(told.sent) == set(contents(release))
    assert hub.repos == {}
    publish(release, REPO, backoff=QUICK)
    seen = len(hub.seen)
    told = publish(release, REPO, dry_run=True, backoff=QUICK)
    assert (told.sent, set(told.there)) == ({}, set(contents(release)))
    assert "nothing is sent" in str(told)
    asked = [request for request in hub.seen[seen:] if "paths-info" not in request]
    assert all(request.startswith("GET") for request in asked)


def test_a_dry_run_needs_neither_token_nor_hub(hub, release, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(release / "none"))
    hub.down = True
    brief = Backoff(first_s=0.01, within_s=0.05)
    told = publish(release, REPO, dry_run=True, backoff=brief)
    assert set(told.sent) == set(contents(release))
    assert "cannot be published to" in str(told)


@pytest.mark.parametrize(
    "name", ["svenska", "anna/svenska/small", "anna/sven ska", "anna--svenska/x", "å/ä", "a/b.git"]
)
def test_a_repo_name_that_is_none_is_said(hub, release, name):
    with pytest.raises(HubError, match="write USER/NAME"):
        publish(release, name)
    assert hub.seen == []


def test_without_a_token_it_is_said_how_to_log_in(hub, release, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(release / "none"))
    with pytest.raises(HubError, match="no token to write to anna/svenska with: log in"):
        publish(release, REPO, backoff=QUICK)


def test_without_rights_it_is_said_and_nothing_tried_again(hub, release):
    with pytest.raises(HubError, match="may not write to berit/hemlig"):
        publish(release, "berit/hemlig", backoff=QUICK)
    assert hub.count("repos/create") == 1
    publish(release, REPO, backoff=QUICK)
    hub.trouble("commit", "forbidden", 100)
    second = write_release(release.parent / "0002", number=2)
    with pytest.raises(HubError, match=r"may not write to anna/svenska: .*no right to write here"):
        publish(second, REPO, backoff=QUICK)
    assert on_the_hub(hub) == contents(release)


def test_a_token_that_is_not_valid_is_said(hub, release):
    hub.trouble("", "unauthorized", 100)
    with pytest.raises(HubError, match="does not accept the token"):
        publish(release, REPO, backoff=QUICK)


def test_a_public_repository_takes_a_release_only_on_request(hub, release):
    publish(release, REPO, private=False, backoff=QUICK)
    assert not hub.repos[REPO].private
    second = write_release(release.parent / "0002", number=2)
    with pytest.raises(HubError, match="is public"):
        publish(second, REPO, backoff=QUICK)
    assert on_the_hub(hub) == contents(release)
    assert "public" in str(publish(second, REPO, private=False, backoff=QUICK))


def test_another_release_of_that_number_is_not_written_over(hub, release, tmp_path):
    publish(release, REPO, backoff=QUICK)
    other = write_release(tmp_path / "another-store" / "releases" / "0001")
    with pytest.raises(HubError, match="has another release as v1 already"):
        publish(other, REPO, backoff=QUICK)
    assert_published(hub, release)


def test_a_half_written_damaged_or_missing_release_is_not_published(hub, release, tmp_path):
    with pytest.raises(ModelError, match="there is no release at"):
        publish(tmp_path / "nowhere", REPO)
    weights = release / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(StoreError, match="damaged"):
        publish(release, REPO)
    (release / "manifest.json").unlink()
    with pytest.raises(StoreError, match="incomplete"):
        publish(release, REPO)
    assert hub.seen == []


def test_a_card_that_the_hub_does_not_take_is_said(hub, release):
    (release / "README.md").write_text("no metadata")
    store.write_manifest(release)
    with pytest.raises(HubError, match="the card has no valid metadata"):
        publish(release, REPO, backoff=QUICK)
    assert on_the_hub(hub) == {}


def test_offline_nothing_is_published(hub, release, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="unset HF_HUB_OFFLINE"):
        publish(release, REPO, backoff=QUICK)


def test_the_token_is_never_printed_logged_or_stored(hub, release, capfd, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    brief = Backoff(first_s=0.01, within_s=0.1)
    told = []
    for where, kind in (("PUT lfs", "error"), ("commit", "forbidden"), ("tag", "unauthorized")):
        hub.trouble(where, kind, 1000)
        with pytest.raises(HubError) as caught:
            publish(release, REPO, backoff=brief)
        told.append(str(caught.value))
        hub.troubles.clear()
    told.append(str(publish(release, REPO, backoff=QUICK)))
    files = b"".join(contents(tmp_path).values()) + b"".join(on_the_hub(hub).values())
    assert TOKEN.encode() not in files
    output = capfd.readouterr()
    for text in (*told, caplog.text, output.out, output.err):
        assert TOKEN not in text


def test_texts_that_may_not_be_passed_on_stay_here(hub, tmp_path):
    source = Source(name="Common Voice", licence="MDC", may_pass_on=False)
    terms = facts("").data.model_copy(update={"sources": (source,)})
    release = write_release(tmp_path / "releases" / "0001", data=terms)
    done = publish(release, REPO, backoff=QUICK)
    there = on_the_hub(hub)
    assert set(contents(release)) - set(there) == {"scores/test-hf.jsonl"} == set(done.left_out)
    assert "Common Voice" in str(done)
    listed = json.loads(there["manifest.json"])["files"]
    assert set(listed) == set(there) - {"manifest.json"}
    assert publish(release, REPO, backoff=QUICK).sent == {}


@pytest.mark.parametrize(
    ("terms", "why"), [(False, "forbid that it is passed on"), (None, "do not say")]
)
def test_a_corpus_whose_terms_forbid_it_is_refused_with_the_reason(hub, tmp_path, terms, why):
    with pytest.raises(CorpusError, match=rf"the terms of Common Voice .*{why}"):
        publish(corpus(tmp_path / "sv", terms), REPO)
    assert hub.seen == []


def test_a_corpus_that_may_be_passed_on_becomes_a_private_data_set(hub, tmp_path):
    folder = corpus(tmp_path / "sv", True)
    done = publish(folder, REPO, backoff=QUICK)
    assert on_the_hub(hub, repo=f"ds:{REPO}") == contents(folder)
    assert hub.repos[f"ds:{REPO}"].private
    assert done.where == f"{hub.url}/datasets/{REPO}"
    assert publish(folder, REPO, backoff=QUICK).sent == {}


def corpus(folder, terms):
    store.write_bytes(folder / "train-00000.parquet", os.urandom(15_000))
    sources = [{"name": "own", "redistributable": True},
               {"name": "Common Voice", "redistributable": terms}]  # fmt: skip
    store.write_json(folder / "corpus.json", {"sources": sources})
    return folder


def test_checkpoints_go_to_a_branch_on_request(hub, tmp_path):
    releases = Releases.open(str(tmp_path / "store"))
    releases.add(write_release_draft(tmp_path / "draft"), lambda deployed: True)
    with pytest.raises(StoreError, match="has no checkpoints at"):
        publish(f"{tmp_path}/store#1", REPO, checkpoints=True, backoff=QUICK)
    states = tmp_path / "store/runs/sv/checkpoints"
    for step in ("step-00000010", "step-00000020"):
        store.write_bytes(states / step / "optimizer.safetensors", os.urandom(12_000))
        store.write_manifest(states / step)
    store.write_bytes(states / "step-00000030" / "optimizer.safetensors", b"half")
    asked = publish(f"{tmp_path}/store#1", REPO, checkpoints=True, dry_run=True, backoff=QUICK)
    done = publish(f"{tmp_path}/store#1", REPO, checkpoints=True, backoff=QUICK)
    assert asked.sent == done.sent
    assert done.checkpoints == ("step-00000010", "step-00000020")
    assert on_the_hub(hub) == contents(releases.folder())
    branch = on_the_hub(hub, "checkpoints-v1")
    kept = {name: data for name, data in branch.items() if name.startswith("checkpoints/")}
    expected = {f"checkpoints/{name}": data for name, data in contents(states).items()}
    assert kept == {name: data for name, data in expected.items() if "0030" not in name}
    for dry_run in (True, False):
        again = publish(
            f"{tmp_path}/store#1", REPO, checkpoints=True, dry_run=dry_run, backoff=QUICK
        )
        assert again.sent == {}


def test_a_store_takes_a_release_under_its_number(release, tmp_path):
    target = f"file://{tmp_path}/mirror"
    told = publish(release, target, dry_run=True)
    assert (set(told.sent), Releases.open(target).list()) == (set(contents(release)), [])
    publish(release, target)
    again = publish(release, target)
    assert (again.sent, set(again.there)) == ({}, set(contents(release)))
    assert Releases.open(target).latest() == 1
    assert contents(tmp_path / "mirror/releases/0001") == contents(release)


def test_every_refusal_is_one_sentence(hub, release, tmp_path):
    shutil.copytree(release, tmp_path / "half")
    (tmp_path / "half" / "manifest.json").unlink()
    for what, where in (("nowhere", REPO), (release, "x y"), (tmp_path / "half", REPO)):
        with pytest.raises(ModersmalError) as caught:
            publish(what, where)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 1


def test_the_card_says_where_it_is_published(hub, tmp_path):
    draft = write_release_draft(tmp_path / "releases" / "0001", number=1)
    store.write_bytes(draft / "README.md", b'---\nlanguage: sv\n---\nload("USER/NAME")\n')
    store.write_manifest(draft)
    first = publish(draft, REPO, backoff=QUICK)
    assert hub.files(REPO)["README.md"][0].endswith(b'load("anna/svenska")\n')
    assert b"USER/NAME" in (draft / "README.md").read_bytes()
    store.verify_manifest(snapshot_download(REPO, cache_dir=tmp_path / "cache"))
    again = publish(draft, REPO, backoff=QUICK)
    assert (again.sent, again.commit) == ({}, first.commit)
