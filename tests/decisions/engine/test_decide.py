"""What the rule does, and that it says so."""

import json
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisions.engine import (
    Action,
    Evidence,
    History,
    Limits,
    PriceStep,
    State,
    Tuning,
    Verdict,
    decide,
)
from tests.decisions.engine.situations import FALLBACK, HOUR, NOW, in_pool, pool, random_situation, situation


def verdicts(decision):
    return {one.pool_id: one.verdict for one in decision.assessments}


@settings(max_examples=300, deadline=None)
@given(st.integers(min_value=0))
def test_the_same_situation_gives_the_same_decision(seed):
    assert decide(random_situation(seed)) == decide(random_situation(seed))


@settings(max_examples=200, deadline=None)
@given(st.integers(min_value=0), st.randoms())
def test_the_order_of_the_candidates_does_not_matter(seed, dice):
    one = random_situation(seed)
    shuffled = list(one.candidates)
    dice.shuffle(shuffled)
    other = type(one)(**{name: getattr(one, name) for name in one.__slots__} | {"candidates": tuple(shuffled)})
    assert (decide(one).action, decide(one).target_pool_id) == (decide(other).action, decide(other).target_pool_id)


@settings(max_examples=500, deadline=None)
@given(st.integers(min_value=0))
def test_every_candidate_is_told_of_with_a_reason_and_at_most_one_is_chosen(seed):
    given_ = random_situation(seed)
    decision = decide(given_)
    told = [one.pool_id for one in decision.assessments]
    assert {one.pool_id for one in given_.candidates} | {None} <= set(told)
    assert len(told) == len(set(told))
    assert all(one.reason for one in decision.assessments)
    assert decision.reason
    chosen = [one.pool_id for one in decision.assessments if one.verdict is Verdict.CHOSEN]
    assert chosen == ([] if decision.action is Action.STAY else [decision.target_pool_id])
    assert sum(one.verdict is Verdict.CURRENT for one in decision.assessments) == 1


@settings(max_examples=200, deadline=None)
@given(st.integers(min_value=0))
def test_the_state_survives_being_stored(seed):
    state = decide(random_situation(seed)).state
    assert State.from_json(json.loads(json.dumps(state.as_json()))) == state


def test_on_demand_is_left_for_the_cheapest_pool():
    decision = decide(situation(pool("a", 0.4), pool("b", 0.3)))
    assert (decision.action, decision.target_pool_id) == (Action.SWITCH_SPOT, "b")
    assert verdicts(decision) == {None: Verdict.CURRENT, "b": Verdict.CHOSEN, "a": Verdict.OUTRANKED}


def test_a_rare_loss_is_worth_a_slightly_higher_price():
    decision = decide(situation(pool("a", 0.301, bucket=0), pool("b", 0.3, bucket=4)), Tuning(risk_value=100))
    assert decision.target_pool_id == "a"


def test_a_small_difference_is_waited_for_until_it_has_added_up():
    apart = situation(pool("a", 0.32), pool("b", 0.30), placement=in_pool("a"))
    first = decide(apart)
    assert (first.action, verdicts(first)["b"]) == (Action.STAY, Verdict.NOT_WORTH_A_MOVE)
    waited = decide(situation(*apart.candidates, placement=in_pool("a"), state=State(NOW - HOUR, {"b": 0.31})))
    assert waited.action is Action.SWITCH_SPOT
    assert waited.state.regret == {}


def test_regret_follows_the_prices_there_were_and_fades_when_they_turn():
    state = State(NOW - HOUR, {"b": 0.05, "c": 0.01})
    steps = (PriceStep(NOW - 2 * HOUR, 0.2), PriceStep(NOW - HOUR / 2, 0.3))
    b = type(pool())(**{name: getattr(pool("b"), name) for name in pool().__slots__} | {"prices": steps})
    regret = decide(situation(pool("a", 0.3), b, pool("c", 0.5), placement=in_pool("a"), state=state)).state.regret
    assert regret == {"b": pytest.approx(0.05 + 0.5 * 0.1)}


def test_a_lost_state_starts_again_at_the_last_switch():
    placement = in_pool("a", hours=0.5)
    regret = decide(situation(pool("a", 0.32), pool("b", 0.30), placement=placement)).state.regret
    assert regret == {"b": pytest.approx(0.5 * 0.02)}


