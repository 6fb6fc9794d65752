import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modersmal.train.plan import ContextRule, Plan, cut


def plan_of(durations_s, *, seed=0, batch_s=20.0, group_rows=10, **rule):
    durations_s = np.asarray(durations_s, np.float32)
    clips = len(durations_s)
    return Plan(
        rows=np.arange(clips) * 2,  # rows need not be dense
        durations_s=durations_s,
        row_groups=np.arange(clips) // group_rows,
        seed=seed,
        batch_s=batch_s,
        context=ContextRule(**rule),
    )


def epoch_rows(plan, epoch):
    count = plan.batches_per_epoch
    return [plan.batch(step).rows.tolist() for step in range(epoch * count, (epoch + 1) * count)]


def speech(clips, seed=0):
    """Lengths like those of read sentences: mean 4.8 s."""
    return np.random.default_rng(seed).gamma(6, 0.8, clips).clip(0.5, 30)


clip_lengths = st.lists(st.floats(0.25, 30, width=32), min_size=1, max_size=120)


@settings(max_examples=100, deadline=None)
@given(clip_lengths, st.floats(1, 200), st.integers(1, 30), st.integers(0, 2**31))
def test_every_epoch_holds_every_clip_once_in_batches_that_are_never_empty(
    durations_s, batch_s, group_rows, seed
):
    plan = plan_of(durations_s, batch_s=batch_s, group_rows=group_rows, seed=seed)
    for epoch in (0, 1):
        batches = epoch_rows(plan, epoch)
        assert all(batches)
        assert sorted(row for batch in batches for row in batch) == plan.rows.tolist()


@settings(max_examples=50, deadline=None)
@given(clip_lengths, st.floats(1, 200), st.integers(0, 50))
def test_a_batch_follows_from_its_step_alone(durations_s, batch_s, step):
    before = plan_of(durations_s, batch_s=batch_s)
    for earlier in range(step):
        before.batch(earlier)
    alone = plan_of(durations_s, batch_s=batch_s).batch(step)
    assert before.batch(step).rows.tolist() == alone.rows.tolist()
    assert before.batch(step).frames == alone.frames


def test_seeds_and_epochs_differ():
    plan = plan_of(speech(200))
    assert epoch_rows(plan, 0) != epoch_rows(plan, 1)
    assert epoch_rows(plan, 0) != epoch_rows(plan_of(speech(200), seed=1), 0)


def test_batches_hold_the_seconds_asked_for_and_clips_of_like_length():
    plan = plan_of(speech(20_000), batch_s=240.0, group_rows=100, full_share=0.0)
    batches = [plan.batch(step) for step in range(plan.batches_per_epoch)]
    lengths = dict(zip(plan.rows.tolist(), plan.durations_s.tolist(), strict=True))
    seconds = [sum(lengths[row] for row in batch.rows) for batch in batches]
    assert np.mean(seconds) == pytest.approx(240, rel=0.01)
    assert max(seconds) < 240 + 30
    assert min(seconds) > 240 - 30
    padded = sum(len(batch.rows) * batch.frames / 100 for batch in batches)
    assert padded < 1.2 * sum(seconds)


def test_reading_stays_local_and_groups_are_permuted():
    """A window touches few row groups, and not the same ones in every epoch."""
    plan = plan_of(speech(50_000), batch_s=240.0, group_rows=100)
    groups = [
        {row // 200 for step in range(epoch, epoch + 64) for row in plan.batch(step).rows}
        for epoch in (0, plan.batches_per_epoch)
    ]
    assert all(len(touched) < 60 for touched in groups)
    assert groups[0] != groups[1]


@given(st.floats(0.01, 30), st.floats(0.1, 30), st.floats(0.05, 30))
def test_a_context_holds_its_longest_clip(longest_s, floor_s, step_s):
    rule = ContextRule(floor_s=floor_s, step_s=step_s)
    frames = rule.frames(longest_s)
    assert frames % 2 == 0
    assert frames <= 3000
    assert frames >= min(3000, longest_s * 100 - 0.1)
    assert frames >= min(3000, floor_s * 100 - 0.1)
    assert frames <= max(longest_s, floor_s) * 100 + step_s * 100 + 2
    assert rule.frames(longest_s, full=True) == 3000
    assert ContextRule(dynamic=False).frames(longest_s) == 3000


def test_a_share_of_the_batches_sees_30_s():
    plan = plan_of(speech(8000), full_share=0.25)
    full = [plan.batch(step).frames == 3000 for step in range(plan.batches_per_epoch)]
    assert np.mean(full) == pytest.approx(0.25, abs=0.05)
    none = plan_of(speech(500), full_share=0.0)
    assert all(none.batch(step).frames < 3000 for step in range(none.batches_per_epoch))


@given(
    st.lists(st.floats(0.01, 100), min_size=1, max_size=60).flatmap(
        lambda weights: st.tuples(st.just(weights), st.integers(1, len(weights)))
    )
)
def test_cutting_leaves_nothing_empty_and_nothing_out(drawn):
    weights, parts = drawn
    runs = cut(np.array(weights), parts)
    assert len(runs) == parts
    assert [index for run in runs for index in range(run.start, run.stop)] == list(
        range(len(weights))
    )
    assert all(run.stop > run.start for run in runs)
