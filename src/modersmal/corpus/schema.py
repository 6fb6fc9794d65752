"""The format of a corpus folder: its files, its columns, and how the Hub reads them.

A corpus is `corpus.json` (written last: without it, the folder is unfinished), `rejected.jsonl`
and shards `{split}-{n:05d}.parquet`. A shard's columns are those below, then what the sources know
(age, gender, accents, …) as text.
"""

import json
import re

import pyarrow as pa

FORMAT = 1
CORPUS_FILE = "corpus.json"
REJECTED_FILE = "rejected.jsonl"
WORK_FOLDER = ".prepare"

MAX_ROW_GROUP_ROWS = 100
MAX_ROW_GROUP_BYTES = 16 * 1024**2

COLUMNS = {
    "id": pa.string(),
    "audio": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    "text": pa.string(),
    "duration": pa.float32(),
    "speaker": pa.string(),
    "source": pa.string(),
    "split": pa.string(),
    "flags": pa.list_(pa.string()),
}

_SPLIT_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,31}")
_SPLIT_ALIASES = {
    "training": "train",
    "validation": "dev",
    "valid": "dev",
    "val": "dev",
    "eval": "dev",
    "development": "dev",
    "testing": "test",
}


def split_name(written: str) -> str | None:
    """The name of a split as a corpus writes it (`validation` → `dev`), or None for no name."""
    name = written.strip().lower().replace("-", "_").replace(" ", "_")
    name = _SPLIT_ALIASES.get(name, name)
    return name if _SPLIT_NAME.fullmatch(name) else None


def shard_name(split: str, index: int) -> str:
    return f"{split}-{index:05d}.parquet"


def shard_schema(extras: list[str]) -> pa.Schema:
    """The Arrow schema of shards, annotated so that `datasets` sees the audio as audio."""
    text = {"dtype": "string", "_type": "Value"}
    features: dict[str, object] = dict.fromkeys([*COLUMNS, *extras], text)
    features["audio"] = {"_type": "Audio"}
    features["duration"] = {"dtype": "float32", "_type": "Value"}
    features["flags"] = {"feature": text, "_type": "List"}
    return pa.schema(
        [*COLUMNS.items(), *((name, pa.string()) for name in extras)],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
