"""POST /api/agents/register: every client's body, and the decision table R1–R12 (agent-api 3.1, 9.1, 9.2)."""

from datetime import timedelta

import pytest
import time_machine

from agents.models import Agent, Command
from instances.models import Instance, Replica, Switch
from instances.services.registration import TAKEOVER_WINDOW
from notifications.models import Notification, SystemEvent
from spotopt.common import clock
from tests.dialects import V2, V4, V5, V4b
from tests.factories import AgentFactory, ClientFactory, CommandFactory, InstanceFactory, ReplicaFactory, token_of

pytestmark = pytest.mark.django_db

MODES = {V2: "unknown", V4: "spot", V4b: "spot", V5: "unknown"}


@pytest.fixture
def v4(client_token):
    return V4(client_token, instance_id="i-0aaa")


@pytest.fixture
def successor(client_token):
    """The agent on the instance that a switch launched: same image, so same logical id."""
    return V4(client_token, instance_id="i-0bbb", az="us-east-1b")


def primary_of(program):
    return Agent.objects.get(public_id=program.agent_id).instance_id


def statuses():
    return dict(Instance.objects.values_list("instance_id", "status"))


def order_switch(program, **fields):
    """A switch that the program has fetched."""
    agent = Agent.objects.get(public_id=program.agent_id)
    return CommandFactory(
        agent=agent,
        status=Command.Status.DELIVERED,
        delivered_at=clock.now(),
        delivered_to=program.instance_id,
        **{"target_pool_id": "t3.medium.us-east-1b"} | fields,
    )


class TestEveryClient:
    @pytest.mark.parametrize("dialect", [V2, V4, V4b, V5])
    def test_is_registered_as_the_primary_with_its_config(self, client_token, dialect):
        program = dialect(client_token, instance_id="i-0aaa")
        response = program.register()
        assert response.status_code == 200
        body = response.json()
        assert body["role"] == "primary"
        assert body["config"]["enabled"] is True
        assert body["config"]["terminate_wait_seconds"] == 300
        assert body["config"]["min_savings_percent"] == 15.0
        agent = Agent.objects.get(public_id=body["agent_id"])
        assert (agent.status, agent.instance_id, agent.current_mode) == ("online", "i-0aaa", MODES[dialect])
        assert statuses() == {"i-0aaa": "running_primary"}

    @pytest.mark.parametrize(("dialect", "protocol"), [(V2, "v2"), (V4, "v4"), (V4b, "v4b"), (V5, "v5")])
    def test_is_recognised_by_what_it_sends(self, client_token, dialect, protocol):
        program = dialect(client_token, instance_id="i-0aaa")
        program.register()
        assert Agent.objects.get().protocol == protocol

    @pytest.mark.parametrize(
        "odd",
        [
            {"instance_type": None, "az": None, "ami_id": None},
            {"instance_type": "unknown", "az": "unknown", "ami_id": "unknown"},
            {"private_ip": "unknown", "public_ip": None},
            {"hostname": "h" * 400, "agent_version": "9" * 90},
            {"mode": "on-demand"},
            {"surprise": {"nested": [1, 2]}},
        ],
    )
    def test_may_send_what_it_does_not_know(self, v4, odd):
        assert v4.register(**odd).status_code == 200

    def test_may_leave_the_header_out_when_the_body_holds_the_token(self, v4, anonymous_api):
        response = anonymous_api.post("/api/agents/register", v4.registration())
        assert response.status_code == 200

    @pytest.mark.parametrize("missing", [None, "", "unknown", {}])
    def test_needs_an_instance_id(self, v4, missing):
        response = v4.register(instance_id=missing)
        assert response.status_code == 400
        assert response.json()["details"] == {"instance_id": ["This field is required."]}
        assert SystemEvent.objects.filter(event_type="validation_error").count() == 1
        assert not Agent.objects.exists()

    def test_is_its_instance_where_no_logical_id_is_configured(self, v4):
        v4.register(logical_agent_id="")
        assert Agent.objects.get().logical_agent_id == "i-0aaa"

    def test_gets_no_made_up_pool_on_ondemand(self, v4):
        v4.register(mode="ondemand", pool_id="t3.medium.us-east-1a")
        assert Instance.objects.get().pool_id == ""


