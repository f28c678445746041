"""GET /api/admin/instances (dashboard-api 2.2)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine

from instances.views import market
from spotopt.common import clock
from tests.factories import AgentFactory, ClientFactory, InstanceFactory, OnDemandPriceFactory, PoolFactory

pytestmark = pytest.mark.django_db
PATH = "/api/admin/instances"


@pytest.fixture(autouse=True)
def noon():
    with time_machine.travel(datetime(2025, 1, 5, 12, tzinfo=UTC), tick=False):
        yield


@pytest.fixture
def agent():
    return AgentFactory(client=ClientFactory(name="Acme_50%"), instance_id="i-0web", logical_agent_id="web")


def listed(api, **query):
    response = api.get(PATH, query)
    assert response.status_code == 200, response.content
    return response.json()


def test_a_spot_instance_pays_the_price_of_its_pool(agent, admin_api):
    OnDemandPriceFactory(price=Decimal("0.0416"))
    PoolFactory(price=Decimal("0.0132"))
    assert listed(admin_api) == {
        "instances": [
            {
                "id": "i-0web",
                "instanceId": "i-0web",
                "clientId": agent.client.public_id,
                "clientName": "Acme_50%",
                "instanceType": "t3.medium",
                "region": "us-east-1",
                "az": "us-east-1a",
                "currentMode": "spot",
                "currentPoolId": "t3.medium.us-east-1a",
                "spotPrice": 0.0132,
                "ondemandPrice": 0.0416,
                "onDemandPrice": 0.0416,
                "currentPrice": 0.0132,
                "marketSpotPrice": 0.0132,
                "instanceStatus": "running_primary",
                "isPrimary": True,
                "isActive": True,
                "agentId": agent.public_id,
                "logicalAgentId": "web",
                "agentStatus": "online",
                "installedAt": "2025-01-05T12:00:00Z",
                "createdAt": "2025-01-05T12:00:00Z",
            }
        ],
        "total": 1,
        "totalIsExact": True,
        "filters": {"status": None, "mode": None, "region": None, "client_id": None, "search": None},
    }


def test_an_on_demand_instance_pays_the_on_demand_price(admin_api):
    AgentFactory(current_mode="ondemand")
    OnDemandPriceFactory(price=Decimal("0.0416"))
    PoolFactory(price=Decimal("0.0132"))
    (row,) = listed(admin_api)["instances"]
    assert (row["spotPrice"], row["ondemandPrice"], row["currentMode"]) == (0.0416, 0.0416, "ondemand")
    assert (row["ondemandPrice"] - row["spotPrice"]) / row["ondemandPrice"] == 0  # "0.0 %" (6.2 item 8)


def test_an_unknown_price_is_null(agent, admin_api):
    (row,) = listed(admin_api)["instances"]
    assert (row["spotPrice"], row["ondemandPrice"], row["marketSpotPrice"]) == (None, None, None)


def test_an_on_demand_price_that_agents_made_up_is_unknown(admin_api):
    AgentFactory(current_mode="ondemand")
    OnDemandPriceFactory(price=Decimal("0.1"), is_estimate=True)
    (row,) = listed(admin_api)["instances"]
    assert (row["spotPrice"], row["ondemandPrice"]) == (None, None)


def test_an_instance_without_an_agent_is_listed(admin_api):
    InstanceFactory(agent=None, status="zombie")
    (row,) = listed(admin_api)["instances"]
    assert (row["agentId"], row["logicalAgentId"], row["agentStatus"]) == (None, None, None)


def test_an_empty_fleet_is_an_empty_list(admin_api):
    body = listed(admin_api)
    assert (body["instances"], body["total"]) == ([], 0)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["i-0new", "i-0web", "i-0gone"]),
        ({"status": "active"}, ["i-0new", "i-0web"]),
        ({"status": "terminated"}, ["i-0gone"]),
        ({"status": "all", "mode": "all", "region": "all", "client_id": "all"}, ["i-0new", "i-0web", "i-0gone"]),
        ({"status": "nonsense", "mode": "nonsense"}, ["i-0new", "i-0web", "i-0gone"]),
        ({"mode": "on_demand"}, ["i-0new"]),
        ({"region": "eu-west-1"}, ["i-0new"]),
        ({"search": "0NEW"}, ["i-0new"]),
        ({"search": "ACME_5"}, ["i-0web", "i-0gone"]),
        ({"search": "acme%"}, []),  # no wildcards
        ({"search": "i_0"}, []),
        ({"search": "us-east-1a"}, ["i-0web", "i-0gone"]),
        ({"search": "m5.l"}, ["i-0new"]),
        ({"limit": "1"}, ["i-0new"]),
        ({"limit": "1", "offset": "1"}, ["i-0web"]),
        ({"limit": "0"}, ["i-0new"]),
        ({"limit": "many", "offset": "none"}, ["i-0new", "i-0web", "i-0gone"]),
        ({"offset": "7"}, []),
        ({"offset": "99999999999999999999"}, []),
    ],
)
def test_filters_and_pages_newest_first(agent, admin_api, query, found):
    day = timedelta(days=1)
    at = {"created_at": clock.now() + day}
    InstanceFactory(instance_id="i-0new", mode="ondemand", region="eu-west-1", instance_type="m5.large", **at)
    InstanceFactory(agent=agent, instance_id="i-0gone", status="terminated", created_at=clock.now() - day)
    assert [row["id"] for row in listed(admin_api, **query)["instances"]] == found


def test_filters_by_client(agent, admin_api):
    AgentFactory()
    body = listed(admin_api, client_id=agent.client.public_id)
    assert [row["id"] for row in body["instances"]] == ["i-0web"]
    assert body["filters"]["client_id"] == agent.client.public_id
    assert listed(admin_api, client_id="nobody")["instances"] == []


def test_says_what_it_filtered_by(admin_api):
    filters = listed(admin_api, status="ACTIVE", mode="on-demand", region="eu-west-1", search="x")["filters"]
    assert filters == {
        "status": "active",
        "mode": "ondemand",
        "region": "eu-west-1",
        "client_id": None,
        "search": "x",
    }


def test_the_total_counts_what_is_on_no_page(admin_api):
    AgentFactory.create_batch(5)
    body = listed(admin_api, limit=2)
    assert (len(body["instances"]), body["total"], body["totalIsExact"]) == (2, 5, True)
    assert listed(admin_api, limit=2, offset=4)["total"] == 5
    assert listed(admin_api, offset=9)["total"] == 5


def test_counting_stops_somewhere_and_says_so(admin_api, monkeypatch):
    monkeypatch.setattr(market, "MOST_COUNTED", 3)
    AgentFactory.create_batch(5)
    body = listed(admin_api, limit=2)
    assert (body["total"], body["totalIsExact"]) == (3, False)


@pytest.mark.parametrize("agents", [1, 20])
def test_costs_the_same_for_one_row_and_for_many(admin_api, django_assert_num_queries, agents):
    AgentFactory.create_batch(agents)
    with django_assert_num_queries(4):  # the page, its clients, the quotes, the on-demand prices
        assert len(listed(admin_api)["instances"]) == agents


def test_is_for_operators(tenant_api):
    assert tenant_api.get(PATH).status_code == 403
