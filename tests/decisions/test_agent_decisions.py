"""GET /api/client/{id}/agents/decisions (dashboard-api 2.5): the crash-prone one."""

from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine

from agents.models import PricingReport
from decisions.models import DecisionRecord
from spotopt.common import clock
from tests.contract.shapes import Null, Number, OneOf, Time, assert_shape, assert_times_are_utc, strict
from tests.dialects import V4
from tests.factories import AgentFactory, ClientFactory, SystemEventFactory

pytestmark = pytest.mark.django_db

REPORT = {"time": Time, "onDemandPrice": Number, "spotPrice": Number}
ELAPSED = {"value": Number, "unit": OneOf("min", "h", "d"), "minutes": int, "formatted": str}
ROW = {
    "agentId": str,
    "agentName": str,
    "status": str,
    "lastDecision": {
        "type": Null(OneOf("stay", "switch_spot", "switch_ondemand")),
        "time": Null(Time),
        "elapsed": Null(ELAPSED),
    },
    "pricingHealth": {"status": OneOf("healthy", "unhealthy"), "recentReportsCount": int, "recentReports": [REPORT]},
    "currentMode": OneOf("spot", "ondemand", "unknown"),
    "currentPoolId": str,
    "isHealthy": bool,
    "lastHeartbeat": Null(str),
    "decisionHistory": [
        {
            "type": str,
            "action": str,
            "riskScore": Null(Number),
            "expectedSavings": Null(Number),
            "currentMode": str,
            "time": Time,
        }
    ],
    "recentActivity": {
        "pricingReports": [REPORT],
        "systemEvents": [{"type": str, "severity": str, "message": str, "time": Time}],
        "healthStatus": {
            "overall": str,
            "heartbeat": str,
            "activity": str,
            "recentReportsCount": int,
            "decisionCount": int,
        },
    },
}


@pytest.fixture(autouse=True)
def now():
    with time_machine.travel("2026-01-05T12:00:00Z", tick=False) as travel:
        yield travel


@pytest.fixture
def agent(tenant):
    return AgentFactory(client=tenant, logical_agent_id="web-1")


def ago(**duration):
    return clock.now() - timedelta(**duration)


def listed(api, client):
    response = api.get(f"/api/client/{client.public_id}/agents/decisions")
    assert response.status_code == 200, response.content
    body = strict(response)
    assert_shape(body, [ROW])
    assert_times_are_utc(body)
    return body


def report(agent, slot, at, spot="0.0132", ondemand="0.0416"):
    return PricingReport.objects.create(
        agent=agent,
        slot=slot,
        received_at=at,
        spot_price=spot and Decimal(spot),
        ondemand_price=ondemand and Decimal(ondemand),
    )


def decide(agent, at, **fields):
    return DecisionRecord.objects.create(
        agent=agent, client=agent.client, created_at=at, **{"decision_type": "stay"} | fields
    )


def test_without_agents_the_list_is_empty(tenant_api, tenant):
    assert listed(tenant_api, tenant) == []


def test_an_agent_that_never_reported_anything_is_a_whole_row(tenant_api, tenant, agent):
    agent.last_heartbeat_at = None
    agent.save()
    (row,) = listed(tenant_api, tenant)
    assert row["lastDecision"] == {"type": None, "time": None, "elapsed": None}
    assert row["pricingHealth"] == {"status": "unhealthy", "recentReportsCount": 0, "recentReports": []}
    assert (row["agentName"], row["lastHeartbeat"], row["isHealthy"]) == ("web-1", None, False)


def test_the_last_decision_and_those_before(tenant_api, tenant, agent):
    for minutes in range(60, 11, -12):
        decide(agent, ago(minutes=minutes))
    decide(
        agent,
        ago(minutes=3),
        decision_type="switch_spot",
        action="switch_pool",
        risk_score=Decimal("0.25"),
        expected_savings=Decimal("0.0004"),
        current_mode="spot",
    )
    (row,) = listed(tenant_api, tenant)
    assert row["lastDecision"] == {
        "type": "switch_spot",
        "time": "2026-01-05T11:57:00Z",
        "elapsed": {"value": 3, "unit": "min", "minutes": 3, "formatted": "3 min"},
    }
    assert len(row["decisionHistory"]) == 5
    assert row["decisionHistory"][0] == {
        "type": "switch_spot",
        "action": "switch_pool",
        "riskScore": 0.25,
        "expectedSavings": 0.0004,
        "currentMode": "spot",
        "time": "2026-01-05T11:57:00Z",
    }