class TestTheSameAgentAgain:
    def test_keeps_its_id_and_is_announced_once(self, v4):
        first = v4.register().json()["agent_id"]
        second = v4.register().json()["agent_id"]
        assert first == second
        assert Notification.objects.filter(notification_type="new_agent").count() == 1

    def test_restart_of_the_primary_refreshes_it(self, v4):  # R2
        v4.register()
        Agent.objects.update(status="offline")
        v4.register(hostname="renamed", agent_version="4.0.1")
        agent = Agent.objects.get()
        assert (agent.status, agent.hostname, agent.agent_version) == ("online", "renamed", "4.0.1")

    def test_restart_corrects_the_mode(self, v4):
        v4.register(mode="ondemand")
        v4.register(mode="spot")
        instance = Instance.objects.get()
        assert (instance.mode, instance.pool_id) == ("spot", "t3.medium.us-east-1a")
        assert Agent.objects.get().current_pool_id == "t3.medium.us-east-1a"

    def test_a_missing_mode_does_not_unlearn_it(self, v4):
        v4.register(mode="spot")
        v4.register(mode="unknown")
        assert Instance.objects.get().mode == "spot"

    def test_restart_while_switching_keeps_switching(self, v4):
        v4.register()
        Agent.objects.update(status="switching")
        v4.register()
        assert Agent.objects.get().status == "switching"


class TestObsoleteInstances:
    @pytest.mark.parametrize("status", ["zombie", "terminating"])
    def test_never_become_primary_again(self, v4, successor, status):  # R4
        v4.register()
        order_switch(v4)
        successor.register()
        Instance.objects.filter(instance_id="i-0aaa").update(status=status)
        body = v4.register().json()
        assert body["role"] == "zombie"
        assert body["agent_id"] == successor.agent_id
        assert body["config"]["enabled"] is False
        assert body["config"]["terminate_wait_seconds"] == 0
        assert primary_of(successor) == "i-0bbb"

    def test_one_that_counted_as_terminated_is_alive_after_all(self, v4, successor):  # R4
        v4.register()
        order_switch(v4)
        successor.register()
        Instance.objects.filter(instance_id="i-0aaa").update(
            status="terminated", termination_confirmed=True, terminated_at=clock.now()
        )
        assert v4.register().json()["role"] == "zombie"
        old = Instance.objects.get(instance_id="i-0aaa")
        assert (old.status, old.termination_confirmed, old.terminated_at) == ("zombie", False, None)

    def test_a_standby_stays_one(self, v4, client_token):  # R3
        v4.register()
        agent = Agent.objects.get()
        InstanceFactory(agent=agent, instance_id="i-0ccc", status="running_replica")
        standby = V4(client_token, instance_id="i-0ccc")
        body = standby.register(hostname="standby").json()
        assert (body["role"], body["agent_id"]) == ("replica", agent.public_id)
        assert body["config"]["enabled"] is False
        agent.refresh_from_db()
        assert agent.hostname == "host-i-0aaa"
        assert Instance.objects.get(instance_id="i-0ccc").last_seen_at is not None


