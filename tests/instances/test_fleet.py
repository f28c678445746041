"""Agents as people see them, and the operators' search (dashboard-api 2.2, 2.5)."""

from datetime import timedelta

import pytest
import time_machine

from agents.models import Agent
from spotopt.common import clock
from tests.contract.shapes import Null, OneOf, Time, assert_shape, assert_times_are_utc, strict
from tests.factories import AgentFactory, ClientFactory, InstanceFactory

pytestmark = pytest.mark.django_db

STATUSES = OneOf("online", "offline", "switching", "deleted", "disabled", "error")
IDENTITY = {
    "id": str,
    "logicalAgentId": str,
    "status": STATUSES,
    "hostname": Null(str),
    "instanceId": Null(str),
    "instanceType": Null(str),
    "region": Null(str),
    "az": Null(str),
    "currentMode": OneOf("spot", "ondemand", "unknown"),
    "currentPoolId": str,
    "enabled": bool,
    "autoSwitchEnabled": bool,
}
CLIENT_ROW = IDENTITY | {
    "lastHeartbeat": Null(Time),
    "instanceCount": int,
    "manualReplicaEnabled": bool,
    "autoTerminateEnabled": bool,
    "terminateWaitMinutes": int,
    "agentVersion": Null(str),
    "version": Null(str),
    "configVersion": int,
    "auto_switch_enabled": bool,
    "auto_terminate_enabled": bool,
}
HISTORY_ROW = IDENTITY | {
    "manualReplicaEnabled": bool,
    "lastHeartbeat": Null(Time),
    "createdAt": Time,
    "installedAt": Time,
    "updatedAt": Time,
    "terminatedAt": Null(Time),
    "deletedAt": Null(Time),
}
ADMIN_ROW = IDENTITY | {
    "clientId": str,
    "clientName": str,
    "lastHeartbeatAt": Null(Time),
    "version": Null(str),
    "createdAt": Time,
}


@pytest.fixture(autouse=True)
def now():
    with time_machine.travel("2026-01-05T12:00:00Z", tick=False) as travel:
        yield travel


def ago(**duration):
    return clock.now() - timedelta(**duration)


def rows(api, path, shape=None):
    response = api.get(path)
    assert response.status_code == 200, response.content
    body = strict(response)
    assert_times_are_utc(body)
    if shape:
        assert_shape(body, shape)
    return body


class TestTheClientsList:
    def test_has_every_field_the_page_reads(self, tenant_api, tenant):
        agent = AgentFactory(client=tenant, logical_agent_id="web-1", hostname="web", instance_id="i-0aaa")
        assert rows(tenant_api, f"/api/client/{tenant.public_id}/agents") == [
            {
                "id": agent.public_id,
                "logicalAgentId": "web-1",
                "status": "online",
                "hostname": "web",
                "instanceId": "i-0aaa",
                "instanceType": "t3.medium",
                "region": "us-east-1",
                "az": "us-east-1a",
                "currentMode": "spot",
                "currentPoolId": "t3.medium.us-east-1a",
                "lastHeartbeat": "2026-01-05T12:00:00Z",
                "instanceCount": 1,
                "enabled": True,
                "autoSwitchEnabled": True,
                "manualReplicaEnabled": False,
                "autoTerminateEnabled": True,
                "terminateWaitMinutes": 5,
                "emergencyProtection": True,
                "agentVersion": "4.0.0",
                "version": "4.0.0",
                "configVersion": 1,
                "auto_switch_enabled": True,
                "auto_terminate_enabled": True,
            }
        ]

    def test_keeps_its_types_where_nothing_is_known(self, tenant_api, tenant):
        AgentFactory(
            client=tenant, primary=False, instance_id="", hostname="", agent_version="", last_heartbeat_at=None, az=""
        )
        (row,) = rows(tenant_api, f"/api/client/{tenant.public_id}/agents", [CLIENT_ROW])
        assert (row["instanceId"], row["lastHeartbeat"], row["instanceCount"]) == (None, None, 0)

    def test_is_empty_without_agents(self, tenant_api, tenant):
        assert rows(tenant_api, f"/api/client/{tenant.public_id}/agents") == []

    def test_counts_active_instances_only(self, tenant_api, tenant):
        agent = AgentFactory(client=tenant)
        for status in ("running_replica", "launching", "zombie", "terminated", "terminating"):
            InstanceFactory(agent=agent, status=status)
        (row,) = rows(tenant_api, f"/api/client/{tenant.public_id}/agents")
        assert row["instanceCount"] == 3

    def test_shows_the_newest_heartbeat_first_and_no_deleted_agent(self, tenant_api, tenant):
        never = AgentFactory(client=tenant, last_heartbeat_at=None)
        old = AgentFactory(client=tenant, last_heartbeat_at=ago(hours=1))
        new = AgentFactory(client=tenant)
        AgentFactory(client=tenant, status="deleted")
        AgentFactory()
        listed = rows(tenant_api, f"/api/client/{tenant.public_id}/agents")
        assert [row["id"] for row in listed] == [new.public_id, old.public_id, never.public_id]

    @pytest.mark.parametrize("seconds", [0, 20])
    def test_a_wait_is_at_least_a_minute(self, tenant_api, tenant, seconds):
        AgentFactory(client=tenant, terminate_wait_seconds=seconds)
        (row,) = rows(tenant_api, f"/api/client/{tenant.public_id}/agents")
        assert row["terminateWaitMinutes"] == 1

    def test_another_tenants_list_is_refused(self, tenant_api):
        assert tenant_api.get(f"/api/client/{ClientFactory().public_id}/agents").status_code == 403

    def test_an_unknown_client_is_404_for_the_operator(self, admin_api):
        assert admin_api.get("/api/client/nobody/agents").status_code == 404

    @pytest.mark.parametrize("number", [1, 20])
    def test_costs_the_same_for_any_number(self, admin_api, tenant, number, django_assert_num_queries):
        AgentFactory.create_batch(number, client=tenant)
        with django_assert_num_queries(2):
            assert len(admin_api.get(f"/api/client/{tenant.public_id}/agents").json()) == number


