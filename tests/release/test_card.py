"""The card says what is known of a release, the Hub understands it, and its examples run."""

import json
import os
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import soundfile
from huggingface_hub import ModelCard, constants
from publishing import facts
from small_models import speech

from modersmal.audio import SAMPLE_RATE
from modersmal.release.card import write_card
from modersmal.release.examples import AUDIO
from modersmal.release.exports import FORMATS, export
from modersmal.release.facts import (
    REPOSITORY,
    Comparison,
    Cost,
    Data,
    Kept,
    Rate,
    Release,
    Slice,
    Source,
    Split,
    SplitScore,
    Verdict,
)
from modersmal.whisper.load import locate
from writable_hub import LFS_FROM_BYTES, writable_hub

EXPORTED = ("hf", "ct2-int8", "ggml-q8_0")
BLOCK = re.compile(r"```(python|sh)\n(.*?)\n```", re.DOTALL)


def verdict(name: str, **changes: Any) -> Verdict:
    format = FORMATS[name]
    return Verdict(
        format=name, path=format.place, size_bytes=12_300_000, runtimes=format.runtimes,
        arithmetic="float32", golden_clips=200, same_texts=0.995, wer_change=0.04,
        seconds_of_audio_per_second=20.0, passed=True,
    ).model_copy(update=changes)  # fmt: skip


def known(**changes: Any) -> Release:
    """A release of which everything is known."""
    score = SplitScore(
        system="sv", wer=Rate(value=0.1234, low=0.11, high=0.137), cer=Rate(value=0.05),
        clips=300, audio_s=1350.0,
        conditions={"normaliser": "modersmal-1", "context": "full", "beams": 1, "corpus": "a" * 64},
    )  # fmt: skip
    return facts(
        "c" * 64, number=7, run="/home/anna/store/runs/swedish", licence="apache-2.0",
        language="sv-SE", windows=True, context="dynamic", context_floor_s=2.0,
        candidates={"step 500": 0.15, "the average of steps 250 and 500": 0.14}, dev_metric="wer",
        weights="the average of steps 250 and 500", choice="it has the lowest WER on dev",
        made=datetime(2026, 11, 23, 6, 0, tzinfo=UTC),
        recipe={"language": "sv", "model": "openai/whisper-small", "language_token": None,
                "text": {"case": "keep", "replace": {"ö e": "ö"}}, "train": {"max_steps": 500}},
        data=Data(
            corpus="swedish",
            splits=(Split(name="train", clips=1000, hours=1.25, speakers=56, recordings=2),
                    Split(name="test", clips=300, hours=0.375, speakers=13)),
            sources=(Source(name="hf:anna/radio", dataset="anna/radio", licence="CC-BY-4.0",
                            licence_url="https://creativecommons.org/licenses/by/4.0/",
                            may_pass_on=True),),
            text_style="case and punctuation as the sources have them",
            overlap="no speaker, sentence or clip is in two splits",
        ),
        cost=Cost(steps=500, seconds=4210.0, hardware="1 × NVIDIA L4", energy_kwh=0.0842,
                  energy_source="NVML, the GPU alone"),
        versions={"torch": "2.13.0"}, alignment="times of words are 0.08 s off",
        test=score,
        base_test=score.model_copy(update={"system": "base", "wer": Rate(value=0.4321)}),
        comparisons=(Comparison(against="release 6", metric="wer", difference=-0.012, low=-0.02,
                                high=-0.004, worse=False),),
        formats=(verdict("hf"), verdict("ct2-int8", arithmetic="int8"), verdict("ct2-float16"),
                 verdict("ggml-q8_0", notes=("whisper.cpp writes words for silence",))),
    ).model_copy(update=changes)  # fmt: skip


