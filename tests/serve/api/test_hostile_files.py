"""Files that mean harm are answered in a sentence, reach nothing, and end nothing."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from api_server import CLIP, SAID, Running
from hostile_uploads import Bait, Hostile, hostile_files

from encoded_audio import tone, written

ROUTE = "/v1/audio/transcriptions"
FINE = written(tone(0.2), 16_000, format="WAV")


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=120) as opened:
        yield opened


@pytest.fixture
def bait(tmp_path: Path) -> Iterator[Bait]:
    made = Bait(tmp_path / "somebody", CLIP.read_bytes())
    yield made
    made.close()


def troubles(client: httpx.Client, bait: Bait, file: Hostile) -> Iterator[str]:
    """What went wrong when one file was sent."""
    answer = client.post(ROUTE, files={"file": (file.filename, file.data)})
    if answer.status_code not in file.statuses:
        yield f"{answer.status_code} {answer.text[:200]}"
    elif answer.status_code != 200:
        error = answer.json()["error"]
        if not error["message"] or "\n" in error["message"] or str(bait.file) in error["message"]:
            yield f"its sentence is {error['message']!r}"
    elif SAID in answer.text:
        yield "it read somebody else's recording"
    if bait.opened():
        yield "it opened somebody else's file"
    if bait.called():
        yield "it called another address"
    if client.post(ROUTE, files={"file": FINE}).status_code != 200:
        yield "the next request was not served"


def must_be_harmless(server: Running, client: httpx.Client, bait: Bait, *, hours: bool) -> None:
    files = list(hostile_files(bait, hours=hours))
    processes = server.serving.engine.state().pids
    found = {file.name: list(troubles(client, bait, file)) for file in files}
    assert len(found) == len(files) >= 50
    assert {name: said for name, said in found.items() if said} == {}
    assert server.serving.engine.state().pids == processes
    assert client.post(ROUTE, files={"file": CLIP.read_bytes()}).json()["text"] == SAID


def test_hostile_files_do_no_harm(server: Running, client: httpx.Client, bait: Bait) -> None:
    must_be_harmless(server, client, bait, hours=False)


@pytest.mark.chaos
def test_hours_in_a_small_file_do_no_harm(
    server: Running, client: httpx.Client, bait: Bait
) -> None:
    must_be_harmless(server, client, bait, hours=True)


def test_the_bait_notices_who_takes_it(bait: Bait) -> None:
    assert not bait.opened()
    assert not bait.called()
    bait.file.read_bytes()
    assert bait.opened()
    with pytest.raises(httpx.HTTPError):
        httpx.get(bait.address, timeout=0.05)
    assert bait.called()