class TestTheHistory:
    def test_orders_by_status_and_keeps_deleted_agents(self, tenant_api, tenant):
        for status in ("disabled", "deleted", "offline", "online"):
            AgentFactory(client=tenant, status=status)
        listed = rows(tenant_api, f"/api/client/{tenant.public_id}/agents/history", [HISTORY_ROW])
        assert [row["status"] for row in listed] == ["online", "offline", "deleted", "disabled"]

    def test_says_when_an_agent_or_its_instance_ended(self, tenant_api, tenant):
        deleted = AgentFactory(client=tenant, status="deleted", deleted_at=ago(hours=1))
        without = AgentFactory(client=tenant, instance_id="", primary=False)
        InstanceFactory(agent=without, status="terminated", terminated_at=ago(hours=3))
        InstanceFactory(agent=without, status="terminated", terminated_at=ago(hours=2))
        running = AgentFactory(client=tenant)
        InstanceFactory(agent=running, status="terminated", terminated_at=ago(hours=2))
        listed = rows(tenant_api, f"/api/client/{tenant.public_id}/agents/history")
        ended = {row["id"]: row["terminatedAt"] for row in listed}
        assert ended == {
            deleted.public_id: "2026-01-05T11:00:00Z",
            without.public_id: "2026-01-05T10:00:00Z",
            running.public_id: None,
        }

    @pytest.mark.parametrize("number", [1, 20])
    def test_costs_the_same_for_any_number(self, admin_api, tenant, number, django_assert_num_queries):
        AgentFactory.create_batch(number, client=tenant)
        with django_assert_num_queries(2):
            assert len(admin_api.get(f"/api/client/{tenant.public_id}/agents/history").json()) == number


