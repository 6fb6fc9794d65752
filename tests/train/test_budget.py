"""Deadlines, limits, and what fits before them; the clock and the slowness are simulated."""

import itertools
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modersmal.config import TrainConfig, load_recipe, parse_recipe
from modersmal.errors import RecipeError, TrainingError
from modersmal.train.budget import (
    Budget,
    Limit,
    now_s,
    parse_budget,
    parse_deadline,
    platform_limit,
    session_age_s,
    session_limit,
)
from modersmal.train.journal import Journal
from modersmal.train.pace import DECAY, Pace
from modersmal.train.schedule import Schedule, Turn

HOUR = 3600.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2h50m", 10200),
        ("90m", 5400),
        ("1h", 3600),
        ("45s", 45),
        ("1.5h", 5400),
        (" 1H30M5s", 5405),
    ],
)
def test_a_budget_is_read_as_people_write_it(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "2 hours", "50m2h", "0m", "-1h", "1h1h"])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(RecipeError, match="is no length of time; write it as in 2h50m"):
        parse_budget(text)


@given(st.integers(0, 99), st.integers(0, 999), st.integers(1, 999))
def test_every_length_of_time_can_be_written(hours, minutes, seconds):
    assert parse_budget(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


def test_a_deadline_has_an_offset_or_is_local():
    expected = datetime(2026, 12, 24, 18, tzinfo=timezone(timedelta(hours=1)))
    assert parse_deadline("2026-12-24T18:00+01:00") == expected
    assert parse_deadline("2026-12-24T17:00Z") == expected
    local = parse_deadline("2026-12-24 18:00")
    assert local.timestamp() == datetime(2026, 12, 24, 18).timestamp()
    assert local.tzinfo is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Christmas", "is no date and time"),
        ("2026-13-01T00:00", "is no date"),
        ("2026-12-24", "no time of day"),
    ],
)
def test_what_is_no_moment_is_refused(text, message):
    with pytest.raises(RecipeError, match=message):
        parse_deadline(text)


@pytest.mark.parametrize(
    ("env", "hours", "reason"),
    [
        ({"COLAB_RELEASE_TAG": "release"}, 12 - 1, "promises no length"),
        ({"KAGGLE_KERNEL_RUN_TYPE": "Batch"}, 12 - 1, "Kaggle ends sessions after 12 h"),
        ({"MODAL_TASK_ID": "ta-1"}, 24, "Modal ends calls after 24 h"),
        ({"SLURM_JOB_END_TIME": str(10_000 + int(3 * HOUR))}, 3, "SLURM_JOB_END_TIME"),
    ],
)
def test_platforms_are_known_by_their_environment(env, hours, reason):
    found = platform_limit(env, age_s=HOUR, clock=lambda: 500.0, wall=lambda: 10_000.0)
    assert found is not None
    assert found.at_s == 500 + hours * HOUR - 120
    assert reason in found.reason


def test_no_limit_where_none_is_known_or_it_is_outlived():
    assert platform_limit({}) is None
    assert platform_limit({"SLURM_JOB_END_TIME": "soon"}) is None
    assert platform_limit({"COLAB_RELEASE_TAG": "x"}, age_s=13 * HOUR) is None


def test_the_earliest_limit_holds():
    at = {"clock": lambda: 0.0, "wall": lambda: datetime(2026, 1, 1, tzinfo=UTC).timestamp()}
    slurm = {"SLURM_JOB_END_TIME": str(int(at["wall"]() + HOUR))}
    assert session_limit(None, None, {}, **at) is None
    assert session_limit("2h", None, {}, **at) == Limit(2 * HOUR, "the budget of 2h")
    both = session_limit("2h", "2026-01-01T01:30+00:00", {}, **at)
    assert both == Limit(1.5 * HOUR, "the deadline 2026-01-01T01:30+00:00")
    found = session_limit("2h", None, slurm, **at)
    assert found is not None
    assert "Slurm" in found.reason
    with pytest.raises(RecipeError, match=r"2025-12-31T23:00\+00:00 has passed"):
        session_limit(None, "2025-12-31T23:00+00:00", {}, **at)


