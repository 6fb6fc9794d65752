"""What one server consists of."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from modersmal.config import ServeConfig
from modersmal.database import Database
from modersmal.serve.access import Access

if TYPE_CHECKING:
    from modersmal.serve.corrections.forgetting import Forgetting
    from modersmal.serve.engine.engine import Engine

LOCK_FILE = "server.lock"  # all of these in `serve.folder`
REQUESTS_FOLDER = "requests"
RECORDINGS_FOLDER = "voices"
CORRECTIONS_FOLDER = "corrections"
_DATABASE_FILE = "modersmal.db"


@dataclass(frozen=True)
class Serving:
    """The parts that requests are answered with.

    `folder` holds what is kept (recordings, SQLite's file) and `requests_folder`, inside it, what
    is gone once a request is answered. `started_s` is a moment as time.time gives it. `forgetting`
    erases from a store what was learned from corrections, where there is one to be erased from.
    """

    settings: ServeConfig
    engine: "Engine"
    database: Database
    folder: Path
    access: Access
    started_s: float = field(default_factory=time.time)
    forgetting: "Forgetting | None" = None

    @property
    def recordings_folder(self) -> Path:
        return self.folder / RECORDINGS_FOLDER

    @property
    def requests_folder(self) -> Path:
        return self.folder / REQUESTS_FOLDER


def database_address(settings: ServeConfig, given: str | None = None) -> str:
    """Where the database is: as `given` for one start, as the recipe says, or in its folder."""
    if given or settings.database:
        return given or str(settings.database)
    return f"sqlite:///{Path(settings.folder).resolve() / _DATABASE_FILE}"
