"""What people set on an agent, and its removal (dashboard-api 2.5, agent-api 4.5, 4.10)."""

from datetime import timedelta

import pytest
import time_machine

from agents.models import Agent, Command
from instances.models import Instance, Replica, UsageInterval
from instances.services.failover import record_termination_notice, sweep_agent
from notifications.models import Notification, SystemEvent
from spotopt.common import clock
from tests.dialects import V4, V5
from tests.factories import (
    AgentFactory,
    CommandFactory,
    InstanceFactory,
    InterruptionEpisodeFactory,
    PoolFactory,
    ReplicaFactory,
    UsageIntervalFactory,
)

pytestmark = pytest.mark.django_db

FORM = {
    "terminateWaitMinutes": 5,
    "autoSwitchEnabled": True,
    "manualReplicaEnabled": False,
    "autoTerminateEnabled": True,
}
MANUAL = FORM | {"autoSwitchEnabled": False, "manualReplicaEnabled": True}


@pytest.fixture(autouse=True)
def now():
    with time_machine.travel("2026-01-05T12:00:00Z", tick=False) as travel:
        yield travel


@pytest.fixture
def agent(tenant):
    PoolFactory(az="us-east-1b")
    return AgentFactory(client=tenant)


@pytest.fixture
def in_manual_mode(agent):
    Agent.objects.filter(pk=agent.pk).update(auto_switch_enabled=False, manual_replica_enabled=True)
    agent.refresh_from_db()
    return agent


def post(api, agent, action, body):
    return api.post(f"/api/client/agents/{agent.public_id}/{action}", body)


def configure(api, agent, body):
    response = post(api, agent, "config", body)
    assert response.status_code == 200, response.content
    agent.refresh_from_db()
    return response.json()


def listed(api, agent):
    (row,) = api.get(f"/api/client/{agent.client.public_id}/agents").json()
    return row


