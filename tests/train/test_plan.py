import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modersmal.config import AugmentConfig
from modersmal.train.packing import straddling
from modersmal.train.plan import Clips, Plan, cut, share_out
from modersmal.train.shapes import Shapes

MIXED = {"packed_share": 0.4, "full_share": 0.1, "prompt_share": 0.5, "silence_share": 0.05}


def clips_of(durations_s, *, group_rows=10, **known):
    durations_s = np.asarray(durations_s, np.float32)
    groups = np.append(np.arange(0, len(durations_s), group_rows), len(durations_s))
    return Clips(durations_s, groups, **known)


def plan_of(durations_s, *, seed=0, batch_s=20.0, group_rows=10, augment=None, **shapes):
    clips = durations_s
    if not isinstance(clips, Clips):
        clips = clips_of(durations_s, group_rows=group_rows)
    return Plan(clips, seed, batch_s, Shapes(**shapes), augment or AugmentConfig())


def recordings(lengths, seed=0):
    """Recordings of so many segments each, with pauses of up to 8 s behind them."""
    random = np.random.default_rng(seed)
    speech_s = np.concatenate([random.uniform(0.5, 8, length) for length in lengths])
    pauses_s = random.exponential(1.0, len(speech_s)).clip(0, 8)
    starts_s = np.zeros(len(speech_s))
    continues = np.concatenate([np.arange(length) > 0 for length in lengths])
    spoken = np.stack([starts_s, speech_s], axis=1).astype(np.float32)
    return clips_of(speech_s + pauses_s, speech_s=spoken, continues=continues)


def epoch_of(plan, epoch):
    count = plan.batches_per_epoch
    return [plan.batch(step) for step in range(epoch * count, (epoch + 1) * count)]


def whole_rows(plan, batch):
    """The rows of a batch that do not straddle an edge."""
    return [
        row
        for sample in batch.samples
        for row, off in zip(
            sample.rows,
            straddling(sample.starts_s, plan.ends_s(np.array(sample.rows, int), batch.epoch)),
            strict=True,
        )
        if not off
    ]


def speech(clips, seed=0):
    """Lengths like those of read sentences: mean 4.8 s."""
    return np.random.default_rng(seed).gamma(6, 0.8, clips).clip(0.5, 30)


clip_lengths = st.lists(
    st.one_of(st.just(0.0), st.floats(0.25, 30, width=32)), min_size=1, max_size=120
).filter(any)
shares = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(
    lambda drawn: {"packed_share": drawn[0], "full_share": (1 - drawn[0]) * drawn[1]}
)


@settings(max_examples=150, deadline=None)
@given(clip_lengths, st.floats(1, 200), st.integers(1, 30), st.integers(0, 2**31), shares)
def test_every_epoch_holds_every_clip_once_in_batches_that_are_never_empty(
    durations_s, batch_s, group_rows, seed, shares
):
    plan = plan_of(durations_s, batch_s=batch_s, group_rows=group_rows, seed=seed, **shares)
    for epoch in (0, 1):
        batches = [whole_rows(plan, batch) for batch in epoch_of(plan, epoch)]
        assert all(batches)
        held = sorted(row for batch in batches for row in batch)
        assert held == np.flatnonzero(durations_s).tolist()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=12), st.floats(1, 400),
    st.integers(0, 2**31), shares,
)  # fmt: skip
def test_every_segment_of_recordings_is_learned_once_an_epoch(lengths, batch_s, seed, shares):
    plan = plan_of(recordings(lengths, seed), batch_s=batch_s, seed=seed, **shares)
    for epoch in (0, 1):
        held = sorted(row for batch in epoch_of(plan, epoch) for row in whole_rows(plan, batch))
        assert held == list(range(sum(lengths)))


@settings(max_examples=50, deadline=None)
@given(clip_lengths, st.floats(1, 200), st.integers(0, 50))
def test_a_batch_follows_from_its_step_alone(durations_s, batch_s, step):
    before = plan_of(durations_s, batch_s=batch_s, **MIXED)
    for earlier in range(step):
        before.batch(earlier)
    alone = plan_of(durations_s, batch_s=batch_s, **MIXED)
    assert before.batch(step) == alone.batch(step) == pickle.loads(pickle.dumps(alone)).batch(step)  # noqa: S301


