"""Orders of people and scripts, and the list they look at (dashboard-api 2.6, agent-api 1.10, 3.30, 4.4)."""

from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine

from agents.models import Agent, Command
from instances.models import Instance
from notifications.models import Notification, SystemEvent
from spotopt.common import clock
from tests.factories import AgentFactory, CommandFactory, InstanceFactory, OnDemandPriceFactory, PoolFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def now():
    with time_machine.travel("2026-01-05T12:00:00Z", tick=False) as travel:
        yield travel


@pytest.fixture
def agent(tenant):
    """A v4 agent on spot in us-east-1a."""
    return AgentFactory(client=tenant, instance_id="i-0aaa")


@pytest.fixture
def pool():
    return PoolFactory(az="us-east-1b", price=Decimal("0.0128"))


@pytest.fixture
def force(tenant_api):
    return lambda instance_id="i-0aaa", **body: tenant_api.post(
        f"/api/client/instances/{instance_id}/force-switch", body
    )


class TestForceSwitch:
    def test_queues_a_manual_switch(self, agent, pool, force):
        Agent.objects.update(auto_switch_enabled=False)
        response = force(target="pool", pool_id=pool.pool_id)
        assert response.status_code == 200
        body = response.json()
        command = Command.objects.get()
        assert (body["command_id"], body["status"], body["target_mode"]) == (command.public_id, "pending", "spot")
        assert (command.priority, command.created_by, command.instance_id) == (75, "manual", "i-0aaa")
        assert (command.target_pool_id, command.terminate_wait_seconds) == (pool.pool_id, 300)
        assert SystemEvent.objects.filter(event_type="manual_switch_requested").count() == 1
        assert Notification.objects.get(notification_type="manual_switch_requested").severity == "warning"

    @pytest.mark.parametrize(
        "body",
        [{"target_pool": "t3.medium.us-east-1b"}, {"target_type": "spot", "target_pool_id": "t3.medium.us-east-1b"}],
    )
    def test_understands_the_later_dashboards_words(self, agent, pool, force, body):
        assert force(**body, surprise=1).json()["target_pool_id"] == "t3.medium.us-east-1b"

    def test_to_spot_takes_the_cheapest_other_pool(self, agent, pool, force):
        PoolFactory(az="us-east-1a", price=Decimal("0.0001"))  # the current one
        PoolFactory(az="us-east-1c", price=Decimal("0.0131"))
        PoolFactory(az="us-east-1d", price=None)
        PoolFactory(az="us-east-1e", price=Decimal("0.0001"), is_active=False)
        assert force(target="spot").json()["target_pool_id"] == pool.pool_id

    def test_to_spot_without_any_priced_pool_is_a_conflict(self, agent, force):
        response = force(target="spot")
        assert (response.status_code, response.json()["code"]) == (409, "NO_SUITABLE_POOL")

    def test_to_ondemand(self, agent, force):
        assert force(target="on-demand").json()["target_pool_id"] is None
        assert Command.objects.get().target_mode == "ondemand"

    @pytest.mark.parametrize(("setting", "override", "wait"), [(False, None, 0), (False, True, 300), (True, False, 0)])
    def test_zero_leaves_the_old_host_running(self, agent, force, setting, override, wait):
        Agent.objects.update(auto_terminate_enabled=setting)
        force(target="ondemand", auto_terminate=override)
        assert Command.objects.get().terminate_wait_seconds == wait

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({}, 400, "VALIDATION_ERROR"),
            ({"target": "moon"}, 400, "VALIDATION_ERROR"),
            ({"target": "pool"}, 400, "VALIDATION_ERROR"),
            ({"target": "pool", "pool_id": "t3.medium.us-east-1z"}, 404, "POOL_NOT_FOUND"),
            ({"target": "pool", "pool_id": "m5.large.us-east-1b"}, 400, "VALIDATION_ERROR"),
            ({"target": "pool", "pool_id": "t3.medium.eu-west-1b"}, 400, "VALIDATION_ERROR"),
            ({"target": "pool", "pool_id": "t3.medium.us-east-1a"}, 409, "CONFLICT"),
            ({"target": "ondemand", "new_instance_type": "m5.large"}, 409, "UNSUPPORTED_BY_AGENT"),
        ],
    )
    def test_refuses_what_cannot_be_done(self, agent, force, body, status, code):
        PoolFactory(az="us-east-1a")
        PoolFactory(instance_type="m5.large", az="us-east-1b")
        PoolFactory(region="eu-west-1", az="eu-west-1b")
        response = force(**body)
        assert (response.status_code, response.json()["code"]) == (status, code)
        assert not Command.objects.exists()

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"enabled": False}, "AGENT_UNAVAILABLE"),
            ({"status": "offline"}, "AGENT_UNAVAILABLE"),
            ({"status": "deleted"}, "AGENT_UNAVAILABLE"),
            ({"protocol": "v4b"}, "UNSUPPORTED_BY_AGENT"),
            ({"protocol": ""}, "UNSUPPORTED_BY_AGENT"),
        ],
    )
    def test_refuses_an_agent_that_would_never_do_it(self, agent, force, change, code):
        Agent.objects.update(**change)
        response = force(target="ondemand")
        assert (response.status_code, response.json()["code"]) == (409, code)

    @pytest.mark.parametrize("status", ["zombie", "terminated", "running_replica"])
    def test_refuses_what_is_not_the_primary(self, agent, force, status):
        InstanceFactory(agent=agent, instance_id="i-0bbb", status=status)
        assert force("i-0bbb", target="ondemand").status_code == 409

    def test_takes_the_place_of_an_automatic_order_nobody_fetched(self, agent, force):
        automatic = CommandFactory(agent=agent, created_by="model", priority=25)
        assert force(target="ondemand").status_code == 200
        automatic.refresh_from_db()
        assert automatic.status == "superseded"

    @pytest.mark.parametrize("other", [{"created_by": "manual"}, {"created_by": "model", "status": "delivered"}])
    def test_waits_for_a_switch_under_way(self, agent, force, other):
        pending = CommandFactory(agent=agent, **other)
        response = force(target="ondemand")
        assert (response.status_code, response.json()["code"]) == (409, "SWITCH_PENDING")
        assert response.json()["details"] == {"command_id": pending.public_id}

    def test_of_anothers_instance_is_not_found(self, force):
        InstanceFactory(instance_id="i-0foreign")
        foreign, unknown = force("i-0foreign", target="ondemand"), force("i-0never", target="ondemand")
        assert (foreign.status_code, foreign.json()) == (404, unknown.json())

    def test_an_operator_may_order_for_everyone(self, agent, admin_api):
        response = admin_api.post("/api/client/instances/i-0aaa/force-switch", {"target": "ondemand"})
        assert response.status_code == 200

    def test_v5_moves_within_its_zone_only(self, tenant, pool, force):
        AgentFactory(client=tenant, instance_id="i-0aaa", protocol="v5")
        response = force(target="pool", pool_id=pool.pool_id)
        assert (response.status_code, response.json()["code"]) == (409, "UNSUPPORTED_BY_AGENT")

    def test_v5_can_change_its_type(self, tenant, force):
        AgentFactory(client=tenant, instance_id="i-0aaa", protocol="v5")
        PoolFactory(instance_type="m5.large", az="us-east-1a")
        response = force(target="pool", pool_id="m5.large.us-east-1a", new_instance_type="m5.large")
        assert response.status_code == 200
        assert Command.objects.get().params["instance_type"] == "m5.large"


