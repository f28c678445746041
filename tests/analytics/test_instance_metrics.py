"""GET /api/client/instances/{id}/metrics (dashboard-api 2.6): the numbers that an open row shows."""

from datetime import timedelta
from decimal import Decimal

import pytest

from analytics.services.ledger import roll_up
from instances.models import Instance
from tests.factories import AgentFactory, InstanceFactory, OnDemandPriceFactory, PoolFactory, SwitchFactory

pytestmark = pytest.mark.django_db
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def metrics(api, instance_id):
    response = api.get(f"/api/client/instances/{instance_id}/metrics")
    assert response.status_code == 200, response.content
    return response.json()


class TestOfAnInstanceOfWhichLittleIsKnown:
    def test_numbers_are_zero_and_say_that_they_are_unknown(self, noon, tenant, tenant_api):
        AgentFactory(client=tenant, instance_id="i-0new")
        assert metrics(tenant_api, "i-0new") == {
            "id": "i-0new",
            "instanceType": "t3.medium",
            "currentMode": "spot",
            "currentPoolId": "t3.medium.us-east-1a",
            "uptimeHours": 0,
            "spotPrice": 0,
            "spotPriceKnown": False,
            "onDemandPrice": 0,
            "onDemandPriceKnown": False,
            "baselineOnDemandPrice": None,
            "totalSavings": 0,
            "savingsLast30Days": 0,
            "priceCoverage": None,
            "totalSwitches": 0,
            "switchesLast7Days": 0,
            "switchesLast30Days": 0,
            "hoursSinceLastSwitch": None,
        }

    def test_without_an_agent(self, noon, tenant, tenant_api):
        InstanceFactory(
            agent=None, client=tenant, instance_id="i-0x", status="zombie", mode="unknown", instance_type="", pool_id=""
        )
        found = metrics(tenant_api, "i-0x")
        assert (found["totalSwitches"], found["spotPriceKnown"], found["instanceType"]) == (0, False, None)

    def test_a_made_up_on_demand_price_is_unknown(self, noon, tenant, tenant_api):
        agent = AgentFactory(client=tenant)
        OnDemandPriceFactory(price=Decimal("0.1"), is_estimate=True)
        found = metrics(tenant_api, agent.instance_id)
        assert (found["onDemandPrice"], found["onDemandPriceKnown"]) == (0, False)


class TestPrices:
    def test_are_the_quote_of_its_pool_and_the_list_price(self, noon, tenant, tenant_api):
        agent = AgentFactory(client=tenant)
        PoolFactory(az="us-east-1a", price=Decimal("0.0132"), ondemand__price=Decimal("0.0416"))
        PoolFactory(az="us-east-1b", price=Decimal("0.0128"))
        found = metrics(tenant_api, agent.instance_id)
        assert (found["spotPrice"], found["spotPriceKnown"]) == (0.0132, True)
        assert (found["onDemandPrice"], found["baselineOnDemandPrice"]) == (0.0416, 0.0416)

    def test_of_an_on_demand_instance_the_quote_is_the_cheapest(self, noon, tenant, tenant_api):
        agent = AgentFactory(client=tenant, current_mode="ondemand")
        PoolFactory(az="us-east-1a", price=Decimal("0.0132"))
        PoolFactory(az="us-east-1b", price=Decimal("0.0128"))
        found = metrics(tenant_api, agent.instance_id)
        assert (found["spotPrice"], found["currentPoolId"]) == (0.0128, None)


class TestUptime:
    @pytest.mark.parametrize(
        ("fields", "hours"),
        [
            ({"launch_confirmed_at": -49.5}, 49),
            ({"launch_confirmed_at": None, "created_at": -3}, 3),
            ({"launch_confirmed_at": -49, "terminated_at": -9, "status": "terminated"}, 40),
            ({"launch_requested_at": -2, "launch_confirmed_at": None, "status": "launching"}, 0),
            ({"launch_confirmed_at": 1}, 0),  # clocks differ
        ],
    )
    def test_ends_when_the_instance_does(self, world, tenant, tenant_api, fields, hours):
        agent = AgentFactory(client=tenant)
        times = {name: world.at(value) for name, value in fields.items() if name.endswith("_at") and value is not None}
        Instance.objects.update(**fields | times)
        assert metrics(tenant_api, agent.instance_id)["uptimeHours"] == hours


class TestSwitches:
    def test_are_the_workloads(self, world, tenant, tenant_api):
        """Whichever instances it moved between; also those of agents that were merged into this one."""
        agent = AgentFactory(client=tenant)
        merged = AgentFactory(client=tenant, status="deleted", merged_into=agent)
        for owner, days in ((agent, 1), (agent, 8), (merged, 29), (agent, 31)):
            SwitchFactory(agent=owner, new_instance_id=f"i-{days}", created_at=world.at(-24 * days))
        SwitchFactory(agent=agent, success=False)
        SwitchFactory(agent=agent, is_anomalous=True)
        SwitchFactory()
        found = metrics(tenant_api, agent.instance_id)
        assert (found["totalSwitches"], found["switchesLast30Days"], found["switchesLast7Days"]) == (4, 3, 1)
        assert found["hoursSinceLastSwitch"] == 24


class TestSavings:
    def test_are_the_ledgers(self, world, admin_api):
        """Check value of dashboard-api 5.3: two hours on spot at 0.0132."""
        instance = world.instance()
        world.go_to(2)
        roll_up()
        found = metrics(admin_api, instance.instance_id)
        assert (found["totalSavings"], found["savingsLast30Days"]) == (0.0568, 0.0568)
        assert (found["priceCoverage"], found["uptimeHours"]) == (1, 2)

    def test_of_a_standby_are_negative(self, world, admin_api):
        standby = world.instance("running_replica", az="b")
        world.go_to(1)
        roll_up()
        assert metrics(admin_api, standby.instance_id)["totalSavings"] == -0.0128

    def test_of_others_are_not_its_own(self, world, admin_api):
        world.instance()
        other = world.instance("running_replica", az="b", since=1)
        world.go_to(1)
        roll_up()
        assert metrics(admin_api, other.instance_id)["totalSavings"] == 0

    def test_older_than_thirty_days_count_in_the_total_alone(self, world, admin_api):
        instance = world.instance()
        world.go_to(2)
        world.become(instance, "terminated", at=2)
        roll_up()
        world.travel.move_to(world.at(31 * 24))
        found = metrics(admin_api, instance.instance_id)
        assert (found["totalSavings"], found["savingsLast30Days"]) == (0.0568, 0)


@pytest.mark.parametrize("rows", [1, 30])
def test_costs_the_same_however_much_there_is(noon, tenant, tenant_api, django_assert_num_queries, rows):
    agent = AgentFactory(client=tenant)
    for number in range(rows):
        PoolFactory(az=f"us-east-1{number:02}")
        SwitchFactory(agent=agent)
    with django_assert_num_queries(7):  # token, instance, pools, list price, ledger, lineage, moves
        metrics(tenant_api, agent.instance_id)
