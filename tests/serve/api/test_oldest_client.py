"""The oldest client of OpenAI's with today's interface, 1.0.0, unmodified, beside the newest."""

import json
import subprocess
import venv
from pathlib import Path

import pytest
from api_server import CLIP, SAID, Running

# Newer httpx has not what it asks of it.
OLDEST = ["openai==1.0.0", "httpx<0.28"]
SCRIPT = Path(__file__).with_name("oldest_client.py")


@pytest.mark.chaos
def test_the_oldest_client_is_served_too(server: Running, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", *OLDEST], check=True, timeout=280)
    done = subprocess.run(
        [python, str(SCRIPT), server.url, str(CLIP)],
        check=True, timeout=120, capture_output=True, text=True, env={},
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["version"] == "1.0.0"
    assert found["models"][0] == "bundled"
    assert found["model"] == "whisper-1"
    assert found["json"] == SAID
    assert found["text"] == f"{SAID}\n"
    assert found["srt"] == f"1\n00:00:00,000 --> 00:00:01,686\n{SAID}\n"
    assert found["vtt"] == f"WEBVTT\n\n00:00:00.000 --> 00:00:01.686\n{SAID}\n"
    assert found["headers"]["x-model-release"] == "bundled"
    assert found["headers"]["x-request-id"].startswith("req_")
    verbose = found["verbose"]
    assert (verbose["text"], verbose["language"]) == (SAID, "swedish")
    assert " ".join(word["word"] for word in verbose["words"]) == SAID
    assert "segments" not in verbose
    assert found["told"]
    for asked, kind, status, code in (
        ("wrong model", "NotFoundError", 404, "model_not_found"),
        ("wrong file", "BadRequestError", 400, "invalid_audio"),
        ("wrong field", "BadRequestError", 400, "unknown_parameter"),
        ("too large", "APIStatusError", 413, "too_large"),
    ):
        assert (found[asked]["kind"], found[asked]["status"]) == (kind, status)
        assert f"'code': '{code}'" in found[asked]["says"]  # it reads no more of an error