def card(folder: Path, **changes: Any) -> str:
    write_card(known(**changes), folder)
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_hub_reads_the_scores_from_the_metadata(tmp_path: Path) -> None:
    card(tmp_path)
    data = ModelCard.load(tmp_path / "README.md").data
    found = {one.metric_type: one for one in data.eval_results}
    assert {name: one.metric_value for name, one in found.items()} == {"wer": 12.34, "cer": 5.0}
    assert found["wer"].task_type == "automatic-speech-recognition"
    assert (found["wer"].dataset_type, found["wer"].dataset_split) == ("anna/radio", "test")
    assert found["wer"].metric_args == {"normaliser": "modersmal-1"}
    assert data.model_name == "swedish-v7"
    assert data.language == "sv"
    assert data.base_model == "openai/whisper-small"
    assert data.license == "apache-2.0"
    assert data.datasets == ["anna/radio"]
    assert data.metrics == ["wer", "cer"]
    assert data.pipeline_tag == "automatic-speech-recognition"
    assert {"whisper", "ctranslate2", "faster-whisper", "whisper.cpp"} <= set(data.tags)


def test_huggingface_hubs_own_validator_has_nothing_against_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card(tmp_path)
    with writable_hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        loaded = ModelCard.load(tmp_path / "README.md")
        loaded.validate()
        assert hub.count("POST api/validate-yaml") == 1
        loaded.data.eval_results[0].metric_value = None
        with pytest.raises(ValueError, match="no valid metadata: 'value'"):
            loaded.validate()


def test_without_a_test_split_there_is_no_score(tmp_path: Path) -> None:
    text = card(tmp_path, test=None, base_test=None, comparisons=())
    assert ModelCard.load(tmp_path / "README.md").data.get("eval_results") is None
    assert "It was not scored on test" in text


def test_everything_that_is_known_is_said(tmp_path: Path) -> None:
    text = card(tmp_path)
    for said in (
        "# whisper-small for Swedish",
        "1.2 hours of speech by 56 speakers",
        "release 7 of `swedish`, made on 2026-11-23",
        "| this model | 12.34 (11.00–13.70) | 5.00 |",
        "| its base | 43.21 | 5.00 |",
        "300 clips (0.38 h) of test",
        "`modersmal-1`",
        "Against release 6, clip by clip: WER -1.20 points (95 %: -2.00 to -0.40), not worse.",
        "| train | 1,000 | 1.25 | 56 | 2 |",
        "hf:anna/radio: [CC-BY-4.0](https://creativecommons.org/licenses/by/4.0/), may be passed",
        "Texts: case and punctuation as the sources have them.",
        "no speaker, sentence or clip is in two splits.",
        "500 steps took 1 h 10 min on 1 × NVIDIA L4. It took 0.084 kWh (NVML, the GPU alone).",
        "The weights are the average of steps 250 and 500: it has the lowest WER on dev.",
        "| step 500 | 15.00 |",
        "Versions: torch 2.13.0.",
        "clips of 4.5 s on average by 56 speakers",
        "whisper.cpp writes words for silence.",
        "- Times of words are 0.08 s off.",
        "- It hears stretches of 2 s and more without padding",
        "@misc{swedish_v7,",
    ):
        assert said in text, said
    assert "/home/anna" not in text
    assert "Released by force" not in text
    assert "Not released" not in text
    assert "### Slices" not in text
    assert "### What the base could do" not in text


def test_the_recipe_in_it_is_a_recipe(tmp_path: Path) -> None:
    [block] = re.findall(r"```toml\n(.*?)```", card(tmp_path), re.DOTALL)
    assert tomllib.loads(block) == {
        "language": "sv",
        "model": "openai/whisper-small",
        "text": {"case": "keep", "replace": {"ö e": "ö"}},
        "train": {"max_steps": 500},
    }


def test_what_was_not_measured_is_said_to_be_so(tmp_path: Path) -> None:
    text = card(tmp_path, cost=Cost(steps=5, seconds=4.0, hardware="a CPU"))
    assert "Its energy was not measured." in text


def test_a_cpu_proves_the_weights_of_float16_alone(tmp_path: Path) -> None:
    text = card(tmp_path)
    assert "float16 weights, computed in float32 here" in text
    assert "| int8 weights |" in text
    assert "99.5 % of 200" in text


def test_what_force_overruled_stands_at_the_top(tmp_path: Path) -> None:
    text = card(tmp_path, forced="release 6 is better by 2 points")
    assert text.index("release 6 is better by 2 points") < text.index("## Scores")