def test_the_age_of_this_session_is_found_or_zero(tmp_path):
    assert 0 <= session_age_s() <= now_s()
    (tmp_path / "stat").write_text("1 (init) S")
    assert session_age_s(tmp_path / "stat") == session_age_s(tmp_path / "none") == 0.0


def test_estimates_are_of_recent_work_and_leave_the_first_step_out():
    budget = Budget(1000, lambda: 0.0, uploads=True)
    budget.assume_checkpoint(10**9)
    assert (budget.usual_s("save"), budget.usual_s("upload")) == (10, 100)
    assert budget.closing_s() == 1.5 * 110 + 13
    for seconds in (60, 1, 2, 3):
        budget.took("step", seconds)
    assert (budget.usual_s("step"), budget.slow_s("step")) == (2, 4.5)
    budget.took("save", 4)
    budget.took("upload", 20)
    assert budget.closing_s() == 1.5 * 24 + 13
    budget.unwritten, budget.unconfirmed = 1, 2
    assert budget.closing_s() == 1.5 * (2 * 4 + 3 * 20) + 13
    for _ in range(200):
        budget.took("step", 1)
    assert budget.slow_s("step") == 1.5


@dataclass
class Session:
    """A training that only spends time. Every piece of work takes `usual` seconds, times noise,
    times a slowness that may change at any step, never beyond what a budget allows for."""

    ends_s: float
    mode: str
    seed: int
    usual: dict = field(default_factory=lambda: {"step": 1.0, "save": 5.0, "upload": 20.0})
    noise: float = 1.4
    config: TrainConfig = field(default_factory=lambda: TrainConfig(max_steps=5000))
    evaluates: bool = True
    changing: float = 0.01  # how often the speed changes
    now: float = 0.0
    overrun: bool = False

    def train(self, journal, first=0, stop_at=None):
        """Returns the step it ended at, and the learning rates of the steps it took."""
        draw = random.Random(self.seed)
        budget = Budget(self.ends_s, lambda: self.now, uploads=True)
        for work, seconds in self.usual.items():
            budget.assume(work, seconds * self.noise)
        pace = Pace(
            Schedule(self.config, 1e-3), journal, budget, self.mode,
            dev_audio_s=60.0 if self.evaluates else 0.0,
        )  # fmt: skip
        slowness = 1.0

        def work(*kinds):
            allowed = {kind: budget.slow_s(kind) for kind in kinds}
            for kind in kinds:
                seconds = self.usual[kind] * slowness * draw.uniform(1.0, self.noise)
                seconds = min(seconds, allowed[kind] or seconds)
                self.now += seconds
                budget.took(kind, seconds)

        step, rates = first, {}
        while step < pace.end(step):
            pace.plan(step)
            if step == pace.end(step) or step == stop_at or pace.must_pause(step):
                break
            if draw.random() < self.changing:
                slowness = draw.uniform(0.3, 3.0)
            rates[step] = pace.rate(step)
            work("step")
            step += 1
            due = step % self.config.evaluate_every == 0 or step == pace.end(step)
            if self.evaluates and due and pace.may_evaluate(step):
                work("evaluation")
        if stop_at is None:
            work(*("save", "upload") * (2 if step == pace.end(step) else 1))
        return step, rates


def decay(journal):
    return [found for found in journal.decisions if found.kind == DECAY]


SESSIONS = st.builds(
    Session,
    ends_s=st.floats(250, 4000),
    mode=st.sampled_from(["pause", "finish"]),
    seed=st.integers(0, 2**32),
    usual=st.fixed_dictionaries(
        {
            "step": st.floats(0.2, 5), "save": st.floats(0.1, 10), "upload": st.floats(0.1, 20),
            "evaluation": st.floats(0.1, 20),
        }
    ),
    noise=st.floats(1, 1.5),
    config=st.builds(
        TrainConfig,
        max_steps=st.integers(50, 20_000),
        warmup_steps=st.integers(0, 500),
        evaluate_every=st.sampled_from([25, 100, 500]),
        schedule=st.sampled_from(["linear", "cosine"]),
    ),
    evaluates=st.booleans(),
)  # fmt: skip


