"""Who may call what, and what nonsense brings: no HTML, no empty body, no redirect, no 500 (agent-api 1.2, 1.3)."""

import json

import pytest

from tests.dialects import V4
from tests.factories import AgentFactory, CommandFactory, InstanceFactory, ReplicaFactory, token_of

pytestmark = pytest.mark.django_db

AGENT_PATHS = [
    ("get", ""),
    ("get", "/config"),
    ("get", "/pending-commands"),
    ("get", "/commands/pending"),
    ("get", "/instances-to-terminate"),
    ("get", "/statistics"),
    ("post", "/heartbeat"),
    ("post", "/pricing-report"),
    ("post", "/pricing"),
    ("post", "/switch-report"),
    ("post", "/action-result"),
    ("post", "/cleanup-report"),
    ("post", "/termination"),
    ("post", "/termination-report"),
    ("post", "/shutdown"),
    ("post", "/instance-launched"),
    ("post", "/instance-terminated"),
    ("post", "/mark-command-executed"),
    ("post", "/commands/some-command/executed"),
    ("get", "/replicas"),
    ("get", "/replicas?status=launching"),
    ("get", "/emergency-status"),
    ("get", "/replica-config"),
    ("post", "/replicas"),
    ("put", "/replicas/some-replica"),
    ("delete", "/replicas/some-replica"),
    ("post", "/replicas/some-replica/promote"),
    ("post", "/replicas/some-replica/status"),
    ("post", "/replicas/some-replica/sync-status"),
    ("post", "/create-emergency-replica"),
    ("post", "/termination-imminent"),
    ("post", "/rebalance-recommendation"),
    ("post", "/rebalance-notice"),
    ("post", "/termination-notice"),
]
OTHER_PATHS = [
    ("post", "/api/agents/register"),
    ("post", "/api/agents/uninstall"),
    ("post", "/api/client/instances/i-0aaa/force-switch"),
    ("post", "/api/client/instances/i-0aaa/terminate"),
    ("post", "/api/client/instances/launch"),
    ("get", "/api/client/some-client/instances"),
]
every_agent_path = pytest.mark.parametrize(("method", "path"), AGENT_PATHS)
every_path = pytest.mark.parametrize(
    ("method", "path"), [(m, f"/api/agents/an-agent{p}") for m, p in AGENT_PATHS] + OTHER_PATHS
)

NONSENSE = [
    {},
    dict.fromkeys(("status", "instance", "pricing", "prices", "instance_id", "request_id", "snapshots")),
    {"instance_id": [], "monitored_instances": "text", "inventory_snapshot": 7, "status": {}, "reconnect": "maybe"},
    {"old_instance": "x", "new_instance": [], "timing": 5, "prices": "free"},
    {"request_id": {"a": 1}, "result": None, "metadata": [], "command_id": True},
    {"instance": [], "pricing": {"spot_pools": [None, 5, {"pool_id": {}, "price": "dear"}], "on_demand_price": {}}},
    {"instance_id": "x" * 5000, "instance_type": "\ud800", "az": "\0", "hostname": "é" * 1000},
    {"success": "perhaps", "termination_time": "tomorrow", "terminated_at": 1e40, "error": ["a"]},
]


def post_as_it_is(api, path, body):
    """The test client's own encoder refuses half a surrogate pair; agents' programs send it escaped."""
    return api.generic("POST", path, json.dumps(body), content_type="application/json")


def assert_is_contract(response):
    assert response["Content-Type"] == "application/json"
    assert response.content not in (b"", b"{}")
    assert response.json() is not None
    assert response.status_code not in (301, 302, 307, 308)


def assert_is_refusal(response, status, code):
    assert_is_contract(response)
    body = response.json()
    assert (response.status_code, body["code"]) == (status, code)
    assert isinstance(body["error"], str)
    assert body["status"] == "error"


