"""The demo as a newcomer starts it, with nothing to reach."""

import csv
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

NOWHERE = "http://127.0.0.1:9"  # the discard port, on which nobody listens


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What it printed, and the folder that it left."""
    folder = tmp_path_factory.mktemp("demo")
    away = dict.fromkeys(["HF_ENDPOINT", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"], NOWHERE)
    done = subprocess.run(
        [sys.executable, "-m", "modersmal", "demo", str(folder)],
        env={**os.environ, **away, "MODERSMAL_CACHE": str(folder / "cache"), "COLUMNS": "120"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout, folder


@pytest.mark.timeout(900)
def test_it_wins_ten_points_and_is_sure_of_it(demo: tuple[str, Path]) -> None:
    _, folder = demo
    [evaluation] = folder.glob("store/runs/*/scores/test/evaluation.json")

    [score] = json.loads(evaluation.read_text())["scores"]

    change = score["comparison"]["difference"]
    assert change["difference"] <= -0.10
    assert change["interval"]["high"] < 0


def test_it_says_what_was_heard_and_what_to_run_next(demo: tuple[str, Path]) -> None:
    printed, _ = demo

    assert "Read aloud:" in printed
    assert "Transcribed:" in printed
    assert "modersmal run recipe.toml" in printed


def test_it_is_scored_on_speakers_and_sentences_unseen(demo: tuple[str, Path]) -> None:
    _, folder = demo
    [release] = folder.glob("*.tar.gz")
    rows = {}
    with tarfile.open(release) as archive:
        for entry in archive:
            if entry.name.endswith(".tsv"):
                opened = archive.extractfile(entry)
                assert opened is not None
                text = io.StringIO(opened.read().decode())
                rows[Path(entry.name).stem] = list(
                    csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
                )

    for column in ("client_id", "sentence"):
        seen = {row[column] for row in rows["train"] + rows["dev"]}
        assert not seen & {row[column] for row in rows["test"]}
    assert len(rows["test"]) >= 60
    assert len({row["client_id"] for row in rows["test"]}) >= 6