@given(SESSIONS)
@settings(max_examples=120, deadline=None)
def test_no_deadline_is_overrun_and_finish_ends_with_zero(tmp_path_factory, session):
    journal = Journal(tmp_path_factory.mktemp("run") / "journal.jsonl")
    steps, rates = session.train(journal)
    assert session.now <= session.ends_s
    assert steps > 0
    turns = decay(journal)
    if session.mode == "pause":
        assert not turns
    elif turns:
        last = turns[-1].value["last_step"]
        assert steps == last + 1
        assert rates[last] == 0.0
        assert all(rates[step] > 0 for step in range(last))
    else:
        assert steps == session.config.max_steps  # all of it fitted in
    if steps < session.config.max_steps:  # and little time is given away
        closing = sum(session.usual.values()) * session.noise * 1.5 * 3
        slow = session.usual["step"] * session.noise * 3 * 1.5
        assert session.ends_s - session.now <= 13 + 3 * closing + 4 * slow + 0.25 * session.ends_s


@given(SESSIONS, st.floats(0.0, 0.9), st.booleans())
@settings(max_examples=60, deadline=None)
def test_decisions_are_replayed_bit_for_bit_and_what_falls_rises_no_more(
    tmp_path_factory, session, share, restarted
):
    """A killed session whose successor goes back, loses time, and plans anew."""
    path = tmp_path_factory.mktemp("run") / "journal.jsonl"
    session.mode = "finish"
    rates, first = {}, 0
    if restarted:
        stop_at = int(share * 100)
        steps, rates = session.train(Journal(path), stop_at=stop_at)
        first = steps // 2
        session.now += share * 0.3 * session.ends_s  # the machine was gone
        session.seed += 1
    journal = Journal(path)
    if session.ends_s - session.now < 200:
        return
    steps, again = session.train(journal, first)
    rates = {step: rate for step, rate in rates.items() if step < first} | again
    replayed = Pace(Schedule(session.config, 1e-3), Journal(path))
    assert replayed.end(steps) == steps or steps == session.config.max_steps
    assert [replayed.rate(step) for step in range(steps)] == [rates[step] for step in range(steps)]
    in_order = [rates[step] for step in range(steps)]
    top = in_order.index(max(in_order))
    assert all(later <= earlier for earlier, later in itertools.pairwise(in_order[top:]))
    assert all(later >= earlier for earlier, later in itertools.pairwise(in_order[: top + 1]))


def test_steady_work_is_planned_once_and_ends_close_to_the_deadline(tmp_path):
    usual = {"step": 1.0, "save": 5.0, "upload": 20.0, "evaluation": 10.0}
    session = Session(1000.0, "finish", 0, usual, noise=1.0, changing=0.0)
    journal = Journal(tmp_path / "journal.jsonl")
    session.train(journal)
    turns = decay(journal)
    assert len(turns) <= 3
    assert "1 s a step" in turns[0].basis
    assert 1000 - session.now < 60


def test_a_deadline_far_away_changes_nothing(tmp_path):
    usual = {"step": 1.0, "save": 5.0, "upload": 20.0, "evaluation": 10.0}
    config = TrainConfig(max_steps=100)
    journal = Journal(tmp_path / "journal.jsonl")
    _, rates = Session(1000.0, "finish", 0, usual, config=config).train(journal)
    assert not decay(journal)
    assert list(rates.values()) == [Schedule(config, 1e-3).rate(step) for step in range(100)]


