"""The command life cycle of v2 and v4 (agent-api 2.4, 3.5–3.7)."""

from datetime import timedelta

import pytest
import time_machine
from django.core.management import call_command

from agents.models import Agent, Command
from agents.services.commands import expire_overdue
from notifications.models import Notification
from spotopt.common import clock
from tests.dialects import V2, V4, V4b
from tests.factories import CommandFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def now():
    with time_machine.travel("2026-01-05T12:00:00Z", tick=False) as travel:
        yield travel


@pytest.fixture
def v4(client_token, now):
    program = V4(client_token, instance_id="i-0aaa")
    program.register()
    return program


@pytest.fixture
def agent(v4):
    return Agent.objects.get()


def order(agent, **fields):
    return CommandFactory(agent=agent, **{"target_pool_id": "t3.medium.us-east-1b"} | fields)


def status_of(command):
    command.refresh_from_db()
    return command.status


class TestPolling:
    def test_nothing_to_do_is_an_empty_array(self, v4):
        assert v4.orders() == []

    def test_every_field_has_the_type_agents_need(self, v4, agent):
        order(agent, terminate_wait_seconds=300)
        (entry,) = v4.orders()
        assert isinstance(entry["id"], str)
        assert (entry["command_type"], entry["target_mode"]) == ("switch", "spot")
        assert entry["target_pool_id"] == "t3.medium.us-east-1b"
        assert entry["instance_id"] == "i-0aaa"
        assert [type(entry[name]) for name in ("priority", "terminate_wait_seconds")] == [int, int]
        assert (type(entry["params"]), type(entry["metadata"])) == (dict, dict)

    def test_a_replica_order_has_no_target_mode(self, v4, agent):
        """With one, v4 would run it as a switch."""
        order(agent, command_type=Command.Type.CREATE_REPLICA, target_mode="spot")
        assert v4.orders()[0]["target_mode"] is None

    def test_v5_orders_never_appear(self, v4, agent):
        order(agent, command_type=Command.Type.TERMINATE_INSTANCE, params={"instance_id": "i-0bbb"})
        assert v4.orders() == []

    def test_higher_priority_comes_first_then_older(self, v4, agent):
        kinds = [(25, "other"), (100, "other"), (25, "other")]
        expected = [order(agent, priority=p, purpose=purpose).public_id for p, purpose in kinds]
        assert [c["id"] for c in v4.orders()] == [expected[1], expected[0], expected[2]]

    def test_delivery_is_noted_and_the_agent_is_switching(self, v4, agent):
        command = order(agent)
        v4.orders()
        assert status_of(command) == "delivered"
        assert (command.delivered_to, command.delivered_at) == ("i-0aaa", clock.now())
        agent.refresh_from_db()
        assert agent.status == "switching"

    def test_is_repeated_for_twenty_seconds_only(self, v4, agent, now):
        order(agent)
        assert len(v4.orders()) == 1
        now.shift(timedelta(seconds=19))
        assert len(v4.orders()) == 1
        now.shift(timedelta(seconds=1))
        assert v4.orders() == []

    def test_is_not_repeated_to_another_instance(self, v4, agent, client_token):
        """The successor polls the same agent id seconds after the switch began."""
        command = order(agent, instance_id="")
        v4.orders()
        Command.objects.filter(pk=command.pk).update(delivered_to="i-0zzz")
        assert v4.orders() == []

    def test_of_a_disabled_agent_brings_nothing(self, v4, agent):
        order(agent)
        Agent.objects.update(enabled=False)
        assert v4.orders() == []
        assert v4.get("config").json()["enabled"] is False

    def test_drops_an_order_for_a_former_primary(self, v4, agent):
        command = order(agent, instance_id="i-0old")
        assert v4.orders() == []
        assert status_of(command) == "superseded"

    def test_drops_an_order_that_is_fetched_too_late(self, v4, agent):
        command = order(agent, expires_at=clock.now() - timedelta(seconds=1))
        assert v4.orders() == []
        assert status_of(command) == "expired"

    def test_tells_v2_from_v4(self, client_token, now):
        v2 = V2(client_token, instance_id="i-0aaa")
        v2.register()
        v2.orders()
        assert Agent.objects.get().protocol == "v2"

    def test_proves_that_a_v4b_is_a_v4(self, client_token, now):
        program = V4b(client_token, instance_id="i-0aaa")
        program.register()
        assert Agent.objects.get().protocol == "v4b"
        program.orders()
        assert Agent.objects.get().protocol == "v4"


