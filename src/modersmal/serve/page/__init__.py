"""The page that people record, read and correct in."""

from modersmal.serve.page.mount import mount

__all__ = ["mount"]
