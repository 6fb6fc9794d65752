import json
import os
import random
import re
import shutil
import signal
import threading
import time

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import WhisperForConditionalGeneration, WhisperProcessor

import training_process
from children import children
from modersmal import store
from modersmal.config import parse_recipe
from modersmal.errors import (
    CheckpointError,
    CorpusError,
    Held,
    RecipeError,
    Stopped,
    StoreError,
    TrainingError,
)
from modersmal.store.lease import Lease
from modersmal.store.remote import Remote, local_place
from modersmal.train import loop
from modersmal.train.checkpoint import Checkpoints
from modersmal.train.journal import Journal
from modersmal.train.log import read_metrics
from modersmal.train.shapes import GEOMETRIES, Shapes
from modersmal.train.train import train
from modersmal.whisper.load import load
from tiny import write_tiny_corpus

STEPS = 8
SHORT = {"packed_share": 0.0, "full_share": 0.0}  # no sample is longer than 3 s


PASSWORD = "kalasbyxor"


def settings(model, **train_keys):
    database = f"postgresql://me:{PASSWORD}@there/corrections"
    return {
        "language": "sv",
        "model": str(model),
        "serve": {"database": database},
        "data": {"sources": [f"corrections:{database}"]},
        "train": {
            "max_steps": STEPS, "batch_s": 6.0, "save_every": 2, "evaluate_every": 4,
            "dev_clips": 4, "device": "cpu", "learning_rate": 1e-3, "full_share": 0.13,
            "packed_share": 0.3, "timestamp_share": 0.3, "prompt_share": 0.5,
            "silence_share": 0.1, "augment": {"speed_share": 0.5, "noise_share": 0.5},
            "context_floor_s": 1.0, "context_step_s": 0.5,
        }
        | train_keys,
    }  # fmt: skip


def run_training(model, corpus, run, on_step=None, **train_keys):
    return train(parse_recipe(settings(model, **train_keys)), corpus, run, on_step)


def weights_of(run):
    return load_file(run / "model" / "model.safetensors")


def steps_saved(run):
    return Checkpoints(run / "checkpoints").steps()


def checkpoint_of(run, step):
    return run / "checkpoints" / str(Checkpoints(run / "checkpoints").named(step))


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def whole(tiny_whisper, tiny_corpus, tmp_path_factory):
    """A run that nothing interrupted: its folder, its result and its steps."""
    torch.set_num_threads(1)
    run, reports = tmp_path_factory.mktemp("whole"), []
    result = run_training(tiny_whisper(terse=True), tiny_corpus(), run, reports.append)
    return run, result, reports


def test_a_run_writes_all_that_is_promised(whole):
    run, result, reports = whole
    assert result.steps == STEPS
    assert result.metric == "wer"
    assert result.dev is not None
    assert str(run / "model") in str(result)
    assert [report.step for report in reports] == list(range(1, STEPS + 1))
    dynamic = [report.loss for report in reports if report.padding_share < 0.5]
    assert dynamic[-1] < dynamic[0]
    assert any(report.packing_efficiency for report in reports)
    assert all(report.tokens_per_s > 0 for report in reports)
    assert all(report.audio_s_per_s > 0 for report in reports)
    assert {path.name for path in run.iterdir()} == {
        "recipe.json", "metrics.jsonl", "journal.jsonl", "tensorboard", "checkpoints", "model",
        "leases", "status.json",
    }  # fmt: skip


def test_no_password_of_the_recipe_is_in_a_run(whole):
    run, _, _ = whole
    files = [path for path in run.rglob("*") if path.is_file()]
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]
    told = json.loads((run / "recipe.json").read_text())["recipe"]
    assert told["data"]["sources"] == ["corrections:postgresql://me:***@there/corrections"]


def test_what_is_interrupted_here_is_of_every_geometry(tiny_whisper):
    shapes = Shapes.of(parse_recipe(settings(tiny_whisper(terse=True))).train)
    assert {shapes.geometry(0, step) for step in range(STEPS)} == set(GEOMETRIES)


