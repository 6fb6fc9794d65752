"""What a training says to people, from the first of its processes."""

from rich.console import Console

from modersmal.train.ranks import speaks


def say(line: str) -> None:
    """Say one line on standard error, above a live bar if there is one; of several processes, the
    first one speaks."""
    if not speaks():
        return
    Console(stderr=True).print(line, soft_wrap=True, markup=False, highlight=False)