@pytest.mark.parametrize(
    ("seconds", "formatted"),
    [
        (0, "0 min"),
        (59, "0 min"),
        (720, "12 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (86399, "23 h"),
        (86400, "1 d"),
        (-60, "0 min"),
    ],
)
def test_how_long_ago_it_was(tenant_api, tenant, agent, seconds, formatted):
    decide(agent, ago(seconds=seconds))
    (row,) = listed(tenant_api, tenant)
    assert row["lastDecision"]["elapsed"]["formatted"] == formatted


def test_two_reports_in_ten_minutes_are_healthy(tenant_api, tenant, agent):
    for slot, minutes in enumerate([4, 9, 14]):
        report(agent, slot, ago(minutes=minutes))
    (row,) = listed(tenant_api, tenant)
    health = row["pricingHealth"]
    assert (health["status"], health["recentReportsCount"], row["isHealthy"]) == ("healthy", 2, True)
    assert health["recentReports"] == [
        {"time": f"2026-01-05T11:{minute}:00Z", "onDemandPrice": 0.0416, "spotPrice": 0.0132}
        for minute in ("56", "51", "46")
    ]


@pytest.mark.parametrize(("status", "minutes"), [("offline", 1), ("online", 10)])
def test_offline_or_without_a_fresh_report_it_is_unhealthy(tenant_api, tenant, agent, status, minutes):
    agent.status = status
    agent.save()
    report(agent, 0, ago(minutes=minutes))
    (row,) = listed(tenant_api, tenant)
    assert row["pricingHealth"]["status"] == "unhealthy"


def test_reports_that_lack_a_price_are_counted_but_not_shown(tenant_api, tenant, agent):
    """A null there blanks the page, and an on-demand price of 0 prints NaN."""
    report(agent, 0, ago(minutes=1), spot=None)
    report(agent, 1, ago(minutes=2), ondemand=None)
    report(agent, 2, ago(minutes=3), ondemand="0")
    (row,) = listed(tenant_api, tenant)
    assert row["pricingHealth"] == {"status": "healthy", "recentReportsCount": 3, "recentReports": []}


def test_shows_at_most_five_reports(tenant_api, tenant, agent):
    for slot in range(PricingReport.SLOTS):
        report(agent, slot, ago(minutes=slot))
    (row,) = listed(tenant_api, tenant)
    assert len(row["pricingHealth"]["recentReports"]) == 5


def test_a_real_report_makes_an_agent_healthy(tenant_api, tenant, client_token):
    program = V4(client_token, instance_id="i-0aaa")
    program.register()
    pool = {"pool_id": "t3.medium.us-east-1a", "instance_type": "t3.medium", "az": "us-east-1a", "price": 0.0125}
    pricing = {"on_demand_price": 0.0416, "current_spot_price": 0.0125, "spot_pools": [pool], "cheapest_pool": None}
    assert program.post("pricing-report", {"instance": program.as_side(), "pricing": pricing}).status_code == 200
    (row,) = listed(tenant_api, tenant)
    assert row["pricingHealth"]["recentReports"] == [
        {"time": "2026-01-05T12:00:00Z", "onDemandPrice": 0.0416, "spotPrice": 0.0125}
    ]
    assert (row["isHealthy"], row["lastHeartbeat"]) == (True, "< 1 min")


def test_online_agents_come_first_then_by_logical_id(tenant_api, tenant):
    for logical_agent_id, status in [("d", "online"), ("a", "offline"), ("c", "online"), ("b", "disabled")]:
        AgentFactory(client=tenant, logical_agent_id=logical_agent_id, status=status)
    AgentFactory(client=tenant, status="deleted")
    assert [row["agentName"] for row in listed(tenant_api, tenant)] == ["c", "d", "a", "b"]


def test_events_are_shown_with_their_agent_only(tenant_api, tenant, agent):
    other = AgentFactory(client=tenant, logical_agent_id="web-2")
    for n in range(7):
        SystemEventFactory(client=tenant, agent_id=agent.public_id, message=f"event {n}")
    first, second = listed(tenant_api, tenant)
    assert [e["message"] for e in first["recentActivity"]["systemEvents"]] == [f"event {n}" for n in (6, 5, 4, 3, 2)]
    assert (second["agentId"], second["recentActivity"]["systemEvents"]) == (other.public_id, [])


def test_another_tenants_list_is_refused(tenant_api):
    assert tenant_api.get(f"/api/client/{ClientFactory().public_id}/agents/decisions").status_code == 403


@pytest.mark.parametrize("number", [1, 20])
def test_costs_the_same_for_any_number_and_any_history(admin_api, tenant, number, django_assert_num_queries):
    for agent in AgentFactory.create_batch(number, client=tenant):
        report(agent, 0, ago(minutes=1))
        for minutes in range(number):
            decide(agent, ago(minutes=minutes))
    with django_assert_num_queries(5):
        assert len(admin_api.get(f"/api/client/{tenant.public_id}/agents/decisions").json()) == number
