"""Small releases with all kinds of files, and publishing one as a process that can be killed.

python publishing.py RELEASE REPO   to the Hub of HF_ENDPOINT, in commits of a file or two
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modersmal import store
from modersmal.release.facts import (
    Cost,
    Data,
    Rate,
    Release,
    Source,
    Split,
    SplitScore,
    Verdict,
    content_of,
)
from modersmal.release.publish import publish
from modersmal.store.retry import Backoff

CARD = "---\nlanguage: sv\nlibrary_name: transformers\n---\n# Svenska\n"
LARGE = ("model.safetensors", "ct2/int8/model.bin", "ggml/ggml-model-q5_0.bin")
QUICK = Backoff(first_s=0.01, longest_s=0.05, within_s=10.0)


def facts(content: str, **changes: Any) -> Release:
    wer = Rate(value=0.123, low=0.1, high=0.15)
    return Release(
        content=content, run="sv", made=datetime(2026, 11, 23, 6, 0, tzinfo=UTC),
        modersmal="0.5", base="openai/whisper-small", language="sv", language_name="Swedish",
        language_token="sv", vocabulary="multilingual", mels=80, parameters=241_000_000,
        weights="the best checkpoint", choice="it had the lowest WER on dev",
        data=Data(
            corpus="sv", splits=(Split(name="test", clips=5, hours=0.1),), text_style="as written",
            overlap="none", sources=(Source(name="cv", licence="CC0-1.0", may_pass_on=True),),
        ),
        recipe={}, cost=Cost(steps=10, seconds=1.0, hardware="a CPU"),
        test=SplitScore(
            system="sv", wer=wer, cer=wer, clips=5, audio_s=30.0, conditions={}
        ),
        formats=(Verdict(
            format="ct2-int8", path="ct2/int8", size_bytes=1, runtimes=("ctranslate2",),
            arithmetic="int8", golden_clips=5, same_texts=1.0, wer_change=0.0,
            seconds_of_audio_per_second=10.0, passed=True,
        ),),
    ).model_copy(update=changes)  # fmt: skip


def write_release_draft(folder: Path, size_bytes: int = 20_000, **changes: Any) -> Path:
    """Everything but number and manifest, with random weights."""
    for name in LARGE:
        store.write_bytes(folder / name, os.urandom(size_bytes))
    store.write_json(folder / "config.json", {"model_type": "whisper"})
    store.write_bytes(folder / "README.md", CARD.encode())
    store.write_bytes(
        folder / "scores" / "test-hf.jsonl", b'{"reference": "hej", "speaker": "a"}\n'
    )
    store.write_json(folder / "scores" / "evaluation.json", {"wer": 0.123})
    content = content_of({name: store.sha256(folder / name) for name in LARGE})
    facts(content, **changes).write(folder)
    return folder


def write_release(folder: Path, number: int = 1, size_bytes: int = 20_000, **changes: Any) -> Path:
    write_release_draft(folder, size_bytes, number=number, **changes)
    store.write_manifest(folder)
    return folder


if __name__ == "__main__":
    from modersmal.release import publish as module

    module.BATCH_BYTES = 25_000
    publish(*sys.argv[1:], backoff=QUICK)
