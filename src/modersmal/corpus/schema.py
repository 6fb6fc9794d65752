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

# Of corpora that have recordings: which one a clip is cut from, where in it the clip begins (s),
# and what is said when within the clip (s).
RECORDING_COLUMNS = {
    "recording": pa.string(),
    "offset": pa.float64(),
    "segments": pa.list_(
        pa.struct([("start", pa.float32()), ("end", pa.float32()), ("text", pa.string())])
    ),
}

SHARD_FILE = re.compile(r"[a-z0-9][a-z0-9_]{0,31}-\d{5,}\.parquet")
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


def shard_schema(extras: list[str], recordings: bool = False) -> pa.Schema:
    """The Arrow schema of shards, annotated so that `datasets` sees the audio as audio."""
    columns = COLUMNS | RECORDING_COLUMNS if recordings else COLUMNS
    text, number = ({"dtype": kind, "_type": "Value"} for kind in ("string", "float32"))
    features: dict[str, object] = dict.fromkeys([*columns, *extras], text)
    features["audio"] = {"_type": "Audio"}
    features["duration"] = number
    features["flags"] = {"feature": text, "_type": "List"}
    if recordings:
        features["offset"] = {"dtype": "float64", "_type": "Value"}
        features["segments"] = {
            "feature": {"start": number, "end": number, "text": text},
            "_type": "List",
        }
    return pa.schema(
        [*columns.items(), *((name, pa.string()) for name in extras)],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