class TestWhoMayCall:
    @every_path
    def test_nobody_without_a_token(self, anonymous_api, method, path):
        response = getattr(anonymous_api, method)(path)
        assert_is_refusal(response, 401, "UNAUTHORIZED")
        assert response["WWW-Authenticate"] == "Bearer"

    @every_path
    def test_nobody_with_a_wrong_token(self, anonymous_api, method, path):
        """Also for a dummy agent id: who is asking comes before what for."""
        anonymous_api.bearer("token-of-nobody")
        assert_is_refusal(getattr(anonymous_api, method)(path), 401, "INVALID_TOKEN")

    @every_path
    def test_nobody_of_an_inactive_client(self, tenant, tenant_api, method, path):
        tenant.is_active = False
        tenant.save()
        assert_is_refusal(getattr(tenant_api, method)(path), 403, "INACTIVE_CLIENT")

    @every_agent_path
    def test_another_tenants_agent_does_not_exist(self, tenant_api, method, path):
        foreign = AgentFactory()
        response = getattr(tenant_api, method)(f"/api/agents/{foreign.public_id}{path}")
        unknown = getattr(tenant_api, method)(f"/api/agents/no-such-agent{path}")
        assert_is_refusal(response, 404, "AGENT_NOT_FOUND")
        assert response.json() == unknown.json()

    @every_agent_path
    def test_a_deleted_agent_does_not_exist(self, tenant, tenant_api, method, path):
        agent = AgentFactory(client=tenant, status="deleted")
        response = getattr(tenant_api, method)(f"/api/agents/{agent.public_id}{path}")
        assert_is_refusal(response, 404, "AGENT_NOT_FOUND")
        agent.refresh_from_db()
        assert agent.status == "deleted"

    def test_an_agent_that_failed_to_register_calls_as_none(self, tenant_api):
        assert_is_refusal(tenant_api.post("/api/agents/None/heartbeat"), 404, "AGENT_NOT_FOUND")

    def test_another_tenants_standby_does_not_exist(self, tenant, tenant_api):
        agent, foreign = AgentFactory(client=tenant), ReplicaFactory()
        path = f"/api/agents/{agent.public_id}/replicas/{foreign.public_id}"
        responses = [
            tenant_api.put(path, {"instance_id": "i-0bbb"}),
            tenant_api.delete(path),
            tenant_api.post(f"{path}/status", {"status": "ready"}),
            tenant_api.post(f"{path}/promote", {}),
        ]
        for response in responses:
            assert_is_refusal(response, 404, "REPLICA_NOT_FOUND")
        foreign.refresh_from_db()
        assert foreign.status == "ready"

    def test_the_admin_token_is_no_agent(self, admin_api):
        agent = AgentFactory()
        assert_is_refusal(admin_api.post(f"/api/agents/{agent.public_id}/heartbeat"), 403, "FORBIDDEN")


class TestNonsense:
    @pytest.mark.parametrize("path", [path for method, path in AGENT_PATHS if method == "post"])
    @pytest.mark.parametrize("body", NONSENSE)
    def test_never_is_a_crash(self, tenant, tenant_api, path, body):
        agent = AgentFactory(client=tenant)
        CommandFactory(agent=agent, public_id="some-command")
        ReplicaFactory(agent=agent, public_id="some-replica")
        response = post_as_it_is(tenant_api, f"/api/agents/{agent.public_id}{path}", body)
        assert_is_contract(response)
        assert response.status_code in (200, 201, 400, 404, 409)

    @pytest.mark.parametrize("body", NONSENSE)
    def test_never_refuses_a_heartbeat(self, tenant, tenant_api, body):
        agent = AgentFactory(client=tenant)
        assert post_as_it_is(tenant_api, f"/api/agents/{agent.public_id}/heartbeat", body).status_code == 200

    @pytest.mark.parametrize("body", NONSENSE)
    @pytest.mark.parametrize("path", [path for method, path in OTHER_PATHS if method == "post"])
    def test_never_is_a_crash_elsewhere(self, tenant, tenant_api, path, body):
        AgentFactory(client=tenant, instance_id="i-0aaa")
        response = post_as_it_is(tenant_api, path, body)
        assert_is_contract(response)
        assert response.status_code < 500

    @pytest.mark.parametrize("text", [b"", b"{", b"[1, 2]", b'"text"', b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000])
    def test_that_is_no_json_object_is_answered(self, tenant, tenant_api, text):
        agent = AgentFactory(client=tenant)
        for path in ("switch-report", "action-result", "heartbeat"):
            response = tenant_api.generic(
                "POST", f"/api/agents/{agent.public_id}/{path}", text, content_type="application/json"
            )
            assert_is_contract(response)
            assert response.status_code in (200, 400)

    def test_a_wrong_method_is_told(self, tenant_api):
        response = tenant_api.get("/api/agents/register")
        assert_is_refusal(response, 405, "METHOD_NOT_ALLOWED")

    def test_a_trailing_slash_is_another_path_and_no_redirect(self, tenant_api):
        assert_is_refusal(tenant_api.post("/api/agents/register/"), 404, "NOT_FOUND")


class TestForeignIdsInBodies:
    def test_change_nothing(self, tenant, client_token):
        program = V4(client_token, instance_id="i-0aaa")
        program.register()
        foreign = InstanceFactory(status="zombie")
        command = CommandFactory()
        calls = [
            program.report_termination(foreign.instance_id),
            program.executed(command.public_id),
            program.post("mark-command-executed", {"command_id": command.public_id}),
            program.post("instance-terminated", {"instance_id": foreign.instance_id}),
            program.post("termination", {"instance_id": foreign.instance_id}),
        ]
        assert [response.status_code for response in calls] == [404] * 5
        foreign.refresh_from_db()
        command.refresh_from_db()
        assert (foreign.status, command.status) == ("zombie", "pending")

    def test_a_cookie_of_another_tenant_tells_nothing(self, client_token):
        other = V4(token_of(AgentFactory().client), instance_id="i-0eee")
        other.register()
        program = V4(client_token, instance_id="i-0aaa")
        program.register()
        program.api.cookies = other.api.cookies
        assert program.get("config").json()["enabled"] is True
