"""How steady pools are, what a move would save, and what happened to an instance (dashboard-api 2.6)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine

from agents.models import Agent, Command
from instances.models import InstanceAlias, SpotPriceHistory, UsageInterval
from tests.factories import (
    AgentFactory,
    InstanceFactory,
    InterruptionEpisodeFactory,
    OnDemandPriceFactory,
    PoolFactory,
    SwitchFactory,
    SystemEventFactory,
    UsageIntervalFactory,
)

pytestmark = pytest.mark.django_db
NOON = datetime(2025, 1, 5, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
POOL_A, POOL_B = "t3.medium.us-east-1a", "t3.medium.us-east-1b"


@pytest.fixture(autouse=True)
def noon():
    with time_machine.travel(NOON, tick=False):
        yield


@pytest.fixture
def agent(tenant):
    return AgentFactory(client=tenant, instance_id="i-0new")


@pytest.fixture
def primary(agent):
    return agent.instances.get()


def pool(az, price, **fields):
    return PoolFactory(az=f"us-east-1{az}", price=price and Decimal(price), **fields)


def before(pool, *changes):
    """`changes` = (hours ago, price)."""
    for hours, price in changes:
        SpotPriceHistory.objects.create(pool=pool, at=NOON - hours * HOUR, price=price)


class TestVolatility:
    def get(self, api, instance_id="i-0new"):
        response = api.get(f"/api/client/instances/{instance_id}/pool-volatility")
        assert response.status_code == 200, response.content
        return response.json()

    def test_of_the_own_pool_and_the_cheapest_others(self, agent, tenant_api):
        OnDemandPriceFactory()
        pool("a", "0.0132", changed_at=NOON - 24 * HOUR)
        pool("b", "0.0128", changed_at=NOON - 24 * HOUR)
        steady = {
            "volatility_score": 0.0,
            "volatility_category": "very_low",
            "interruption_rate_24h": None,
            "price_stability_7d": "very_stable",
        }
        assert self.get(tenant_api) == {
            "current_pool": {"pool_id": POOL_A, "current_price": 0.0132} | steady,
            "alternative_pools": [
                {"pool_id": POOL_B, "current_price": 0.0128, "recommendation": "best"} | steady,
            ],
        }

    @pytest.mark.parametrize(
        ("other", "score", "category", "stability"),
        [
            ("0.0101", 0.00005, "very_low", "very_stable"),
            ("0.0108", 0.0004, "very_low", "stable"),
            ("0.0120", 0.001, "low", "moderate"),
            ("0.0140", 0.002, "medium", "volatile"),
            ("0.0200", 0.005, "high", "volatile"),
        ],
    )
    def test_is_the_deviation_over_time(self, agent, tenant_api, other, score, category, stability):
        """Half a day at one price and half a day at the other: the deviation is half the difference."""
        before(pool("a", other, changed_at=NOON - 12 * HOUR), (24, "0.0100"))
        found = self.get(tenant_api)["current_pool"]
        assert (found["volatility_score"], found["volatility_category"]) == (score, category)
        assert found["price_stability_7d"] == stability

    def test_without_prices_is_unknown(self, agent, tenant_api):
        assert self.get(tenant_api) == {
            "current_pool": {
                "pool_id": POOL_A,
                "current_price": None,
                "volatility_score": None,
                "volatility_category": "unknown",
                "interruption_rate_24h": None,
                "price_stability_7d": "unknown",
            },
            "alternative_pools": [],
        }

    def test_an_on_demand_instance_has_no_pool_and_may_have_a_best_one(self, tenant, tenant_api):
        AgentFactory(client=tenant, instance_id="i-0od", current_mode="ondemand")
        OnDemandPriceFactory(price=Decimal("0.0416"))
        pool("a", "0.0132")
        pool("b", "0.0128")
        found = self.get(tenant_api, "i-0od")
        assert found["current_pool"] is None
        assert [(p["pool_id"], p["recommendation"]) for p in found["alternative_pools"]] == [
            (POOL_B, "best"),
            (POOL_A, None),
        ]

    def test_nothing_is_best_that_costs_as_much(self, agent, tenant_api):
        pool("a", "0.0128")
        pool("b", "0.0128")
        assert self.get(tenant_api)["alternative_pools"][0]["recommendation"] is None

    def test_nothing_is_best_while_the_price_paid_is_unknown(self, agent, tenant_api):
        pool("b", "0.0128")
        assert self.get(tenant_api)["alternative_pools"][0]["recommendation"] is None

    def test_shows_five_others_without_a_price_last(self, agent, tenant_api):
        for az, price in zip("bcdefg", ("0.05", "0.01", None, "0.03", "0.02", "0.04"), strict=True):
            pool(az, price)
        shown = [p["current_price"] for p in self.get(tenant_api)["alternative_pools"]]
        assert shown == [0.01, 0.02, 0.03, 0.04, 0.05]

    def test_the_rate_is_interruptions_per_instance_day(self, agent, primary, tenant_api):
        pool("a", "0.0132")
        UsageIntervalFactory(instance=primary, started_at=NOON - 12 * HOUR)
        other = InstanceFactory(agent__last_heartbeat_at=NOON)  # of another tenant: pools are the market's
        UsageIntervalFactory(instance=other, started_at=NOON - 3 * DAY, ended_at=NOON - 12 * HOUR)
        ended = UsageIntervalFactory(instance=InstanceFactory(), started_at=NOON - 3 * DAY, ended_at=NOON - 2 * DAY)
        assert UsageInterval.objects.get(pk=ended.pk)  # too long ago to count
        for at, more in ((NOON - HOUR, {}), (NOON - 25 * HOUR, {}), (NOON - 2 * HOUR, {"is_drill": True})):
            InterruptionEpisodeFactory(instance_id=f"i-{at:%H}", pool_id=POOL_A, detected_at=at, **more)
        InterruptionEpisodeFactory(pool_id=POOL_A, kind="rebalance-recommendation")
        assert self.get(tenant_api)["current_pool"]["interruption_rate_24h"] == 1.0  # one in 12 h + 12 h

    def test_a_silent_instance_ran_until_its_timeout(self, agent, primary, tenant_api, settings):
        settings.AGENT_HEARTBEAT_TIMEOUT = 3600
        pool("a", "0.0132")
        Agent.objects.update(last_heartbeat_at=NOON - 19 * HOUR)
        UsageIntervalFactory(instance=primary, started_at=NOON - 2 * DAY)
        InterruptionEpisodeFactory(agent=agent, pool_id=POOL_A, detected_at=NOON - 19 * HOUR)
        assert self.get(tenant_api)["current_pool"]["interruption_rate_24h"] == 4.0  # one in 6 h

    def test_a_pool_that_interrupts_nobody_has_rate_zero(self, agent, primary, tenant_api):
        UsageIntervalFactory(instance=primary)
        assert self.get(tenant_api)["current_pool"]["interruption_rate_24h"] == 0

    @pytest.mark.parametrize("rows", [1, 30])
    def test_costs_the_same_however_much_there_is(self, agent, tenant_api, django_assert_num_queries, rows):
        for number in range(rows):
            UsageIntervalFactory(instance=InstanceFactory(agent=agent, status="zombie"))
            before(pool(f"{number:02}", "0.0132"), (5, "0.0100"))
        with django_assert_num_queries(7):
            self.get(tenant_api)


class TestSimulation:
    def post(self, api, body, instance_id="i-0new"):
        return api.post(f"/api/client/instances/{instance_id}/simulate-switch", body)

    def simulate(self, api, body, instance_id="i-0new"):
        response = self.post(api, body, instance_id)
        assert response.status_code == 200, response.content
        return response.json()["simulation"]

    def test_compares_with_the_price_paid(self, agent, tenant_api):
        pool("a", "0.0132")
        pool("b", "0.0128")
        assert self.simulate(tenant_api, {"target_pool": POOL_B}) == {
            "current_price": 0.0132,
            "target_price": 0.0128,
            "hourly_savings": 0.0004,
            "daily_savings": 0.0096,
            "monthly_savings": 0.29,
            "estimated_downtime_seconds": None,
            "confidence": None,
            "volatility_risk": "low",
            "interruption_probability_24h": None,
            "recommendation": "recommended",
            "target_mode": "spot",
            "target_pool_id": POOL_B,
        }

    def test_an_on_demand_instance_pays_the_on_demand_price(self, tenant, tenant_api):
        AgentFactory(client=tenant, instance_id="i-0od", current_mode="ondemand")
        OnDemandPriceFactory(price=Decimal("0.0416"))
        pool("a", "0.0132")
        found = self.simulate(tenant_api, {"pool_id": POOL_A}, "i-0od")
        assert (found["current_price"], found["hourly_savings"]) == (0.0416, 0.0284)
        assert found["recommendation"] == "strongly_recommended"

    @pytest.mark.parametrize("body", [{"target_type": "ondemand"}, {"target": "on-demand"}])
    def test_a_move_to_on_demand_costs_more(self, agent, tenant_api, body):
        OnDemandPriceFactory(price=Decimal("0.0416"))
        pool("a", "0.0132")
        found = self.simulate(tenant_api, body)
        assert (found["hourly_savings"], found["recommendation"]) == (-0.0284, "not_recommended")
        assert (found["target_mode"], found["target_pool_id"], found["volatility_risk"]) == ("ondemand", None, "low")

    @pytest.mark.parametrize(
        ("price", "word"),
        [
            ("0.0111", "strongly_recommended"),
            ("0.0112", "recommended"),
            ("0.0132", "neutral"),
            ("0.0133", "not_recommended"),
        ],
    )
    def test_recommends_by_the_hour(self, agent, tenant_api, price, word):
        pool("a", "0.0132")
        pool("b", price)
        assert self.simulate(tenant_api, {"target_pool": POOL_B})["recommendation"] == word

    def test_without_the_price_paid_there_are_no_savings(self, agent, tenant_api):
        pool("b", "0.0128")
        found = self.simulate(tenant_api, {"target_pool": POOL_B})
        assert (found["target_price"], found["current_price"]) == (0.0128, None)
        assert [found[k] for k in ("hourly_savings", "daily_savings", "monthly_savings", "recommendation")] == [
            None
        ] * 4

    @pytest.mark.parametrize("fields", [{"price": None}, {"price": "0.01", "last_confirmed_at": NOON - 25 * HOUR}])
    def test_an_unknown_target_price_is_refused(self, agent, tenant_api, fields):
        pool("b", **fields)
        response = self.post(tenant_api, {"target_pool": POOL_B})
        assert (response.status_code, response.json()["code"]) == (422, "PRICE_UNKNOWN")

    def test_a_made_up_on_demand_price_is_unknown(self, agent, tenant_api):
        OnDemandPriceFactory(is_estimate=True)
        assert self.post(tenant_api, {"target_type": "ondemand"}).status_code == 422

    def test_an_unknown_pool_is_not_found(self, agent, tenant_api):
        response = self.post(tenant_api, {"target_pool": "t3.medium.nowhere"})
        assert (response.status_code, response.json()["code"]) == (404, "POOL_NOT_FOUND")

    @pytest.mark.parametrize(
        ("body", "field"),
        [({}, "target_pool"), ({"target_type": "spot"}, "target_pool"), ({"target_type": "moon"}, "target_type")],
    )
    def test_says_what_is_missing(self, agent, tenant_api, body, field):
        response = self.post(tenant_api, body)
        assert response.status_code == 400
        assert list(response.json()["details"]) == [field]

    def test_downtime_is_the_mean_of_what_the_tenant_measured(self, agent, tenant_api):
        pool("a", "0.0132")
        for seconds in (10, 15, None):
            SwitchFactory(agent=agent, downtime_seconds=seconds)
        SwitchFactory(agent=agent, downtime_seconds=900, success=False)
        SwitchFactory(downtime_seconds=900)
        assert self.simulate(tenant_api, {"target_pool": POOL_A})["estimated_downtime_seconds"] == 12

    @pytest.mark.parametrize(
        ("other", "risk"), [("0.0100", "low"), ("0.0120", "low"), ("0.0140", "medium"), ("0.0200", "high")]
    )
    def test_risk_is_the_targets(self, agent, tenant_api, other, risk):
        before(pool("b", other, changed_at=NOON - 12 * HOUR), (24, "0.0100"))
        assert self.simulate(tenant_api, {"target_pool": POOL_B})["volatility_risk"] == risk

    def test_orders_nothing(self, agent, tenant_api):
        pool("b", "0.0128")
        self.simulate(tenant_api, {"target_pool": POOL_B})
        assert not Command.objects.exists()

    def test_of_another_tenants_instance_does_not_exist(self, tenant_api):
        foreign = AgentFactory()
        assert self.post(tenant_api, {"target_pool": POOL_A}, foreign.instance_id).status_code == 404

    @pytest.mark.parametrize("rows", [1, 30])
    def test_costs_the_same_however_much_there_is(self, agent, tenant_api, django_assert_num_queries, rows):
        for number in range(rows):
            SwitchFactory(agent=agent, downtime_seconds=3)
            before(pool(f"{number:02}", "0.0132"), (5, "0.0100"))
        with django_assert_num_queries(7):
            self.simulate(tenant_api, {"target_pool": "t3.medium.us-east-100"})


class TestLogs:
    def get(self, api, instance_id="i-0new", **query):
        response = api.get(f"/api/client/instances/{instance_id}/logs", query)
        assert response.status_code == 200, response.content
        return response.json()

    def event(self, agent, minutes, **fields):
        at = NOON - timedelta(minutes=minutes)
        return SystemEventFactory(
            client=agent.client, created_at=at, **{"instance_id": "i-0new", "event_type": f"before_{minutes}"} | fields
        )

    def test_are_events_and_moves_newest_first(self, agent, tenant_api):
        self.event(agent, 30, severity="critical", message="It rains", metadata={"why": "clouds"})
        SwitchFactory(
            agent=agent,
            old_instance_id="i-0old",
            old_pool_id="",
            initiated_at=NOON - HOUR,
            downtime_seconds=7,
            savings_impact=Decimal("0.0284"),
        )
        self.event(agent, 90)
        moved = {
            "timestamp": "2025-01-05T11:00:00Z",
            "message": "Move from i-0old (ondemand) to i-0new (t3.medium.us-east-1a)",
            "severity": "info",
            "metadata": {
                "from_pool": None,
                "to_pool": POOL_A,
                "trigger": "manual",
                "downtime_seconds": 7,
                "savings_impact": 0.0284,
            },
        }
        rows = self.get(tenant_api)
        assert [row["event_type"] for row in rows] == ["before_30", "switch_target", "before_90"]
        assert rows[0] == {
            "timestamp": "2025-01-05T11:30:00Z",
            "event_type": "before_30",
            "message": "It rains",
            "severity": "error",
            "metadata": {"why": "clouds"},
        }
        assert rows[1] == moved | {"event_type": "switch_target"}
        InstanceFactory(agent=agent, instance_id="i-0old", status="zombie")
        assert self.get(tenant_api, "i-0old") == [moved | {"event_type": "switch_initiated"}]

    def test_a_failed_move_is_an_error(self, agent, tenant_api):
        SwitchFactory(agent=agent, success=False, savings_impact=None)
        (row,) = self.get(tenant_api)
        assert (row["severity"], row["message"].endswith("failed")) == ("error", True)
        assert row["metadata"]["savings_impact"] is None

    def test_include_what_happened_under_the_temporary_id(self, agent, primary, tenant_api):
        InstanceAlias.objects.create(client=agent.client, alias="i-pending-00000001", instance=primary)
        self.event(agent, 5)
        self.event(agent, 9, instance_id="i-pending-00000001")
        rows = self.get(tenant_api, "i-pending-00000001")
        assert [row["event_type"] for row in rows] == ["before_5", "before_9"]

    def test_leave_out_what_another_tenant_knows_under_the_same_id(self, agent, tenant_api):
        SystemEventFactory(instance_id="i-0new")
        SwitchFactory(new_instance_id="i-0new")
        assert self.get(tenant_api) == []

    @pytest.mark.parametrize(("limit", "rows"), [("1", 1), ("2", 2), ("0", 1), ("x", 3), ("99999", 3)])
    def test_are_limited(self, agent, tenant_api, limit, rows):
        self.event(agent, 1)
        SwitchFactory(agent=agent, initiated_at=NOON - HOUR)
        self.event(agent, 90)
        assert len(self.get(tenant_api, limit=limit)) == rows

    @pytest.mark.parametrize("rows", [1, 30])
    def test_cost_the_same_however_many(self, agent, tenant_api, django_assert_num_queries, rows):
        for minutes in range(rows):
            self.event(agent, minutes)
            SwitchFactory(agent=agent)
        with django_assert_num_queries(6):  # token, instance, aliases, events, moves away, moves here
            assert len(self.get(tenant_api)) == 2 * rows

    def test_of_an_instance_without_an_agent(self, tenant, tenant_api):
        InstanceFactory(agent=None, client=tenant, instance_id="i-0x", status="zombie")
        assert self.get(tenant_api, "i-0x") == []