def test_metrics_go_to_jsonl_and_to_tensorboard(whole):
    run, result, reports = whole
    rows = read_metrics(run)
    steps = [row for row in rows if "loss" in row]
    assert [row["step"] for row in steps] == list(range(1, STEPS + 1))
    assert steps[0].keys() >= {
        "loss", "learning_rate", "gradient_norm", "audio_s_per_s", "tokens_per_s", "epoch",
        "padding_share", "loader_wait_share",
    }  # fmt: skip
    assert any("packing_efficiency" in step for step in steps)
    scores = [row for row in rows if "dev_wer" in row]
    assert [row["step"] for row in scores] == [4, 8]
    assert min(row["dev_wer"] for row in scores) == result.dev
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) >= {"loss", "learning_rate", "gradient_norm", "dev_wer"}
    logged = [event.value for event in events.Scalars("loss")]
    assert logged == pytest.approx([report.loss for report in reports])


def test_the_finished_model_is_complete_and_is_the_best_checkpoint(whole, tiny_whisper):
    run, result, _ = whole
    whisper = load(str(run))
    assert whisper.language.code == "sv"
    assert whisper.base == "tiny"
    assert whisper.context == "dynamic"
    best = load_file(checkpoint_of(run, result.model_step) / "model.safetensors")
    assert same(weights_of(run), best)
    assert not same(weights_of(run), load_file(tiny_whisper(terse=True) / "model.safetensors"))
    WhisperProcessor.from_pretrained(run / "model")
    WhisperForConditionalGeneration.from_pretrained(run / "model")


def test_old_checkpoints_go_and_the_newest_and_the_best_stay(whole):
    run, result, _ = whole
    assert steps_saved(run) == sorted({6, 8, result.model_step})


def test_the_same_command_again_changes_nothing(whole, tiny_whisper, tiny_corpus, tmp_path):
    run = shutil.copytree(whole[0], tmp_path / "run")
    steps = []
    again = run_training(tiny_whisper(terse=True), tiny_corpus(), run, steps.append)
    assert steps == []
    assert (again.steps, again.dev, again.model_step) == (
        STEPS, whole[1].dev, whole[1].model_step
    )  # fmt: skip
    assert same(weights_of(run), weights_of(whole[0]))
    assert len(read_metrics(run)) == len(read_metrics(whole[0]))


def test_loader_threads_and_device_batches_do_not_change_the_weights(
    whole, tiny_whisper, tiny_corpus, tmp_path
):
    run_training(
        tiny_whisper(terse=True), tiny_corpus(), tmp_path, loader_workers=0, keep=5, save_every=3
    )
    assert same(weights_of(tmp_path), weights_of(whole[0]))


def test_a_run_that_is_asked_to_stop_goes_on_to_the_same_bits(
    whole, tiny_whisper, tiny_corpus, tmp_path, capfd
):
    """SIGINT between checkpoints, then SIGTERM: both save, exit 3, and cost nothing."""
    for number, stop_at in ((signal.SIGINT, 3), (signal.SIGTERM, 5)):

        def stop(report, number=number, stop_at=stop_at):
            if report.step == stop_at:
                os.kill(os.getpid(), number)

        with pytest.raises(Stopped, match=f"stopped at step {stop_at} of {STEPS}") as stopped:
            run_training(tiny_whisper(terse=True), tiny_corpus(), tmp_path, stop)
        assert stopped.value.exit_code == 3
        assert stop_at in steps_saved(tmp_path)
        assert signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)
    assert "Going on from step 3" in capfd.readouterr().err
    run_training(tiny_whisper(terse=True), tiny_corpus(), tmp_path)
    assert same(weights_of(tmp_path), weights_of(whole[0]))
    before, after = read_metrics(whole[0]), read_metrics(tmp_path)
    keys = ("step", "loss", "learning_rate", "gradient_norm", "dev_wer")
    assert [[row.get(key) for key in keys] for row in before] == [
        [row.get(key) for key in keys] for row in after
    ]


