import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modersmal.store.retry import Backoff


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now_s, self.slept_s = 1000.0, []

    def sleep(self, seconds):
        self.slept_s.append(seconds)
        self.now_s += seconds

    def backoff(self, jitter=1.0, **settings):
        return Backoff(
            clock=lambda: self.now_s, sleep=self.sleep, jitter=lambda: jitter, **settings
        )


def failing(times, error):
    calls = []

    def attempt():
        calls.append(1)
        if len(calls) <= times:
            raise error
        return len(calls)

    return attempt


def test_waits_double_up_to_the_longest_and_end_with_success():
    time = Time()
    backoff = time.backoff(first_s=1, longest_s=4, within_s=100)
    assert backoff.run(failing(4, ConnectionError("gone"))) == 5
    assert time.slept_s == [1, 2, 4, 4]


def test_it_gives_up_before_its_time_is_over_with_the_last_error():
    time = Time()
    backoff = time.backoff(first_s=1, longest_s=8, within_s=10)
    with pytest.raises(TimeoutError, match="too slow"):
        backoff.run(failing(1000, TimeoutError("too slow")))
    assert time.slept_s == [1, 2, 4]  # the next wait, 8, would end after 10 s
    assert time.now_s <= 1010


@pytest.mark.parametrize(
    "error", [PermissionError("no"), OSError(errno.ENOSPC, "full"), FileNotFoundError("none")]
)
def test_what_will_not_pass_is_not_tried_again(error):
    time = Time()
    with pytest.raises(type(error)):
        time.backoff().run(failing(1, error))
    assert time.slept_s == []


def test_a_fault_of_ours_is_not_taken_for_the_networks():
    with pytest.raises(KeyError):
        Time().backoff().run(failing(1, KeyError("a bug")))


@given(st.floats(0, 1), st.integers(0, 10_000), st.floats(0.01, 5), st.floats(0.01, 60))
def test_every_wait_lies_between_nothing_and_its_bound(jitter, failures, first_s, longest_s):
    backoff = Backoff(first_s=first_s, longest_s=longest_s, jitter=lambda: jitter)
    wait_s = backoff.wait_s(failures)
    assert 0 <= wait_s <= min(longest_s, first_s * 2.0 ** min(failures, 30))


class _Answer:
    def __init__(self, **headers):
        self.headers, self.status_code = headers, 429


@pytest.mark.parametrize(
    "headers", [{"Retry-After": "7"}, {"RateLimit": '"api";r=0;t=7'}], ids=["after", "limit"]
)
def test_a_server_that_says_how_long_to_wait_is_obeyed(headers):
    error = ConnectionError("too many")
    error.response = _Answer(**headers)
    time = Time()
    assert time.backoff(first_s=1, longest_s=2, within_s=100).run(failing(2, error)) == 3
    assert time.slept_s == [7, 7]
    with pytest.raises(ConnectionError):  # longer than it may take at all
        Time().backoff(within_s=5).run(failing(1, error))


def test_a_limit_that_is_not_spent_asks_for_no_wait():
    error = ConnectionError("broken")
    error.response = _Answer(RateLimit='"api";r=499;t=200')
    time = Time()
    time.backoff(first_s=1).run(failing(1, error))
    assert time.slept_s == [1]
