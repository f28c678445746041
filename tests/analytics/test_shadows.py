"""Both bills for the same hours (docs/engine.md, Modes; the ledger's prices of `world`: 0.0416, 0.0132, 0.0128)."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Agent
from analytics.services.shadows import roll_up
from decisions.models import Shadow, ShadowDay, ShadowStay
from instances.models import SpotPriceHistory
from tests.factories import AgentFactory

ZONE_A, ZONE_B = "t3.medium.us-east-1a", "t3.medium.us-east-1b"


@pytest.fixture
def shadow(world):
    """`shadow(agent, (place, from hour, to hour, overlap seconds), …)`: the last one may go on (None)."""

    def make(agent, *stays):
        for place, start, end, overlap in stays:
            ShadowStay.objects.create(
                agent=agent,
                instance_type="t3.medium",
                region="us-east-1",
                mode="spot" if place else "ondemand",
                pool_id=place,
                started_at=world.at(start),
                ended_at=None if end is None else world.at(end),
                overlap_seconds=overlap,
            )
        first, (place, _, end, _) = stays[0], stays[-1]
        return Shadow.objects.create(
            agent=agent,
            instance_type="t3.medium",
            region="us-east-1",
            mode="spot" if place else "ondemand",
            pool_id=place,
            followed_at=world.at(first[1]),
            started_at=world.at(first[1]),
            computed_until=world.at(first[1]),
            ended_at=None if end is None else world.at(end),
        )

    return make


def bill(world, hours):
    """(hours, priced hours, real, shadow), all days together, after a round at that hour."""
    world.go_to(hours)
    roll_up()
    rows = ShadowDay.objects.values_list("seconds", "priced_seconds", "real_usd", "shadow_usd")
    seconds, priced, real, shadow = (sum(column) for column in zip(*rows, strict=True))
    return float(seconds) / 3600, float(priced) / 3600, float(real), float(shadow)


def test_the_same_hours_are_billed_at_both_places(world, shadow):
    agent = world.instance(mode="ondemand").agent
    shadow(agent, (ZONE_B, 0, None, 0))
    assert bill(world, 2) == pytest.approx((2, 2, 0.0832, 0.0256))


def test_only_time_since_the_shadow_started_counts(world, shadow):
    agent = world.instance(mode="ondemand").agent
    shadow(agent, (ZONE_B, 1, None, 0))
    assert bill(world, 2) == pytest.approx((1, 1, 0.0416, 0.0128))


def test_price_changes_are_followed_on_both_sides(world, shadow):
    agent = world.instance().agent
    shadow(agent, (ZONE_B, 0, None, 0))
    world.spot("b", (1, "0.0200"))
    assert bill(world, 2) == pytest.approx((2, 2, 0.0264, 0.0328))


def test_time_without_either_price_is_left_out_of_both(world, shadow):
    agent = world.instance(mode="ondemand").agent
    shadow(agent, ("t3.medium.us-east-1c", 0, 1, 0), (ZONE_B, 1, None, 0))
    assert bill(world, 3) == pytest.approx((3, 2, 0.0832, 0.0256))


def test_a_shadows_move_bills_the_old_place_a_little_longer(world, shadow):
    agent = world.instance(mode="ondemand").agent
    shadow(agent, ("", 0, 1, 360), (ZONE_B, 1, None, 0))
    assert bill(world, 2) == pytest.approx((2, 2, 0.0832, 0.0416 + 0.0128 + 0.00416))


def test_a_real_move_bills_its_old_instance_as_long_as_it_may_stay(world, shadow):
    """Five minutes, which the agent waits; what is left running for longer is not the move's."""
    before = world.instance(mode="ondemand")
    agent = before.agent
    shadow(agent, (ZONE_B, 0, None, 0))
    world.become(before, "zombie", at=1)
    world.instance(agent=agent, since=1, az="b")
    assert bill(world, 2) == pytest.approx((2, 2, 0.0416 + 0.0128 + 0.0416 / 12, 0.0256))


def test_standbys_are_in_neither_bill(world, shadow):
    agent = world.instance(mode="ondemand").agent
    world.instance("running_replica", az="b", agent=agent)
    shadow(agent, (ZONE_B, 0, None, 0))
    assert bill(world, 2) == pytest.approx((2, 2, 0.0832, 0.0256))


def test_silence_ends_both_as_it_ends_the_ledgers_hours(world, shadow):
    agent = world.instance(mode="ondemand").agent
    shadow(agent, (ZONE_B, 0, None, 0))
    world.go_to(1)
    world.travel.move_to(world.at(3))
    roll_up()
    assert float(ShadowDay.objects.get().seconds) == 3600 + 120


def test_a_shadow_that_ended_is_computed_to_its_end(world, shadow):
    agent = world.instance(mode="ondemand").agent
    shadow(agent, (ZONE_B, 0, 1, 0))
    assert bill(world, 5) == pytest.approx((1, 1, 0.0416, 0.0128))
    world.go_to(24 * 3)
    assert roll_up() == 0


def test_rounds_at_any_time_come_to_the_same(world, shadow):
    agent = world.instance(mode="ondemand").agent
    shadow(agent, ("", 0, 2, 300), (ZONE_B, 2, None, 0))
    for hours in (0.5, 0.5, 3, 11.9, 12.1, 17):
        stepwise = bill(world, hours)
    rows = list(ShadowDay.objects.order_by("day").values_list("day", "seconds", "real_usd", "shadow_usd"))
    ShadowDay.objects.all().delete()
    Shadow.objects.update(computed_until=world.at(0))
    assert bill(world, 17) == stepwise
    assert list(ShadowDay.objects.order_by("day").values_list("day", "seconds", "real_usd", "shadow_usd")) == rows
    assert len(rows) == 2


