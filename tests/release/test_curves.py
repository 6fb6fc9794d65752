"""A training's course is drawn from its metrics, and TensorBoard reads the logs that go along."""

import shutil
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from modersmal import store
from modersmal.release.curves import write_curves
from modersmal.train.log import MetricsLog

BLUE, GREY = (31, 95, 168), (119, 119, 119)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """200 steps, scored on dev at two of them, as training writes it down."""
    run = tmp_path / "run"
    with MetricsLog(run, 0, unscored=[0]) as log:
        for step in range(1, 201):
            log.write(step, loss=5 / step**0.5)
            if step % 100 == 0:
                log.write(step, dev_wer=40 / step, dev_cer=10 / step, dev_clips=6)
    store.write_json(run / "recipe.json", {"recipe": {"language": "sv"}})
    return run


def score_base(run: Path) -> None:
    rates = {"wer": {"rate": 0.8}, "cer": {"rate": 0.5}}
    table = {"scores": [{"result": {"score": {"normalised": rates}}}]}
    store.write_json(run / "scores" / "base-dev" / "evaluation.json", table)


def colours(picture: Path) -> dict[tuple[int, ...], int]:
    """How many points each colour has."""
    points = (matplotlib.image.imread(picture)[:, :, :3] * 255).round().astype(int)
    found, counts = np.unique(points.reshape(-1, 3), axis=0, return_counts=True)
    return {tuple(map(int, colour)): int(n) for colour, n in zip(found, counts, strict=True)}


def test_loss_and_dev_scores_are_drawn(run: Path, tmp_path: Path) -> None:
    drawn = write_curves(run, tmp_path / "release")
    assert [path.name for path in drawn] == ["loss.png", "dev-wer.png"]
    for picture in drawn:
        assert colours(picture)[BLUE] > 500
        assert picture.stat().st_size < 100_000


def test_the_bases_score_is_a_line_where_it_was_taken(run: Path, tmp_path: Path) -> None:
    _, without = write_curves(run, tmp_path / "without")
    score_base(run)
    _, with_base = write_curves(run, tmp_path / "with")
    before, after = colours(without), colours(with_base)
    assert after[GREY] - before.get(GREY, 0) > 300


def test_where_words_are_not_spaced_characters_are_drawn(run: Path, tmp_path: Path) -> None:
    store.write_json(run / "recipe.json", {"recipe": {"language": "ja"}})
    assert [path.name for path in write_curves(run, tmp_path)] == ["loss.png", "dev-cer.png"]


def test_a_run_without_metrics_has_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert write_curves(tmp_path / "run", tmp_path / "release") == []


def test_the_same_run_gives_the_same_files(run: Path, tmp_path: Path) -> None:
    for name in "ab":
        write_curves(run, tmp_path / name)
        write_curves(run, tmp_path / name)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*")]
    assert len(files) == 3
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_tensorboard_reads_the_logs_whose_names_tell_no_machine(run: Path, tmp_path: Path) -> None:
    write_curves(run, tmp_path / "release")
    [log] = (tmp_path / "release" / "tensorboard").iterdir()
    [original] = (run / "tensorboard").iterdir()
    assert original.name.split(".")[4] not in log.name.split(".")
    read = EventAccumulator(str(log.parent))
    read.Reload()
    assert len(read.Scalars("loss")) == 200
    assert [round(one.value, 3) for one in read.Scalars("dev_wer")] == [0.4, 0.2]


def test_logs_that_did_not_come_along_are_written_anew(run: Path, tmp_path: Path) -> None:
    shutil.rmtree(run / "tensorboard")
    write_curves(run, tmp_path / "release")
    read = EventAccumulator(str(tmp_path / "release" / "tensorboard"))
    read.Reload()
    assert len(read.Scalars("loss")) == 200
    assert [round(one.value, 3) for one in read.Scalars("dev_wer")] == [0.4, 0.2]