def test_a_stop_while_dev_is_decoded_is_heeded_and_dev_is_decoded_again(
    whole, tiny_whisper, tiny_corpus, tmp_path
):
    def stop(report):
        if report.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match="step 4"):
        run_training(tiny_whisper(terse=True), tiny_corpus(), tmp_path, stop)
    assert not [row for row in read_metrics(tmp_path) if "dev_wer" in row]
    result = run_training(tiny_whisper(terse=True), tiny_corpus(), tmp_path)
    assert [row["step"] for row in read_metrics(tmp_path) if "dev_wer" in row] == [4, 8]
    assert (result.dev, result.model_step) == (whole[1].dev, whole[1].model_step)
    assert same(weights_of(tmp_path), weights_of(whole[0]))


def kill_until_done(model, corpus, run, kills, draw):
    """Kill a training with SIGKILL at random moments, then let it end."""
    for _ in range(kills):
        process = training_process.start(settings(model), corpus, run)
        process.join(draw.uniform(0.3, 3.0))
        if process.is_alive():
            process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
    process = training_process.start(settings(model), corpus, run)
    process.join()
    assert process.exitcode == 0


def test_a_killed_run_goes_on_to_the_same_bits(whole, tiny_whisper, tiny_corpus, tmp_path):
    draw = random.Random(1)
    kill_until_done(tiny_whisper(terse=True), tiny_corpus(), tmp_path, 3, draw)
    assert same(weights_of(tmp_path), weights_of(whole[0]))
    assert not list((tmp_path / "checkpoints").glob(".draft*"))


def test_a_second_interrupt_stops_at_once(tiny_whisper, tiny_corpus, tmp_path):
    def stop(report):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_training(tiny_whisper(terse=True), tiny_corpus(), tmp_path, stop)
    assert steps_saved(tmp_path) == []


def test_a_damaged_checkpoint_falls_back_says_so_and_reaches_the_same_bits(
    whole, tiny_whisper, tiny_corpus, tmp_path, capfd
):
    run = shutil.copytree(whole[0], tmp_path / "run")
    newest = checkpoint_of(run, STEPS) / "optimizer.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    run_training(tiny_whisper(terse=True), tiny_corpus(), run)
    said = capfd.readouterr().err
    assert "checkpoint of step 8 is damaged" in said
    assert "going back to step 6" in said
    assert same(weights_of(run), weights_of(whole[0]))
    assert [row["step"] for row in read_metrics(run) if "loss" in row] == list(range(1, 9))


def test_all_checkpoints_damaged_is_one_sentence(whole, tiny_whisper, tiny_corpus, tmp_path):
    run = shutil.copytree(whole[0], tmp_path / "run")
    for folder in (run / "checkpoints").iterdir():
        (folder / "state.json").write_text("{}")
    with pytest.raises(CheckpointError, match="every checkpoint"):
        run_training(tiny_whisper(terse=True), tiny_corpus(), run)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_s": 7.0}, r"train\.batch_s is 7\.0, was 6\.0"),
        ({"learning_rate": 2e-3}, r"train\.learning_rate is 0\.002, was 0\.001"),
        ({"seed": 1, "schedule": "cosine"}, r"schedule is 'cosine', was 'linear'; train\.seed is"),
        ({"max_steps": 9}, r"train\.max_steps is 9, was 8"),
        ({"spec_augment": {"time_masks": 1}}, r"train\.spec_augment"),
    ],
)
def test_another_recipe_in_the_same_run_is_refused(
    whole, tiny_whisper, tiny_corpus, changes, message
):
    with pytest.raises(TrainingError, match=message):
        run_training(tiny_whisper(terse=True), tiny_corpus(), whole[0], **changes)


