"""A rehearsal goes through every stage, leaves nothing, and says what the real run then needs."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import modersmal
from modersmal import audio
from modersmal.cli import app
from modersmal.config import TrainConfig, load_recipe
from modersmal.corpus import Corpus
from modersmal.errors import CorpusError, Stopped
from modersmal.language import resolve
from modersmal.rehearse import rehearse as module
from modersmal.rehearse.forecast import dev_scores, most_checkpoints, saves, training_parts
from modersmal.rehearse.measure import Decoding, Pass, Training
from modersmal.rehearse.rehearse import rehearse
from modersmal.rehearse.result import Rehearsal, size
from modersmal.rehearse.standin import (
    Steps,
    padded_s,
    some_batches,
    spread,
    windows,
    write_stand_in,
)
from modersmal.whisper.decode import plan_batches
from modersmal.whisper.load import load
from modersmal.whisper.save import save_complete

CLIPS = {"train": 60, "dev": 16, "test": 12}
WORDS = "ett två tre fyra fem sex sju åtta nio tio".split()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of words sung as tones, with splits."""
    folder, random = tmp_path_factory.mktemp("source"), np.random.default_rng(0)
    rows = []
    for split, count in CLIPS.items():
        for number in range(count):
            words = random.integers(0, len(WORDS), int(random.integers(1, 9)))
            times = np.arange(round(0.25 * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
            song = np.concatenate([np.sin(2 * np.pi * 220 * 1.2**word * times) for word in words])
            song = 0.3 * song + 0.003 * random.standard_normal(len(song))
            name = f"{split}-{number}.flac"
            (folder / name).write_bytes(audio.encode_flac(song.astype(np.float32)))
            rows.append(
                {"audio": name, "text": " ".join(WORDS[word] for word in words), "split": split}
            )
    path = folder / "clips.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


@pytest.fixture(scope="module")
def base(tiny_whisper: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base that was trained on short contexts, and says little."""
    folder = tmp_path_factory.mktemp("base") / "model"
    save_complete(
        replace(load(str(tiny_whisper(terse=True))), context="dynamic"), folder, resolve("sv")
    )
    return folder


def write_recipe(
    folder: Path,
    source: Path,
    base: Path,
    train: str = "full_share = 0.25\npacked_share = 0",
    top: str = "",
) -> Path:
    path = folder / "recipe.toml"
    path.write_text(
        f"""
        model = "{base}"
        name = "small"
        {top}
        [data]
        sources = ["{source}"]
        workers = 1
        [train]
        max_steps = 12
        batch_s = 10.0
        learning_rate = 1e-6
        warmup_steps = 1
        save_every = 3
        evaluate_every = 6
        loader_workers = 0
        {train}
        """
    )
    return path


@pytest.fixture(scope="module")
def recipe(source: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("rehearsed"), source, base)


@pytest.fixture(scope="module")
def found(recipe: Path) -> Rehearsal:
    return modersmal.run(recipe, rehearse=True)


def part(found: Rehearsal, stage: str, start: str):
    [stage_found] = [one for one in found.stages if one.name == stage]
    [part_found] = [one for one in stage_found.parts if one.what.startswith(start)]
    return part_found


# The whole ---------------------------------------------------------------------------------------


def test_every_stage_is_rehearsed_and_accounted_for(found: Rehearsal) -> None:
    assert (found.clips, found.total_clips) == (32, sum(CLIPS.values()))
    stages = ["prepare", "score the start", "train", "score the result"]
    assert [stage.name for stage in found.stages] == stages
    assert all(stage.rehearsed_s > 0 and stage.expected_s > 0 for stage in found.stages)
    assert part(found, "prepare", "check a clip").count == sum(CLIPS.values())
    assert part(found, "score the start", "decode a clip").count == CLIPS["dev"]
    assert part(found, "score the result", "decode a clip with the tr").count == CLIPS["test"]
    assert part(found, "train", "score dev").count == 2
    assert part(found, "train", "save a checkpoint").count == 3  # and one with the end
    short, full = (part(found, "train", f"a step on {kind}").count for kind in ("short", "30 s"))
    assert short + full == 12


def test_it_leaves_nothing_and_touches_no_run(found: Rehearsal, recipe: Path) -> None:
    assert found.folder is None
    left = [path for path in (recipe.parent / "modersmal-store").rglob("*") if path.is_file()]
    assert [path.name for path in left] == ["small.json"]  # what it found, for estimates


def test_it_is_shown_as_a_table(found: Rehearsal) -> None:
    shown = str(found)
    assert shown.startswith("Rehearsed small with 32 of 88 clips in ")
    for expected in (
        "a step on 30 s",
        "In all",
        "Disk: ",
        "Download, where nothing is here yet: 0 B",
    ):
        assert expected in shown


def test_the_real_run_needs_what_was_foreseen(
    found: Rehearsal, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes and counts; the hours are held against a real run in benchmarks/rehearsal.py."""
    result = modersmal.run(recipe)
    config = load_recipe(recipe)
    corpus = Corpus.open(config.workspace.corpus(config.name))
    on_disk = sum(file.stat().st_size for file in corpus.path.glob("*.parquet"))
    assert found.disk["corpus"] == pytest.approx(on_disk, rel=0.15)
    kept = sorted((result.run / "checkpoints").glob("step-*"))
    bytes_of = sum(file.stat().st_size for file in kept[-1].iterdir())
    expected, _ = most_checkpoints(config.train, scored=True)
    assert found.disk[f"{expected} checkpoints"] == pytest.approx(expected * bytes_of, rel=0.01)
    model = sum(file.stat().st_size for file in (result.run / "model").iterdir())
    assert found.disk["model"] == pytest.approx(model, rel=0.01)
    assert found.disk_bytes <= found.disk_most_bytes
    true = Steps.of(config.train, corpus.split("train").durations_s)
    full = part(found, "train", "a step on 30 s")
    assert full.count == int(true.full.sum())


def test_a_remote_store_is_rehearsed_and_cleared(
    source: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODERSMAL_WORK", str(tmp_path / "work"))
    there = tmp_path / "there"
    there.mkdir()
    path = write_recipe(
        tmp_path, source, base, "full_share = 0\npacked_share = 0", f'store = "file://{there}"'
    )
    found = rehearse(load_recipe(path), keep=True, clips=16)
    assert found.stages[-1].name == "upload"
    assert found.upload["4 checkpoints"] == 4 * found.disk["3 checkpoints"] // 3
    [sent] = (there / "rehearsals").glob("small-*")
    assert list(sent.rglob("checkpoints/*/manifest.json"))
    assert list(sent.rglob("model/manifest.json"))
    assert found.folder is not None
    assert found.folder.is_relative_to(tmp_path / "work")
    rehearse(load_recipe(path), clips=16)
    assert {one.name for one in (there / "rehearsals").iterdir()} == {sent.name, "small.json"}


# What goes wrong ---------------------------------------------------------------------------------


def test_a_failure_names_its_stage_and_leaves_what_there_is(
    source: Path, base: Path, tmp_path: Path
) -> None:
    path = write_recipe(tmp_path, source, base, 'device = "cuda"')
    ended = CliRunner().invoke(app, ["run", str(path), "--rehearse"])
    assert ended.exit_code == 1
    assert "modersmal: rehearsing 'train': " in ended.stderr
    [left] = (tmp_path / "modersmal-store" / "rehearsals").iterdir()
    assert f"what the rehearsal made until it failed is in {left}" in ended.stderr
    assert {path.name for path in (tmp_path / "modersmal-store").iterdir()} == {"rehearsals"}


def test_a_stop_exits_as_the_stage_does_and_leaves_nothing(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise Stopped("stopped while it was prepared")

    monkeypatch.setattr(module, "_prepare", stopped)
    ended = CliRunner().invoke(app, ["run", str(recipe), "--rehearse"])
    assert ended.exit_code == 3
    assert "the rehearsal was stopped, and removed" in ended.stderr
    assert not list((recipe.parent / "modersmal-store").glob("rehearsals/small-*"))


def test_nothing_to_train_on_is_an_error_of_prepare(base: Path, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no audio at all")
    (tmp_path / "clips.jsonl").write_text('{"audio": "a.wav", "text": "Hej.", "split": "train"}')
    path = write_recipe(tmp_path, tmp_path / "clips.jsonl", base)
    with pytest.raises(CorpusError, match=r"rehearsing 'prepare': of 1 clips none is left"):
        rehearse(load_recipe(path))


def test_keeping_what_is_not_rehearsed_is_an_error(recipe: Path) -> None:
    before = sorted(recipe.parent.rglob("*"))
    ended = CliRunner().invoke(app, ["run", str(recipe), "--keep"])
    assert ended.exit_code == 1
    assert "only what --rehearse made can be kept" in ended.stderr
    assert sorted(recipe.parent.rglob("*")) == before


# Stand-ins have the batches of the real run ------------------------------------------------------


def speech(clips: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(6, 0.8, clips).clip(0.5, 20)


@pytest.mark.parametrize("clips", [8, 32])
def test_steps_on_a_stand_in_are_as_long_as_real_ones(
    clips: int, tiny_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    """The same padding a step, from the sampled clips alone."""
    lengths = np.random.default_rng(1).choice([0.25, 0.5, 0.75, 1.0], 4000)
    sample = Corpus.open(tiny_corpus(train=clips, dev=2, test=2))
    config = TrainConfig(
        batch_s=20.0, full_share=0.0, packed_share=0.0, max_steps=16, context_floor_s=0.25,
        context_step_s=0.25,
    )  # fmt: skip
    wanted = {"train": spread(lengths, 16 * config.batch_s)}
    stand_in = write_stand_in(sample, tmp_path / "stand-in", wanted)
    made = Steps.of(config, stand_in.split("train").durations_s)
    real = Steps.of(config.model_copy(update={"max_steps": 200}), lengths)
    assert made.padded_s.mean() == pytest.approx(real.padded_s.mean(), rel=0.1)
    assert not made.full.any()
    assert set(stand_in.split("train").texts) <= {
        text for name in sample.splits for text in sample.split(name).texts
    }


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.floats(0.3, 70), min_size=1, max_size=200),
    context=st.sampled_from(["dynamic", "full"]),
    count=st.integers(1, 6),
)
def test_some_batches_are_batches_of_the_whole(lengths: list[float], context, count: int) -> None:
    durations_s = np.array(lengths)

    def shapes(clips: np.ndarray) -> Counter:
        batches = plan_batches(clips.tolist(), context, 40.0)
        return Counter((batch.frames, len(batch.clips)) for batch in batches)

    taken = some_batches(durations_s, context, 40.0, count)
    whole = shapes(windows(durations_s))
    assert sum(shapes(taken).values()) == min(count, sum(whole.values()))
    assert not shapes(taken) - whole
    assert windows(durations_s).sum() == pytest.approx(durations_s.sum())


# From measured to expected -----------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    fixed_s=st.floats(0, 20),
    slope=st.floats(1e-4, 2),
    few=st.integers(1, 40),
    more=st.integers(20, 200),
)
def test_two_sizes_tell_the_beginning_from_the_clips(
    fixed_s: float, slope: float, few: int, more: int
) -> None:
    one, two = speech(few), speech(few + more, 1)

    def cost(clips: np.ndarray) -> float:
        return fixed_s + slope * padded_s(clips, "dynamic", 60.0)

    if padded_s(two, "dynamic", 60.0) <= padded_s(one, "dynamic", 60.0):
        return
    decoding = Decoding.from_two("dynamic", 60.0, (one, cost(one)), (two, cost(two)))
    whole = speech(3000, 2)
    assert decoding.fixed_s + decoding.seconds(whole) == pytest.approx(cost(whole), rel=1e-3)


def test_a_measurement_that_makes_no_sense_gives_no_negative_time() -> None:
    decoding = Decoding.from_two("full", 60.0, (speech(5), 9.0), (speech(50), 4.0))
    assert decoding.fixed_s == 0
    assert decoding.seconds(speech(50)) == pytest.approx(4.0)


def made_pass(steps: Steps, s_per_padded_s: float, outside_s: float, save_s: float) -> Pass:
    step_s = s_per_padded_s * steps.padded_s
    step_s[0] += outside_s
    step_s[-1] += save_s
    return Pass(float(step_s.sum()), step_s, steps, warm_up=1)


def test_a_training_is_put_together_from_its_parts(tmp_path: Path) -> None:
    """The cost of a made-up machine is found again, whatever the shares of the geometries."""
    lengths = speech(2000)
    config = TrainConfig(
        max_steps=300, batch_s=60.0, packed_share=0.1, full_share=0.1, save_every=100,
        evaluate_every=150,
    )  # fmt: skip
    some = config.model_copy(update={"max_steps": 10})
    short, full = (
        Steps.of(some.model_copy(update={"packed_share": share, "full_share": share}), lengths)
        for share in (0.0, 0.5)
    )
    training = Training(
        made_pass(short, 0.01, 5.0, 0.5), made_pass(full, 0.03, 4.0, 0.4), tmp_path, np.zeros(0)
    )
    decoding = Decoding("dynamic", 60.0, 1.0, 0.02)
    parts = training_parts(config, {"train": lengths, "dev": speech(500, 1)}, training, decoding)
    real = Steps.of(config, lengths)
    assert 30 < real.full.sum() < 90
    steps_s = 0.01 * real.padded_s[~real.full].sum() + 0.03 * real.padded_s[real.full].sum()
    dev_s = 2 * decoding.seconds(np.quantile(speech(500, 1), (np.arange(300) + 0.5) / 300))
    assert sum(one.seconds for one in parts) == pytest.approx(5 + steps_s + dev_s + 3 * 0.5)


@pytest.mark.parametrize(
    ("keep", "save_every", "evaluate_every", "max_steps", "expected"),
    [
        (2, 500, 500, 2000, (3, 4)),  # two, and one in the writing; the best is the newest
        (2, 500, 500, 1000, (2, 2)),  # there are no more
        (2, 100, 300, 900, (4, 4)),  # the best is older than the two newest
        (3, 500, 0, 5000, (4, 5)),
    ],
)
def test_how_many_checkpoints_there_are_at_once(
    keep: int, save_every: int, evaluate_every: int, max_steps: int, expected: tuple[int, int]
) -> None:
    config = TrainConfig(
        keep=keep, save_every=save_every, evaluate_every=evaluate_every, max_steps=max_steps
    )
    assert most_checkpoints(config, scored=True) == expected


def test_when_is_scored_and_saved() -> None:
    config = TrainConfig(max_steps=1000, save_every=300, evaluate_every=400)
    assert dev_scores(config) == [400, 800, 1000]
    assert saves(config, scored=True) == [300, 400, 600, 800, 900, 1000]
    assert saves(config, scored=False) == [300, 600, 900, 1000]


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (61_400_000, "61 MB"), (2_900_000_000, "2.9 GB")],
)
def test_sizes_are_written_for_people(count: int, shown: str) -> None:
    assert size(count) == shown


def test_a_store_that_is_too_small_is_told(found: Rehearsal) -> None:
    assert "does not fit" in str(replace(found, free_bytes=found.disk_most_bytes - 1))
    assert "does not fit" not in str(replace(found, free_bytes=found.disk_most_bytes))


def test_what_dominates_is_told(found: Rehearsal) -> None:
    [stage] = [one for one in found.stages if one.name == "train"]
    heavy = replace(stage.parts[1], each_s=1000.0)
    changed = replace(stage, parts=(stage.parts[0], heavy))
    shown = str(replace(found, stages=(changed,)))
    assert f"goes to train: {heavy.what}." in shown
