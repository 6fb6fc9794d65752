"""What a server keeps in a database: SQLite, or Postgres by its address."""

from modersmal.database.database import Database

__all__ = ["Database"]