class TestTheOperatorsList:
    def test_holds_agents_of_all_clients(self, admin_api):
        AgentFactory(client__name="One", last_heartbeat_at=None)
        AgentFactory(client__name="Two")
        body = rows(admin_api, "/api/admin/agents", {"agents": [ADMIN_ROW], "total": int})
        assert [row["clientName"] for row in body["agents"]] == ["Two", "One"]
        assert body["total"] == 2
        assert body["filters"] == {"status": None, "client_id": None, "search": None, "include_deleted": False}

    def test_is_an_object_when_empty(self, admin_api):
        body = rows(admin_api, "/api/admin/agents")
        assert (body["agents"], body["total"]) == ([], 0)

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("", {"a", "b", "c"}),
            ("status=offline", {"b"}),
            ("status=deleted", {"d"}),
            ("status=all", {"a", "b", "c"}),
            ("status=nonsense", {"a", "b", "c"}),
            ("include_deleted=true", {"a", "b", "c", "d"}),
            ("include_deleted=maybe", {"a", "b", "c"}),
            ("search=HOST-B", {"b"}),
            ("search=i-0ccc", {"c"}),
            ("search=special%20client", {"c"}),
            ("search=%25", set()),
            ("search=host_b", set()),
            ("client_id=all", {"a", "b", "c"}),
            ("client_id=nobody", set()),
        ],
    )
    def test_filters(self, admin_api, query, expected):
        AgentFactory(logical_agent_id="a", hostname="host-a", instance_id="i-0aaa")
        AgentFactory(logical_agent_id="b", hostname="Host-B", instance_id="i-0bbb", status="offline")
        AgentFactory(logical_agent_id="c", hostname="x", instance_id="i-0ccc", client__name="Special Client")
        AgentFactory(logical_agent_id="d", hostname="y", instance_id="i-0ddd", status="deleted")
        body = rows(admin_api, f"/api/admin/agents?{query}")
        assert {row["logicalAgentId"] for row in body["agents"]} == expected
        assert body["total"] == len(expected)

    def test_one_clients_agents_are_found_by_its_id(self, admin_api):
        agent = AgentFactory()
        AgentFactory()
        body = rows(admin_api, f"/api/admin/agents?client_id={agent.client.public_id}")
        assert [row["id"] for row in body["agents"]] == [agent.public_id]
        assert body["filters"]["client_id"] == agent.client.public_id

    @pytest.mark.parametrize(
        ("limit", "shown"), [("2", 2), ("0", 1), ("-5", 1), ("9999999", 3), ("x", 3), ("9" * 5000, 3), ("", 3)]
    )
    def test_clamps_its_limit_and_counts_all(self, admin_api, limit, shown):
        AgentFactory.create_batch(3)
        body = rows(admin_api, f"/api/admin/agents?limit={limit}")
        assert (len(body["agents"]), body["total"]) == (shown, 3)

    def test_is_for_operators_only(self, tenant_api):
        assert tenant_api.get("/api/admin/agents").status_code == 403

    @pytest.mark.parametrize("number", [1, 20])
    def test_costs_the_same_for_any_number(self, admin_api, number, django_assert_num_queries):
        AgentFactory.create_batch(number)
        with django_assert_num_queries(2):
            assert len(admin_api.get("/api/admin/agents").json()["agents"]) == number


class TestTheHealthSummary:
    @pytest.mark.parametrize("path", ["/api/admin/agents/health-summary", "/api/admin/agent-health"])
    def test_counts_what_is_heard(self, admin_api, path):
        one, two = ClientFactory(name="One"), ClientFactory(name="Two")
        AgentFactory(client=one)
        AgentFactory(client=one, last_heartbeat_at=ago(minutes=5))
        late = AgentFactory(client=two, status="offline", hostname="late", last_heartbeat_at=ago(minutes=15))
        AgentFactory(client=two, status="disabled", last_heartbeat_at=None)
        AgentFactory(client=two, status="deleted")
        assert rows(admin_api, path) == {
            "total_agents": 4,
            "total": 4,
            "online": 2,
            "offline": 1,
            "deleted": 1,
            "by_client": [
                {"client_id": one.public_id, "client_name": "One", "online": 2, "offline": 0, "total": 2},
                {"client_id": two.public_id, "client_name": "Two", "online": 0, "offline": 1, "total": 2},
            ],
            "recent_offline": [
                {
                    "agent_id": late.public_id,
                    "hostname": "late",
                    "client_name": "Two",
                    "last_heartbeat": "2026-01-05T11:45:00Z",
                    "offline_duration_minutes": 15,
                }
            ],
            "heartbeat_distribution": {"healthy": 1, "degraded": 1, "critical": 2},
        }

    def test_is_all_zeros_without_agents(self, admin_api):
        body = rows(admin_api, "/api/admin/agents/health-summary")
        assert body["total_agents"] == 0
        assert body["by_client"] == body["recent_offline"] == []
        assert body["heartbeat_distribution"] == {"healthy": 0, "degraded": 0, "critical": 0}

    def test_names_the_five_that_were_heard_last(self, admin_api):
        for minutes in range(10, 17):
            AgentFactory(status="offline", hostname=f"h{minutes}", last_heartbeat_at=ago(minutes=minutes))
        never = AgentFactory(status="offline", last_heartbeat_at=None)
        body = rows(admin_api, "/api/admin/agents/health-summary")
        assert [row["hostname"] for row in body["recent_offline"]] == ["h10", "h11", "h12", "h13", "h14"]
        Agent.objects.exclude(pk=never.pk).delete()
        (row,) = rows(admin_api, "/api/admin/agents/health-summary")["recent_offline"]
        assert (row["last_heartbeat"], row["offline_duration_minutes"]) == (None, None)

    @pytest.mark.parametrize("number", [1, 20])
    def test_costs_the_same_for_any_number(self, admin_api, number, django_assert_num_queries):
        AgentFactory.create_batch(number, status="offline")
        with django_assert_num_queries(4):
            assert admin_api.get("/api/admin/agents/health-summary").json()["offline"] == number


