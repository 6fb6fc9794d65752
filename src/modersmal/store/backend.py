"""What a kind of storage must be able to do; `Remote` does the rest, the same for all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

OnProgress = Callable[[int], object]  # told how many more bytes are through


@dataclass(frozen=True)
class Stat:
    """A file of a remote: its bytes, and a tag that differs where the content does."""

    size_bytes: int
    tag: str


class Backend(Protocol):
    """One kind of storage. Names are relative, with forward slashes.

    Methods raise what their library raises, FileNotFoundError where there is no such file, and
    `Damaged` where the bytes that arrived are not those that were sent. They try once.
    """

    confirms: bool
    """Whether a `put` that returns has proven that the bytes are there."""
    one_commit: bool
    """Whether `put_all` makes all of its files visible at once."""
    lease_ttl_s: float
    """Seconds after which a lease not renewed here has run out."""

    def exclusive(self) -> bool:
        """Whether `create` is refused to all but one of several at once."""
        ...

    def put_all(self, files: Mapping[str, Path], on_bytes: OnProgress) -> None:
        """Send files and confirm each by size, and by the storage's checksum where it has one."""
        ...

    def write(self, name: str, data: bytes) -> None: ...

    def create(self, name: str, data: bytes) -> bool:
        """Write a file that must not be there; False where it is."""
        ...

    def read(self, name: str, begin: int = 0, end: int | None = None) -> bytes: ...

    def stat(self, name: str) -> Stat: ...

    def list(self, prefix: str) -> dict[str, int]:
        """Names and sizes of all files below the folder `prefix` ("" for all), as they are now."""
        ...

    def delete(self, names: Sequence[str]) -> None:
        """Delete files, in this order; those that are gone are no error."""
        ...

    def free_bytes(self) -> int | None: ...
