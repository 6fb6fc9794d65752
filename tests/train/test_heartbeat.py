"""status.json is whole at any moment, says what happened, and holds nothing up."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modersmal.errors import Held, Stopped, StoreError
from modersmal.train.heartbeat import (
    EVERY_S,
    STATUS,
    Heartbeat,
    HeartbeatWriter,
    Mark,
    Score,
    merge_scores,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Clocks:
    """The time of day and the seconds that only grow, moved by hand."""

    def __init__(self) -> None:
        self.s = 0.0

    def clock(self) -> float:
        return self.s

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.s)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@contextmanager
def writer(
    run: Path, clocks: Clocks, step: int = 0, earlier: list[Score] | None = None, **given: Any
) -> Iterator[HeartbeatWriter]:
    """A run of 100 steps that goes on from `step`."""
    settings: dict[str, Any] = {"max_steps": 100, "say": print} | given
    with HeartbeatWriter(run, **settings, clock=clocks.clock, now=clocks.now) as heartbeat:
        heartbeat.begin(step, earlier=earlier or [])
        yield heartbeat


def told(run: Path) -> Heartbeat:
    return Heartbeat.parse((run / STATUS).read_bytes())


def has_told(run: Path, step: int) -> bool:
    return (run / STATUS).exists() and told(run).step == step


def until(holds: Any, within_s: float = 20.0) -> None:
    ends_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends_s, "it did not come about"
        time.sleep(0.002)


def test_every_event_is_told_at_once_and_steps_every_ten_seconds(
    tmp_path: Path, clocks: Clocks
) -> None:
    delivered: list[Heartbeat] = []

    def send(data: bytes) -> None:
        delivered.append(Heartbeat.parse(data))

    def count(expected: int) -> None:
        until(lambda: len(delivered) >= expected)
        assert len(delivered) == expected

    with writer(tmp_path, clocks, send=send, confirms=True) as heartbeat:
        count(1)
        for step in range(1, 26):
            clocks.s += 1.0
            heartbeat.step(step, took_s=0.5, audio_s=20.0, epoch=step / 50, loss=2.0)
            count(1 + step // 10)
        heartbeat.saved(25)
        count(4)
        heartbeat.confirmed(25)
        count(5)
        clocks.s += 1.0
        heartbeat.scoring()
        count(5)
        clocks.s += EVERY_S
        heartbeat.scoring()
        count(6)
        assert delivered[-1].phase == "scoring"
        heartbeat.scored(25, "wer", 0.25)
        count(7)
    count(8)
    last = delivered[-1]
    assert last == told(tmp_path)
    assert last.phase == "finished"
    assert (last.step, last.max_steps, last.epoch, last.loss) == (25, 100, 0.5, 2.0)
    assert last.audio_s_per_s == pytest.approx(40.0)
    assert last.steps_per_s == pytest.approx(2.0)
    assert last.saved == last.confirmed == Mark(25, NOON + timedelta(seconds=25))
    assert last.scores == (Score(25, 0.25),)
    assert last.written == clocks.now()


def test_time_left_counts_scoring_and_saving_but_not_the_first_step(
    tmp_path: Path, clocks: Clocks
) -> None:
    with writer(tmp_path, clocks) as heartbeat:
        clocks.s = 300.0  # compiling
        heartbeat.step(1, took_s=300.0, audio_s=10.0, epoch=0.0, loss=2.0)
        assert heartbeat.beat.left_s is None
        clocks.s += 20.0  # half of it was scoring
        heartbeat.step(2, took_s=10.0, audio_s=10.0, epoch=0.0, loss=2.0)
        assert heartbeat.beat.left_s == 98 * 20.0
        heartbeat.planned(50)
        clocks.s += 20.0
        heartbeat.step(3, took_s=10.0, audio_s=10.0, epoch=0.0, loss=2.0)
        assert heartbeat.beat.left_s == 47 * 20.0
    assert told(tmp_path).max_steps == 50


def test_how_a_run_ends_is_told(tmp_path: Path, clocks: Clocks) -> None:
    for number, (error, phase, why) in enumerate(
        [
            (Stopped("stopped at step 5"), "paused", "stopped at step 5"),
            (StoreError("the disk is full"), "failed", "the disk is full"),
            (KeyboardInterrupt(), "paused", "interrupted, without saving first"),
            (ValueError("hf_secret"), "failed", "a fault of ours (ValueError)"),
        ]
    ):
        run = tmp_path / str(number)
        with pytest.raises(type(error)), writer(run, clocks):
            raise error
        assert (told(run).phase, told(run).why) == (phase, why)


def test_who_has_lost_the_lease_says_no_more(tmp_path: Path, clocks: Clocks) -> None:
    with suppress(Held), writer(tmp_path, clocks):
        until((tmp_path / STATUS).exists)
        (tmp_path / STATUS).write_text("of the new holder")
        raise Held("another machine holds the run")
    assert (tmp_path / STATUS).read_text() == "of the new holder"


def test_a_start_that_fails_leaves_what_was_known(tmp_path: Path, clocks: Clocks) -> None:
    (tmp_path / STATUS).write_text("of before")
    with suppress(StoreError), HeartbeatWriter(tmp_path, max_steps=9, say=print):
        raise StoreError("begun with another recipe")
    assert (tmp_path / STATUS).read_text() == "of before"


def test_a_slow_or_missing_store_does_not_hold_up_a_step(tmp_path: Path, clocks: Clocks) -> None:
    said: list[str] = []
    gate, down = threading.Event(), True
    arrived: list[int] = []

    def send(data: bytes) -> None:
        gate.wait()
        if down:
            raise StoreError("s3://bucket cannot be reached")
        arrived.append(Heartbeat.parse(data).step)

    with writer(tmp_path, clocks, send=send, say=said.append) as heartbeat:
        for step in range(1, 1001):
            clocks.s += 20.0
            heartbeat.step(step, took_s=1.0, audio_s=1.0, epoch=0.0, loss=2.0)
        until(lambda: has_told(tmp_path, 1000))  # the disk does not wait for the store
        gate.set()
        until(lambda: len(said) == 1)
        heartbeat.saved(1000)
        down = False
        heartbeat.saved(1001)
    assert said[0] == "s3://bucket cannot be reached; training goes on without it"
    assert len(said) == 2
    assert arrived[-1] == 1000
    assert len(arrived) < 5  # what was overtaken is not sent


def test_a_disk_that_cannot_be_written_is_said_once(tmp_path: Path, clocks: Clocks) -> None:
    said: list[str] = []
    (tmp_path / "run").write_text("a file where the folder should be")
    with writer(tmp_path / "run", clocks, say=said.append) as heartbeat:
        until(lambda: said)
        heartbeat.saved(1)
    assert len(said) == 1
    assert "status.json cannot be written" in said[0]


def test_a_store_may_be_told_less_often(tmp_path: Path, clocks: Clocks) -> None:
    sent: list[bytes] = []
    with writer(tmp_path, clocks, send=sent.append, send_every_s=600.0) as heartbeat:
        until(lambda: len(sent) == 1)
        clocks.s = 599.0
        heartbeat.step(1, took_s=1.0, audio_s=1.0, epoch=0.0, loss=2.0)
        until(lambda: has_told(tmp_path, 1))
        assert len(sent) == 1
        assert told(tmp_path).every_s == 600.0
        clocks.s = 600.0
        heartbeat.step(2, took_s=1.0, audio_s=1.0, epoch=0.0, loss=2.0)
        until(lambda: len(sent) == 2)


def test_scores_from_before_a_restart_stay_up_to_its_step(tmp_path: Path, clocks: Clocks) -> None:
    earlier = [Score(10, 0.5), Score(20, 0.4), Score(30, 0.3)]
    with writer(tmp_path, clocks, step=20, earlier=earlier) as heartbeat:
        heartbeat.scored(30, "wer", 0.31)
    assert told(tmp_path).scores == (Score(10, 0.5), Score(20, 0.4), Score(30, 0.31))
    merged = merge_scores([Score(20, 0.4)], [Score(10, 0.5), Score(20, 0.2)], until=20)
    assert merged == (Score(10, 0.5), Score(20, 0.2))


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_what_is_no_number_is_still_json(tmp_path: Path, clocks: Clocks, loss: float) -> None:
    with writer(tmp_path, clocks) as heartbeat:
        heartbeat.step(1, took_s=0.0, audio_s=1.0, epoch=0.0, loss=loss)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    table = json.loads((tmp_path / STATUS).read_text(), parse_constant=refuse)
    assert table["loss"] is None
    assert told(tmp_path).loss is None


@given(st.binary(max_size=40), st.integers(0, 400))
def test_what_is_broken_is_a_value_error(noise: bytes, cut: int) -> None:
    whole = Heartbeat("training", NOON, 5, 10, scores=(Score(5, 0.5),)).encode()
    assert Heartbeat.parse(whole).step == 5
    for data in (noise, whole[: min(cut, len(whole) - 2)]):
        with pytest.raises(ValueError, match="is broken or half written"):
            Heartbeat.parse(data)


def test_other_versions_news_are_read_or_refused() -> None:
    table = json.loads(Heartbeat("training", NOON, 5, 10).encode())
    assert Heartbeat.parse(json.dumps(table | {"mood": "good"}).encode()).step == 5
    with pytest.raises(ValueError, match="another version"):
        Heartbeat.parse(json.dumps(table | {"format": 2}).encode())
