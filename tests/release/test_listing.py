"""What a store's releases look like in a table and in JSON."""

import json

import pytest
from publishing import write_release_draft

from modersmal import store
from modersmal.errors import StoreError
from modersmal.release.listing import releases
from modersmal.store.releases import Releases


@pytest.fixture
def url(tmp_path):
    opened = Releases.open(str(tmp_path / "store"))
    for number, forced in enumerate((None, "worse than release 1"), 1):
        draft = write_release_draft(
            tmp_path / f"draft-{number}", forced=forced, parent=1 if number == 2 else None
        )
        opened.add(draft, lambda deployed: True)
    store.write_bytes(tmp_path / "store/releases/0003/model.safetensors", b"half")
    store.write_json(tmp_path / "store/releases/0004.json", {"draft": "somebody's"})
    return str(tmp_path / "store")


def test_a_table_has_rate_size_date_parent_and_state(url):
    lines = str(releases(url)).splitlines()
    assert len(lines) == 5
    first, second, third, fourth = (line.split() for line in lines[1:])
    assert first[:4] == ["1", "12.30", "(10.00-15.00)", "0"]
    assert first[5:] == ["2026-11-23", "06:00", "openai/whisper-small", "complete"]
    assert second[5:] == ["2026-11-23", "06:00", "1", "openai/whisper-small", "latest,", "forced"]
    assert third == ["3", "0", "MB", "half-written"]
    assert fourth == ["4", "0", "MB", "half-written"]


def test_json_says_the_same(url, tmp_path):
    told = json.loads(json.dumps(releases(url).to_json()))
    assert told["latest"] == 2
    first = told["releases"][0]
    assert (first["wer"], first["wer_low"], first["wer_high"]) == (0.123, 0.1, 0.15)
    assert first["formats"] == ["ct2-int8"]
    folder = tmp_path / "store/releases/0001"
    assert first["size_bytes"] == sum(
        path.stat().st_size for path in folder.rglob("*") if path.is_file()
    )
    assert [row["state"] for row in told["releases"]] == [
        "complete", "latest", "half-written", "half-written"
    ]  # fmt: skip


def test_facts_that_cannot_be_read_leave_blanks(url, tmp_path):
    (tmp_path / "store/releases/0001/release.json").write_text("{")
    row = releases(url).rows[0]
    assert (row.number, row.state, row.wer) == (1, "complete", None)


def test_a_store_without_releases_and_no_store_at_all(tmp_path):
    assert "no release yet" in str(releases(tmp_path))
    with pytest.raises(StoreError, match="there is no store at"):
        releases(tmp_path / "nowhere")


def test_stores_far_away_are_listed(tmp_path, s3_store):
    opened = Releases.open(s3_store)
    opened.add(write_release_draft(tmp_path / "draft"), lambda deployed: True)
    assert [row.state for row in releases(s3_store).rows] == ["latest"]
