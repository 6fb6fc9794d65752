"""Give clips of sources without splits a split, from a hash: growing data never moves a clip."""

import hashlib

from modersmal.config import DataConfig
from modersmal.corpus.sources.base import LongRow, Piece, Row
from modersmal.text import sentence_key

EVALUATION_SPLITS = ("dev", "test")


def assign_split(row: Row, data: DataConfig, language: str) -> str:
    """By speaker, so that nobody is heard in two splits; by sentence where no speaker is known.

    A recording stays whole. The share of test lies below that of dev, so that a change of dev's
    share leaves test alone.
    """
    if isinstance(row, Piece | LongRow):
        return recording_split(row.path, data)
    if row.speaker:
        return _by_hash(f"speaker {row.speaker}", data)
    return _by_hash(f"sentence {sentence_key(row.text, language)}", data)


def recording_split(path: str, data: DataConfig) -> str:
    """The split of all that is cut out of the recording at `path`."""
    return _by_hash(f"recording {path}", data)


def _by_hash(key: str, data: DataConfig) -> str:
    share = int.from_bytes(hashlib.sha256(key.encode("utf-8", "replace")).digest()[:8]) / 2**64
    if share < data.test_share:
        return "test"
    if share < data.test_share + data.dev_share:
        return "dev"
    return "train"
