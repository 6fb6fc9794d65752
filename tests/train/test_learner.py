import json
import shutil

import numpy as np
import pytest
import torch

from modersmal.config import TrainConfig
from modersmal.train.batch import HeardSample, StepBatch
from modersmal.train.labels import NOT_LEARNED, Labeller, Utterance
from modersmal.train.learner import Learner
from modersmal.train.plan import PlannedBatch, PlannedSample
from modersmal.train.precision import Precision
from modersmal.train.rows import find_equal_rows
from modersmal.whisper.load import load


def weights(learner):
    return {name: value.detach().clone() for name, value in learner.model.named_parameters()}


def largest_difference(one, other):
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def steps(learner, loader, count, device_batch_s=1e6):
    return [learner.step(loader.reader.load(step), 1e-3, device_batch_s) for step in range(count)]


@pytest.mark.parametrize("geometry", ["dynamic", "packed", "full"])
def test_the_loss_is_that_of_transformers_over_the_tokens(make_learner, make_loader, geometry):
    share = {} if geometry == "dynamic" else {f"{geometry}_share": 1.0}
    learner = make_learner()
    (part,) = make_loader(prompt_share=0.5, **share).reader.load(0).micro_batches(1e6)
    features = part.features(80, learner.device)
    with torch.no_grad():
        ours = learner.loss_sum(features, part)
        theirs = learner.model(
            input_features=features, decoder_input_ids=part.inputs, labels=part.targets
        ).loss
    learned = int((part.targets != NOT_LEARNED).sum())
    assert float(ours) == pytest.approx(float(theirs) * learned, rel=1e-5)


def test_what_stands_behind_a_label_changes_nothing(make_learner, make_loader):
    learner = make_learner()
    (part,) = make_loader().reader.load(0).micro_batches(1e6)
    features = part.features(80, learner.device)
    behind = (part.targets != NOT_LEARNED).flip(1).cumsum(1).flip(1) == 0
    assert behind.any()
    with torch.no_grad():
        before = learner.loss_sum(features, part)
        part.inputs[behind] = 7
        assert float(learner.loss_sum(features, part)) == pytest.approx(float(before), rel=1e-6)


def test_smoothing_is_part_of_what_is_learned(make_learner, make_loader):
    plain, smooth = make_learner(), make_learner(label_smoothing=0.2)
    batch = make_loader().reader.load(0)
    assert smooth.first_loss(batch, 1e6) != plain.first_loss(batch, 1e6)
    steps(plain, make_loader(), 3)
    steps(smooth, make_loader(), 3)
    assert largest_difference(weights(plain), weights(smooth)) > 1e-5


def test_how_much_a_device_takes_at_a_time_does_not_change_the_result(make_learner, make_loader):
    loader = make_loader(batch_s=12.0)
    whole, parts = make_learner(), make_learner()
    one = steps(whole, loader, 5)
    other = steps(parts, loader, 5, device_batch_s=4.0)
    for mine, theirs in zip(one, other, strict=True):
        assert mine.loss == pytest.approx(theirs.loss, rel=1e-5)
        assert mine.gradient_norm == pytest.approx(theirs.gradient_norm, rel=1e-4)
    assert largest_difference(weights(whole), weights(parts)) < 1e-4


def test_averaging_parts_would_change_it(make_learner, make_loader):
    """Labels differ in length, so that a mean of means is another loss: the sum is what counts."""
    batch = make_loader(batch_s=12.0).reader.load(0)
    learner = make_learner(spec_augment={"time_masks": 0, "frequency_masks": 0})
    parts = list(batch.micro_batches(2.0))
    with torch.no_grad():
        sums = [float(learner.loss_sum(part.features(80, learner.device), part)) for part in parts]
    counts = [int((part.targets != NOT_LEARNED).sum()) for part in parts]
    means = [loss / count for loss, count in zip(sums, counts, strict=True)]
    right = learner.step(batch, 0.0, 2.0).loss
    assert right == pytest.approx(sum(sums) / sum(counts), rel=1e-5)
    assert abs(np.mean(means) - right) > 1e-5


def test_gradient_checkpointing_changes_nothing(make_learner, make_loader):
    plain, checkpointed = make_learner(), make_learner(checkpointing=True)
    loader = make_loader()
    one, other = steps(plain, loader, 2), steps(checkpointed, loader, 2)
    assert one[-1].loss == pytest.approx(other[-1].loss, rel=1e-6)
    assert largest_difference(weights(plain), weights(checkpointed)) < 1e-5


def test_positions_of_the_encoder_stay_and_a_frozen_encoder_stays(make_learner, make_loader):
    for freeze_encoder in (False, True):
        learner = make_learner(freeze_encoder=freeze_encoder)
        before = weights(learner)
        steps(learner, make_loader(), 2)
        changed = {
            name for name, value in weights(learner).items() if not torch.equal(value, before[name])
        }
        assert "model.encoder.embed_positions.weight" not in changed
        assert "model.decoder.layers.0.fc1.weight" in changed
        assert ("model.encoder.layers.0.fc1.weight" in changed) is not freeze_encoder