def test_a_format_that_failed_is_told_of_with_the_reason(tmp_path: Path) -> None:
    refused = verdict("ct2-int8", passed=False, failures=("clip a.mp3: wrote 'x', not 'y'",))
    text = card(tmp_path, formats=(verdict("hf"),), refused=(refused,))
    assert "`ct2-int8`: clip a.mp3: wrote 'x', not 'y'" in text
    assert "faster_whisper" not in text


def test_slices_and_forgetting_appear_where_they_were_measured(tmp_path: Path) -> None:
    rate = Rate(value=0.2)
    text = card(
        tmp_path,
        slices=(Slice(name="accent: skånska", clips=12, wer=rate, cer=rate),),
        forgetting=(
            Kept(corpus="English read aloud", metric="wer", before=rate, after=Rate(value=0.3)),
        ),
    )
    assert "| accent: skånska | 12 | 20.00 | 20.00 |" in text
    assert "| English read aloud | WER | 20.00 | 30.00 |" in text


def test_a_borrowed_token_is_explained(tmp_path: Path) -> None:
    text = card(tmp_path, language="se", language_name="Northern Sámi", language_token="fi")
    assert ModelCard.load(tmp_path / "README.md").data.language == "se"
    assert "no token for Northern Sámi: every runtime is told `fi`" in text
    assert 'language="fi"' in text


def test_an_english_model_is_not_asked_for_its_language(tmp_path: Path) -> None:
    text = card(tmp_path, language="en", language_token="en", vocabulary="english")
    assert "generate_kwargs" not in text
    assert '["<|startoftranscript|>", "<|notimestamps|>"]' in text


def test_curves_are_shown_where_there_are_any(tmp_path: Path) -> None:
    assert "![" not in card(tmp_path)
    (tmp_path / "curves").mkdir()
    (tmp_path / "curves" / "loss.png").write_bytes(b"a picture")
    assert "](curves/loss.png)" in card(tmp_path)


def test_the_guide_has_the_same_examples(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "guide" / "release.md").read_text("utf-8")
    assert dict.fromkeys(BLOCK.findall(page)) == dict.fromkeys(BLOCK.findall(card(tmp_path)))


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each example printed, as it stands in the card, with the model on a Hub."""
    here = tmp_path_factory.mktemp("examples")
    for name in EXPORTED:
        export(locate("bundled"), here / "release", name)
    write_card(known(formats=tuple(map(verdict, EXPORTED))), here / "release")
    [clip] = speech(range(1))
    soundfile.write(here / AUDIO, clip, SAMPLE_RATE, subtype="PCM_16")
    files = {
        str(path.relative_to(here / "release")): path.read_bytes()
        for path in (here / "release").rglob("*")
        if path.is_file()
    }
    card = files["README.md"].decode().replace(REPOSITORY, "anna/swedish")
    blocks = BLOCK.findall(card)
    with writable_hub() as hub:
        hub.commit("anna/swedish", {k: (v, len(v) >= LFS_FROM_BYTES) for k, v in files.items()})
        hub.repos["anna/swedish"].private = False
        done = subprocess.run(
            [sys.executable, "-c", RUN_EACH],
            input=json.dumps(blocks), cwd=here, text=True, capture_output=True, timeout=240,
            env=os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(here / "home"),
                              "HF_HUB_DISABLE_XET": "1"},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outputs = done.stdout.split("\0")[1:]
    return dict(zip(re.findall(r"^### (.*)\n\n`pip", card, re.MULTILINE), outputs, strict=True))


RUN_EACH = """
import json, shlex, sys
from modersmal.cli import main
for kind, code in json.load(sys.stdin):
    print(end="\\0", flush=True)
    if kind == "python":
        exec(compile(code, "example", "exec"), {})
    else:
        assert main(shlex.split(code)[1:]) == 0
"""


@pytest.mark.parametrize(
    "runtime", ["transformers", "faster-whisper", "ctranslate2", "whisper.cpp", "modersmal"]
)
def test_every_example_runs_as_it_stands(said: dict[str, str], runtime: str) -> None:
    assert "lampan i köket" in said[runtime]