def test_a_clock_that_was_set_back_loses_no_regret():
    state = State(NOW + HOUR, {"b": 0.05})
    decision = decide(situation(pool("a", 0.32), pool("b", 0.30), placement=in_pool("a"), state=state))
    assert decision.state == State(NOW, {"b": 0.05})


def test_the_last_moves_of_the_week_are_the_dearest():
    a_move = {}
    for used in (0, 9):
        history = History(planned=(NOW - 50 * HOUR,) * used)
        decision = decide(situation(pool("a", 0.32), pool("b", 0.30), placement=in_pool("a"), history=history))
        a_move[used] = next(one.move_price_usd for one in decision.assessments if one.pool_id == "b")
    assert a_move[9] == pytest.approx(10 * a_move[0])


def test_a_pool_dearer_than_on_demand_is_left_for_it():
    decision = decide(situation(pool("a", 3.0), placement=in_pool("a")))
    assert decision.action is Action.SWITCH_ONDEMAND
    assert decision.target_pool_id is None


@pytest.mark.parametrize(
    ("candidate", "verdict"),
    [
        (pool("b", 0.2, age=timedelta(minutes=31)), Verdict.STALE_PRICE),
        (type(pool())(pool_id="b", region="r", prices=(), confirmed_at=NOW), Verdict.UNKNOWN_PRICE),
        (pool("b", 0.0), Verdict.UNKNOWN_PRICE),
        (pool("b", float("nan")), Verdict.UNKNOWN_PRICE),
        (pool("b", 0.2, is_offered=False), Verdict.NOT_OFFERED),
        (pool("b", 0.9), Verdict.SAVES_TOO_LITTLE),
        (pool("b", 1.0), Verdict.ABOVE_ONDEMAND),
    ],
)
def test_what_is_never_moved_to_and_why(candidate, verdict):
    decision = decide(situation(candidate))
    assert (decision.action, verdicts(decision)["b"]) == (Action.STAY, verdict)


def test_with_nothing_to_go_to_the_workload_stays():
    decision = decide(situation())
    assert decision.action is Action.STAY
    assert decision.reason == "Stay in on-demand: no place is better by enough to pay for a move."


@pytest.mark.parametrize(
    "here", [pool("a", 0.9, age=timedelta(hours=1)), type(pool())("a", "r", (), NOW)], ids=["stale", "unknown"]
)
def test_nothing_is_compared_with_a_price_that_is_not_known(here):
    decision = decide(situation(here, pool("b", 0.2), placement=in_pool("a")))
    assert (decision.action, verdicts(decision)["b"]) == (Action.STAY, Verdict.NO_BASIS)
    assert "not known well enough" in decision.reason


def test_without_an_on_demand_price_the_workload_stays():
    decision = decide(situation(pool("a", 0.9), pool("b", 0.2), placement=in_pool("a"), ondemand_price=None))
    assert (decision.action, verdicts(decision)["b"]) == (Action.STAY, Verdict.NO_BASIS)


def test_a_pool_that_is_likely_lost_before_the_move_pays_is_too_risky():
    likely = pool("b", 0.2)
    doomed = Evidence(interruption_probability_24h=0.99)
    b = type(likely)(**{name: getattr(likely, name) for name in likely.__slots__} | {"evidence": doomed})
    decision = decide(situation(b, limits=Limits(risk_threshold=0.05)), Tuning(risk_value=1))
    assert verdicts(decision)["b"] is Verdict.TOO_RISKY
    assert decide(situation(b, limits=Limits(risk_threshold=0.5)), Tuning(risk_value=1)).action is Action.SWITCH_SPOT


def test_the_return_to_spot_waits_for_no_regret():
    decision = decide(situation(pool("b", 0.6), placement=FALLBACK))
    assert decision.action is Action.SWITCH_SPOT
    assert decision.reason.startswith("Return from on-demand to b: ")


def test_nothing_published_is_shown_as_not_known():
    unrated = decide(situation(pool("b", 0.2, bucket=None)))
    assert unrated.target.interruption_probability_24h is None
    assert unrated.target.hazard_per_hour == pytest.approx(1 / 24)