class TestLaunch:
    def launch(self, api, **body):
        return api.post("/api/client/instances/launch", body)

    def test_is_created_under_a_temporary_id(self, tenant, tenant_api):
        agent = AgentFactory(client=tenant, protocol="v5")
        response = self.launch(tenant_api, agent_id=agent.public_id, target_mode="ondemand")
        assert response.status_code == 201
        body = response.json()
        assert body["status"] == "launching"
        instance = Instance.objects.get(instance_id=body["instance_id"])
        assert (instance.status, instance.mode, instance.role_hint) == ("launching", "ondemand", "replica")
        assert Command.objects.get(public_id=body["command_id"]).priority == 100

    def test_needs_an_agent(self, tenant_api):
        response = self.launch(tenant_api)
        assert (response.status_code, list(response.json()["details"])) == (400, ["agent_id"])

    def test_of_anothers_agent_is_not_found(self, tenant_api):
        response = self.launch(tenant_api, agent_id=AgentFactory(protocol="v5").public_id)
        assert (response.status_code, response.json()["code"]) == (404, "AGENT_NOT_FOUND")

    @pytest.mark.parametrize("protocol", ["v2", "v4", "v4b"])
    def test_is_for_v5_only(self, tenant, tenant_api, protocol):
        agent = AgentFactory(client=tenant, protocol=protocol)
        assert self.launch(tenant_api, agent_id=agent.public_id).json()["code"] == "UNSUPPORTED_BY_AGENT"

    def test_in_another_zone_is_beyond_v5(self, tenant, tenant_api):
        agent = AgentFactory(client=tenant, protocol="v5")
        response = self.launch(tenant_api, agent_id=agent.public_id, az="us-east-1f", target_mode="ondemand")
        assert response.json()["code"] == "UNSUPPORTED_BY_AGENT"

    def test_of_an_unknown_pool_is_invalid(self, tenant, tenant_api):
        agent = AgentFactory(client=tenant, protocol="v5")
        response = self.launch(tenant_api, agent_id=agent.public_id, target_pool_id="t3.medium.us-east-1z")
        assert response.status_code == 400

    def test_can_be_taken_back_until_it_is_fetched(self, tenant, tenant_api):
        agent = AgentFactory(client=tenant, protocol="v5")
        body = self.launch(tenant_api, agent_id=agent.public_id, target_mode="ondemand").json()
        response = tenant_api.post(f"/api/client/instances/{body['instance_id']}/terminate")
        assert response.json()["status"] == "terminated"
        assert Command.objects.get().status == "cancelled"


