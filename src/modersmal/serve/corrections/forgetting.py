"""What else than the server's own folder and database holds what people have corrected."""

from collections.abc import Collection
from typing import Protocol


class Forgetting(Protocol):
    """Erases corrections from a store: corpora, reports, golden sets, what waits for upload."""

    def learned(self, ids: Collection[str]) -> list[str]:
        """The names of the releases that learned from any of these corrections."""

    def forget(self, ids: Collection[str]) -> None:
        """Erase all that is left of these corrections.

        Raises:
            ModersmalError: it cannot be done now; it is asked for again until it is.
        """
