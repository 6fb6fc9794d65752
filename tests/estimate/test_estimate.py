"""Hours are told before they are spent: as rehearsed, or by a table that says that it is one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import modersmal
from modersmal.cli import app
from modersmal.config import load_recipe
from modersmal.errors import ModersmalError, RecipeError
from modersmal.estimate.estimate import estimate
from modersmal.estimate.hardware import called, known, named
from modersmal.estimate.result import Estimate, Span
from modersmal.rehearse.record import recall
from modersmal.rehearse.result import Rehearsal
from modersmal.run import prepare_here
from modersmal.store.remote import Remote
from modersmal.whisper.shape import shape_named

Rehearsed = tuple[Path, Rehearsal]
WriteRecipe = Callable[..., Path]
SMALL = 'model = "openai/whisper-small"\n'


def one(recipe: Path, **options: object) -> Estimate:
    [found] = modersmal.estimate(recipe, **options)  # type: ignore[arg-type]
    return found


def time_of(found: Estimate, name: str) -> Span:
    [stage] = [stage for stage in found.stages if stage.name == name]
    assert stage.time is not None
    return stage.time


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A recipe of a model that is not here, whose data are not known."""
    path = tmp_path / "recipe.toml"
    path.write_text(f'{SMALL}name = "sv"\n[data]\nsources = ["absent.tar.gz"]\n')
    return path


# As rehearsed ------------------------------------------------------------------------------------


def test_what_was_rehearsed_here_is_the_estimate(rehearsed: Rehearsed) -> None:
    recipe, rehearsal = rehearsed
    found = one(recipe)
    assert found.rehearsed
    assert found.hardware == rehearsal.hardware
    assert [stage.name for stage in found.stages] == [stage.name for stage in rehearsal.stages]
    assert found.total.expected_s == pytest.approx(rehearsal.expected_s)
    assert found.total.low_s == pytest.approx(rehearsal.expected_s / 1.25)
    assert found.total.high_s == pytest.approx(rehearsal.expected_s * 1.25)
    assert "Rehearsed on" in str(found)
    assert "as rehearsed" in found.sentence


def test_more_steps_and_scores_are_counted_anew(rehearsed: Rehearsed) -> None:
    recipe, rehearsal = rehearsed
    parts = {part.what: part for stage in rehearsal.stages for part in stage.parts}
    steps = sum(part.seconds for what, part in parts.items() if what.startswith("a step "))
    score = parts["score dev"]
    assert score.count == 1
    found = one(recipe, settings=["train.max_steps=40", "train.evaluate_every=10"])
    assert found.rehearsed
    before = time_of(one(recipe), "train").expected_s
    more = time_of(found, "train").expected_s - before
    saves = parts["save a checkpoint"].each_s * 3 if "save a checkpoint" in parts else 0.0
    assert more == pytest.approx(steps + 3 * score.each_s + saves, rel=0.01)


def test_a_recipe_that_costs_otherwise_is_not_that_of_the_rehearsal(rehearsed: Rehearsed) -> None:
    recipe, rehearsal = rehearsed
    found = one(recipe, settings=["train.batch_s=10"])
    assert not found.rehearsed
    assert "what was rehearsed was another recipe" in found.basis
    assert "the rehearsal's sources" in found.basis
    assert not found.unknown
    record = recall(load_recipe(recipe), load_recipe(recipe).workspace)
    assert record is not None
    assert sum(clips for clips, _ in record.splits.values()) == rehearsal.total_clips


def test_another_machine_is_estimated_by_the_table(rehearsed: Rehearsed) -> None:
    found = one(rehearsed[0], on="T4")
    assert not found.rehearsed
    assert found.hardware == "a T4"
    assert "its rehearsal was on another machine" in found.basis