class TestConfig:
    def test_answers_with_the_settings_in_effect(self, tenant_api, agent):
        body = FORM | {"terminateWaitMinutes": 30, "autoTerminateEnabled": False}
        assert configure(tenant_api, agent, body) == {
            "success": True,
            "agent_id": agent.public_id,
            "auto_switch_enabled": True,
            "manual_replica_enabled": False,
            "auto_terminate_enabled": False,
            "terminate_wait_minutes": 30,
            "emergency_protection": True,
            "config_version": 2,
            "message": "The settings are saved",
        }
        assert agent.terminate_wait_seconds == 1800

    def test_the_form_turns_manual_replica_mode_on_and_the_list_shows_it(self, staff_api, agent):
        answer = configure(staff_api, agent, MANUAL)
        assert (answer["auto_switch_enabled"], answer["manual_replica_enabled"]) == (False, True)
        row = listed(staff_api, agent)
        assert (row["autoSwitchEnabled"], row["manualReplicaEnabled"], row["configVersion"]) == (False, True, 2)
        replica = Replica.objects.get()
        assert (replica.replica_type, replica.status, replica.pool_id) == (
            "manual",
            "launching",
            "t3.medium.us-east-1b",
        )

    def test_the_form_turns_manual_replica_mode_off_again(self, staff_api, agent):
        configure(staff_api, agent, MANUAL)
        configure(staff_api, agent, FORM | {"autoSwitchEnabled": False})
        row = listed(staff_api, agent)
        assert (row["autoSwitchEnabled"], row["manualReplicaEnabled"]) == (False, False)
        assert not Replica.objects.active().exists()

    @pytest.mark.parametrize(
        ("body", "auto", "manual"),
        [
            ({"manualReplicaEnabled": True}, False, True),
            ({"manual_replica_enabled": True}, False, True),
            ({"autoSwitchEnabled": False}, False, False),
            ({"manualReplicaEnabled": False}, True, False),
            ({}, True, False),
        ],
    )
    def test_one_mode_turns_the_other_off(self, tenant_api, agent, body, auto, manual):
        configure(tenant_api, agent, body)
        assert (agent.auto_switch_enabled, agent.manual_replica_enabled) == (auto, manual)

    def test_auto_switch_turns_manual_mode_off(self, tenant_api, in_manual_mode):
        configure(tenant_api, in_manual_mode, {"autoSwitchEnabled": True})
        assert (in_manual_mode.auto_switch_enabled, in_manual_mode.manual_replica_enabled) == (True, False)

    def test_both_modes_at_once_are_refused(self, tenant_api, agent):
        response = post(tenant_api, agent, "config", FORM | {"manualReplicaEnabled": True})
        assert (response.status_code, response.json()["code"]) == (400, "VALIDATION_ERROR")
        assert "exclude each other" in response.json()["error"]
        agent.refresh_from_db()
        assert agent.config_version == 1

    def test_a_form_that_changes_nothing_costs_no_version_and_no_event(self, tenant_api, agent):
        assert configure(tenant_api, agent, FORM)["config_version"] == 1
        assert not SystemEvent.objects.exists()

    def test_a_wait_that_is_no_whole_minute_survives_the_form_that_shows_it_rounded(self, tenant_api, agent):
        Agent.objects.update(terminate_wait_seconds=290)
        assert configure(tenant_api, agent, FORM)["config_version"] == 1
        assert agent.terminate_wait_seconds == 290

    def test_every_effective_change_counts_once_and_is_told(self, tenant_api, agent):
        configure(tenant_api, agent, FORM | {"terminateWaitMinutes": 10, "autoTerminateEnabled": False})
        assert agent.config_version == 2
        event = SystemEvent.objects.get(event_type="agent_config_changed")
        assert event.agent_id == agent.public_id
        assert event.metadata["changes"] == {
            "terminate_wait_seconds": [300, 600],
            "auto_terminate_enabled": [True, False],
        }

    def test_takes_the_limits_of_decisions(self, tenant_api, agent):
        body = {"min_savings_percent": 7.5, "risk_threshold": 0.25, "max_switches_per_week": 4}
        configure(tenant_api, agent, body | {"min_pool_duration_hours": 12, "max_switches_per_day": 1})
        assert (float(agent.min_savings_percent), float(agent.risk_threshold)) == (7.5, 0.25)
        assert (agent.max_switches_per_week, agent.min_pool_duration_hours, agent.max_switches_per_day) == (4, 12, 1)
        assert agent.config_version == 2
        configure(tenant_api, agent, body)
        assert agent.config_version == 2

    def test_emergency_protection_can_be_turned_off(self, tenant_api, agent):
        answer = configure(tenant_api, agent, {"emergencyProtection": False})
        assert answer["emergency_protection"] is agent.emergency_protection is False
        assert listed(tenant_api, agent)["emergencyProtection"] is False

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("terminateWaitMinutes", 0),
            ("terminateWaitMinutes", 1441),
            ("terminateWaitMinutes", 1.5),
            ("terminateWaitMinutes", "5"),
            ("terminateWaitMinutes", True),
            ("terminateWaitMinutes", None),
            ("autoSwitchEnabled", "yes"),
            ("autoSwitchEnabled", 1),
            ("manualReplicaEnabled", None),
            ("emergencyProtection", []),
            ("min_savings_percent", 100.5),
            ("min_savings_percent", -1),
            ("risk_threshold", 1.01),
            ("risk_threshold", 1e300),
            ("max_switches_per_week", 1001),
            ("min_pool_duration_hours", 721),
        ],
    )
    def test_what_makes_no_sense_is_refused_with_a_text(self, tenant_api, agent, field, value):
        response = post(tenant_api, agent, "config", {field: value})
        assert response.status_code == 400
        assert response.json()["error"].startswith(f"{field}: ")
        assert field in response.json()["details"]
        agent.refresh_from_db()
        assert agent.config_version == 1

    def test_says_that_an_agent_cannot_launch_standbys(self, tenant_api, tenant):
        agent = AgentFactory(client=tenant, protocol="v2")
        assert "cannot launch standbys" in configure(tenant_api, agent, MANUAL)["message"]
        assert not Replica.objects.exists()

    def test_agents_read_the_new_config(self, client_token, tenant_api):
        program = V4(client_token, instance_id="i-0aaa")
        program.register()
        configure(tenant_api, Agent.objects.get(), MANUAL | {"terminateWaitMinutes": 7})
        config = program.get("config").json()
        assert (config["manual_replica_enabled"], config["auto_switch_enabled"]) == (True, False)
        assert (config["terminate_wait_seconds"], config["config_version"]) == (420, 2)


