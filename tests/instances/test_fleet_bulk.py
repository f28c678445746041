"""POST /api/admin/bulk/execute (dashboard-api 2.2)."""

import json

import pytest
from django.db import OperationalError

from agents.models import Agent, Command
from instances.models import Instance
from instances.services import bulk
from tests.factories import AgentFactory, InstanceFactory

pytestmark = pytest.mark.django_db


def execute(api, operation, ids):
    name = "instance_ids" if operation == "terminate_instances" else "agent_ids"
    return api.post("/api/admin/bulk/execute", {"operation": operation, name: ids, "confirm": True})


@pytest.fixture
def agent():
    return AgentFactory()


def test_some_may_fail(admin_api, agent):
    deleted = AgentFactory(status="deleted")
    response = execute(admin_api, "disable_agents", [agent.public_id, "nobody", deleted.public_id])
    assert response.status_code == 200
    assert response.json() == {
        "operation": "disable_agents",
        "total": 3,
        "succeeded": 1,
        "failed": 2,
        "results": [
            {"agent_id": agent.public_id, "status": "success"},
            {"agent_id": "nobody", "status": "failed", "error": "There is no such agent"},
            {"agent_id": deleted.public_id, "status": "failed", "error": "The agent was deleted"},
        ],
    }
    agent.refresh_from_db()
    assert (agent.enabled, agent.config_version) == (False, 2)


def test_enables_agents_of_all_clients(admin_api):
    agents = AgentFactory.create_batch(3, enabled=False)
    assert execute(admin_api, "enable_agents", [a.public_id for a in agents]).json()["succeeded"] == 3
    assert Agent.objects.filter(enabled=True, config_version=2).count() == 3


def test_an_id_counts_once(admin_api, agent):
    body = execute(admin_api, "disable_agents", [agent.public_id] * 3).json()
    assert (body["total"], len(body["results"])) == (1, 1)


def test_an_agent_with_an_active_primary_is_not_deleted(admin_api, agent):
    idle = AgentFactory(primary=False)
    body = execute(admin_api, "delete_agents", [agent.public_id, idle.public_id]).json()
    assert [r["status"] for r in body["results"]] == ["failed", "success"]
    assert agent.instance_id in body["results"][0]["error"]
    assert set(Agent.objects.values_list("pk", "status")) == {(agent.pk, "online"), (idle.pk, "deleted")}


def test_deleting_again_is_nothing_new(admin_api, agent):
    admin_api.delete(f"/api/client/agents/{agent.public_id}")
    assert execute(admin_api, "delete_agents", [agent.public_id]).json()["succeeded"] == 1


def test_terminates_instances_through_orders(admin_api):
    agent = AgentFactory(protocol="v5")
    zombie = InstanceFactory(agent=agent, status="zombie", instance_id="i-0old")
    body = execute(admin_api, "terminate_instances", ["i-0old", "i-0never"]).json()
    assert body["results"] == [
        {"instance_id": "i-0old", "status": "success"},
        {"instance_id": "i-0never", "status": "failed", "error": "There is no such instance"},
    ]
    zombie.refresh_from_db()
    assert zombie.status == Instance.Status.TERMINATING
    assert Command.objects.get().params == {"instance_id": "i-0old"}


def test_a_database_that_fails_for_one_fails_for_one(admin_api, monkeypatch):
    agents = AgentFactory.create_batch(2)
    enabled = bulk.set_enabled

    def fail_for_the_first(*, agent, **rest):
        if agent.pk == agents[0].pk:
            raise OperationalError(1205, "Lock wait timeout exceeded")
        return enabled(agent=agent, **rest)

    monkeypatch.setattr(bulk, "set_enabled", fail_for_the_first)
    body = execute(admin_api, "disable_agents", [a.public_id for a in agents]).json()
    assert [r["status"] for r in body["results"]] == ["failed", "success"]
    assert "1205" not in json.dumps(body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"confirm": False}, "confirm"),
        ({"confirm": "true"}, "confirm"),
        ({"confirm": None}, "confirm"),
        ({"operation": "drop_tables"}, "operation"),
        ({"operation": None}, "operation"),
        ({"agent_ids": []}, "agent_ids"),
        ({"agent_ids": None}, "agent_ids"),
        ({"agent_ids": "all"}, "agent_ids"),
        ({"agent_ids": [str(n) for n in range(201)]}, "agent_ids"),
        ({"agent_ids": [{}]}, "agent_ids"),
        ({"agent_ids": ["\0"]}, "agent_ids"),
        ({"operation": "terminate_instances"}, "instance_ids"),
    ],
)
def test_what_makes_no_sense_is_refused(admin_api, agent, body, field):
    valid = {"operation": "disable_agents", "agent_ids": [agent.public_id], "confirm": True}
    response = admin_api.post("/api/admin/bulk/execute", valid | body)
    assert response.status_code == 400
    assert field in response.json()["details"]
    agent.refresh_from_db()
    assert agent.enabled


def test_half_a_surrogate_pair_is_no_crash(admin_api):
    body = '{"operation": "enable_agents", "confirm": true, "agent_ids": ["\\ud800"]}'
    assert admin_api.generic("POST", "/api/admin/bulk/execute", body, "application/json").status_code == 400


def test_confirmation_is_not_assumed(admin_api, agent):
    body = {"operation": "disable_agents", "agent_ids": [agent.public_id]}
    assert admin_api.post("/api/admin/bulk/execute", body).status_code == 400


def test_is_for_operators_only(tenant_api, tenant):
    agent = AgentFactory(client=tenant)
    assert execute(tenant_api, "disable_agents", [agent.public_id]).status_code == 403
    agent.refresh_from_db()
    assert agent.enabled
