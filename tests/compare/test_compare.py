"""Sizes are compared on what they were scored alike on, and on nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
from compared_runs import CORPUS, LARGER, SMALLER, write_recipe
from typer.testing import CliRunner

import modersmal
from modersmal.cli import app
from modersmal.compare.compare import SizeComparison
from modersmal.errors import CorpusError, ModelError, ModersmalError, RecipeError, StoreError
from modersmal.store.remote import Remote
from modersmal.train.log import read_metrics

Copy = Callable[..., Path]


@pytest.fixture(scope="module")
def found(store: Path, tmp_path_factory: pytest.TempPathFactory) -> SizeComparison:
    picture = tmp_path_factory.mktemp("drawn") / "compare.png"
    return modersmal.compare(
        [store / "runs" / SMALLER, store / "runs" / LARGER], picture=picture, offline=True
    )


@pytest.fixture
def copy(store: Path, tmp_path: Path) -> Copy:
    """Copy a run of the store, to change it: `copy(SMALLER)`."""

    def make(name: str, to: str = "copied") -> Path:
        return Path(shutil.copytree(store / "runs" / name, tmp_path / "runs" / to))

    return make


def edit(path: Path, change: Callable[[Any], None]) -> None:
    table = json.loads(path.read_text(encoding="utf-8"))
    change(table)
    path.write_text(json.dumps(table), encoding="utf-8")


def entry_of(run: Path, name: str = "test") -> dict[str, Any]:
    table = json.loads((run / "scores" / name / "evaluation.json").read_text(encoding="utf-8"))
    return table["scores"][0]


# What is found ------------------------------------------------------------------------------------


def test_the_best_comes_first_with_what_it_was_scored(found: SizeComparison, store: Path) -> None:
    assert (found.split, found.metric) == ("test", "wer")
    assert [row.name for row in found.rows] == [LARGER, SMALLER]
    for row in found.rows:
        entry = entry_of(store / "runs" / row.name)
        wer = entry["result"]["score"]["normalised"]["wer"]
        assert row.rate.value == wer["rate"]
        assert (row.rate.low, row.rate.high) == (wer["interval"]["low"], wer["interval"]["high"])
        before = entry_of(store / "runs" / row.name, "base-test")["result"]["score"]
        assert row.before is not None
        assert row.before.value == before["normalised"]["wer"]["rate"]


def test_the_difference_is_that_of_the_evaluation(found: SizeComparison, store: Path) -> None:
    scored = modersmal.evaluate(
        str(store / "runs" / SMALLER),
        [store / "corpora" / CORPUS],
        baseline=str(store / "runs" / LARGER / "scores" / "test"),
        offline=True,
    )
    comparison = scored.scores[0].comparison
    behind = found.rows[1].behind
    assert comparison is not None
    assert behind is not None
    assert found.rows[0].behind is None
    assert behind.difference == pytest.approx(comparison.difference.difference)
    assert behind.difference > 0
    assert comparison.difference.interval is not None
    assert behind.low == pytest.approx(comparison.difference.interval.low)


def test_sizes_times_and_speeds_are_those_of_the_runs(found: SizeComparison, store: Path) -> None:
    larger, smaller = found.rows
    assert (smaller.model, larger.model) == ("whisper-deaf", "bundled")
    assert larger.parameters is not None
    assert smaller.parameters is not None
    assert larger.parameters > smaller.parameters
    for row in found.rows:
        rows = [one for one in read_metrics(store / "runs" / row.name) if "loss" in one]
        assert (row.steps, row.max_steps) == (4, 4)
        assert row.train_s == rows[-1]["seconds"]
        assert row.hardware == (rows[0]["hardware"],)
        weights = store / "runs" / row.name / "model" / "model.safetensors"
        assert row.weights_bytes == weights.stat().st_size
        speed = entry_of(store / "runs" / row.name)["result"]["speed"]
        assert row.audio_s_per_s == speed["audio_s"] / speed["seconds"]
        assert row.decoded_on == speed["hardware"]


def test_dev_scores_have_intervals_and_the_normaliser(store: Path) -> None:
    for run in (store / "runs").iterdir():
        rows = [row for row in read_metrics(run) if "dev_wer" in row]
        assert [row["step"] for row in rows] == [2, 4]
        for row in rows:
            assert row["dev_low"] <= row["dev_wer"] <= row["dev_high"]
            assert row["dev_normaliser"] == "modersmal-1"


def test_equal_steps_and_equal_time_are_what_the_least_was_given(copy: Copy) -> None:
    """Of two sessions the second goes on where the first ended, and dev may be told of late."""
    slow, fast = copy(SMALLER, "slow"), copy(LARGER, "fast")
    write_metrics(
        slow,
        [(1, 10.0, None), (2, 20.0, 0.8), (3, 30.0, None), (4, 40.0, 0.4), (5, 10.0, 0.5)],
    )
    write_metrics(fast, [(1, 1.0, None), (2, 2.0, 0.9), (3, 3.0, None), (4, 25.0, 0.7)])
    found = modersmal.compare([slow, fast])
    assert found.steps is not None
    assert found.steps.limit == 4
    assert [(one.name, one.step, one.rate.value) for one in found.steps.runs] == [
        ("slow", 4, 0.4),
        ("fast", 4, 0.7),
    ]
    assert found.time is not None
    assert found.time.limit == 25.0
    assert [(one.name, one.step, one.train_s) for one in found.time.runs] == [
        ("fast", 4, 25.0),
        ("slow", 2, 20.0),
    ]
    [contender] = [one for one in found.contenders if one.name == "slow"]
    assert contender.train_s == 50.0
    assert contender.dev[-1].train_s == 50.0
    shown = str(found)
    assert "On dev within 25 s of training" in shown
    assert "slow is not finished" not in shown


def test_who_has_no_dev_score_in_equal_time_is_told(copy: Copy) -> None:
    slow, fast = copy(SMALLER, "slow"), copy(LARGER, "fast")
    write_metrics(slow, [(1, 100.0, None), (2, 200.0, 0.8)])
    write_metrics(fast, [(1, 1.0, None), (2, 2.0, 0.9)])
    found = modersmal.compare([slow, fast])
    assert found.steps is not None
    assert found.time is None
    assert "slow had no dev score within 2 s of training yet." in found.remarks


def write_metrics(run: Path, steps: list[tuple[int, float, float | None]]) -> None:
    rows, late = [], list[dict[str, Any]]()
    for step, seconds, dev in steps:
        rows += [{"step": step, "loss": 1.0, "seconds": seconds}, *late]
        late = [] if dev is None else [{"step": step, "dev_wer": dev, "dev_cer": dev}]
    path = run / "metrics.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in [*rows, *late]) + '{"step": 9, "lo')


def test_a_run_that_is_not_finished_is_told(copy: Copy, store: Path) -> None:
    run = copy(SMALLER)
    write_metrics(run, [(1, 1.0, None), (2, 2.0, 0.9)])
    shown = str(modersmal.compare([run, store / "runs" / LARGER]))
    assert "copied is not finished: step 2 of 4." in shown


def test_without_test_scores_dev_decides(copy: Copy) -> None:
    runs = [copy(SMALLER, "one"), copy(LARGER, "two")]
    for run in runs:
        shutil.rmtree(run / "scores")
    found = modersmal.compare(runs)
    assert found.split == "dev"
    assert all(row.behind is None and row.audio_s_per_s is None for row in found.rows)
    assert all(row.rate.low is not None for row in found.rows)
    assert "Dev also chose each run's best step" in str(found)


def test_a_report_stands_beside_runs(store: Path, tmp_path: Path) -> None:
    modersmal.evaluate("bundled", [store / "corpora" / CORPUS], output=tmp_path / "report")
    for report in (tmp_path / "report", tmp_path / "report" / "evaluation.json"):
        found = modersmal.compare([report, store / "runs" / SMALLER])
        [row] = [row for row in found.rows if row.name == "bundled"]
        assert row.parameters is not None
        assert row.parameters > 13e6
        assert row.train_s is None
        assert row.audio_s_per_s is not None
        assert found.steps is None
        assert "bundled has the lowest WER" in str(found)


def test_a_systems_output_has_neither_size_nor_speed(store: Path, tmp_path: Path) -> None:
    run = store / "runs" / LARGER
    [clips] = (run / "scores" / "test").glob("*.jsonl")
    modersmal.evaluate(
        "some service",
        [store / "corpora" / CORPUS],
        hypotheses=clips,
        output=tmp_path / "service",
    )
    found = modersmal.compare([tmp_path / "service", store / "runs" / SMALLER])
    row = found.rows[0]
    assert row.name == "some service"
    assert (row.parameters, row.weights_bytes, row.audio_s_per_s) == (None, None, None)


def test_runs_are_read_where_their_store_is(
    store: Path, s3_store: str, found: SizeComparison, tmp_path: Path
) -> None:
    place = Remote.open(s3_store)
    for path in (store / "runs").rglob("*"):
        if path.is_file() and "checkpoints" not in path.parts:
            place.put(path, path.relative_to(store).as_posix())
    there = modersmal.compare([f"{s3_store}/runs/{SMALLER}", f"{s3_store}/runs/{LARGER}"])
    assert there.rows == found.rows
    assert there.time == found.time


# How it is shown ----------------------------------------------------------------------------------


def test_it_is_shown_as_tables_and_sentences(found: SizeComparison) -> None:
    shown = str(found)
    assert f"{LARGER} has the lowest WER: " in shown
    assert f"{SMALLER}: WER +" in shown
    assert "× the training time" in shown
    assert "On dev within 4 steps" in shown
    assert "within " in shown
    assert max(map(len, shown.splitlines()[:-1])) <= 120


def test_the_command_line_prints_json_alone(store: Path, tmp_path: Path) -> None:
    runs = [str(store / "runs" / name) for name in (SMALLER, LARGER)]
    picture = tmp_path / "drawn.png"
    ended = CliRunner().invoke(app, ["compare", *runs, "--picture", str(picture), "--json"])
    assert ended.exit_code == 0
    told = json.loads(ended.stdout)
    assert [one["name"] for one in told["contenders"]] == [LARGER, SMALLER]
    assert [score["step"] for score in told["contenders"][0]["dev"]] == [2, 4]
    assert told["equal_steps"]["limit"] == 4
    assert told["picture"] == str(picture)
    assert picture.is_file()


def test_the_picture_shows_each_run(found: SizeComparison, store: Path, tmp_path: Path) -> None:
    assert found.picture is not None
    points = (matplotlib.image.imread(found.picture)[:, :, :3] * 255).round().astype(int)
    for colour in ((31, 95, 168), (200, 85, 61)):
        assert (points == colour).all(axis=2).sum() > 300
    again = modersmal.compare(
        [store / "runs" / SMALLER, store / "runs" / LARGER], picture=tmp_path / "again.png"
    )
    assert again.picture is not None
    assert again.picture.read_bytes() == found.picture.read_bytes()


def test_a_picture_without_dev_and_speeds_says_so(copy: Copy, tmp_path: Path) -> None:
    runs = [copy(SMALLER, "one"), copy(LARGER, "two")]
    for run in runs:
        write_metrics(run, [(1, 1.0, None)])
        edit(
            run / "scores" / "test" / "evaluation.json",
            lambda table: table["scores"][0]["result"].pop("speed"),
        )
    found = modersmal.compare(runs, picture=tmp_path / "drawn.png")
    assert found.steps is None
    assert (tmp_path / "drawn.png").stat().st_size > 10_000


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("beams = 2", "beams: 1 and 2"),
        ('normaliser = "none"', "normaliser: modersmal-1 and none-1"),
        ('context = "full"', "context: dynamic and full"),
    ],
)
def test_scores_under_other_settings_are_refused(
    section: str, said: str, store: Path, cv_release: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path, cv_release, ["bundled"], evaluate=section)
    run = store / "runs" / SMALLER
    report = tmp_path / "report"
    modersmal.evaluate(str(run), [store / "corpora" / CORPUS], recipe=recipe, output=report)
    with pytest.raises(CorpusError, match=f"cannot be compared, .*{said}"):
        modersmal.compare([run, report])


def test_scores_of_another_corpus_are_refused(
    store: Path, tiny_corpus: Any, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    modersmal.evaluate(str(store / "runs" / SMALLER), [tiny_corpus()], output=report)
    with pytest.raises(CorpusError, match=r"differ in corpus: \w{12}… and .*; clips: "):
        modersmal.compare([store / "runs" / LARGER, report])


def test_dev_scores_taken_otherwise_are_refused_or_left_out(copy: Copy) -> None:
    one, other = copy(SMALLER, "one"), copy(LARGER, "other")
    edit(other / "recipe.json", lambda table: table["identity"].update({"train.dev_clips": 3}))
    found = modersmal.compare([one, other])
    assert found.split == "test"
    assert (found.steps, found.time) == (None, None)
    assert "the dev scores of one and other differ in clips (train.dev_clips)" in str(found)
    for run in (one, other):
        shutil.rmtree(run / "scores")
    with pytest.raises(CorpusError, match=r"differ in clips \(train.dev_clips\): unset and 3"):
        modersmal.compare([one, other])


def test_times_of_different_machines_are_told(copy: Copy, store: Path) -> None:
    run = copy(SMALLER)
    path = run / "metrics.jsonl"
    path.write_text(path.read_text().replace('"hardware": "', '"hardware": "Another '))
    remarks = " ".join(modersmal.compare([run, store / "runs" / LARGER]).remarks)
    assert "Training times are of different machines: " in remarks
    assert "copied on Another " in remarks


def test_a_run_without_scores_says_what_to_do(copy: Copy, store: Path) -> None:
    run = copy(SMALLER)
    shutil.rmtree(run / "scores")
    write_metrics(run, [(1, 1.0, None)])
    with pytest.raises(CorpusError, match="copied has no scores yet; let `modersmal run` score it"):
        modersmal.compare([run, store / "runs" / LARGER])


def test_dev_alone_and_test_alone_are_told_apart(copy: Copy, store: Path, tmp_path: Path) -> None:
    run = copy(SMALLER)
    shutil.rmtree(run / "scores")
    modersmal.evaluate("bundled", [store / "corpora" / CORPUS], output=tmp_path / "report")
    with pytest.raises(CorpusError, match="copied has no score on test, and bundled none on dev"):
        modersmal.compare([run, tmp_path / "report"])


def test_what_is_given_must_be_two_things_that_are_there(store: Path, tmp_path: Path) -> None:
    run = str(store / "runs" / SMALLER)
    other = str(store / "runs" / LARGER)
    (tmp_path / "empty").mkdir()
    for given, error, said in [
        ([], RecipeError, "nothing to compare with"),
        ([run], RecipeError, "give two runs or reports"),
        ([run, run], RecipeError, "is given twice"),
        ([run, str(tmp_path / "absent")], ModelError, "there is no run or report at"),
        ([run, str(tmp_path / "empty")], ModelError, "is neither a run"),
        ([run, "openai/whisper-small"], ModelError, "modersmal evaluate MODEL CORPUS --output"),
        ([run, str(store)], ModelError, f"is a store, which has the runs {LARGER}, {SMALLER}"),
        ([run, "s4://bucket/runs/x"], StoreError, "s4"),
    ]:
        with pytest.raises(error, match=said):
            modersmal.compare(given)
    with pytest.raises(StoreError):
        modersmal.compare([run, other], picture=tmp_path / "empty")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("recipe.json", "{"),
        ("recipe.json", "[]"),
        ("recipe.json", '{"recipe": {}}'),
        ("scores/test/evaluation.json", '{"scores": []}'),
        ("scores/test/evaluation.json", "nonsense"),
        ("metrics.jsonl", '{"step": 1, "loss": 2}\n'),
    ],
)
def test_a_broken_run_is_one_sentence(file: str, content: str, copy: Copy, store: Path) -> None:
    run = copy(SMALLER)
    (run / file).write_text(content)
    with pytest.raises(ModersmalError, match=r"broken|is not the result of an evaluation"):
        modersmal.compare([run, store / "runs" / LARGER])


def test_a_report_of_several_corpora_is_refused(
    store: Path, tiny_corpus: Any, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    corpora = [tiny_corpus(), store / "corpora" / CORPUS]
    modersmal.evaluate(str(store / "runs" / SMALLER), corpora, output=report)
    with pytest.raises(CorpusError, match="has scores on 2 corpora"):
        modersmal.compare([report, store / "runs" / LARGER])


def test_runs_of_one_name_are_called_by_their_addresses(copy: Copy, store: Path) -> None:
    twin = copy(SMALLER, SMALLER)
    found = modersmal.compare([twin, store / "runs" / SMALLER])
    assert {row.name for row in found.rows} == {str(twin), str(store / "runs" / SMALLER)}
