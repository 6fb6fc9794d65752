"""The processes that a process has started, by what they run."""

from pathlib import Path


def children(what: str, of: int | str = "self") -> list[int]:
    """Those started by the process `of` whose command line has the text `what`."""
    pids = [
        pid
        for listed in Path(f"/proc/{of}/task").glob("*/children")
        for pid in map(int, listed.read_text().split())
    ]
    return [pid for pid in pids if what in command_line(pid)]


def command_line(pid: int) -> str:
    """What was asked of a process; empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