class TestTerminate:
    def terminate(self, api, instance_id="i-0aaa"):
        return api.post(f"/api/client/instances/{instance_id}/terminate")

    def test_through_v5_is_an_order(self, tenant, tenant_api):
        agent = AgentFactory(client=tenant, protocol="v5")
        InstanceFactory(agent=agent, instance_id="i-0bbb", status="running_replica")
        body = self.terminate(tenant_api, "i-0bbb").json()
        assert body["status"] == "terminating"
        command = Command.objects.get(public_id=body["command_id"])
        assert (command.command_type, command.params) == ("TERMINATE_INSTANCE", {"instance_id": "i-0bbb"})

    def test_through_v4_is_its_list(self, agent, tenant_api, client_token):
        InstanceFactory(agent=agent, instance_id="i-0bbb", status="running_replica")
        body = self.terminate(tenant_api, "i-0bbb").json()
        assert (body["status"], body["command_id"]) == ("terminating", None)
        listed = tenant_api.get(f"/api/agents/{agent.public_id}/instances-to-terminate").json()["instances"]
        assert [entry["instance_id"] for entry in listed] == ["i-0bbb"]

    def test_of_a_primary_says_what_it_means(self, agent, tenant_api):
        assert self.terminate(tenant_api).json()["status"] == "terminating"
        notice = Notification.objects.get(notification_type="instance_termination_requested")
        assert "primary" in notice.message

    @pytest.mark.parametrize("status", ["terminating", "terminated"])
    def test_again_is_nothing_new(self, agent, tenant_api, status):
        Instance.objects.update(status=status)
        response = self.terminate(tenant_api)
        assert (response.status_code, response.json()["status"]) == (200, status)
        assert not Command.objects.exists()

    @pytest.mark.parametrize(
        "change", [{"protocol": "v2"}, {"protocol": "v4b"}, {"auto_terminate_enabled": False}, {"status": "offline"}]
    )
    def test_that_nobody_can_carry_out_is_refused_and_not_marked(self, agent, tenant_api, change):
        Agent.objects.update(**change)
        assert self.terminate(tenant_api).status_code == 409
        assert Instance.objects.get().status == "running_primary"

    def test_of_anothers_is_not_found(self, tenant_api):
        assert self.terminate(tenant_api, InstanceFactory().instance_id).status_code == 404