def test_a_change_that_is_accepted_by_name_goes_on_with_it(
    whole, tiny_whisper, tiny_corpus, tmp_path, capfd
):
    run, steps = shutil.copytree(whole[0], tmp_path / "run"), []
    changes = {"max_steps": 9, "batch_s": 7.0}
    with pytest.raises(TrainingError, match=r'accept_changes = \["train.batch_s"\]$'):
        run_training(
            tiny_whisper(terse=True), tiny_corpus(), run,
            accept_changes=["train.max_steps"], **changes,
        )  # fmt: skip
    accepted = ["train.max_steps", "train.batch_s"]
    run_training(
        tiny_whisper(terse=True), tiny_corpus(), run, steps.append,
        accept_changes=accepted, **changes,
    )  # fmt: skip
    assert [report.step for report in steps] == [9]
    assert "From here on, as the recipe accepts: train.batch_s is 7.0, was 6.0" in (
        capfd.readouterr().err
    )
    run_training(tiny_whisper(terse=True), tiny_corpus(), run, **changes)  # is what it now is


def test_a_change_that_nobody_knows_is_not_accepted(whole, tiny_whisper, tiny_corpus):
    with pytest.raises(RecipeError, match=r"'train.batchs' \(did you mean 'train.batch_s'\?\)"):
        run_training(
            tiny_whisper(terse=True), tiny_corpus(), whole[0], accept_changes=["train.batchs"]
        )


def test_what_does_not_matter_may_change(whole, tiny_whisper, tiny_corpus, tmp_path):
    run = shutil.copytree(whole[0], tmp_path / "run")
    run_training(
        tiny_whisper(terse=True), tiny_corpus(), run, device_batch_s=3.0, loader_workers=0,
        save_every=5, keep=4, evaluate_every=8, gradient_checkpointing=True,
    )  # fmt: skip


def test_another_model_or_corpus_in_the_same_run_is_refused(whole, tiny_whisper, tiny_corpus):
    with pytest.raises(TrainingError, match=r"model is .*, was "):
        run_training(tiny_whisper(seed=1, terse=True), tiny_corpus(), whole[0])
    with pytest.raises(TrainingError, match=r"corpus is '[0-9a-f]+', was '[0-9a-f]+'"):
        run_training(tiny_whisper(terse=True), tiny_corpus(seed=1), whole[0])


def test_a_constant_schedule_can_be_prolonged(tiny_whisper, tiny_corpus, tmp_path):
    for steps in (2, 3):
        result = run_training(
            tiny_whisper(terse=True), tiny_corpus(dev=0), tmp_path, schedule="constant",
            warmup_steps=0, max_steps=steps,
        )  # fmt: skip
        assert result.steps == steps


def test_a_language_that_whisper_lacks_borrows_a_token(tiny_whisper, tiny_corpus, tmp_path):
    corpus = tiny_corpus(language="se", language_token="fi", dev=0)
    keys = settings(tiny_whisper(terse=True), max_steps=1) | {
        "language": "se",
        "language_token": "fi",
    }
    train(parse_recipe(keys), corpus, tmp_path)
    card = json.loads((tmp_path / "model" / "modersmal.json").read_text())
    assert (card["language"], card["language_token"]) == ("se", "fi")
    assert card["language_name"] == "Northern Sámi"


def test_a_recipe_for_another_language_than_the_corpus_is_refused(
    tiny_whisper, tiny_corpus, tmp_path
):
    keys = settings(tiny_whisper(terse=True)) | {"language": "nb"}
    with pytest.raises(TrainingError, match=r"'nb' .* was prepared for 'sv'"):
        train(parse_recipe(keys), tiny_corpus(), tmp_path)


def test_v3_and_english_models_train(tiny_whisper, tiny_corpus, tmp_path):
    run_training(
        tiny_whisper("multilingual-v3", 128),
        tiny_corpus(dev=0),
        tmp_path / "v3",
        max_steps=1,
    )
    assert load(str(tmp_path / "v3")).mels == 128
    keys = settings(tiny_whisper("english"), max_steps=1) | {"language": "en"}
    train(parse_recipe(keys), tiny_corpus(language="en", dev=0), tmp_path / "en")
    assert load(str(tmp_path / "en")).vocabulary == "english"