class TestSearch:
    @pytest.fixture
    def agent(self):
        return AgentFactory(
            client__name="Acme",
            client__email="ops@acme.example",
            logical_agent_id="logical-1",
            hostname="Web-Host",
            instance_id="i-0abc",
        )

    @pytest.mark.parametrize("path", ["/api/admin/search", "/api/search"])
    def test_finds_all_kinds_and_says_it_twice(self, admin_api, agent, path):
        AgentFactory(client__name="Other", hostname="ACME-gateway", instance_id="i-0acme")
        body = rows(admin_api, f"{path}?q=%20acme%20")
        client = {
            "id": agent.client.public_id,
            "name": "Acme",
            "email": "ops@acme.example",
            "status": "active",
            "matchField": "name",
        }
        assert (body["status"], body["error"], body["query"], body["total_results"]) == ("success", None, "acme", 3)
        assert body["clients"] == body["results"]["clients"] == body["data"]["clients"] == [client]
        (instance,), (found,) = body["instances"], body["agents"]
        assert (instance["id"], instance["name"], instance["client"]) == ("i-0acme", "i-0acme", "Other")
        assert (found["name"], found["client"], found["status"]) == ("ACME-gateway", "Other", "online")
        assert body["data"]["results"] == body["results"]

    @pytest.mark.parametrize(
        ("text", "kinds"),
        [
            ("ops@", {"clients"}),
            ("web-host", {"agents"}),
            ("LOGICAL", {"agents"}),
            ("0ABC", {"agents", "instances"}),
            ("t3.med", {"instances"}),
            ("%25%25", set()),
            ("t3_medium", set()),
            ("a", set()),
            ("%20a%20", set()),
            ("", set()),
        ],
    )
    def test_looks_into_the_right_fields(self, admin_api, agent, text, kinds):
        results = rows(admin_api, f"/api/admin/search?q={text}")["results"]
        assert {kind for kind, hits in results.items() if hits} == kinds

    def test_says_where_a_client_matched(self, admin_api, agent):
        fields = [
            rows(admin_api, f"/api/admin/search?q={text}")["clients"][0]["matchField"]
            for text in ("ACM", "ops@", agent.client.public_id[:13])
        ]
        assert fields == ["name", "email", "id"]

    @pytest.mark.parametrize(
        ("types", "kinds"),
        [
            ("agents", {"agents"}),
            ("agents, instances", {"agents", "instances"}),
            ("all", {"agents", "instances"}),
            ("nonsense", {"agents", "instances"}),
            ("", {"agents", "instances"}),
        ],
    )
    def test_looks_for_the_kinds_that_are_asked_for(self, admin_api, agent, types, kinds):
        results = rows(admin_api, f"/api/admin/search?q=i-0abc&types={types}")["results"]
        assert {kind for kind, hits in results.items() if hits} == kinds

    def test_ends_at_ten_of_a_kind(self, admin_api, django_assert_num_queries):
        AgentFactory.create_batch(12, client=ClientFactory(), hostname="needle")
        with django_assert_num_queries(3):
            assert len(admin_api.get("/api/admin/search?q=needle").json()["agents"]) == 10

    def test_is_for_operators_only(self, tenant_api):
        assert tenant_api.get("/api/admin/search?q=acme").status_code == 403
        assert tenant_api.get("/api/search?q=acme").status_code == 403
