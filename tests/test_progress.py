"""Progress speaks on standard error only, and in lines where nobody watches a terminal."""

import time

from modersmal.progress import duration, progress


def test_lines_on_standard_error(capsys):
    with progress("Preparing", total=8, unit="clips", done=2, line_every_s=0.0) as advance:
        time.sleep(0.01)
        advance(2, note="train-00001")
        advance(4)
    out, err = capsys.readouterr()
    assert out == ""
    first, second, last = err.splitlines()
    assert first.startswith("Preparing: 4 of 8 clips (50%), ")
    assert " left; train-00001" in first
    assert second.startswith("Preparing: 8 of 8 clips (100%)")
    assert last == "Preparing: 8 clips in 0 s; train-00001"


def test_one_line_per_interval_and_one_at_the_end(capsys):
    with progress("Decoding", unit="clips") as advance:
        for _ in range(100):
            advance()
    assert capsys.readouterr().err == "Decoding: 100 clips in 0 s\n"


def test_nothing_is_claimed_when_the_work_fails(capsys):
    try:
        with progress("Decoding", total=3):
            raise KeyError
    except KeyError:
        pass
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress("Training", total=3, unit="steps") as advance:
        advance(3, note="loss 1.2")
    out, err = capfd.readouterr()
    assert out == ""
    assert "Training" in err
    assert "100 %" in err


def test_durations_read_naturally():
    assert [duration(s) for s in (-1, 41.4, 200, 7500)] == [
        "0 s",
        "41 s",
        "3 min 20 s",
        "2 h 05 min",
    ]