class TestStandbysOfManualMode:
    def test_a_v4_agent_is_told_to_launch_and_later_to_terminate(self, client_token, tenant_api):
        PoolFactory(az="us-east-1b")
        program = V4(client_token, instance_id="i-0aaa")
        program.register()
        program.orders()
        agent = Agent.objects.get()
        configure(tenant_api, agent, MANUAL)
        (wanted,) = program.get("replicas?status=launching").json()["replicas"]
        program.api.put(
            f"/api/agents/{program.agent_id}/replicas/{wanted['id']}", {"instance_id": "i-0rep", "status": "syncing"}
        )
        configure(tenant_api, agent, FORM)
        replica = Replica.objects.get()
        assert (replica.status, replica.termination_confirmed) == ("terminated", False)
        assert Instance.objects.get(instance_id="i-0rep").status == "terminating"
        (due,) = program.get("replicas?status=terminated").json()["replicas"]
        assert due["instance_id"] == "i-0rep"
        program.post(f"replicas/{replica.public_id}/status", {"status": "terminated"})
        assert Instance.objects.get(instance_id="i-0rep").status == "terminated"

    def test_a_v5_agent_is_ordered_to_launch_and_later_to_terminate(self, client_token, tenant_api):
        PoolFactory()
        program = V5(client_token, instance_id="i-0aaa")
        program.register()
        program.orders()
        agent = Agent.objects.get()
        configure(tenant_api, agent, MANUAL)
        (launch,) = program.orders()
        assert launch["command_type"] == "LAUNCH_INSTANCE"
        program.launched(launch, "i-0rep")
        program.result(launch, instance_id="i-0rep")
        configure(tenant_api, agent, FORM)
        (order,) = program.orders()
        assert (order["command_type"], order["params"]["instance_id"]) == ("TERMINATE_INSTANCE", "i-0rep")
        assert Instance.objects.get(instance_id="i-0rep").status == "terminating"

    def test_a_launch_that_nobody_fetched_is_taken_back(self, client_token, tenant_api):
        PoolFactory()
        program = V5(client_token, instance_id="i-0aaa")
        program.register()
        program.orders()
        agent = Agent.objects.get()
        configure(tenant_api, agent, MANUAL)
        configure(tenant_api, agent, FORM)
        assert program.orders() == []
        assert Replica.objects.get().termination_confirmed

    def test_one_that_runs_already_is_kept(self, tenant_api, agent):
        standby = ReplicaFactory(agent=agent, replica_type="automatic-rebalance")
        configure(tenant_api, agent, MANUAL)
        assert list(Replica.objects.active()) == [standby]

    def test_automatic_ones_are_left_alone_when_the_mode_ends(self, tenant_api, in_manual_mode):
        ReplicaFactory(agent=in_manual_mode)
        automatic = ReplicaFactory(agent=in_manual_mode, replica_type="automatic-rebalance")
        configure(tenant_api, in_manual_mode, {"autoSwitchEnabled": True})
        assert list(Replica.objects.active()) == [automatic]
        assert SystemEvent.objects.filter(event_type="replicas_disabled").count() == 1

    def test_in_an_emergency_the_standby_stays_until_the_signal_is_over(self, tenant_api, in_manual_mode, now):
        InstanceFactory(agent=in_manual_mode, instance_id="i-0rep", status="running_replica", last_seen_at=clock.now())
        standby = ReplicaFactory(agent=in_manual_mode, instance_id="i-0rep")
        signal = InterruptionEpisodeFactory(agent=in_manual_mode, kind="rebalance")
        configure(tenant_api, in_manual_mode, {"autoSwitchEnabled": True})
        sweep_agent(agent_pk=in_manual_mode.pk)
        standby.refresh_from_db()
        assert (standby.status, standby.replica_type) == ("ready", "automatic-rebalance")
        signal.status = "resolved"
        signal.save()
        sweep_agent(agent_pk=in_manual_mode.pk)
        standby.refresh_from_db()
        assert standby.status == "terminated"

    def test_a_failover_still_finds_the_standby_of_a_mode_that_was_turned_off_meanwhile(
        self, tenant_api, in_manual_mode
    ):
        agent, old = in_manual_mode, in_manual_mode.instance_id
        ReplicaFactory(agent=agent, instance_id="i-0rep", status="launching")
        record_termination_notice(agent=agent, instance_id=old, deadline=clock.now() + timedelta(seconds=110))
        configure(tenant_api, agent, {"autoSwitchEnabled": True})
        Replica.objects.update(status="ready")
        sweep_agent(agent_pk=agent.pk)
        agent.refresh_from_db()
        assert agent.instance_id == "i-0rep"


