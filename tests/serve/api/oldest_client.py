"""What OpenAI's oldest client gets from a server, as JSON. Run in an environment of its own:

python oldest_client.py ADDRESS CLIP
"""

import json
import sys
from pathlib import Path
from typing import Any

import openai


def refused(create: Any, **asked: Any) -> dict[str, Any]:
    try:
        create(**asked)
    except openai.APIStatusError as error:
        kind = type(error).__name__
        return {"kind": kind, "status": error.status_code, "says": error.message}
    return {}


def main(address: str, clip: str) -> None:
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    create, file = client.audio.transcriptions.create, Path(clip)
    words = {"timestamp_granularities": ["word"]}  # it can send one of them
    raw = client.audio.transcriptions.with_raw_response.create(file=file, model="whisper-1")
    verbose = create(file=file, model="whisper-1", response_format="verbose_json", language="sv",
                     temperature=0, extra_body=words)  # fmt: skip
    found = {
        "version": openai.__version__,
        "models": [model.id for model in client.models.list()],
        "model": client.models.retrieve("whisper-1").id,
        "json": create(file=file, model="whisper-1").text,
        "headers": {name: raw.headers.get(name) for name in ("x-model-release", "x-request-id")},
        "verbose": verbose.model_dump(),
        "told": create(
            file=file, model="whisper-1", prompt="Hej.", extra_body={"hotwords": "Klockan"}
        ).text,
        "wrong model": refused(create, file=file, model="whisper-2"),
        "wrong file": refused(create, file=("a.wav", b"no audio"), model="whisper-1"),
        "wrong field": refused(create, file=file, model="whisper-1", extra_body={"promt": "x"}),
        "too large": refused(create, file=("a.wav", bytes(27 << 20)), model="whisper-1"),
    }
    for kind in ("text", "srt", "vtt"):
        found[kind] = create(file=file, model="whisper-1", response_format=kind)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