class TestOutcome:
    @pytest.mark.parametrize(("success", "status"), [(True, "completed"), (False, "failed")])
    def test_ends_the_command(self, v4, agent, success, status):
        command = order(agent)
        v4.orders()
        response = v4.executed(command.public_id, success=success, message="as told")
        assert response.json() == {"success": True, "command_id": command.public_id, "status": status}
        assert (status_of(command), command.message) == (status, "as told")
        agent.refresh_from_db()
        assert agent.status == "online"

    def test_a_failure_is_told_once(self, v4, agent):
        command = order(agent)
        v4.orders()
        for _ in range(3):
            v4.executed(command.public_id, success=False, message="no capacity")
        assert Notification.objects.filter(notification_type="command_failed").count() == 1
        assert v4.orders() == []

    def test_a_final_state_stays(self, v4, agent):
        command = order(agent)
        v4.executed(command.public_id, success=True, message="")
        v4.executed(command.public_id, success=False, message="but then")
        assert (status_of(command), command.message) == ("completed", "but then")

    def test_a_late_success_corrects_a_time_out(self, v4, agent, now):
        command = order(agent, terminate_wait_seconds=300)
        v4.orders()
        now.shift(timedelta(seconds=300 + 900 + 1))
        expire_overdue()
        assert (status_of(command), command.timed_out) == ("failed", True)
        v4.executed(command.public_id, success=True)
        assert (status_of(command), command.timed_out) == ("completed", False)

    @pytest.mark.parametrize("status", ["success", "failed", "partial"])
    def test_documented_words_are_understood(self, v4, agent, status):
        command = order(agent)
        v4.post(f"commands/{command.public_id}/executed", {"status": status, "error": "text"})
        assert status_of(command) == ("completed" if status == "success" else "failed")

    def test_of_an_unknown_command_is_not_found(self, v4):
        response = v4.executed("no-such-command")
        assert (response.status_code, response.json()["code"]) == (404, "COMMAND_NOT_FOUND")

    def test_of_another_agents_command_is_not_found(self, v4):
        foreign = CommandFactory()
        assert v4.executed(foreign.public_id).status_code == 404
        assert status_of(foreign) == "pending"


class TestV2:
    @pytest.fixture
    def v2(self, client_token, now):
        program = V2(client_token, instance_id="i-0aaa")
        program.register()
        return program

    def test_command_report_acknowledgement(self, v2, client_token):
        command = order(Agent.objects.get())
        v2.orders()
        successor = V2(client_token, instance_id="i-0bbb", az="us-east-1b", mode="spot")
        assert v2.report_switch(successor).status_code == 200
        response = v2.mark_executed(command.public_id)
        assert response.json()["status"] == "completed"
        assert v2.orders() == []

    def test_acknowledgement_without_a_report_is_a_failure(self, v2, now):
        command = order(Agent.objects.get())
        v2.orders()
        assert v2.mark_executed(command.public_id).json()["status"] == "failed"
        now.shift(timedelta(seconds=5))
        assert v2.orders() == []
        assert status_of(command) == "failed"

    def test_acknowledging_the_unknown_is_not_found(self, v2):
        assert v2.mark_executed("nothing").status_code == 404


class TestExpiry:
    def test_of_what_nobody_fetched(self, agent, now, capsys):
        command = order(agent)
        now.shift(timedelta(hours=1, seconds=1))
        call_command("expire_commands")
        assert capsys.readouterr().out == "1 commands expired or failed\n"
        assert status_of(command) == "expired"

    def test_of_what_has_no_result(self, v4, agent, now):
        command = order(agent, terminate_wait_seconds=60)
        v4.orders()
        now.shift(timedelta(seconds=60 + 900 - 1))
        assert expire_overdue() == 0
        now.shift(timedelta(seconds=2))
        assert expire_overdue() == 1
        assert status_of(command) == "failed"
        agent.refresh_from_db()
        assert agent.status == "online"

    def test_makes_room_for_the_next_switch(self, v4, agent, now):
        order(agent)
        now.shift(timedelta(hours=2))
        expire_overdue()
        order(agent)  # the database allows one open switch per agent
        assert len(v4.orders()) == 1


class TestDetail:
    def test_is_what_the_deletion_probe_needs(self, v4, agent):
        body = v4.api.get(f"/api/agents/{v4.agent_id}").json()
        assert body["id"] == body["agent_id"] == v4.agent_id
        assert (body["instance_id"], body["current_pool_id"]) == ("i-0aaa", "t3.medium.us-east-1a")
        assert body["last_heartbeat_at"] == "2026-01-05T12:00:00Z"
        assert body["enabled"] is True

    def test_config_is_flat_and_complete(self, v4):
        config = v4.get("config").json()
        assert config["role"] == "primary"
        assert config["replica_count"] == 0
        assert config["max_switches_per_week"] == 10
        assert None not in config.values()


class TestCleanup:
    BODY = {
        "timestamp": "2026-01-05T11:59:00.000001+00:00",
        "snapshots": {"type": "snapshots", "deleted": ["snap-1", "snap-2"], "failed": [{"id": "snap-3", "error": "x"}]},
        "amis": {"type": "amis", "deleted_amis": ["ami-1"], "deleted_snapshots": ["snap-9"], "failed": []},
    }

    def test_is_counted_once(self, v4, agent):
        for _ in range(2):
            body = v4.post("cleanup-report", self.BODY).json()
            assert (body["deleted_snapshots"], body["deleted_amis"], body["failed_count"]) == (2, 1, 1)
        assert agent.cleanups.count() == 1
        agent.refresh_from_db()
        assert agent.last_cleanup_at == clock.now()

    def test_without_blocks_is_zeros(self, v4):
        body = v4.post("cleanup-report", {"timestamp": None, "snapshots": None}).json()
        assert (body["success"], body["deleted_snapshots"], body["failed_count"]) == (True, 0, 0)
