"""Facts come from the run, the corpus and the model; what is not known is not made up."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import modersmal
from modersmal import store
from modersmal.config import parse_recipe
from modersmal.corpus import Corpus
from modersmal.corpus.prepare import prepare
from modersmal.errors import ModelError
from modersmal.release.card import write_card
from modersmal.release.facts import Release
from modersmal.release.gather import gather
from modersmal.train.log import MetricsLog
from modersmal.whisper.convert import model_hash
from modersmal.whisper.load import load, locate
from small_release import write_small_release

BUNDLED = locate("bundled")


@dataclass(frozen=True)
class Chosen:
    weights: str = "step 2"
    reason: str = "it is the best on dev"
    rates: dict[str, float] = field(default_factory=lambda: {"step 2": 0.2})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """17 clips of a Common Voice release, in lower case."""
    folder = tmp_path_factory.mktemp("data")
    source = write_small_release(folder / "cv-corpus-0.1" / "sv-SE")
    recipe = parse_recipe({"text": {"case": "lower"}})
    prepare([str(source)], folder / "swedish", language="sv", text=recipe.text)
    return Corpus.open(folder / "swedish")


def write_run(run: Path, **metrics: Any) -> Path:
    recipe = parse_recipe(
        {
            "model": "/home/anna/models/openai-whisper-small",
            "store": "s3://annas-bucket/swedish",
            "data": {"sources": ["/home/anna/cv-corpus-0.1.tar.gz", "hf:anna/radio:nord"]},
            "evaluate": {"candidates": ["/home/anna/kb", "KBLab/kb-whisper-small"]},
        }
    )
    table = {"recipe": recipe.model_dump(mode="json"), "identity": {}}
    store.write_json(run / "recipe.json", table | {"modersmal": "0.1.0", "torch": "2.13.0"})
    with MetricsLog(run, 0, unscored=[0]) as log:
        log.write(1, loss=3.0, seconds=1.5, hardware="1 × NVIDIA L4", **metrics)
        log.write(2, loss=2.0, seconds=4.0, **({"energy_j": 7.2e6} if metrics else {}))
    return run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "store" / "runs" / "swedish", energy_source="NVML for the GPU")


def test_all_of_it_is_found(run: Path, corpus: Corpus) -> None:
    facts = gather(run, corpus, BUNDLED, Chosen())
    assert facts.content == model_hash(BUNDLED)
    assert facts.run == "swedish"
    assert (facts.base, facts.licence) == ("modersmal/synthetic-sv", "apache-2.0")
    assert (facts.language, facts.language_name, facts.language_token) == ("sv", "Swedish", "sv")
    assert (facts.vocabulary, facts.mels, facts.context) == ("multilingual", 80, "dynamic")
    assert facts.parameters == load("bundled").model.num_parameters()
    assert (facts.weights, facts.choice) == ("step 2", "it is the best on dev")
    assert facts.candidates == {"step 2": 0.2}
    assert facts.dev_metric == "wer"
    assert facts.versions == {"torch": "2.13.0"}
    assert facts.cost.hardware == "1 × NVIDIA L4"
    assert (facts.cost.steps, facts.cost.seconds, facts.cost.energy_kwh) == (2, 4.0, 2.0)
    assert facts.cost.energy_source == "NVML for the GPU"
    assert (facts.number, facts.test, facts.formats) == (None, None, ())


def test_the_corpus_is_told_as_it_is(run: Path, corpus: Corpus) -> None:
    data = gather(run, corpus, BUNDLED, Chosen()).data
    assert data.corpus == "swedish"
    assert {split.name: split.clips for split in data.splits} == {"train": 6, "dev": 6, "test": 5}
    for split in data.splits:
        assert split.hours == pytest.approx(corpus.split(split.name).duration_s / 3600)
        assert split.speakers == len(set(corpus.split(split.name).speakers))
    [source] = data.sources
    assert "cv-corpus-0.1" in source.name
    assert (source.licence, source.may_pass_on, source.dataset) == ("CC0-1.0", True, None)
    assert data.text_style == "all in lower case, punctuation as the sources have it"
    assert data.overlap == "no recording, sentence or speaker is in two splits"


def test_overlap_and_sources_on_the_hub_are_told(
    run: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlap = [{"splits": ["test", "train"], "speakers": 2, "sentences": 1, "duplicates": 3}]
    radio = {"name": "anna/radio:nord", "kind": "hub", "licence": None, "redistributable": None}
    monkeypatch.setitem(corpus.info, "overlap", overlap)
    monkeypatch.setitem(corpus.info, "sources", [radio])
    data = gather(run, corpus, BUNDLED, Chosen()).data
    assert data.overlap == (
        "test and train share 2 speakers, 1 sentence, 3 times the same audio, of which one is kept"
    )
    assert data.sources[0].dataset == "anna/radio"


def test_neither_the_store_nor_paths_of_this_machine_are_told(run: Path, corpus: Corpus) -> None:
    facts = gather(run, corpus, BUNDLED, Chosen())
    assert "anna/models" not in facts.model_dump_json()
    assert "annas-bucket" not in facts.model_dump_json()
    assert str(run) not in facts.model_dump_json()
    assert facts.recipe["model"] == "openai-whisper-small"
    assert facts.recipe["data"]["sources"] == ["cv-corpus-0.1.tar.gz", "hf:anna/radio:nord"]
    assert facts.recipe["evaluate"]["candidates"] == ["kb", "KBLab/kb-whisper-small"]


def test_a_run_outside_of_a_store_keeps_its_address(tmp_path: Path, corpus: Corpus) -> None:
    """Its checkpoints are found by it."""
    run = write_run(tmp_path / "elsewhere")
    assert gather(run, corpus, BUNDLED, Chosen()).run == str(run)


def test_what_was_measured_in_part_is_said_to_be_so(tmp_path: Path, corpus: Corpus) -> None:
    run = write_run(tmp_path / "runs" / "a", energy_source="NVML")
    with MetricsLog(run, 2, unscored=[2]) as log:
        log.write(3, loss=2.0, seconds=1.0, hardware="a CPU")
    cost = gather(run, corpus, BUNDLED, Chosen()).cost
    assert cost.hardware == "1 × NVIDIA L4, then a CPU"
    assert cost.energy_source == "NVML; measured for 2 of 3 steps"
    assert (cost.steps, cost.seconds) == (3, 5.0)


def test_nothing_is_measured_where_nothing_was(tmp_path: Path, corpus: Corpus) -> None:
    cost = gather(write_run(tmp_path / "runs" / "a"), corpus, BUNDLED, Chosen()).cost
    assert (cost.energy_kwh, cost.energy_source) == (None, None)


def test_the_licence_of_a_base_in_a_folder_is_that_of_its_card(
    run: Path, corpus: Corpus, tmp_path: Path
) -> None:
    store.write_bytes(tmp_path / "base" / "README.md", b"---\nlicense: cc-by-4.0\n---\n# Base\n")
    told = json.loads((run / "recipe.json").read_text())
    told["recipe"]["model"] = str(tmp_path / "base")
    store.write_json(run / "recipe.json", told)
    assert gather(run, corpus, BUNDLED, Chosen()).licence == "cc-by-4.0"


def test_a_folder_that_is_no_run_is_told_in_one_sentence(tmp_path: Path, corpus: Corpus) -> None:
    with pytest.raises(ModelError, match=r"is no run: it has no recipe\.json"):
        gather(tmp_path, corpus, BUNDLED, Chosen())
    store.write_json(tmp_path / "recipe.json", {"recipe": {}})
    with pytest.raises(ModelError, match="cannot be read"):
        gather(tmp_path, corpus, BUNDLED, Chosen())


def test_facts_survive_being_written_and_are_enough_for_a_card(
    run: Path, corpus: Corpus, tmp_path: Path
) -> None:
    facts = gather(run, corpus, BUNDLED, Chosen())
    facts.write(tmp_path)
    assert Release.read(tmp_path) == facts
    write_card(facts, tmp_path)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "# synthetic-sv for Swedish" in card
    assert "It took 2.000 kWh (NVML for the GPU)." in card
    assert modersmal.__version__ in card
