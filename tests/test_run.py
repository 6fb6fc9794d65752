"""`run` does every stage once, advises, and skips what is done."""

import importlib
import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

import modersmal
from modersmal.config import load_recipe
from modersmal.corpus.prepare import Prepared
from modersmal.errors import HubError, ModelError, RecipeError, Stopped
from modersmal.language import resolve
from modersmal.run import RunResult, wiser_start
from modersmal.whisper.load import load
from modersmal.whisper.save import save_complete
from small_release import CLIPS, write_small_release


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_release(tmp_path_factory.mktemp("cv") / "sv-SE")


@pytest.fixture(scope="module")
def babbling(tiny_whisper: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random base, far worse than any; used to short contexts, so that it babbles briefly."""
    folder = tmp_path_factory.mktemp("babbling") / "model"
    whisper = replace(load(str(tiny_whisper())), context="dynamic")
    save_complete(whisper, folder, resolve("sv"))
    return folder


def write_recipe(folder: Path, release: Path, model: object, candidates: list[str]) -> Path:
    path = folder / "recipe.toml"
    path.write_text(
        f"""
        model = "{model}"
        name = "small"
        [data]
        sources = ["{release}"]
        workers = 1
        [train]
        max_steps = 2
        learning_rate = 1e-6
        batch_s = 5.0
        warmup_steps = 1
        evaluate_every = 0
        loader_workers = 0
        [evaluate]
        candidates = {json.dumps(candidates)}
        """
    )
    return path


@pytest.fixture(scope="module")
def done(
    release: Path, babbling: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, RunResult]:
    """A run from a random model, with a candidate that speaks Swedish and one that is away."""
    folder = tmp_path_factory.mktemp("run")
    recipe = write_recipe(folder, release, babbling, ["bundled", "nobody/at-home"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        return recipe, modersmal.run(recipe)


def test_every_stage_leaves_its_result(done: tuple[Path, RunResult]) -> None:
    recipe, result = done
    store = recipe.parent / "modersmal-store"
    assert (store / "corpora" / "small" / "corpus.json").is_file()
    assert result.run == store / "runs" / "small"
    assert (result.run / "model" / "config.json").is_file()
    assert result.trained.steps == 2
    for name in ("base-dev", "candidate-0-dev", "base-test", "test"):
        assert (result.run / "scores" / name / "evaluation.json").is_file(), name
    assert result.base_dev is not None
    assert result.base_dev.scores[0].result.score.clips == CLIPS["dev"]
    assert result.test is not None
    assert result.test.scores[0].result.score.clips == CLIPS["test"]
    assert result.test.scores[0].comparison is not None
    assert result.test.scores[0].comparison.baseline.system.name == load_recipe(recipe).model


def test_it_says_that_another_start_would_be_wiser(done: tuple[Path, RunResult]) -> None:
    _, result = done
    assert result.advice.startswith("bundled would be a wiser start: on dev its WER is ")
    assert 'model = "bundled"' in result.advice
    assert result.advice in str(result)
    assert f"--model {result.run}" in str(result)


def test_a_candidate_that_is_away_is_left_out(done: tuple[Path, RunResult]) -> None:
    _, result = done
    (candidate,) = result.candidates
    assert candidate.scores[0].result.system.name == "bundled"


def test_what_is_done_is_not_done_again(
    done: tuple[Path, RunResult],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe, before = done
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def decodes(*_: Any, **__: Any) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(
        importlib.import_module("modersmal.evaluate.evaluate"), "decode_split", decodes
    )
    again = modersmal.run(recipe)
    assert again.advice == before.advice
    assert again.trained.dev == before.trained.dev
    assert again.test is not None
    assert before.test is not None
    assert again.test.scores[0].result.score.wer == before.test.scores[0].result.score.wer
    said = capsys.readouterr().err
    assert "nobody/at-home is left out" in said
    assert "bundled would be a wiser start" in said


def test_a_score_taken_otherwise_is_taken_again(
    done: tuple[Path, RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a score depends on is its key: here the corpus's splits stay, the beams change."""
    recipe, before = done
    module = importlib.import_module("modersmal.run")
    loaded = load_recipe(recipe, ["evaluate.beams=2", "evaluate.candidates=[]"])
    scores = module._Scores(loaded)
    folder = before.run / "scores" / "base-dev"
    key = json.loads((folder / "key.json").read_text())
    assert scores._key(loaded.model, "dev") != key
    assert module._Scores(load_recipe(recipe))._key(loaded.model, "dev") == key
    assert module._Scores(load_recipe(recipe))._key("bundled", "dev") != key


def test_no_advice_without_certainty(done: tuple[Path, RunResult]) -> None:
    _, result = done
    assert result.base_dev is not None
    assert wiser_start(()) == ""
    assert wiser_start((result.base_dev,)) == ""


@pytest.mark.parametrize(
    ("stage", "work"), [("prepare", "prepare"), ("score the start", "evaluate")]
)
def test_a_signal_in_any_stage_ends_with_3_and_the_same_command_goes_on(
    stage: str, work: str, release: Path, babbling: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    recipe = write_recipe(tmp_path, release, babbling, [])
    module = importlib.import_module("modersmal.run")
    real = getattr(module, work)

    def asked_to_stop(*arguments: Any, **options: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return real(*arguments, **options)

    monkeypatch.setattr(module, work, asked_to_stop)
    with pytest.raises(Stopped, match=f"stopped at the stage '{stage}'; the same command goes on"):
        modersmal.run(recipe)
    monkeypatch.setattr(module, work, real)
    assert modersmal.run(recipe).trained.steps == 2


def test_an_unreachable_base_is_an_error(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="nobody/at-home"):
        modersmal.run(write_recipe(tmp_path, release, "nobody/at-home", []))
    with pytest.raises(ModelError, match="there is no model at"):
        modersmal.run(write_recipe(tmp_path, release, "./nowhere", []))


def test_a_recipe_without_sources_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('model = "bundled"')
    with pytest.raises(RecipeError, match=r"data\.sources is empty"):
        modersmal.run(tmp_path / "recipe.toml")


def test_until_prepare_makes_the_corpus_and_nothing_more(
    release: Path, babbling: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path, release, babbling, [])
    prepared = modersmal.run(recipe, until="prepare")
    assert isinstance(prepared, Prepared)
    assert prepared.path == tmp_path / "modersmal-store" / "corpora" / "small"
    assert not (tmp_path / "modersmal-store" / "runs").exists()
    with pytest.raises(RecipeError, match="leave --until out"):
        modersmal.run(recipe, until="prepare", rehearse=True)
