"""What was erased, in a file beside what was not: a backup that is brought back finds there what
must go again."""

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from modersmal.errors import StoreError
from modersmal.store.files import sync_folder, writing

TOMBSTONES_FILE = "tombstones"
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Tombstones:
    """Ids of 32 hexadecimal digits, in the file `tombstones` of `folder`."""

    folder: Path

    def bury(self, erased: Collection[str]) -> None:
        """Note that these were erased; on the disk before this returns."""
        if not erased:
            return
        path = self.folder / TOMBSTONES_FILE
        lines = "\n".join(["", *sorted(erased), ""])  # what stands before may have been cut short
        with writing(path):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with open(handle, "ab") as file:
                file.write(lines.encode())
                file.flush()
                os.fsync(file.fileno())
        sync_folder(self.folder)

    def buried(self) -> set[str]:
        """The ids that `bury` noted. Raises StoreError where they cannot be read."""
        path = self.folder / TOMBSTONES_FILE
        try:
            lines = path.read_text(encoding="ascii").splitlines()
        except FileNotFoundError:
            return set()
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"{path} cannot be read: {error}") from error
        return {line for line in lines if _ID.fullmatch(line)}