def test_gradients_are_clipped(make_learner, make_loader):
    batch = make_loader().reader.load(0)
    learner = make_learner(clip_norm=0.01)
    found = learner.step(batch, 0.0, 1e6)
    gradients = [value.grad for value in learner.model.parameters() if value.grad is not None]
    clipped = torch.stack([gradient.norm() for gradient in gradients]).norm()
    assert found.gradient_norm > 0.1
    assert float(clipped) == pytest.approx(0.01, rel=1e-3)


def test_dropout_of_the_config_is_a_function_of_the_step(
    make_learner, make_loader, tiny_whisper, tmp_path
):
    folder = shutil.copytree(tiny_whisper(), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text()) | {"dropout": 0.2}
    (folder / "config.json").write_text(json.dumps(config))
    batch = make_loader().reader.load(0)

    def loss(seed=0, model=folder):
        return make_learner(model, seed=seed).step(batch, 1e-3, 1e6).loss

    torch.manual_seed(1)
    one = loss()
    torch.manual_seed(2)
    assert one == loss()
    assert one != loss(seed=1)
    assert one != loss(model=None)


def test_transformers_masks_are_off_and_ours_are_on(make_learner, make_loader):
    batch = make_loader().reader.load(0)
    assert make_learner().model.config.apply_spec_augment is False
    off = {"time_masks": 0, "frequency_masks": 0}
    unmasked = make_learner(spec_augment=off).step(batch, 1e-3, 1e6).loss
    assert unmasked == make_learner(spec_augment=off, seed=5).step(batch, 1e-3, 1e6).loss
    assert unmasked != make_learner().step(batch, 1e-3, 1e6).loss


def test_bfloat16_learns_with_float32_weights(make_learner, make_loader):
    learner = make_learner(precision="bfloat16")
    first, *_, last = steps(learner, make_loader(), 8)
    assert last.loss < first.loss
    assert {value.dtype for value in learner.model.parameters()} == {torch.float32}


def test_english_models_learn_without_language_and_task(make_learner, tiny_whisper):
    whisper = load(str(tiny_whisper("english")))
    labeller = Labeller(whisper.tokenizer, whisper.vocabulary, "en")
    label = labeller.label([Utterance("Hello there.", 0.0, 2.0)])
    planned = PlannedBatch(0, 0, "dynamic", 200, 2.0, (PlannedSample((0,), (0.0,)),))
    sample = HeardSample(np.zeros(32_000, np.float32), label, 0, [(0, 200)])
    batch = StepBatch(planned, [sample], label.learned)
    assert np.isfinite(make_learner(tiny_whisper("english")).step(batch, 1e-3, 1e6).loss)


def test_equal_rows_learn_as_one_and_as_they_would_alone(make_learner, make_loader):
    loader = make_loader()
    used = torch.zeros(51_865, dtype=torch.bool)
    for step in range(loader.reader.plan.batches_per_epoch):
        for sample in loader.reader.load(step).samples:
            used[sample.label.ids] = True

    def learner_with_equal_rows(shared):
        learner = make_learner()
        table = learner.model.proj_out.weight
        with torch.no_grad():
            table[5000:50_000] = table[5000]
        found = find_equal_rows(table, used)
        assert found is not None
        again = make_learner(equal_rows=found if shared else None)
        again.model.load_state_dict(learner.model.state_dict())
        return again, found

    (one, found), (other, _) = learner_with_equal_rows(True), learner_with_equal_rows(False)
    assert not used[found.group].any()
    assert len(found.kept) + len(found.group) == 51_865 + 1
    mine, theirs = steps(one, loader, 6), steps(other, loader, 6)
    for shared, alone in zip(mine, theirs, strict=True):
        assert shared.loss == pytest.approx(alone.loss, rel=1e-4)
        assert shared.gradient_norm == pytest.approx(alone.gradient_norm, rel=1e-3)
    table = one.model.proj_out.weight
    assert bool((table[found.group] == table[found.group[0]]).all())
    assert largest_difference(weights(one), weights(other)) < 1e-3  # of steps of 1e-3


def test_rows_that_differ_are_left_alone(make_learner):
    used = torch.zeros(51_865, dtype=torch.bool)
    assert find_equal_rows(make_learner().model.proj_out.weight, used) is None
    assert find_equal_rows(torch.zeros(100, 4), torch.ones(100, dtype=torch.bool)) is None


def test_float16_scales_its_losses_skips_overflows_and_goes_on(tiny_whisper, make_loader):
    """What a T4 does, on the CPU."""
    loader = make_loader(batch_s=2.0)
    precision = Precision(torch.float16, scaled=True, reason="")

    def learner():
        return Learner(
            load(str(tiny_whisper())), TrainConfig(), device=torch.device("cpu"),
            precision=precision, checkpointing=False,
        )  # fmt: skip

    learning = learner()
    first, *_, last = steps(learning, loader, 4)
    assert last.loss < first.loss
    assert not last.skipped
    assert {value.dtype for value in learning.model.parameters()} == {torch.float32}
    state = learning.scaler_state()
    assert state["scale"] == 2.0**16

    overflowing = learner()
    overflowing.load_scaler_state(json.loads(json.dumps(state | {"scale": 2.0**60})))
    before = weights(overflowing)
    found = overflowing.step(loader.reader.load(0), 1e-3, 1e6)
    assert found.skipped
    assert largest_difference(before, weights(overflowing)) == 0
    assert overflowing.scaler_state()["scale"] == 2.0**59
