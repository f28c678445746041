"""The simulator's arithmetic, its limits, and the optimum that everything is measured against."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisions.backtest.optimum import ONDEMAND, follow, optimal_path
from decisions.backtest.policies import BuiltInPolicy, GreedyPolicy, LowestPricePolicy, OnDemandPolicy
from decisions.backtest.simulator import replay
from decisions.engine import Limits, Tuning
from tests.decisions.backtest.markets import market, random_market, series


class Script:
    """Does what it is told, slot by slot, and stays at the end."""

    name = "script"

    def __init__(self, *places):
        self.places = places

    def start(self, market, limits):
        pass

    def choose(self, view):
        return self.places[view.slot] if view.slot < len(self.places) else view.place


def run(one, *places, limits=Limits(min_pool_duration_hours=0), risk_value=1.0):  # noqa: B008
    return replay(one, Script(*places), limits=limits, risk_value=risk_value)


def test_on_demand_costs_what_the_baseline_costs():
    outcome = replay(market(series("a", [0.2] * 5)), OnDemandPolicy(), limits=Limits(), risk_value=1)
    assert (outcome.bill, outcome.saved, outcome.score) == (5, 0, 0)


def test_a_planned_move_bills_ten_minutes_of_both_and_is_charged_a_tenth_of_an_hour():
    outcome = run(market(series("a", [0.4] * 3)), ONDEMAND, 0)
    assert outcome.bill == pytest.approx(1 + 0.4 + 0.4 + 1 / 6)
    assert outcome.cost == pytest.approx(outcome.bill + 0.1)
    assert outcome.downtime_seconds == 30


def test_a_reclaim_falls_back_to_on_demand_and_is_charged_what_it_is_worth():
    outcome = run(market(series("a", [0.4] * 3, is_open=[True, False, True])), 0, ONDEMAND, 0, risk_value=2)
    assert (outcome.moves, outcome.recoveries, outcome.reclaims_seen) == (1, 1, 1)
    assert outcome.bill == pytest.approx(0.4 + 1 / 6 + 1 + 1 / 6 + 0.4)
    assert outcome.cost == pytest.approx(outcome.bill + 2 + 0.2)
    assert outcome.downtime_seconds == 150 + 60


def test_expected_reclaims_count_where_none_can_be_seen():
    assert run(market(series("a", [0.4] * 4, reclaims=0.25)), ONDEMAND, 0).reclaims == pytest.approx(0.75)


def test_a_launch_without_capacity_moves_nothing():
    outcome = run(market(series("a", [0.4] * 2, is_open=[False, False])), 0, 0)
    assert (outcome.failed_launches, outcome.moves, outcome.bill) == (2, 0, 2)


@pytest.mark.parametrize(
    ("limits", "moves"),
    [
        (Limits(min_pool_duration_hours=0, max_switches_per_day=99, max_switches_per_week=99), 12),
        (Limits(min_pool_duration_hours=0, max_switches_per_day=3, max_switches_per_week=99), 3),
        (Limits(min_pool_duration_hours=0, max_switches_per_day=99, max_switches_per_week=5), 5),
        (Limits(min_pool_duration_hours=3, max_switches_per_day=99, max_switches_per_week=99), 4),
        (Limits(min_savings_percent=80), 0),
    ],
)
def test_the_simulator_holds_every_policy_to_the_limits(limits, moves):
    two = market(series("a", [0.4] * 12), series("b", [0.4] * 12))
    outcome = run(two, *[slot % 2 for slot in range(12)], limits=limits)
    assert outcome.moves == moves
    assert outcome.refused > 0 or moves == 12


def test_returns_are_not_planned_moves():
    limits = Limits(min_pool_duration_hours=0, max_switches_per_week=1)
    flaky = market(series("a", [0.4] * 6, is_open=[True, False] * 3))
    assert run(flaky, *[0] * 6, limits=limits).recoveries == 2
    assert run(flaky, *[0] * 6, limits=replace(limits, max_recoveries_per_day=1)).recoveries == 1


@settings(max_examples=150, deadline=None)
@given(st.integers(min_value=0), st.sampled_from([0.0, 0.3, 1.0, 10.0]))
def test_the_optimum_is_what_trying_everything_finds(seed, risk_value):
    one = random_market(seed)
    paths = product(range(ONDEMAND, len(one.pools)), repeat=one.slots)
    possible = (
        path for path in paths if all(at == ONDEMAND or one.pools[at].is_open[slot] for slot, at in enumerate(path))
    )
    best = min(follow(one, list(path), risk_value=risk_value).cost for path in possible)
    found = follow(one, optimal_path(one, risk_value=risk_value), risk_value=risk_value)
    assert found.cost == pytest.approx(best)


@settings(max_examples=50, deadline=None)
@given(st.integers(min_value=0))
def test_no_policy_beats_the_optimum_and_no_engine_decision_is_refused(seed):
    dice = Random(seed)
    slots = 200
    pools = [
        series(f"p{number}", [dice.choice([0.2, 0.3, 0.5, 0.8, 1.5]) for _ in range(slots)]) for number in range(3)
    ]
    one = market(*pools, prices_show_losses=True, slot=timedelta(minutes=10))
    best = follow(one, optimal_path(one, risk_value=1), risk_value=1).cost
    for policy in (BuiltInPolicy(Tuning()), GreedyPolicy(), LowestPricePolicy()):
        outcome = replay(one, policy, limits=Limits(), risk_value=1)
        assert outcome.cost >= best - 1e-9
        if policy.name == "built-in":
            assert outcome.refused == 0


def test_the_engine_moves_less_than_greed_on_a_nervous_market_and_pays_less():
    dice = Random(5)
    pools = [series(f"p{number}", [0.30 + 0.02 * dice.random() for _ in range(500)], bucket=0) for number in range(4)]
    built_in, greedy = (
        replay(market(*pools), policy, limits=Limits(), risk_value=1)
        for policy in (BuiltInPolicy(Tuning()), GreedyPolicy())
    )
    assert built_in.moves < greedy.moves / 3
    assert built_in.cost < greedy.cost
