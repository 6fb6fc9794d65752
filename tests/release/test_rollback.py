"""One command undoes a release, and says what it did."""

import pytest
from publishing import write_release_draft

from modersmal.errors import StoreDamaged, StoreError, StoreMissing
from modersmal.release.rollback import rollback
from modersmal.store.releases import Releases
from read_only import read_only


def released(url, tmp_path, count):
    opened = Releases.open(url)
    for number in range(1, count + 1):
        opened.add(write_release_draft(tmp_path / f"draft-{number}"), lambda deployed: True)
    return opened


def test_latest_goes_back_step_by_step_and_forth_by_number(tmp_path):
    url = str(tmp_path / "store")
    opened = released(url, tmp_path, 3)
    done = rollback(url)
    assert (done.release, done.before, opened.latest()) == (2, 3, 2)
    assert str(done) == f"Release 2 is the latest of {url} now; it was 3."
    assert rollback(url).release == 1
    with pytest.raises(StoreMissing, match="no release before 1"):
        rollback(url)
    assert rollback(url, to=3).to_json() == {"store": url, "release": 3, "before": 1}
    assert rollback(url).release == 1
    assert [entry.state for entry in opened.list()] == ["latest", "complete", "complete"]


def test_a_release_after_a_rollback_is_undone_to_where_that_led(tmp_path):
    url = str(tmp_path / "store")
    opened = released(url, tmp_path, 2)
    rollback(url)
    opened.add(write_release_draft(tmp_path / "better"), lambda deployed: deployed == 1)
    assert opened.latest() == 3
    assert rollback(url).release == 1


def test_what_is_latest_already_stays(tmp_path):
    url = str(tmp_path / "store")
    released(url, tmp_path, 1)
    assert "already" in str(rollback(url, to=1))


def test_a_rollback_to_nothing_is_said_and_latest_stays(tmp_path):
    url = str(tmp_path / "store")
    with pytest.raises(StoreError, match="there is no store"):
        rollback(url)
    opened = released(url, tmp_path, 1)
    (tmp_path / "store/releases/0002").mkdir()
    (tmp_path / "store/releases/0002/model.safetensors").write_bytes(b"half")
    with pytest.raises(StoreMissing, match="has no release 9; it has 1"):
        rollback(url, to=9)
    with pytest.raises(StoreDamaged, match="half-written"):
        rollback(url, to=2)
    assert opened.latest() == 1


def test_a_store_that_is_read_only_is_one_sentence_and_latest_stays(tmp_path):
    url = str(tmp_path / "store")
    opened = released(url, tmp_path, 2)
    with read_only(tmp_path / "store"):
        with pytest.raises(StoreError, match="Permission denied") as caught:
            rollback(url)
        assert opened.latest() == 2
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    assert rollback(url).release == 1


def test_a_store_far_away_is_rolled_back(tmp_path, s3_store):
    opened = released(s3_store, tmp_path, 2)
    assert rollback(s3_store).release == opened.latest() == 1
