"""Undo a release in one step: latest goes back to what was deployed before it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modersmal.errors import StoreMissing
from modersmal.release.listing import open_store
from modersmal.store.latest import ROLLBACK


@dataclass(frozen=True)
class Rollback:
    """`release` is deployed now; `before`, what was until now (the same, where nothing moved)."""

    store: str
    release: int
    before: int | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        if self.release == self.before:
            return f"Release {self.release} is the latest of {self.store} already."
        return f"Release {self.release} is the latest of {self.store} now; it was {self.before}."


def rollback(store: str | Path, to: int | None = None) -> Rollback:
    """Deploy an earlier release of `store` again: `to`, or what was deployed before the latest.

    Nothing is deleted, and one small file is written. What was rolled back can be deployed again by
    its number.

    Raises:
        StoreMissing: there is no earlier release, or none of that number.
        StoreDamaged: that release is half-written.
        StoreError: the store cannot be reached or written; latest stays.
    """
    opened = open_store(store)
    deployed = opened.deployed()
    if to is None:
        if deployed is None or not deployed.before:
            has = "no release" if deployed is None else f"no release before {deployed.release}"
            raise StoreMissing(
                f"{opened.url} has had {has} as its latest; choose one that `modersmal releases` "
                "lists by its number"
            )
        to = deployed.before[-1]
    opened.move_latest(to, ROLLBACK)
    return Rollback(opened.url, to, deployed.release if deployed else None)