class TestASuccessor:
    def test_of_a_fetched_switch_takes_over(self, v4, successor):  # R5
        v4.register()
        command = order_switch(v4)
        body = successor.register().json()
        assert (body["agent_id"], body["role"]) == (v4.agent_id, "primary")
        assert statuses() == {"i-0aaa": "zombie", "i-0bbb": "running_primary"}
        command.refresh_from_db()
        assert command.status == "completed"
        switch = Switch.objects.get()
        assert (switch.source, switch.command, switch.trigger) == ("inferred", command, "manual")
        assert successor.orders() == []

    @pytest.mark.parametrize("ending", ["completed", "timed out"])
    def test_is_recognised_after_the_report_was_lost(self, v4, successor, ending):  # 9.2
        v4.register()
        ended = {"completed": {"status": "completed"}, "timed out": {"status": "failed", "timed_out": True}}[ending]
        command = order_switch(v4)
        Command.objects.filter(pk=command.pk).update(**ended)
        assert successor.register().json()["role"] == "primary"
        assert Switch.objects.get().source == "inferred"
        command.refresh_from_db()
        assert command.status == "completed"

    def test_in_another_zone_than_ordered_is_none(self, v4, client_token):
        v4.register()
        order_switch(v4)
        stranger = V4(client_token, instance_id="i-0ddd", az="us-east-1f")
        stranger.register()
        assert Switch.objects.count() == 0  # R8 instead
        assert Instance.objects.get(instance_id="i-0aaa").termination_hold is True

    def test_of_a_dead_primary_takes_over(self, v4, successor):  # R7
        with time_machine.travel("2026-01-05T12:00:00Z", tick=False) as travel:
            v4.register()
            travel.shift(timedelta(seconds=121))
            assert successor.register().json()["role"] == "primary"
        assert statuses() == {"i-0aaa": "zombie", "i-0bbb": "running_primary"}
        assert Instance.objects.get(instance_id="i-0aaa").termination_hold is False

    def test_nobody_expected_takes_over_but_the_old_one_is_kept(self, v4, successor):  # R8
        v4.register()
        assert successor.register().json()["role"] == "primary"
        old = Instance.objects.get(instance_id="i-0aaa")
        assert (old.status, old.termination_hold) == ("zombie", True)
        assert Notification.objects.filter(notification_type="unexpected_takeover").count() == 1

    def test_flipping_freezes_the_primary(self, client_token):  # R8
        programs = [V4(client_token, instance_id=f"i-{n:04x}") for n in range(4)]
        with time_machine.travel("2026-01-05T12:00:00Z", tick=False) as travel:
            roles = []
            for program in programs:
                roles.append(program.register().json()["role"])
                travel.shift(timedelta(seconds=30))
            assert roles == ["primary", "primary", "primary", "replica"]
            travel.shift(TAKEOVER_WINDOW)
            programs[2].heartbeat()
            late = V4(client_token, instance_id="i-0fff")
            assert late.register().json()["role"] == "primary"

    @pytest.mark.parametrize("replica_status", ["launching", "syncing", "ready"])
    def test_that_a_standby_was_asked_for_becomes_it(self, v4, successor, replica_status):  # R6, 9.1
        v4.register()
        agent = Agent.objects.get()
        ReplicaFactory(agent=agent, instance_id="", status=replica_status)
        assert successor.register().json()["role"] == "replica"
        assert Replica.objects.get().instance_id == "i-0bbb"
        assert statuses() == {"i-0aaa": "running_primary", "i-0bbb": "running_replica"}


