"""Releases of Mozilla Data Collective: brought whole, however often they break off."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from making import contents, simple_release, write_archive

from data_collective import KEY, DataCollective, serving
from modersmal.config import DataConfig
from modersmal.corpus.prepare import prepare
from modersmal.corpus.sources import mdc, open_source
from modersmal.errors import CorpusError, HubError, ModersmalError, StoreError
from modersmal.offline import staying_offline
from modersmal.store.retry import Backoff

ID = "cmflnuzw6cd3mjkh"
NAME = "cv-corpus-99.0-sv-SE.tar.gz"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    release = simple_release(folder / "sv-SE", 8, 3, 3)
    return write_archive(release, folder / "cv.tar.gz", shuffle=4)


@pytest.fixture
def platform(archive, tmp_path, monkeypatch):
    with serving(DataCollective({ID: archive.read_bytes()})) as served:
        monkeypatch.setenv("MDC_API_URL", served.api)
        monkeypatch.setenv("MDC_API_KEY", KEY)
        monkeypatch.setenv("MDC_DOWNLOAD_PATH", str(tmp_path / "downloads"))
        monkeypatch.setattr(mdc, "Backoff", lambda **kept: Backoff(sleep=lambda wait_s: None))
        yield served


@pytest.fixture
def here(tmp_path):
    return tmp_path / "downloads" / ID


def make(source, to, workers=1):
    return prepare([source], to, data=DataConfig(workers=workers)).corpus


def say(source, to):
    """The kind and sentence of what goes wrong."""
    with pytest.raises(ModersmalError) as raised:
        make(source, to)
    assert "\n" not in str(raised.value)
    assert "s3cret" not in str(raised.value)
    return type(raised.value), str(raised.value)


# --- What comes ----------------------------------------------------------------------------------


def test_a_release_is_brought_and_read_as_its_archive(platform, archive, here, tmp_path):
    corpus = make(f"mdc:{ID}", tmp_path / "corpus")
    plain = make(str(archive), tmp_path / "plain")
    for split in ("train", "dev", "test"):
        assert corpus.split(split).ids == plain.split(split).ids
        every = range(len(plain.split(split)))
        assert corpus.split(split).audio_bytes(every) == plain.split(split).audio_bytes(every)
    assert (here / NAME).read_bytes() == archive.read_bytes()
    [source] = corpus.info["sources"]
    assert source == {
        "name": "cv-corpus-99.0/sv-SE",
        "kind": "data-collective",
        "address": f"mdc:{ID}",
        "revision": source["revision"],
        "licence": "CC0-1.0",
        "licence_url": "https://creativecommons.org/publicdomain/zero/1.0/",
        "redistributable": False,  # the site's terms
        "rows": 14,
    }
    assert len(source["revision"]) == 64


def test_what_is_here_needs_neither_network_nor_key(platform, tmp_path, monkeypatch):
    open_source(f"mdc:{ID}", "sv").fetch()
    platform.seen.clear()
    monkeypatch.delenv("MDC_API_KEY")
    with staying_offline():
        corpus = make(f"mdc:{ID}", tmp_path / "corpus")
    assert platform.seen == []
    shutil.rmtree(tmp_path / "downloads")
    with staying_offline():
        assert make(f"mdc:{ID}", tmp_path / "corpus") == corpus
        kind, said = say("mdc:another", tmp_path / "elsewhere")
    assert kind is HubError
    assert "mdc:another was not downloaded before, and this is offline" in said


def test_the_licence_is_what_the_site_says(platform):
    platform.details = {"licenseAbbreviation": "", "license": "Terms of Anna"}
    source = open_source(f"mdc:{ID}", "sv")
    source.fetch()
    assert source.licence.name == "Terms of Anna"
    assert source.licence.url == f"https://mozilladatacollective.com/datasets/{ID}"


# --- Interruption --------------------------------------------------------------------------------


def test_a_download_that_breaks_off_goes_on_where_it_was(platform, archive, here, tmp_path):
    size = archive.stat().st_size
    platform.cuts = [70_000, 0, 70_000]  # the client writes 65,536 bytes at a time
    make(f"mdc:{ID}", tmp_path / "corpus")
    assert (here / NAME).read_bytes() == archive.read_bytes()
    assert platform.sent == [70_000, 0, 70_000, size - 131_072]
    assert f"GET storage/{ID} bytes=131072-" in platform.seen


def test_the_next_call_goes_on_where_one_gave_up(platform, archive, here, tmp_path):
    platform.cuts = [70_000] + [0] * 6
    kind, said = say(f"mdc:{ID}", tmp_path / "corpus")
    assert kind is HubError
    assert "broke off at 0.00 of 0.00 GB" in said
    assert (here / f"{NAME}.part").stat().st_size == 65_536
    make(f"mdc:{ID}", tmp_path / "corpus")
    assert platform.sent[-1] == archive.stat().st_size - 65_536


def test_a_killed_download_goes_on(platform, archive, here, tmp_path):
    big = archive.read_bytes() + bytes(200_000_000)
    platform.releases["big-one"] = big
    code = (
        "from modersmal.corpus.sources import open_source; open_source('mdc:big-one', 'sv').fetch()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {})
    part = here.parent / "big-one" / f"{NAME}.part"
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size > 1e6) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    came = part.stat().st_size
    assert 0 < came < len(big)
    open_source("mdc:big-one", "sv").fetch()
    assert platform.sent[-1] == len(big) - came
    assert (part.parent / NAME).stat().st_size == len(big)


def test_killed_between_the_last_byte_and_the_renaming(platform, archive, here):
    here.mkdir(parents=True)
    shutil.copy(archive, here / f"{NAME}.part")
    open_source(f"mdc:{ID}", "sv").fetch()
    assert (here / NAME).read_bytes() == archive.read_bytes()
    assert platform.sent == []


def test_a_server_without_ranges_does_not_spoil_the_file(platform, archive, here):
    platform.ranges, platform.cuts = False, [70_000]
    with pytest.raises(CorpusError, match="came damaged from Data Collective and was removed"):
        open_source(f"mdc:{ID}", "sv").fetch()
    open_source(f"mdc:{ID}", "sv").fetch()
    assert (here / NAME).read_bytes() == archive.read_bytes()


def test_bytes_that_differ_are_not_kept(platform, archive, here):
    platform.details = {"checksum": "0" * 64}
    with pytest.raises(CorpusError, match="came damaged"):
        open_source(f"mdc:{ID}", "sv").fetch()
    assert not list(here.glob("*"))


def test_a_release_that_was_replaced_while_it_was_prepared_starts_anew(platform, here, tmp_path):
    to = tmp_path / "corpus"
    make(f"mdc:{ID}", tmp_path / "expected")
    work = to / ".prepare"
    shutil.copytree(tmp_path / "expected", to)  # as if it had been killed at its end
    (to / "corpus.json").unlink()
    work.mkdir()
    (work / "plan.json").write_text(
        json.dumps({"key": "other", "shards": [], "sources": [], "extras": []})
    )
    assert contents(make(f"mdc:{ID}", to).path) == contents(tmp_path / "expected")
    described = open_source(f"mdc:{ID}", "sv").described()
    assert open_source(f"mdc:{ID}", "sv").settle(described)
    assert not open_source(f"mdc:{ID}", "sv").settle(described | {"revision": "another"})


# --- What is said --------------------------------------------------------------------------------


def test_without_a_key_it_says_where_to_get_one(platform, here, tmp_path, monkeypatch):
    monkeypatch.delenv("MDC_API_KEY")
    kind, said = say(f"mdc:{ID}", tmp_path / "corpus")
    assert kind is HubError
    for page in (
        "https://mozilladatacollective.com,",
        f"https://mozilladatacollective.com/datasets/{ID}",
        "https://mozilladatacollective.com/api-reference",
    ):
        assert page in said
    assert "MDC_API_KEY" in said
    assert not here.exists()
    assert platform.seen == [f"GET api/datasets/{ID}"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "does not accept the key in MDC_API_KEY; create a new one at https://mozilla"),
        (
            403,
            f"accept the terms of the release at https://mozilladatacollective.com/datasets/{ID}",
        ),
        (402, f"has to be bought first, at https://mozilladatacollective.com/datasets/{ID}"),
        (410, "was removed from Data Collective"),
        (429, "too many requests from this account"),
        (500, f"cannot be asked for mdc:{ID}"),
    ],
)
def test_refusals_name_the_page_to_visit(platform, tmp_path, monkeypatch, status, words):
    platform.status = status
    if status == 401:
        monkeypatch.setenv("MDC_API_KEY", "an old one")
    kind, said = say(f"mdc:{ID}", tmp_path / "corpus")
    assert kind is HubError
    assert words in said
    assert platform.sent == []


def test_other_things_are_said_too(platform, tmp_path, monkeypatch):
    assert "Data Collective has no release nothing" in say("mdc:nothing", tmp_path / "corpus")[1]
    assert "is not mdc:ID" in say("mdc:a/../b", tmp_path / "corpus")[1]
    platform.filename = "../speech.zip"
    kind, said = say(f"mdc:{ID}", tmp_path / "corpus")
    assert kind is CorpusError
    assert "is ../speech.zip, not a .tar.gz of Common Voice" in said
    platform.filename = NAME
    platform.details = {"sizeBytes": 10**18}
    kind, said = say(f"mdc:{ID}", tmp_path / "corpus")
    assert kind is StoreError
    assert "does not fit on the disk" in said
    monkeypatch.setenv("MDC_API_URL", "http://127.0.0.1:9/api")
    assert "check the network" in say(f"mdc:{ID}", tmp_path / "corpus")[1]
    monkeypatch.setitem(sys.modules, "datacollective", None)
    assert "pip install 'modersmal[mdc]'" in say(f"mdc:{ID}", tmp_path / "corpus")[1]


def test_downloads_lie_where_one_chooses(tmp_path, monkeypatch):
    monkeypatch.setenv("MDC_DOWNLOAD_PATH", str(tmp_path / "a"))
    assert mdc.downloads_folder() == tmp_path / "a"
    monkeypatch.delenv("MDC_DOWNLOAD_PATH")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert mdc.downloads_folder() == tmp_path / "modersmal" / "downloads"