def test_windows_of_recordings_follow_from_their_step_alone():
    """Whoever goes on, in the second epoch too, cuts them where the one before would have."""
    shapes = {"batch_s": 60.0, "packed_share": 1.0, "prompt_share": 0.5, "silence_share": 0.1}
    clips = recordings([40, 1, 25, 60])
    straight = plan_of(clips, **shapes)
    last = 2 * straight.batches_per_epoch
    batches = [straight.batch(step) for step in range(last)]
    assert all(plan_of(clips, **shapes).batch(step) == batches[step] for step in range(last))


def test_seeds_and_epochs_differ():
    plan = plan_of(speech(200), **MIXED)
    rows = [[batch.rows for batch in epoch_of(plan, epoch)] for epoch in (0, 1)]
    assert rows[0] != rows[1]
    assert rows[0] != [batch.rows for batch in epoch_of(plan_of(speech(200), seed=1, **MIXED), 0)]


def test_batches_hold_the_seconds_asked_for_and_clips_of_like_length():
    plan = plan_of(speech(20_000), batch_s=240.0, group_rows=100)
    batches = epoch_of(plan, 0)
    seconds = [batch.audio_s for batch in batches]
    assert np.mean(seconds) == pytest.approx(240, rel=0.01)
    assert max(seconds) < 240 + 40
    assert min(seconds) > 240 - 40
    assert sum(batch.padded_s for batch in batches) < 1.2 * sum(seconds)


@pytest.mark.parametrize("geometry", ["packed", "full"])
def test_steps_of_30_s_hold_the_seconds_asked_for_too(geometry):
    share = {f"{geometry}_share": 1.0}
    seconds = [batch.audio_s for batch in epoch_of(plan_of(speech(5000), batch_s=240, **share), 0)]
    assert np.mean(seconds) == pytest.approx(240, rel=0.02)
    assert max(seconds) < 240 + 60


@pytest.mark.parametrize("batch_s", [8.0, 15.0, 30.0])
def test_steps_of_less_than_a_window_are_windows_all_the_same(batch_s):
    batches = epoch_of(plan_of(speech(2000), batch_s=batch_s, packed_share=1.0), 0)
    samples = sum(len(batch.samples) for batch in batches)
    assert samples < 1.3 * len(batches)
    assert np.mean([len(batch.rows) for batch in batches]) > 0.9 * batch_s / 4.8