class TestTheClientsList:
    def rows(self, api, tenant, **query):
        response = api.get(f"/api/client/{tenant.public_id}/instances", query)
        assert response.status_code == 200
        return response.json()

    def test_is_a_bare_array_newest_first(self, tenant, agent, tenant_api):
        InstanceFactory(
            agent=agent, instance_id="i-0new", status="zombie", created_at=clock.now() + timedelta(seconds=1)
        )
        rows = self.rows(tenant_api, tenant)
        assert [row["id"] for row in rows] == ["i-0new", "i-0aaa"]
        assert [row["isPrimary"] for row in rows] == [False, True]
        assert [row["isActive"] for row in rows] == [False, True]

    def test_a_spot_price_is_what_is_paid(self, tenant, agent, tenant_api):
        PoolFactory(price=Decimal("0.0132"))
        (row,) = self.rows(tenant_api, tenant)
        assert (row["type"], row["mode"], row["poolId"]) == ("t3.medium", "spot", "t3.medium.us-east-1a")
        assert (row["spotPrice"], row["currentPrice"], row["onDemandPrice"]) == (0.0132, 0.0132, 0.0416)

    def test_on_demand_pays_the_on_demand_price(self, tenant, tenant_api):
        AgentFactory(client=tenant, current_mode="ondemand")
        OnDemandPriceFactory()
        (row,) = self.rows(tenant_api, tenant)
        assert (row["spotPrice"], row["onDemandPrice"], row["poolId"]) == (0.0416, 0.0416, "n/a")
        assert row["marketSpotPrice"] is None

    def test_an_unknown_price_hides_the_other(self, tenant, agent, tenant_api):
        OnDemandPriceFactory()
        (row,) = self.rows(tenant_api, tenant)
        assert (row["spotPrice"], row["onDemandPrice"]) == (None, None)

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({"status": "active"}, {"i-0aaa"}),
            ({"status": "terminated"}, {"i-0zom"}),
            ({"status": "all"}, {"i-0aaa", "i-0zom"}),
            ({"status": "nonsense"}, {"i-0aaa", "i-0zom"}),
            ({"mode": "on-demand"}, {"i-0zom"}),
            ({"mode": "spot"}, {"i-0aaa"}),
            ({"search": "ZOM"}, {"i-0zom"}),
            ({"search": "t3.med"}, {"i-0aaa", "i-0zom"}),
            ({"search": ""}, {"i-0aaa", "i-0zom"}),
            ({"limit": "1"}, {"i-0aaa"}),
            ({"limit": "-5"}, {"i-0aaa"}),  # the nearest that is allowed
            ({"limit": "many"}, {"i-0aaa", "i-0zom"}),
        ],
    )
    def test_filters(self, tenant, agent, tenant_api, query, found):
        hour_ago = clock.now() - timedelta(hours=1)
        InstanceFactory(agent=agent, instance_id="i-0zom", status="zombie", mode="ondemand", created_at=hour_ago)
        assert {row["id"] for row in self.rows(tenant_api, tenant, **query)} == found

    def test_costs_the_same_for_one_row_and_for_many(self, tenant, agent, tenant_api, django_assert_num_queries):
        for _ in range(30):
            InstanceFactory(agent=agent, status="zombie")
        with django_assert_num_queries(4):
            assert len(self.rows(tenant_api, tenant)) == 31

    def test_of_another_client_is_forbidden(self, tenant_api):
        foreign = AgentFactory().client
        response = tenant_api.get(f"/api/client/{foreign.public_id}/instances")
        assert (response.status_code, response.json()["code"]) == (403, "FORBIDDEN")