class TestUndeliveredAutomaticMoves:
    @pytest.mark.parametrize(
        ("action", "body"),
        [("config", {"autoSwitchEnabled": False}), ("config", MANUAL), ("toggle-enabled", {"enabled": False})],
    )
    def test_are_taken_back_with_what_allowed_them(self, tenant_api, agent, action, body):
        command = CommandFactory(agent=agent, created_by="model")
        assert post(tenant_api, agent, action, body).status_code == 200
        command.refresh_from_db()
        assert command.status == "superseded"

    def test_a_persons_order_stays(self, tenant_api, agent):
        command = CommandFactory(agent=agent, created_by="manual")
        configure(tenant_api, agent, MANUAL)
        command.refresh_from_db()
        assert command.status == "pending"


class TestToggle:
    def test_off_and_on(self, tenant_api, agent):
        off = post(tenant_api, agent, "toggle-enabled", {"enabled": False})
        assert off.json() == {"success": True, "agent_id": agent.public_id, "enabled": False, "config_version": 2}
        assert listed(tenant_api, agent)["enabled"] is False
        on = post(tenant_api, agent, "toggle-enabled", {"enabled": True})
        assert (on.json()["enabled"], on.json()["config_version"]) == (True, 3)
        assert SystemEvent.objects.filter(event_type="agent_toggled").count() == 2

    def test_again_changes_nothing(self, tenant_api, agent):
        assert post(tenant_api, agent, "toggle-enabled", {"enabled": True}).json()["config_version"] == 1
        assert not SystemEvent.objects.exists()

    @pytest.mark.parametrize("body", [{}, {"enabled": None}, {"enabled": "no"}, {"enabled": 0}])
    def test_needs_a_boolean(self, tenant_api, agent, body):
        response = post(tenant_api, agent, "toggle-enabled", body)
        assert (response.status_code, "enabled" in response.json()["details"]) == (400, True)

    def test_a_disabled_agent_gets_no_orders(self, client_token, tenant_api):
        program = V4(client_token, instance_id="i-0aaa")
        program.register()
        agent = Agent.objects.get()
        CommandFactory(agent=agent)
        post(tenant_api, agent, "toggle-enabled", {"enabled": False})
        assert program.orders() == []
        assert program.heartbeat().status_code == 200

    def test_manual_mode_goes_on_when_enabled_again(self, tenant_api, in_manual_mode):
        Agent.objects.update(enabled=False)
        post(tenant_api, in_manual_mode, "toggle-enabled", {"enabled": True})
        assert Replica.objects.active().count() == 1


class TestOlderSettings:
    def test_are_saved_as_one_change(self, tenant_api, agent):
        body = {
            "auto_switch_enabled": False,
            "auto_terminate_enabled": False,
            "replica_enabled": True,
            "replica_count": 2,
        }
        response = post(tenant_api, agent, "settings", body)
        assert response.json() == {
            "success": True,
            "agent_id": agent.public_id,
            "auto_switch_enabled": False,
            "manual_replica_enabled": False,
            "auto_terminate_enabled": False,
            "config_version": 2,
        }
        agent.refresh_from_db()
        assert (agent.replica_enabled, agent.replica_target) == (True, 2)

    def test_auto_switch_ends_manual_mode(self, tenant_api, in_manual_mode):
        ReplicaFactory(agent=in_manual_mode)
        post(tenant_api, in_manual_mode, "settings", {"auto_switch_enabled": True})
        in_manual_mode.refresh_from_db()
        assert not in_manual_mode.manual_replica_enabled
        assert not Replica.objects.active().exists()

    @pytest.mark.parametrize("body", [{"replica_count": 6}, {"replica_count": -1}, {"auto_switch_enabled": "on"}])
    def test_are_checked(self, tenant_api, agent, body):
        assert post(tenant_api, agent, "settings", body).status_code == 400