def test_a_finished_run_is_not_planned_anew(tmp_path):
    usual = {"step": 1.0, "save": 5.0, "upload": 20.0, "evaluation": 10.0}
    journal = Journal(tmp_path / "journal.jsonl")
    steps, _ = Session(500.0, "finish", 0, usual).train(journal)
    later = Session(9000.0, "finish", 0, usual)
    assert later.train(Journal(tmp_path / "journal.jsonl"), first=steps) == (steps, {})


def test_a_session_too_short_for_anything_is_an_error_and_not_a_pause(tmp_path):
    budget = Budget(10, lambda: 0.0, uploads=True)
    budget.assume_checkpoint(3 * 10**9)
    pace = Pace(Schedule(TrainConfig(), 1e-3), Journal(tmp_path / "journal.jsonl"), budget)
    with pytest.raises(TrainingError, match=r"10 s are too short .* \(about 8 min 28 s\)"):
        pace.must_pause(0)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_turn_goes_on_from_where_it_is_and_ends_at_zero(schedule):
    config = TrainConfig(max_steps=1000, warmup_steps=100, schedule=schedule)
    rates = Schedule(config, 1e-3)
    turn = rates.turn(400, None, 600)
    assert rates.rate(400, turn) == pytest.approx(rates.rate(400), rel=1e-12)
    assert rates.rate(599, turn) > 0
    assert rates.rate(600, turn) == rates.rate(700, turn) == 0.0
    longer = rates.turn(500, turn, 900)
    assert rates.rate(500, longer) == pytest.approx(rates.rate(500, turn), rel=1e-12)
    assert rates.rate(900, longer) == 0.0
    assert Turn(500, **longer.to_json()) == longer


def test_a_warm_up_that_there_is_no_time_for_is_shortened():
    config = TrainConfig(max_steps=2000, warmup_steps=200)
    rates = Schedule(config, 1.0)
    turn = rates.turn(8, None, 100)
    factors = [rates.factor(step, turn) for step in range(8, 101)]
    assert factors[0] == rates.factor(8)
    assert max(factors) == factors[20 - 8] == 1.0
    assert factors[-1] == 0.0


def test_the_recipe_takes_a_moment_as_text_or_as_toml_has_it(tmp_path):
    for written in ('"2026-12-24T18:00:00+01:00"', "2026-12-24T18:00:00+01:00"):
        (tmp_path / "recipe.toml").write_text(f"[train]\ndeadline = {written}\n")
        config = load_recipe(tmp_path / "recipe.toml").train
        assert config.deadline == "2026-12-24T18:00:00+01:00"
    set_ = ['train.budget="90m"', 'train.on_deadline="finish"']
    config = load_recipe(tmp_path / "recipe.toml", set_).train
    assert (config.budget, config.on_deadline) == ("90m", "finish")


def test_what_does_not_decay_cannot_be_finished():
    with pytest.raises(RecipeError, match="'finish' needs a schedule that decays"):
        parse_recipe({"train": {"on_deadline": "finish", "schedule": "constant"}})


def test_durations_of_saves_and_uploads_are_taken_from_what_is_heard(tmp_path):
    clock = [0.0]
    budget = Budget(1000, lambda: clock[0], uploads=True)
    pace = Pace(
        Schedule(TrainConfig(), 1e-3), Journal(tmp_path / "journal.jsonl"), budget,
        clock=lambda: clock[0],
    )  # fmt: skip
    pace.saving(10)
    assert (budget.unwritten, budget.unconfirmed) == (1, 0)
    clock[0] = 4
    pace.heard("saved", 10)
    assert (budget.unwritten, budget.unconfirmed, budget.usual_s("save")) == (0, 1, 4)
    pace.saving(20)
    pace.heard("saved", 20)
    clock[0] = 34
    pace.heard("confirmed", 20)  # the earlier one was dropped from the queue
    assert (budget.unconfirmed, budget.usual_s("upload")) == (0, 30)
    pace.heard("confirmed", 5)  # of an earlier session
    assert pace.left_s == 966