def test_reading_stays_local_and_groups_are_permuted():
    """A stretch touches few row groups, and not the same ones in every epoch."""
    plan = plan_of(speech(50_000), batch_s=240.0, group_rows=100, **MIXED)
    groups = [
        {row // 100 for step in range(epoch, epoch + 60) for row in plan.batch(step).rows}
        for epoch in (0, plan.batches_per_epoch)
    ]
    assert all(len(touched) < 60 for touched in groups)
    assert groups[0] != groups[1]


@given(st.floats(0.01, 30), st.floats(0.1, 30), st.floats(0.05, 30))
def test_a_context_holds_its_longest_clip(longest_s, floor_s, step_s):
    shapes = Shapes(floor_s=floor_s, step_s=step_s)
    frames = shapes.frames("dynamic", longest_s)
    assert frames % 2 == 0
    assert frames <= 3000
    assert frames >= min(3000, longest_s * 100 - 0.1)
    assert frames >= min(3000, floor_s * 100 - 0.1)
    assert frames <= max(longest_s, floor_s) * 100 + step_s * 100 + 2
    assert shapes.frames("full", longest_s) == shapes.frames("packed", longest_s) == 3000


def test_contexts_repeat():
    plan = plan_of(speech(20_000), batch_s=60.0, step_s=1.0)
    assert len({batch.frames for batch in epoch_of(plan, 0)}) < 18


@given(st.integers(0, 2**31), shares, st.integers(0, 10**6))
def test_any_stretch_of_steps_keeps_the_shares(seed, shares, first):
    shapes = Shapes(**shares)
    kinds = [shapes.geometry(seed, step) for step in range(first, first + 200)]
    assert kinds.count("packed") == pytest.approx(200 * shapes.packed_share, abs=4)
    assert kinds.count("full") == pytest.approx(200 * shapes.full_share, abs=4)


def test_geometries_look_as_they_are_called():
    plan = plan_of(speech(4000), batch_s=120.0, packed_share=0.4, full_share=0.2)
    seen = {}
    for batch in epoch_of(plan, 0):
        seen.setdefault(batch.geometry, []).append(batch)
    assert set(seen) == {"dynamic", "packed", "full"}
    alone = [sample for kind in ("dynamic", "full") for b in seen[kind] for sample in b.samples]
    assert {len(sample.rows) for sample in alone} == {1}
    assert {sample.starts_s for sample in alone} == {(0.0,)}
    assert np.mean([len(s.rows) for b in seen["packed"] for s in b.samples]) > 4
    padding = {
        kind: 1 - sum(b.audio_s for b in batches) / sum(b.padded_s for b in batches)
        for kind, batches in seen.items()
    }
    assert padding["dynamic"] < 0.2
    assert padding["packed"] < 0.3  # pauses among it
    assert padding["full"] > 0.7


def test_timestamps_prompts_and_silence_come_in_their_shares():
    plan = plan_of(
        speech(8000), batch_s=120.0, packed_share=0.5, timestamp_share=0.3, prompt_share=0.4,
        silence_share=0.1,
    )  # fmt: skip
    samples = {"dynamic": [], "packed": []}
    for batch in epoch_of(plan, 0):
        samples[batch.geometry] += batch.samples
    silent = {kind: [s for s in some if not s.rows] for kind, some in samples.items()}
    for kind, some in samples.items():
        assert len(silent[kind]) / (len(some) - len(silent[kind])) == pytest.approx(0.1, abs=0.02)
    timed = np.mean([sample.timestamps for sample in samples["dynamic"]])
    assert timed == pytest.approx(0.3, abs=0.03)
    assert all(sample.timestamps for sample in samples["packed"])
    prompted = [bool(sample.previous) for sample in samples["packed"] if sample.rows]
    assert np.mean(prompted) == pytest.approx(0.4, abs=0.05)
    assert not any(sample.previous for sample in samples["dynamic"])


def test_windows_of_one_speaker():
    clips = clips_of(
        speech(600), group_rows=100, speakers=np.random.default_rng(0).integers(0, 12, 600)
    )
    plan = plan_of(clips, batch_s=300.0, packed_share=1.0, same_speaker=True)
    windows = [sample.rows for batch in epoch_of(plan, 0) for sample in batch.samples]
    assert np.mean(list(map(len, windows))) > 2
    assert all(len(set(clips.speakers[list(rows)].tolist())) == 1 for rows in windows)
    mixed = plan_of(clips, batch_s=300.0, packed_share=1.0)
    windows = [sample.rows for batch in epoch_of(mixed, 0) for sample in batch.samples]
    assert any(len(set(clips.speakers[list(rows)].tolist())) > 1 for rows in windows)


def test_windows_of_a_recording_are_as_it_was_and_know_what_was_said_before():
    clips = recordings([60, 60, 60])
    plan = plan_of(clips, batch_s=120.0, packed_share=1.0, prompt_share=1.0)
    starts_s = np.cumsum(clips.durations_s) - clips.durations_s
    several = 0
    for batch in epoch_of(plan, 0):
        for sample in batch.samples:
            rows = list(sample.rows)
            if len(rows) > 1 and clips.continues[rows[1]] and rows[1] == rows[0] + 1:
                several += 1
                assert rows == list(range(rows[0], rows[0] + len(rows)))
                offsets = starts_s[rows] - starts_s[rows[0]]
                assert np.allclose(sample.starts_s, offsets, atol=1e-2)
            if clips.continues[rows[0]]:
                assert sample.previous[-1] == rows[0] - 1
    assert several > 20


def test_speed_changes_what_a_clip_takes():
    augment = AugmentConfig(speed_share=1.0, speed_factors=[0.5])
    plan = plan_of([4.0] * 200, augment=augment, batch_s=40.0)
    assert {batch.frames for batch in epoch_of(plan, 0)} == {800}


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


@given(
    st.lists(st.tuples(st.floats(0.01, 100), st.integers(1, 50)), min_size=1, max_size=40).flatmap(
        lambda some: st.tuples(st.just(some), st.integers(len(some), sum(most for _, most in some)))
    )
)
def test_whole_numbers_are_shared_out(drawn):
    some, total = drawn
    weights, most = (np.array(column) for column in zip(*some, strict=True))
    shares = share_out(total, weights, most)
    assert shares.sum() == total
    assert (shares >= 1).all()
    assert (shares <= most).all()
