"""What an instance could run on and for how much, and the pools of all (dashboard-api 2.2, 2.6)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine

from spotopt.common import clock
from tests.factories import AgentFactory, InstanceFactory, OnDemandPriceFactory, PoolFactory

pytestmark = pytest.mark.django_db
TYPE, HOUR = "t3.medium", timedelta(hours=1)
UNKNOWN = {"mode": "unknown", "instance_type": "", "region": "", "az": "", "pool_id": ""}
READS = ["pricing", "available-options", "price-history", "pool-volatility", "logs", "metrics"]


@pytest.fixture(autouse=True)
def noon():
    with time_machine.travel(datetime(2025, 1, 5, 12, tzinfo=UTC), tick=False):
        yield


@pytest.fixture
def agent(tenant):
    return AgentFactory(client=tenant, instance_id="i-0new")


@pytest.fixture
def market():
    """The prices of dashboard-api 6.1."""
    OnDemandPriceFactory(price=Decimal("0.0416"))
    PoolFactory(az="us-east-1a", price=Decimal("0.0132"))
    PoolFactory(az="us-east-1b", price=Decimal("0.0128"))


def get(api, what, instance_id="i-0new", **query):
    response = api.get(f"/api/client/instances/{instance_id}/{what}", query)
    assert response.status_code == 200, response.content
    return response.json()


class TestPricing:
    def test_is_cheapest_first(self, agent, market, tenant_api):
        seen = "2025-01-05T12:00:00Z"
        assert get(tenant_api, "pricing") == {
            "currentMode": "spot",
            "currentPool": {"id": "t3.medium.us-east-1a", "name": "t3.medium (us-east-1a)", "az": "us-east-1a"},
            "onDemand": {"name": "On-Demand", "price": 0.0416, "known": True},
            "pools": [
                {
                    "id": "t3.medium.us-east-1b",
                    "name": "t3.medium (us-east-1b)",
                    "az": "us-east-1b",
                    "price": 0.0128,
                    "savings": 69.23,
                    "capturedAt": seen,
                    "stale": False,
                },
                {
                    "id": "t3.medium.us-east-1a",
                    "name": "t3.medium (us-east-1a)",
                    "az": "us-east-1a",
                    "price": 0.0132,
                    "savings": 68.27,
                    "capturedAt": seen,
                    "stale": False,
                },
            ],
            "unpricedPools": [],
        }

    def test_has_numbers_while_nothing_is_known(self, agent, tenant_api):
        pricing = get(tenant_api, "pricing")
        assert pricing["onDemand"] == {"name": "On-Demand", "price": 0, "known": False}
        assert pricing["pools"] == []
        assert [pool["id"] for pool in pricing["unpricedPools"]] == ["t3.medium.us-east-1a"]
        assert pricing["currentPool"]["name"] == "t3.medium (us-east-1a)"

    def test_savings_are_zero_while_the_on_demand_price_is_unknown(self, agent, tenant_api):
        PoolFactory(ondemand=None)
        assert [pool["savings"] for pool in get(tenant_api, "pricing")["pools"]] == [0]

    def test_a_figure_that_agents_made_up_is_no_on_demand_price(self, agent, tenant_api):
        OnDemandPriceFactory(price=Decimal("0.1"), is_estimate=True)
        assert get(tenant_api, "pricing")["onDemand"] == {"name": "On-Demand", "price": 0, "known": False}

    @pytest.mark.parametrize(
        ("age", "priced", "stale"), [(HOUR, True, False), (1.1 * HOUR, True, True), (24.1 * HOUR, False, None)]
    )
    def test_a_quote_grows_stale_after_an_hour_and_unknown_after_a_day(self, agent, tenant_api, age, priced, stale):
        PoolFactory(last_confirmed_at=clock.now() - age)
        pricing = get(tenant_api, "pricing")
        assert [pool["stale"] for pool in pricing["pools"]] == ([stale] if priced else [])
        assert len(pricing["unpricedPools"]) == (not priced)

    def test_shows_inactive_pools_only_where_it_runs_in_one(self, agent, market, tenant_api):
        PoolFactory(az="us-east-1c", is_active=False)
        assert len(get(tenant_api, "pricing")["pools"]) == 2
        agent.instances.update(az="us-east-1c", pool_id="t3.medium.us-east-1c")
        assert {pool["az"] for pool in get(tenant_api, "pricing")["pools"]} == {
            "us-east-1a",
            "us-east-1b",
            "us-east-1c",
        }

    def test_other_types_and_regions_are_no_choice(self, agent, market, tenant_api):
        PoolFactory(instance_type="t3.large")
        PoolFactory(region="eu-west-1")
        assert len(get(tenant_api, "pricing")["pools"]) == 2

    def test_of_an_on_demand_instance_has_no_current_pool(self, tenant, market, tenant_api):
        AgentFactory(client=tenant, instance_id="i-0od", current_mode="ondemand")
        pricing = get(tenant_api, "pricing", "i-0od")
        assert (pricing["currentMode"], pricing["currentPool"]) == ("ondemand", None)
        assert len(pricing["pools"]) == 2

    def test_answers_for_a_terminated_instance(self, agent, market, tenant_api):
        InstanceFactory(agent=agent, instance_id="i-0old", status="terminated", terminated_at=clock.now())
        assert len(get(tenant_api, "pricing", "i-0old")["pools"]) == 2

    def test_answers_for_an_instance_of_which_nothing_is_known(self, tenant, market, tenant_api):
        InstanceFactory(
            agent=None,
            client=tenant,
            instance_id="i-0x",
            mode="unknown",
            instance_type="",
            region="",
            az="",
            pool_id="",
        )
        pricing = get(tenant_api, "pricing", "i-0x")
        assert (pricing["currentMode"], pricing["pools"], pricing["onDemand"]["known"]) == ("unknown", [], False)

    def test_takes_an_unknown_region_from_the_agent(self, agent, market, tenant_api):
        agent.instances.update(region="")
        assert get(tenant_api, "pricing")["onDemand"]["price"] == 0.0416

    @pytest.mark.parametrize("pools", [1, 30])
    def test_costs_the_same_however_many_pools(self, agent, tenant_api, django_assert_num_queries, pools):
        for number in range(pools):
            PoolFactory(az=f"us-east-1{number:02}")
        with django_assert_num_queries(4):  # token, instance, on-demand, pools
            get(tenant_api, "pricing")


class TestAvailableOptions:
    def test_are_cheapest_first_and_unpriced_last(self, agent, market, tenant_api):
        PoolFactory(az="us-east-1c", price=None)
        PoolFactory(instance_type="t3.large")
        PoolFactory(instance_type="t3a.large")
        PoolFactory(instance_type="t3.xlarge", is_active=False)
        PoolFactory(instance_type="t3.nano", region="eu-west-1")
        pools = [
            {"id": "t3.medium.us-east-1b", "az": "us-east-1b", "instanceType": TYPE, "price": 0.0128},
            {"id": "t3.medium.us-east-1a", "az": "us-east-1a", "instanceType": TYPE, "price": 0.0132},
            {"id": "t3.medium.us-east-1c", "az": "us-east-1c", "instanceType": TYPE, "price": None},
        ]
        types = ["t3.large", "t3.medium"]
        assert get(tenant_api, "available-options") == {
            "currentType": TYPE,
            "currentRegion": "us-east-1",
            "currentAz": "us-east-1a",
            "currentPool": "t3.medium.us-east-1a",
            "availablePools": pools,
            "pools": pools,
            "availableTypes": types,
            "instanceTypes": types,
        }

    def test_are_empty_where_no_price_was_ever_reported(self, agent, tenant_api):
        options = get(tenant_api, "available-options")
        assert (options["pools"], options["instanceTypes"]) == ([], [])

    @pytest.mark.parametrize("pools", [1, 30])
    def test_cost_the_same_however_many_pools(self, agent, tenant_api, django_assert_num_queries, pools):
        for number in range(pools):
            PoolFactory(az=f"us-east-1{number:02}")
        with django_assert_num_queries(3):
            get(tenant_api, "available-options")


class TestPoolStatistics:
    def test_count_active_pools_and_average_recent_quotes(self, market, admin_api):
        PoolFactory(az="us-east-1c", price=Decimal("0.5"), last_confirmed_at=clock.now() - 25 * HOUR)
        PoolFactory(az="us-east-1d", price=Decimal("0.5"), is_active=False)
        PoolFactory(instance_type="m5.large", region="eu-west-1", price=Decimal("0.01"), ondemand__price=Decimal("0.1"))
        PoolFactory(instance_type="c5.large", region="ap-south-1", price=None, ondemand=None)
        assert admin_api.get("/api/admin/pools/statistics").json() == {
            "total_pools": 6,
            "active_pools": 5,
            "inactive_pools": 1,
            "total": 6,
            "active": 5,
            "regions": [
                {"region": "eu-west-1", "pools": 1, "average_price": 0.01, "cheapest_price": 0.01},
                {"region": "us-east-1", "pools": 3, "average_price": 0.013, "cheapest_price": 0.0128},
                {"region": "ap-south-1", "pools": 1, "average_price": None, "cheapest_price": None},
            ],
            "instance_types": [
                {"instance_type": "m5.large", "pools_available": 1, "avg_spot_price": 0.01, "ondemand_price": 0.1},
                {"instance_type": TYPE, "pools_available": 3, "avg_spot_price": 0.013, "ondemand_price": 0.0416},
                {"instance_type": "c5.large", "pools_available": 1, "avg_spot_price": None, "ondemand_price": None},
            ],
        }

    def test_leave_made_up_on_demand_prices_out(self, admin_api):
        PoolFactory(ondemand__is_estimate=True)
        (row,) = admin_api.get("/api/admin/pools/statistics").json()["instance_types"]
        assert row["ondemand_price"] is None

    def test_of_an_empty_market(self, admin_api):
        body = admin_api.get("/api/admin/pool-statistics").json()
        assert (body["total"], body["regions"], body["instance_types"]) == (0, [], [])

    @pytest.mark.parametrize("pools", [1, 30])
    def test_cost_the_same_however_many_pools(self, admin_api, django_assert_num_queries, pools):
        for number in range(pools):
            PoolFactory(instance_type=f"m{number}.large", region=f"us-east-{number}")
        with django_assert_num_queries(3):
            assert len(admin_api.get("/api/admin/pools/statistics").json()["regions"]) == pools

    def test_are_for_operators(self, tenant_api):
        assert tenant_api.get("/api/admin/pools/statistics").status_code == 403


@pytest.mark.parametrize(
    "what", ["pricing", "available-options", "price-history", "pool-volatility", "logs", "metrics"]
)
def test_another_tenants_instance_does_not_exist(tenant_api, what):
    foreign = AgentFactory()
    response = tenant_api.get(f"/api/client/instances/{foreign.instance_id}/{what}")
    assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")


def test_instances_of_an_unknown_client_are_not_found(admin_api):
    assert admin_api.get("/api/client/nobody/instances").status_code == 404


def test_a_clients_list_knows_no_made_up_on_demand_price(tenant, tenant_api):
    AgentFactory(client=tenant, current_mode="ondemand")
    OnDemandPriceFactory(price=Decimal("0.1"), is_estimate=True)
    (row,) = tenant_api.get(f"/api/client/{tenant.public_id}/instances").json()
    assert (row["spotPrice"], row["onDemandPrice"]) == (None, None)
