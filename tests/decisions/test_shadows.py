"""Where a workload would be had every recommendation been followed (docs/engine.md, Modes)."""

from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Agent
from decisions.models import Shadow, ShadowStay
from decisions.services.rounds import run_round
from instances.models import Instance, Pool, SpotPriceHistory
from spotopt.common import clock
from tests.factories import (
    AgentFactory,
    InterruptionEpisodeFactory,
    OnDemandPriceFactory,
    SwitchFactory,
)

pytestmark = pytest.mark.django_db
CHEAP, DEAR = "t3.medium.us-east-1b", "t3.medium.us-east-1a"


@pytest.fixture(autouse=True)
def now():
    with time_machine.travel("2026-01-05T12:00:00Z", tick=False) as travel:
        yield travel


@pytest.fixture
def agent(market, tenant):
    return AgentFactory(client=tenant, current_mode="ondemand", decision_mode="recommend")


def later(now, minutes=5):
    now.shift(timedelta(minutes=minutes))
    Pool.objects.update(last_confirmed_at=clock.now())
    run_round()


def stays():
    """[(place, minutes after noon of its start, of its end, seconds of overlap)]"""
    noon = clock.now().replace(hour=12, minute=0)
    return [
        (
            stay.pool_id or stay.mode,
            round((stay.started_at - noon).total_seconds() / 60),
            stay.ended_at and round((stay.ended_at - noon).total_seconds() / 60),
            stay.overlap_seconds,
        )
        for stay in ShadowStay.objects.order_by("started_at")
    ]


def place_real(agent, pool_id, *, trigger):
    """The workload moves, at this moment."""
    old = Agent.objects.get(pk=agent.pk)
    mode = "spot" if pool_id else "ondemand"
    new_id = f"i-0{trigger}"
    SwitchFactory(
        agent=old,
        trigger=trigger,
        old_mode=old.current_mode,
        old_pool_id=old.current_pool_id,
        new_mode=mode,
        new_pool_id=pool_id,
        new_instance_id=new_id,
    )
    Instance.objects.filter(agent=agent).update(instance_id=new_id, mode=mode, pool_id=pool_id)
    Agent.objects.filter(pk=agent.pk).update(
        instance_id=new_id, current_mode=mode, current_pool_id=pool_id, last_switch_at=clock.now()
    )


def test_an_agent_in_auto_mode_has_none(agent):
    Agent.objects.update(decision_mode="auto")
    run_round()
    assert not Shadow.objects.exists()


def test_it_starts_where_the_workload_is_and_moves_as_the_engine_says(agent, now):
    run_round()
    later(now)
    assert stays() == [("ondemand", 0, 5, 300), (CHEAP, 5, None, 0)]
    shadow = Shadow.objects.get()
    assert (shadow.pool_id, shadow.since, len(shadow.moves["planned"])) == (CHEAP, clock.now(), 1)


def test_auto_switch_off_makes_one_too(agent):
    Agent.objects.update(decision_mode="", auto_switch_enabled=False)
    run_round()
    assert Shadow.objects.exists()


def test_it_keeps_to_the_limits_of_its_own_moves(agent, now):
    Agent.objects.update(max_switches_per_week=1)
    run_round()
    later(now)
    Pool.objects.filter(pool_id=DEAR).update(price=Decimal("0.0010"), changed_at=clock.now(), recorded_at=clock.now())
    SpotPriceHistory.objects.create(
        pool=Pool.objects.get(pool_id=DEAR), at=clock.now() + timedelta(seconds=1), price=Decimal("0.0010")
    )
    for _ in range(60):
        later(now)
    assert Shadow.objects.get().pool_id == CHEAP


def test_it_counts_the_moves_the_workload_made_before(agent, now):
    Agent.objects.update(max_switches_per_week=1)
    SwitchFactory(agent=agent, created_at=clock.now() - timedelta(days=2), trigger="automatic")
    run_round()
    later(now)
    assert stays() == [("ondemand", 0, None, 0)]


def test_it_does_not_follow_what_people_do(agent, now):
    run_round()
    later(now)
    place_real(agent, DEAR, trigger="manual")
    later(now)
    assert Shadow.objects.get().pool_id == CHEAP


def test_a_pool_that_is_lost_under_both_takes_it_along(agent, now):
    run_round()
    later(now)
    place_real(agent, CHEAP, trigger="manual")
    later(now)
    place_real(agent, "", trigger="emergency")
    later(now)
    shadow = Shadow.objects.get()
    assert (shadow.mode, shadow.is_fallback) == ("ondemand", True)
    assert stays()[-2:] == [(CHEAP, 5, 15, 300), ("ondemand", 15, None, 0)]


def test_a_loss_elsewhere_does_not_touch_it(agent, now):
    run_round()
    later(now)
    place_real(agent, DEAR, trigger="manual")
    later(now)
    place_real(agent, "", trigger="emergency")
    later(now)
    assert Shadow.objects.get().pool_id == CHEAP


def test_what_holds_the_workload_holds_it(agent, now):
    InterruptionEpisodeFactory(agent=agent)
    run_round()
    later(now)
    assert stays() == [("ondemand", 0, None, 0)]


def test_another_instance_type_takes_it_along(agent, now):
    run_round()
    later(now)
    OnDemandPriceFactory(instance_type="m5.large", region="us-east-1", price=Decimal("0.096"))
    Agent.objects.update(instance_type="m5.large")
    later(now)
    shadow = Shadow.objects.get()
    assert (shadow.instance_type, shadow.mode) == ("m5.large", "ondemand")


def test_it_ends_with_the_mode_and_starts_anew(agent, now):
    run_round()
    later(now)
    Agent.objects.update(decision_mode="auto", current_mode="spot", current_pool_id=DEAR)
    later(now)
    assert (Shadow.objects.get().ended_at, stays()[-1]) == (clock.now(), (CHEAP, 5, 10, 0))
    Agent.objects.update(decision_mode="approve")
    later(now)
    shadow = Shadow.objects.get()
    assert (shadow.started_at, shadow.ended_at, shadow.pool_id) == (clock.now(), None, DEAR)


def test_a_round_costs_the_same_for_many_and_whatever_their_history(market, now):
    AgentFactory(current_mode="ondemand", decision_mode="recommend")
    run_round()
    with CaptureQueriesContext(connection) as one:
        later(now)
    AgentFactory.create_batch(20, current_mode="ondemand", decision_mode="recommend")
    run_round()
    with CaptureQueriesContext(connection) as many:
        later(now)
    assert ShadowStay.objects.filter(pool_id=CHEAP).count() == 21
    assert len(many) <= len(one)
