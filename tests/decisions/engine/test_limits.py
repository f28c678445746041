"""No configuration makes the engine break a limit of agent-api 1.11."""

from datetime import timedelta

import pytest

from decisions.engine import Action, History, Limit, Limits, LimitViolated, Setbacks, Verdict, decide, overruled
from tests.decisions.engine.situations import FALLBACK, HOUR, NOW, in_pool, pool, random_situation, situation

DAY, WEEK = timedelta(days=1), timedelta(weeks=1)


def within(moves, span):
    return sum(at > NOW - span for at in moves)


def broken_limits(given, decision):
    """The limits in words that a decision to move has broken, looked up independently of the engine."""
    limits, history, since = given.limits, given.history, given.placement.since
    if decision.action is Action.STAY:
        return []
    broken = []
    if given.holds:
        broken.append("held")
    if decision.is_recovery:
        if not given.placement.is_fallback or within(history.recoveries, DAY) >= limits.max_recoveries_per_day:
            broken.append("recoveries")
    else:
        if within(history.planned, DAY) >= limits.max_switches_per_day:
            broken.append("per day")
        if within(history.planned, WEEK) >= limits.max_switches_per_week:
            broken.append("per week")
        if since is not None and NOW - since < limits.min_pool_duration_hours * HOUR:
            broken.append("pool duration")
    if decision.action is Action.SWITCH_SPOT:
        broken += broken_by_target(given, decision)
    return broken


def broken_by_target(given, decision):
    limits = given.limits
    target = next(one for one in given.candidates if one.pool_id == decision.target_pool_id)
    price = [step.price for step in target.prices if step.at <= NOW][-1]
    broken = []
    if not target.is_offered or target.confirmed_at is None:
        broken.append("not offered or never seen")
    elif (NOW - target.confirmed_at).total_seconds() > limits.price_max_age_seconds:
        broken.append("stale")
    if not 0 < price < given.ondemand_price:
        broken.append("no saving")
    if (1 - price / given.ondemand_price) * 100 < limits.min_savings_percent:
        broken.append("min savings")
    if decision.target.payback_risk > limits.risk_threshold:
        broken.append("risk")
    for run in (target.interruptions, target.failures):
        if run.count and NOW - run.last_at < HOUR:
            broken.append("quarantine")
    return broken


def test_no_limit_is_broken_in_10_000_random_situations():
    moves = 0
    for seed in range(10_000):
        given = random_situation(seed)
        decision = decide(given)
        moves += decision.action is not Action.STAY
        assert broken_limits(given, decision) == [], seed
    assert moves > 300  # else it would prove little


@pytest.mark.parametrize(
    ("limits", "history", "reached"),
    [
        (Limits(max_switches_per_day=1), History(planned=(NOW - 5 * HOUR,)), Limit.PER_DAY),
        (Limits(max_switches_per_week=1), History(planned=(NOW - 50 * HOUR,)), Limit.PER_WEEK),
        (Limits(max_switches_per_week=0), History(), Limit.PER_WEEK),
        (Limits(min_pool_duration_hours=48), History(), Limit.POOL_DURATION),
    ],
)
def test_a_used_up_limit_is_named_with_what_would_have_been_done(limits, history, reached):
    given = situation(pool("a", 0.9), pool("b", 0.2), placement=in_pool("a"), limits=limits, history=history)
    decision = decide(given)
    assert (decision.action, decision.preferred, decision.preferred_pool_id) == (
        Action.STAY,
        Action.SWITCH_SPOT,
        "b",
    )
    assert reached in decision.limits.reached


def test_a_limit_says_when_it_ends():
    history = History(planned=(NOW - 20 * HOUR, NOW - 5 * HOUR, NOW - 4 * HOUR))
    decision = decide(situation(pool("b", 0.2), history=history))
    assert decision.limits.resets_at == NOW + 4 * HOUR
    assert "3 of 3 switches a day are used, until 2026-03-04 16:00 UTC" in decision.reason


def test_the_return_from_a_forced_fall_back_counts_against_no_planned_limit():
    history = History(planned=(NOW - HOUR,) * 10)
    decision = decide(situation(pool("b", 0.2), placement=FALLBACK, history=history))
    assert decision.action is Action.SWITCH_SPOT
    assert decision.is_recovery


def test_returns_have_a_budget_of_their_own():
    history = History(recoveries=(NOW - HOUR,) * 12)
    decision = decide(situation(pool("b", 0.2), placement=FALLBACK, history=history))
    assert decision.limits.reached == (Limit.RECOVERIES,)
    assert decision.action is Action.STAY


@pytest.mark.parametrize(("count", "hours"), [(1, 1), (2, 2), (4, 8), (20, 72)])
def test_a_pool_that_keeps_losing_instances_is_left_alone_ever_longer(count, hours):
    run = Setbacks(NOW - 0.1 * HOUR, count)
    decision = decide(situation(pool("b", 0.2, interruptions=run), placement=FALLBACK))
    lost = next(one for one in decision.assessments if one.pool_id == "b")
    assert lost.verdict is Verdict.QUARANTINED
    assert lost.quarantined_until == run.last_at + hours * HOUR


def test_a_hold_of_the_caller_is_the_reason_for_staying():
    decision = decide(situation(pool("b", 0.2), holds=("an interruption episode is open",)))
    assert decision.action is Action.STAY
    assert decision.preferred is Action.SWITCH_SPOT
    assert "an interruption episode is open" in decision.reason


def test_another_engines_choice_breaks_none_either():
    chosen = 0
    for seed in range(3000):
        given = random_situation(seed)
        for action, pool_id in [(Action.SWITCH_ONDEMAND, None), *((Action.SWITCH_SPOT, f"p{n}") for n in range(6))]:
            try:
                decision = overruled(given, decide(given), action=action, target_pool_id=pool_id, reason="so")
            except LimitViolated:
                continue
            chosen += 1
            assert (decision.action, decision.target_pool_id) == (action, pool_id)
            assert broken_limits(given, decision) == [], seed
    assert chosen > 200  # else it would prove little


def test_another_engine_may_be_less_patient_and_may_stay():
    given = situation(pool("a", 0.32), pool("b", 0.30), placement=in_pool("a"))
    assert decide(given).action is Action.STAY
    moved = overruled(given, decide(given), action=Action.SWITCH_SPOT, target_pool_id="b", reason="now")
    assert (moved.target.pool_id, moved.reason, moved.state.regret) == ("b", "now", {})
    worthy = situation(pool("a", 0.6), pool("b", 0.2), placement=in_pool("a"))
    stayed = overruled(worthy, decide(worthy), action=Action.STAY, target_pool_id=None, reason="no")
    assert (stayed.action, stayed.target, stayed.preferred_pool_id) == (Action.STAY, None, None)


@pytest.mark.parametrize("wanted", ["a", "unknown", "", None])
def test_another_engine_may_not_move_to_what_is_no_other_pool(wanted):
    given = situation(pool("a", 0.6), pool("b", 0.2), placement=in_pool("a"))
    with pytest.raises(LimitViolated):
        overruled(given, decide(given), action=Action.SWITCH_SPOT, target_pool_id=wanted, reason="so")
