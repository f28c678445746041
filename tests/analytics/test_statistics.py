"""GET /api/agents/{id}/statistics (agent-api 3.31)."""

from datetime import UTC, datetime

import pytest

from analytics.services.ledger import roll_up
from decisions.models import DecisionRecord
from tests.factories import AgentFactory, CommandFactory, SwitchFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(tenant):
    return AgentFactory(client=tenant)


def path(agent, prefix="agents"):
    return f"/api/{prefix}/{agent.public_id}/statistics"


def statistics(api, agent):
    response = api.get(path(agent))
    assert response.status_code == 200
    assert response.json()["agent_id"] == agent.public_id
    return response.json()["statistics"]


def test_an_agent_that_did_nothing_yet(tenant_api, agent):
    assert statistics(tenant_api, agent) == {
        "total_decisions": 0,
        "switches_executed": 0,
        "switches_recommended": 0,
        "success_rate": None,
        "average_confidence": None,
        "last_decision_at": None,
        "decisions_by_trigger": {"automatic": 0, "manual": 0, "emergency": 0},
        "avg_downtime_seconds": None,
        "total_savings_generated": 0.0,
        "price_coverage": None,
    }


def test_moves_are_counted_by_trigger(tenant_api, agent):
    for trigger, downtime in (("manual", 30), ("automatic", 41), ("automatic", None), ("emergency", None)):
        SwitchFactory(agent=agent, trigger=trigger, downtime_seconds=downtime)
    SwitchFactory(agent=agent, success=False)
    SwitchFactory(agent=agent, is_anomalous=True)
    found = statistics(tenant_api, agent)
    assert found["switches_executed"] == 4
    assert found["decisions_by_trigger"] == {"automatic": 2, "manual": 1, "emergency": 1}
    assert found["avg_downtime_seconds"] == 36


def test_success_is_the_share_of_completed_orders(tenant_api, agent):
    for status in ("completed", "completed", "failed", "pending", "cancelled"):
        CommandFactory(agent=agent, status=status)
    assert statistics(tenant_api, agent)["success_rate"] == 0.67


def test_decisions(tenant_api, agent):
    at = datetime(2026, 1, 5, 12, tzinfo=UTC)
    for kind, confidence in (("stay", None), ("switch_spot", "0.5"), ("switch_ondemand", "0.8")):
        DecisionRecord.objects.create(
            client=agent.client, agent=agent, decision_type=kind, confidence=confidence, created_at=at
        )
    found = statistics(tenant_api, agent)
    assert (found["total_decisions"], found["switches_recommended"]) == (3, 2)
    assert (found["average_confidence"], found["last_decision_at"]) == (0.65, "2026-01-05T12:00:00Z")


def test_savings_are_the_ledgers(tenant_api, tenant, world):
    primary = world.instance(agent=AgentFactory(client=tenant, primary=False))
    world.go_to(2)
    roll_up()
    found = statistics(tenant_api, primary.agent)
    assert (found["total_savings_generated"], found["price_coverage"]) == (0.0568, 1.0)


def test_operators_may_look_too(admin_api, staff_api, agent):
    assert statistics(admin_api, agent) == statistics(staff_api, agent)


def test_the_old_dashboards_address_works(tenant_api, agent):
    assert tenant_api.get(path(agent, "client/agents")).json() == tenant_api.get(path(agent)).json()


def test_another_clients_agent_is_not_found(tenant_api):
    response = tenant_api.get(path(AgentFactory()))
    assert (response.status_code, response.json()["code"]) == (404, "AGENT_NOT_FOUND")


def test_an_unknown_agent_is_not_found_by_operators_either(admin_api):
    response = admin_api.get("/api/agents/nobody/statistics")
    assert (response.status_code, response.json()["code"]) == (404, "AGENT_NOT_FOUND")


def test_nobody_looks_without_a_token(anonymous_api, agent):
    assert anonymous_api.get(path(agent)).status_code == 401


@pytest.mark.parametrize("rows", [1, 20])
def test_the_statements_do_not_grow(agent, rows, tenant_api, django_assert_max_num_queries):
    for _ in range(rows):
        SwitchFactory(agent=agent)
    with django_assert_max_num_queries(5):
        statistics(tenant_api, agent)
