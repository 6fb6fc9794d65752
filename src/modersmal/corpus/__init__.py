"""Corpora: prepared clips in Parquet shards, from any source, checked one by one."""

from modersmal.corpus.shards import Corpus, Split

__all__ = ["Corpus", "Split"]
