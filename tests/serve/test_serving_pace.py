"""How often one caller may ask."""

from modersmal.serve.pace import Pace, neighbourhood


def test_as_many_as_a_minute_allows_and_then_at_its_pace() -> None:
    now_s = [0.0]
    pace = Pace(60, lambda: now_s[0])
    assert [pace.wait_s("anna") for _ in range(60)] == [0] * 60
    assert pace.wait_s("anna") == 1
    assert pace.wait_s("bo") == 0
    now_s[0] = 1.0
    assert pace.wait_s("anna") == 0
    assert pace.wait_s("anna") == 1
    now_s[0] = 1e6
    assert [pace.wait_s("anna") for _ in range(61)] == [0] * 60 + [1]


def test_the_wait_is_as_long_as_it_takes() -> None:
    pace = Pace(6, lambda: 0.0)
    assert [pace.wait_s("anna") for _ in range(7)] == [0] * 6 + [10]


def test_many_callers_take_bounded_memory() -> None:
    pace = Pace(1, lambda: 0.0)
    for number in range(20_000):
        pace.wait_s(str(number))
    assert len(pace._left) <= 10_000


def test_one_connections_ipv6_addresses_are_one_caller() -> None:
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:2")
    assert neighbourhood("2001:db8::1") != neighbourhood("2001:db8:0:1::1")
    assert neighbourhood("192.0.2.1") != neighbourhood("192.0.2.2")
    assert neighbourhood("testclient") == "testclient"
