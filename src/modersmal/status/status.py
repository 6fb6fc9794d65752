"""`modersmal status`: once, or again and again until interrupted."""

import time

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from modersmal.errors import StoreError
from modersmal.progress import LINE_EVERY_S
from modersmal.status.page import line, page
from modersmal.status.read import Watcher
from modersmal.status.runs import Status

_REFRESH_S = 5.0


def status(store: str, *, watch: bool = False) -> Status:
    """Read how the runs of `store`, a folder or a URL, stand.

    With `watch` it is shown on standard error, live on a terminal and as lines elsewhere, until an
    interrupt; the last reading is returned.

    Raises:
        StoreError: there is no such store, or it cannot be reached.
    """
    watcher = Watcher.open(store)
    found = watcher.read()
    if not watch:
        return found
    console = Console(stderr=True, highlight=False)
    live = console.is_terminal or console.is_jupyter
    return _show_live(watcher, found, console) if live else _say_lines(watcher, found, console)


def _show_live(watcher: Watcher, found: Status, console: Console) -> Status:
    with Live(console=console, auto_refresh=False, transient=True) as live:
        trouble = Text()
        try:
            while True:
                live.update(Group(page(found, console.width), trouble), refresh=True)
                time.sleep(_REFRESH_S)
                found, trouble = _again(watcher, found)
        except KeyboardInterrupt:
            return found


def _say_lines(watcher: Watcher, found: Status, console: Console) -> Status:
    trouble = Text()
    try:
        while True:
            for said in [*map(line, found.runs), trouble.plain]:
                if said:
                    console.print(said, soft_wrap=True, markup=False)
            time.sleep(LINE_EVERY_S)
            found, trouble = _again(watcher, found)
    except KeyboardInterrupt:
        return found


def _again(watcher: Watcher, before: Status) -> tuple[Status, Text]:
    """A new reading; where the store is away, the one before and what the trouble is."""
    try:
        return watcher.read(), Text()
    except StoreError as error:
        return before, Text(f"{error}; what is shown is what was read last", style="red")