class TestAnUnconfiguredAgent:
    """Its logical id is its own instance id, so each successor looks like a stranger (R9, C20)."""

    def test_is_adopted_by_the_agent_whose_instance_it_is(self, v4, client_token):
        v4.register()
        agent = Agent.objects.get()
        InstanceFactory(agent=agent, instance_id="i-0bbb", status="running_replica")
        unconfigured = V4(client_token, instance_id="i-0bbb", logical_agent_id="i-0bbb")
        assert unconfigured.register().json()["agent_id"] == agent.public_id
        assert Agent.objects.count() == 1

    def test_is_linked_by_the_one_switch_that_fits(self, client_token):
        old = V4(client_token, instance_id="i-0aaa", logical_agent_id="i-0aaa")
        old.register()
        order_switch(old)
        new = V4(client_token, instance_id="i-0bbb", logical_agent_id="i-0bbb", az="us-east-1b")
        body = new.register().json()
        assert (body["agent_id"], body["role"]) == (old.agent_id, "primary")
        assert Agent.objects.count() == 1

    def test_is_not_guessed_when_two_switches_fit(self, client_token):
        for name in ("i-0aaa", "i-0ccc"):
            program = V4(client_token, instance_id=name, logical_agent_id=name)
            program.register()
            order_switch(program)
        new = V4(client_token, instance_id="i-0bbb", logical_agent_id="i-0bbb", az="us-east-1b")
        new.register()
        assert Agent.objects.count() == 3

    def test_that_was_registered_as_its_own_is_merged_by_the_report(self, client_token):
        old = V4(client_token, instance_id="i-0aaa", logical_agent_id="i-0aaa")
        new = V4(client_token, instance_id="i-0bbb", logical_agent_id="i-0bbb", az="us-east-1b")
        old.register()
        new.register()
        duplicate = new.agent_id
        assert duplicate != old.agent_id
        assert old.report_switch(new).status_code == 200
        assert statuses() == {"i-0aaa": "zombie", "i-0bbb": "running_primary"}
        # the duplicate's id goes on answering, as the agent it became
        assert new.heartbeat().json()["agent_id"] == old.agent_id
        assert new.get("config").json()["enabled"] is True

    def test_gets_its_name_later(self, client_token):  # R12
        program = V4(client_token, instance_id="i-0aaa", logical_agent_id="i-0aaa")
        program.register()
        first = program.agent_id
        program.logical_agent_id = "web"
        assert program.register().json()["agent_id"] == first
        assert Agent.objects.get().logical_agent_id == "web"


class TestOtherIdentities:
    def test_a_changed_logical_id_is_a_new_agent_that_takes_the_instance_along(self, v4):  # R12
        v4.register()
        first = v4.agent_id
        v4.logical_agent_id = "api"
        body = v4.register().json()
        assert (body["role"], body["agent_id"] != first) == ("primary", True)
        assert Agent.objects.get(public_id=first).status == "offline"
        assert statuses() == {"i-0aaa": "running_primary"}

    def test_a_deleted_agent_is_not_revived(self, v4):  # R10
        v4.register()
        first = v4.agent_id
        Agent.objects.update(status="deleted")
        body = v4.register().json()
        assert (body["role"], body["agent_id"] != first) == ("primary", True)
        assert Agent.objects.get(public_id=first).status == "deleted"

    def test_another_clients_instance_of_the_same_name_is_another_instance(self, v4):  # R11
        v4.register()
        other = V4(token_of(ClientFactory()), instance_id="i-0aaa")
        assert other.register().json()["role"] == "primary"
        assert Instance.objects.filter(instance_id="i-0aaa").count() == 2
        assert SystemEvent.objects.filter(event_type="instance_id_clash", severity="warning").count() == 1

    def test_defaults_come_from_the_client(self, tenant, v4):
        tenant.default_auto_terminate_enabled = False
        tenant.default_terminate_wait_seconds = 60
        tenant.save()
        config = v4.register().json()["config"]
        assert (config["auto_terminate_enabled"], config["terminate_wait_seconds"]) == (False, 60)

    def test_logical_ids_differ_by_case(self, client_token):
        for name in ("web", "Web"):
            V4(client_token, instance_id=f"i-{name}", logical_agent_id=name).register()
        assert Agent.objects.count() == 2

    def test_the_reply_carries_the_signed_cookie(self, v4):
        response = v4.register()
        cookie = response.cookies["spotopt_instance"]
        assert (cookie["path"], cookie["httponly"], cookie["secure"]) == ("/api/agents", True, "")

    def test_an_agent_of_a_factory_is_found_by_its_logical_id(self, tenant, client_token):
        agent = AgentFactory(client=tenant, logical_agent_id="web", instance_id="i-0aaa")
        program = V4(client_token, instance_id="i-0aaa")
        assert program.register().json()["agent_id"] == agent.public_id