def test_a_rehearsal_on_the_gpu_that_is_named_counts(
    rehearsed: Rehearsed, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path)
    shutil.copytree(rehearsed[0].parent / "modersmal-store", tmp_path / "modersmal-store")
    record = tmp_path / "modersmal-store" / "rehearsals" / "small.json"
    table = json.loads(record.read_text())
    record.write_text(json.dumps(table | {"hardware": "1 × Tesla T4"}))
    found = one(recipe, on="t4")
    assert found.rehearsed
    assert found.hardware == "1 × Tesla T4"
    assert not one(recipe, on="A100").rehearsed


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"format": 99}', "null"])
def test_a_broken_record_is_none(content: str, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    record = tmp_path / "modersmal-store" / "rehearsals" / "small.json"
    record.parent.mkdir(parents=True)
    record.write_text(content)
    assert not one(recipe).rehearsed


def test_a_record_in_a_store_far_away_is_found_there(
    rehearsed: Rehearsed, write_recipe: WriteRecipe, s3_store: str, tmp_path: Path
) -> None:
    kept = rehearsed[0].parent / "modersmal-store" / "rehearsals" / "small.json"
    Remote.open(s3_store).put(kept, "rehearsals/small.json")
    assert one(write_recipe(tmp_path, top=f'store = "{s3_store}"')).rehearsed


# By the table ------------------------------------------------------------------------------------


def test_without_data_training_alone_is_known(small: Path) -> None:
    found = one(small, on="T4")
    assert found.unknown == ("prepare", "score the start", "score the result")
    assert 1200 < found.total.expected_s < 7200
    assert found.total.high_s == pytest.approx(2.5 * found.total.expected_s)
    shown = str(found)
    assert "By a small table, since nobody has rehearsed it" in shown
    assert "Not known: prepare, score the start, score the result, since " in shown
    assert "by a table, not measured there" in found.sentence


def test_hours_of_audio_make_every_stage_known(small: Path) -> None:
    some, more = one(small, on="T4", audio_hours=10), one(small, on="T4", audio_hours=100)
    assert not some.unknown
    for name in ("prepare", "score the start", "score the result"):
        assert time_of(more, name).expected_s > 2 * time_of(some, name).expected_s
    assert time_of(more, "train").expected_s == pytest.approx(
        time_of(some, "train").expected_s, rel=0.1
    )


def test_a_prepared_corpus_says_how_much_there_is(
    write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path)
    prepare_here(load_recipe(recipe))
    found = one(recipe)
    assert not found.rehearsed
    assert not found.unknown
    assert "for the corpus" in found.basis


def test_larger_models_more_steps_and_slower_machines_take_longer(small: Path) -> None:
    def train_s(on: str, *settings: str) -> float:
        return time_of(one(small, on=on, settings=settings), "train").expected_s

    sizes = ["tiny", "base", "small", "medium", "large-v3"]
    times = [train_s("T4", f"model=openai/whisper-{size}") for size in sizes]
    assert times == sorted(times)
    assert train_s("T4", "model=openai/whisper-large-v3-turbo") < times[-1]
    assert train_s("T4", "train.max_steps=4000") > 1.8 * train_s("T4")
    assert train_s("T4", "train.full_share=1.0", "train.packed_share=0.0") > 3 * train_s("T4")
    assert train_s("CPU") > 10 * train_s("T4") > 10 * train_s("H100")


def test_several_sizes_are_estimated_each(small: Path) -> None:
    sizes = '["openai/whisper-base", "openai/whisper-small"]'
    found = modersmal.estimate(small, on="T4", settings=[f"sizes={sizes}"])
    assert [one.name for one in found] == ["sv-whisper-base", "sv-whisper-small"]
    assert found[0].total.expected_s < found[1].total.expected_s


def test_machines_are_known_by_what_drivers_call_them() -> None:
    for driver, name in [
        ("1 × Tesla T4", "T4"),
        ("2 × Tesla P100-PCIE-16GB", "P100"),
        ("1 × NVIDIA A100-SXM4-40GB", "A100"),
        ("1 × NVIDIA A10G", "A10"),
        ("1 × NVIDIA L4", "L4"),
        ("1 × NVIDIA L40S", "L40S"),
        ("1 × NVIDIA H100 80GB HBM3", "H100"),
        ("AMD EPYC 7763, 4 cores", "CPU"),
        ("A Fine CPU, 1 core", "CPU"),
    ]:
        found = called(driver)
        assert found is not None, driver
        assert found.name == name
    four, one_core = called("AMD EPYC 7763, 4 cores"), called("A Fine CPU, 1 core")
    assert four is not None
    assert one_core is not None
    assert (four.cores, four.train_flops) == (4, 4 * one_core.train_flops)
    assert called("1 × NVIDIA GeForce RTX 4090") is None
    assert [named(name.lower()).name for name in known()] == known()


def test_sizes_are_known_by_name() -> None:
    for name, parameters in [
        ("openai/whisper-tiny", 37_760_640),
        ("openai/whisper-base.en", 72_593_920),
        ("KBLab/kb-whisper-small", 241_734_912),
        ("openai/whisper-medium", 763_857_920),
        ("openai/whisper-large-v2", 1_543_304_960),
        ("openai/whisper-large-v3", 1_543_490_560),
        ("openai/whisper-large-v3-turbo", 808_878_080),
    ]:
        shape = shape_named(name)
        assert shape is not None
        assert shape.parameters == parameters, name
    assert shape_named("openai/whisper-huge") is None
    assert shape_named("facebook/wav2vec2-base") is None


# How it is told, and what is refused -------------------------------------------------------------


def test_a_price_is_told_where_one_is_given(small: Path) -> None:
    assert "an hour" not in str(one(small, on="T4"))
    found = one(small, on="T4", price_per_hour=0.5)
    expected = 0.5 * found.total.expected_s / 3600
    assert f"At 0.5 an hour that is {expected:.2f} (" in str(found)
    assert found.to_json()["price"][1] == pytest.approx(expected, abs=0.01)


def test_the_command_line_prints_json_alone(small: Path) -> None:
    ended = CliRunner().invoke(app, ["estimate", str(small), "--on", "T4", "--json"])
    assert ended.exit_code == 0
    [told] = json.loads(ended.stdout)["estimates"]
    assert told["hardware"] == "a T4"
    assert told["rehearsed"] is False
    assert told["price"] is None
    assert told["total"]["low_s"] < told["total"]["expected_s"] < told["total"]["high_s"]
    assert {stage["name"] for stage in told["stages"] if stage["time"] is None} == {
        "prepare", "score the start", "score the result",
    }  # fmt: skip


def test_a_run_tells_before_it_begins(
    rehearsed: Rehearsed,
    write_recipe: WriteRecipe,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = write_recipe(tmp_path, "max_steps = 2")
    modersmal.run(recipe)
    said = capsys.readouterr().err
    assert said.count("modersmal: small takes") == 1
    assert "by a table" in said
    modersmal.run(recipe)
    assert "modersmal: small takes" not in capsys.readouterr().err


def test_a_store_that_cannot_be_reached_counts_as_empty(
    write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path, top='store = "/content/drive/MyDrive/swedish"')
    found = estimate(load_recipe(recipe), on="T4")
    assert "nobody has rehearsed it" in found.basis


def test_what_cannot_be_told_is_one_sentence(small: Path) -> None:
    for options, said in [
        ({"on": "t44"}, r"no speed is known of 't44' \(did you mean 'T4'\?\); there are T4, "),
        ({"on": "T4", "audio_hours": -1.0}, "--audio-hours must be more than 0, not -1"),
        ({"on": "T4", "price_per_hour": float("inf")}, "--price-per-hour must be more than 0"),
        (
            {"on": "T4", "settings": ["model=somebody/ears"]},
            "how large somebody/ears is cannot be told from its name",
        ),
    ]:
        with pytest.raises(RecipeError, match=said):
            modersmal.estimate(small, **options)  # type: ignore[arg-type]
    with pytest.raises(ModersmalError, match="there is no recipe at"):
        modersmal.estimate(small.parent / "absent.toml")