class TestRemoval:
    def remove(self, api, agent):
        return api.delete(f"/api/client/agents/{agent.public_id}", content_type="application/json")

    def test_keeps_the_history_and_turns_everything_off(self, tenant_api, in_manual_mode):
        agent = in_manual_mode
        command, standby = CommandFactory(agent=agent), ReplicaFactory(agent=agent)
        response = self.remove(tenant_api, agent)
        assert (response.status_code, response.json()["success"], response.json()["agent_id"]) == (
            200,
            True,
            agent.public_id,
        )
        for row in (agent, command, standby):
            row.refresh_from_db()
        assert (agent.status, agent.deleted_at) == ("deleted", clock.now())
        settings = [agent.enabled, agent.auto_switch_enabled, agent.manual_replica_enabled, agent.replica_target]
        assert settings == [False, False, False, 0]
        assert (command.status, standby.status) == ("cancelled", "terminated")
        assert tenant_api.get(f"/api/client/{agent.client.public_id}/agents").json() == []
        (old,) = tenant_api.get(f"/api/client/{agent.client.public_id}/agents/history").json()
        assert old["terminatedAt"] == "2026-01-05T12:00:00Z"
        assert SystemEvent.objects.filter(event_type="agent_deleted").count() == 1
        assert Notification.objects.get(notification_type="agent_deleted").severity == "info"

    def test_may_be_repeated(self, tenant_api, agent):
        assert [self.remove(tenant_api, agent).status_code for _ in range(2)] == [200, 200]
        assert SystemEvent.objects.filter(event_type="agent_deleted").count() == 1

    def test_does_not_claim_that_the_machine_is_gone(self, tenant_api, agent):
        self.remove(tenant_api, agent)
        assert Instance.objects.get().status == "running_primary"

    def test_a_machine_that_was_never_heard_costs_nothing_from_then_on(self, tenant_api, agent):
        standby = InstanceFactory(agent=agent, status="running_replica")
        UsageIntervalFactory(instance=standby, role="replica")
        self.remove(tenant_api, agent)
        assert UsageInterval.objects.get(instance=standby).ended_at == clock.now()

    def test_no_standby_is_made_for_a_deleted_agent(self, tenant_api, agent):
        InterruptionEpisodeFactory(agent=agent)
        self.remove(tenant_api, agent)
        sweep_agent(agent_pk=agent.pk)
        assert not Replica.objects.exists()
        assert not Command.objects.exists()


ACTIONS = [
    ("toggle-enabled", {"enabled": True}),
    ("settings", {"auto_switch_enabled": True}),
    ("config", FORM),
]


@pytest.mark.parametrize(("action", "body"), ACTIONS)
class TestWho:
    def test_another_tenants_agent_is_404(self, tenant_api, action, body):
        response = post(tenant_api, AgentFactory(), action, body)
        unknown = tenant_api.post(f"/api/client/agents/nobody/{action}", body)
        assert (response.status_code, response.json()) == (404, unknown.json())

    def test_a_deleted_agent_is_a_conflict(self, tenant_api, tenant, action, body):
        response = post(tenant_api, AgentFactory(client=tenant, status="deleted"), action, body)
        assert response.status_code == 409

    def test_the_operator_may(self, admin_api, agent, action, body):
        assert post(admin_api, agent, action, body).status_code == 200


def test_another_tenants_agent_cannot_be_removed(tenant_api):
    foreign = AgentFactory()
    assert tenant_api.delete(f"/api/client/agents/{foreign.public_id}").status_code == 404
    foreign.refresh_from_db()
    assert foreign.status == "online"