def test_full_context_and_a_frozen_encoder_train(tiny_whisper, tiny_corpus, tmp_path):
    run_training(
        tiny_whisper(terse=True),
        tiny_corpus(dev=0),
        tmp_path,
        full_share=1.0,
        packed_share=0.0,
        freeze_encoder=True,
        max_steps=2,
    )
    assert load(str(tmp_path)).context == "full"
    before, after = load_file(tiny_whisper(terse=True) / "model.safetensors"), weights_of(tmp_path)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(".decoder." in name for name in changed)


def test_without_dev_the_last_step_is_kept(tiny_whisper, tiny_corpus, tmp_path, capfd):
    write_tiny_corpus(tmp_path / "corpus", {"train": 12})
    result = run_training(
        tiny_whisper(terse=True), tmp_path / "corpus", tmp_path / "run", max_steps=2
    )
    assert (result.dev, result.model_step) == (None, 2)
    assert "no dev split" in capfd.readouterr().err


def test_without_train_the_splits_are_named(tiny_whisper, tmp_path):
    write_tiny_corpus(tmp_path / "corpus", {"dev": 2, "test": 2})
    with pytest.raises(CorpusError, match=r"no split 'train'.* it has dev, test"):
        run_training(tiny_whisper(terse=True), tmp_path / "corpus", tmp_path / "run")


def test_the_reasons_for_every_choice_are_said(tiny_whisper, tiny_corpus, tmp_path, capfd):
    keys = settings(tiny_whisper(terse=True), max_steps=1)
    del keys["train"]["learning_rate"]
    train(parse_recipe(keys), tiny_corpus(), tmp_path)
    said = capfd.readouterr().err
    assert "peak learning rate 0.001 (the model's size is a size of its own" in said
    assert "Training on cpu in float32: training on a CPU" in said
    assert "at most 120 s of padded audio at a time" in said
    assert 'First clip: "' in said
    assert "Warning: the loss of the first batch is " in said
    assert "Training: 1 steps in" in said


def test_an_interrupted_start_leaves_torch_as_it_was(tiny_whisper, tiny_corpus, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run_training(
        tiny_whisper(terse=True), tiny_corpus(dev=0), tmp_path, max_steps=1, evaluate_every=0
    )
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.rand(3), expected)


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_what_was_saved(
    tiny_whisper, tiny_corpus, tmp_path
):
    with pytest.raises(TrainingError, match=r"not a number at step \d+ \(the checkpoint of step"):
        run_training(
            tiny_whisper(terse=True), tiny_corpus(dev=0), tmp_path, learning_rate=1e38,
            warmup_steps=4, max_steps=30, save_every=1, clip_norm=1e38,
        )  # fmt: skip
    assert steps_saved(tmp_path)
    assert not (tmp_path / "model").exists()


def test_a_full_disk_keeps_the_earlier_checkpoints(tiny_whisper, tiny_corpus, tmp_path):
    import resource

    def fill(report):
        if report.step == 3:
            [writer] = children("modersmal.train.writer")
            resource.prlimit(writer, resource.RLIMIT_FSIZE, (10**6, 10**6))

    with pytest.raises(StoreError, match=r"the disk is full: .*step-00000004") as error:
        run_training(tiny_whisper(terse=True), tiny_corpus(dev=0), tmp_path, fill)
    assert "\n" not in str(error.value)
    assert steps_saved(tmp_path) == [2]
    assert not list((tmp_path / "checkpoints").glob(".draft*"))
    run_training(tiny_whisper(terse=True), tiny_corpus(dev=0), tmp_path)