def test_a_price_that_comes_late_is_taken_over_within_a_day(world, shadow):
    agent = world.instance(mode="ondemand").agent
    shadow(agent, (ZONE_B, 0, None, 0))
    bill(world, 2)
    pool = SpotPriceHistory.objects.filter(pool__pool_id=ZONE_B).latest("at").pool
    SpotPriceHistory.objects.create(pool=pool, at=world.at(1), price="0.0256")
    type(pool).objects.filter(pk=pool.pk).update(price="0.0256", recorded_at=world.at(1), changed_at=world.at(1))
    assert bill(world, 3)[3] == pytest.approx(0.0128 + 2 * 0.0256)


def test_a_deleted_agents_shadow_costs_nothing_any_more(world, shadow):
    agent = world.instance(mode="ondemand").agent
    shadow(agent, (ZONE_B, 0, None, 0))
    Agent.objects.update(status="deleted", deleted_at=world.at(1))
    world.go_to(2)
    assert roll_up() == 1
    world.go_to(30)
    assert roll_up() == 0


def test_the_job_says_what_it_did(world, shadow, capsys):
    shadow(world.instance(mode="ondemand").agent, (ZONE_B, 0, None, 0))
    world.go_to(1)
    call_command("roll_up_shadows")
    assert capsys.readouterr().out == "1 agents\n"


def test_a_round_costs_the_same_for_many(world, shadow):
    def measured(hours):
        world.go_to(hours)
        with CaptureQueriesContext(connection) as queries:
            roll_up()
        return len(queries)

    shadow(world.instance(mode="ondemand").agent, (ZONE_B, 0, None, 0))
    one = measured(1)
    for _ in range(10):
        shadow(world.instance(mode="ondemand").agent, (ZONE_B, 0, None, 0))
    assert measured(2) == one


class TestWhatIsShown:
    def shown(self, api, agent, query=""):
        answer = api.get(f"/api/client/{agent.client.public_id}/shadow-savings{query}")
        assert answer.status_code == 200, answer.content
        return answer.json()

    def test_to_the_client(self, world, shadow, admin_api):
        agent = world.instance(mode="ondemand").agent
        Agent.objects.update(decision_mode="recommend", current_mode="ondemand", current_pool_id="")
        shadow(agent, (ZONE_B, 0, None, 0))
        bill(world, 2)
        bills = {"hours": 2, "priced_hours": 2, "real_usd": 0.0832, "shadow_usd": 0.0256}
        bills |= {"would_have_saved_usd": 0.0576}
        assert self.shown(admin_api, agent) == bills | {
            "client_id": agent.client.public_id,
            "days": 30,
            "from_day": "2025-12-07",
            "agents": [
                bills
                | {
                    "agent_id": agent.public_id,
                    "agent_name": agent.logical_agent_id,
                    "acting_mode": "recommend",
                    "current_mode": "ondemand",
                    "current_pool_id": None,
                    "shadow_mode": "spot",
                    "shadow_pool_id": ZONE_B,
                    "started_at": "2026-01-05T12:00:00Z",
                    "ended_at": None,
                }
            ],
        }

    def test_is_null_where_no_price_is_known(self, world, shadow, admin_api):
        agent = world.instance(mode="ondemand").agent
        shadow(agent, ("t3.medium.us-east-1c", 0, None, 0))
        bill(world, 2)
        (row,) = self.shown(admin_api, agent)["agents"]
        assert (row["hours"], row["priced_hours"]) == (2, 0)
        assert (row["real_usd"], row["shadow_usd"], row["would_have_saved_usd"]) == (None, None, None)

    def test_is_of_the_days_asked_for(self, world, shadow, admin_api):
        agent = world.instance(mode="ondemand").agent
        shadow(agent, (ZONE_B, 0, None, 0))
        bill(world, 15)
        assert self.shown(admin_api, agent, "?days=1")["hours"] == 3
        assert self.shown(admin_api, agent, "?days=x")["days"] == 30
        assert self.shown(admin_api, agent, "?days=9999")["days"] == 366

    def test_to_no_stranger(self, tenant_api):
        assert tenant_api.get(f"/api/client/{AgentFactory().client.public_id}/shadow-savings").status_code == 403

    def test_at_the_same_cost_for_any_number(self, world, shadow, tenant_api, tenant, django_assert_num_queries):
        for number in (1, 10):
            for _ in range(number):
                agent = world.instance(mode="ondemand", agent=AgentFactory(client=tenant, primary=False)).agent
                shadow(agent, (ZONE_B, 0, None, 0))
            bill(world, number)
            with django_assert_num_queries(4):
                tenant_api.get(f"/api/client/{tenant.public_id}/shadow-savings")


@pytest.mark.mysql
@pytest.mark.django_db(transaction=True)
def test_rounds_at_once_do_no_harm(world, shadow):
    from threading import Barrier, Thread

    for _ in range(5):
        shadow(world.instance(mode="ondemand").agent, (ZONE_B, 0, None, 0))
    world.go_to(2)
    gate = Barrier(4)

    def work():
        gate.wait()
        roll_up(now=world.at(2) + timedelta(0))
        connection.close()

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ShadowDay.objects.values_list("seconds", flat=True)) == [7200] * 5