def test_a_found_device_batch_is_replayed_when_memory_is_ample_again(
    tiny_whisper, tiny_corpus, tmp_path, monkeypatch, capfd
):
    """Memory was short at step 3; the run is killed, goes back to step 2 and meets no shortage."""
    from modersmal.train.learner import Learner

    learn, taken = Learner.step, []

    def short(self, batch, rate, device_batch_s):
        if batch.planned.step >= 2 and device_batch_s > 4:
            raise torch.OutOfMemoryError("out of memory")
        return learn(self, batch, rate, device_batch_s)

    def ample(self, batch, rate, device_batch_s):
        taken.append(device_batch_s)
        return learn(self, batch, rate, device_batch_s)

    def stop(report):
        if report.step == 3:
            while steps_saved(tmp_path / "run") != [2]:  # it is written beside the steps
                time.sleep(0.05)
            raise KeyboardInterrupt

    keys = {"device_batch_s": 12.0, "max_steps": 4} | SHORT
    model, corpus = tiny_whisper(terse=True), tiny_corpus(dev=0)
    monkeypatch.setattr(Learner, "step", short)
    run_training(model, corpus, tmp_path / "whole", **keys)
    with pytest.raises(KeyboardInterrupt):
        run_training(model, corpus, tmp_path / "run", stop, **keys)
    monkeypatch.setattr(Learner, "step", ample)
    run_training(model, corpus, tmp_path / "run", **keys)
    assert taken == [3.0, 3.0]
    assert "Going on from step 2" in capfd.readouterr().err
    assert same(weights_of(tmp_path / "run"), weights_of(tmp_path / "whole"))


@pytest.mark.chaos
def test_on_another_machine_what_fits_is_found_anew(
    tiny_whisper, tiny_corpus, tmp_path, monkeypatch, capfd
):
    from modersmal.train import sizing as module
    from modersmal.train.memory import Room

    model, corpus = tiny_whisper(terse=True), tiny_corpus(dev=0)
    keys = {"schedule": "constant", "warmup_steps": 0}
    decided = []
    for memory, fitting, steps in (("small", 3.0, 2), ("small", 9.0, 3), ("large", 9.0, 4)):
        monkeypatch.setattr(module, "gauge_of", lambda *_: None)
        monkeypatch.setattr(module, "describe_memory", lambda device, memory=memory: memory)
        monkeypatch.setattr(
            module,
            "find_room",
            lambda *_, fitting=fitting, **__: Room(2 * fitting, 2 * fitting, 120.0, 2.0, "so"),
        )
        run_training(model, corpus, tmp_path, max_steps=steps, **keys)
        decided.append(Journal(tmp_path / "journal.jsonl").latest(steps, "device_batch_s").value)
    assert decided == [3.0, 3.0, 9.0]
    assert "3 s of padded audio at a time (as was decided at step 0)" in capfd.readouterr().err


def test_a_store_without_room_is_told_before_the_first_step(
    tiny_whisper, tiny_corpus, tmp_path, monkeypatch
):
    free = shutil.disk_usage(tmp_path)._replace(free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    steps = []
    with pytest.raises(StoreError, match=r"has 0\.0 GB free, and the checkpoints .* will take 0\."):
        run_training(tiny_whisper(terse=True), tiny_corpus(dev=0), tmp_path, steps.append)
    assert steps == []


def test_a_stop_in_the_midst_of_decoding_does_not_wait_for_the_batch(
    tiny_whisper, tiny_corpus, tmp_path, monkeypatch
):
    """One batch may take a minute on a CPU; the signal comes while it is being decoded."""
    from modersmal.train.dev import DevSet

    waited = []

    def slow(self, whisper, on_progress):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
        waited.append(self)

    monkeypatch.setattr(DevSet, "score", slow)
    with pytest.raises(Stopped, match="step 4"):
        run_training(tiny_whisper(terse=True), tiny_corpus(), tmp_path)
    assert not waited
    assert steps_saved(tmp_path)[-1] == 4


def test_a_stop_while_the_model_is_loaded_is_heeded_at_once(
    tiny_whisper, tiny_corpus, tmp_path, monkeypatch
):
    from modersmal.train import parts as module

    def slow(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)

    monkeypatch.setattr(module, "load", slow)
    with pytest.raises(Stopped, match="before training began"):
        run_training(tiny_whisper(terse=True), tiny_corpus(), tmp_path)


def test_a_run_that_is_held_elsewhere_is_left_alone(tiny_whisper, tiny_corpus, tmp_path):
    lease = Lease.take(local_place(tmp_path), "another machine", 2.0)
    steps = []
    with lease.kept(), pytest.raises(Held, match=r"another machine .* holds this run"):
        run_training(tiny_whisper(terse=True), tiny_corpus(), tmp_path, steps.append)
    assert steps == []
    assert not (tmp_path / "checkpoints").exists()


def test_too_little_memory_halves_what_the_device_takes(
    whole, tiny_whisper, tiny_corpus, tmp_path, monkeypatch, capfd
):
    """No CPU raises this error; what is done about it is what is tested."""
    from modersmal.train.learner import Learner

    learn, refused = Learner.step, []

    def step(self, batch, rate, device_batch_s):
        decided = Journal(tmp_path / "journal.jsonl").latest(batch.planned.step, "device_batch_s")
        assert device_batch_s in (100.0, decided.value)  # on the disk before it takes effect
        if device_batch_s > 4:
            refused.append(device_batch_s)
            raise torch.OutOfMemoryError("out of memory")
        return learn(self, batch, rate, device_batch_s)

    monkeypatch.setattr(Learner, "step", step)
    keys = {"device_batch_s": 12.0, "max_steps": 2} | SHORT
    run_training(tiny_whisper(terse=True), tiny_corpus(dev=0), tmp_path, **keys)
    assert refused == [12.0, 6.0]
    assert "going on with device_batch_s = 3" in capfd.readouterr().err
    monkeypatch.setattr(Learner, "step", learn)
    run_training(tiny_whisper(terse=True), tiny_corpus(dev=0), tmp_path / "ample", **keys)
    assert not same(weights_of(tmp_path), weights_of(tmp_path / "ample"))  # so it has to be kept
    monkeypatch.setattr(Learner, "step", lambda *_: step(*_[:3], 100.0))
    with pytest.raises(TrainingError, match="does not fit the device's memory"):
        run_training(tiny_whisper(terse=True), tiny_corpus(dev=0), tmp_path / "none", max_steps=2)


@pytest.mark.chaos
@pytest.mark.parametrize("knew", [True, False])
def test_windows_are_kept_not_learned_anew(knew, tiny_whisper, tiny_corpus, tmp_path):
    base = shutil.copytree(tiny_whisper(terse=True), tmp_path / "base")
    (base / "modersmal.json").write_text(json.dumps({"context": "dynamic", "windows": knew}))
    keys = {"max_steps": 1, "packed_share": 0.5}
    run_training(base, tiny_corpus(dev=0), tmp_path / "run", **keys)
    card = json.loads((tmp_path / "run" / "model" / "modersmal.json").read_text())
    assert card["windows"] == knew


@pytest.mark.chaos
def test_the_last_upload_is_waited_for_and_shown(
    tiny_whisper, tiny_corpus, tmp_path, capfd, monkeypatch
):
    held, show = [], loop.progress

    def hold_the_uploader(report):
        if report.step == STEPS:
            held.extend(children("modersmal.store.uploader"))
            os.kill(held[0], signal.SIGSTOP)

    def let_it_go_later(title, **keys):
        if title == "Uploading the last checkpoint":
            threading.Timer(1.2, os.kill, (held[0], signal.SIGCONT)).start()
        return show(title, **keys)

    monkeypatch.setattr(loop, "progress", let_it_go_later)
    train(
        parse_recipe(settings(tiny_whisper(terse=True))), tiny_corpus(), tmp_path / "here",
        hold_the_uploader, place=Remote.open(f"file://{tmp_path}/there").at("runs/x"),
    )  # fmt: skip
    last = tmp_path / "there/runs/x/checkpoints" / checkpoint_of(tmp_path / "here", STEPS).name
    store.verify_manifest(last)
    shown = re.search(r"Uploading the last checkpoint: (.*) MB in (\d+) s", capfd.readouterr().err)
    assert shown
    assert int(shown[1]) >= sum(path.stat().st_size for path in last.iterdir()) // 1e6 > 0
    assert int(shown[2]) >= 1
    assert children("modersmal.store.uploader") == []
