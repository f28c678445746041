"""Launches and moves through a v5 agent (agent-api 3.8, 3.9, 3.33, 4.9, 9.6)."""

from datetime import timedelta

import pytest
import time_machine

from agents.models import Agent, Command
from agents.services.commands import expire_overdue
from agents.services.sweeps import mark_silent_agents_offline
from instances.models import Instance, InstanceAlias, Switch
from instances.services.terminations import sweep
from notifications.models import Notification
from spotopt.common import clock
from tests.dialects import V5
from tests.factories import CommandFactory, PoolFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def now():
    with time_machine.travel("2026-01-05T12:00:00Z", tick=False) as travel:
        yield travel


@pytest.fixture
def v5(client_token):
    program = V5(client_token, instance_id="i-0aaa")
    program.register()
    program.heartbeat()
    return program


@pytest.fixture
def agent(v5):
    return Agent.objects.get(public_id=v5.agent_id)


@pytest.fixture
def switch(v5, tenant_api):
    """The LAUNCH_INSTANCE of a move to on-demand, as the agent got it."""
    response = tenant_api.post("/api/client/instances/i-0aaa/force-switch", {"target": "ondemand"})
    assert response.status_code == 200, response.json()
    (command,) = v5.orders()
    return command


@pytest.fixture
def launch(v5, tenant_api):
    """The LAUNCH_INSTANCE of a standby on spot, as the agent got it."""
    PoolFactory()
    body = {"agent_id": v5.agent_id, "target_pool_id": "t3.medium.us-east-1a"}
    assert tenant_api.post("/api/client/instances/launch", body).status_code == 201
    (command,) = v5.orders()
    return command


def statuses():
    return dict(Instance.objects.values_list("instance_id", "status"))


class TestDelivery:
    def test_is_an_object(self, v5):
        assert v5.get("commands/pending").json() == {"commands": []}

    def test_parameters_stand_where_v5_looks(self, launch):
        assert launch["command_type"] == "LAUNCH_INSTANCE"
        assert launch["params"] == {
            "instance_type": "t3.medium",
            "az": "us-east-1a",
            "role_hint": "replica",
            "target_pool": "spot.t3.medium.us-east-1a",
        }
        assert launch["metadata"] == {}
        assert launch["instance_id"].startswith("i-pending-")
        assert launch["priority"] == 100

    def test_an_on_demand_launch_names_no_pool(self, switch):
        assert "target_pool" not in switch["params"]
        assert switch["params"]["role_hint"] == "primary"

    def test_one_order_at_a_time(self, v5, agent):
        for _ in range(3):
            CommandFactory(agent=agent, command_type="APPLY_CONFIG", params={"config_updates": {}})
        assert len(v5.orders()) == 1

    def test_params_and_metadata_are_always_objects(self, v5, agent):
        CommandFactory(agent=agent, command_type="SELF_DESTRUCT")
        (command,) = v5.orders()
        assert (command["params"], command["metadata"]) == ({}, {})
        assert isinstance(command["request_id"], str)

    def test_v4_orders_never_appear(self, v5, agent):
        CommandFactory(agent=agent)
        assert v5.orders() == []

    def test_a_launch_that_may_have_run_is_not_repeated(self, v5, launch, now):
        now.shift(timedelta(seconds=21))
        assert v5.orders() == []

    def test_a_termination_is_repeated_until_it_has_a_result(self, v5, agent, now):
        CommandFactory(agent=agent, command_type="TERMINATE_INSTANCE", params={"instance_id": "i-0bbb"}, instance_id="")
        v5.orders()
        now.shift(timedelta(seconds=60))
        assert len(v5.orders()) == 1


class TestAStandby:
    def test_by_call_and_result(self, v5, launch):
        response = v5.launched(launch, "i-0bbb").json()
        assert (response["status"], response["instance_id"]) == ("running_replica", "i-0bbb")
        assert v5.result(launch, instance_id="i-0bbb").json()["status"] == "completed"
        assert statuses() == {"i-0aaa": "running_primary", "i-0bbb": "running_replica"}
        assert Notification.objects.filter(notification_type="instance_launched").count() == 1

    def test_by_result_alone(self, v5, launch):
        v5.result(launch, instance_id="i-0bbb")
        assert statuses() == {"i-0aaa": "running_primary", "i-0bbb": "running_replica"}

    def test_by_its_own_registration_first(self, v5, launch, client_token):
        new = V5(client_token, instance_id="i-0bbb")
        new.register()
        own_agent = new.agent_id
        assert own_agent != v5.agent_id
        v5.launched(launch, "i-0bbb")
        assert statuses() == {"i-0aaa": "running_primary", "i-0bbb": "running_replica"}
        assert new.heartbeat().json()["agent_id"] == v5.agent_id
        assert new.orders() == []
        assert new.register().json()["role"] == "replica"

    def test_said_again_changes_nothing(self, v5, launch):
        v5.launched(launch, "i-0bbb")
        v5.result(launch, instance_id="i-0bbb")
        before = list(Instance.objects.order_by("pk").values())
        assert v5.launched(launch, "i-0bbb").status_code == 200
        assert v5.result(launch, instance_id="i-0bbb").json()["status"] == "completed"
        assert list(Instance.objects.order_by("pk").values()) == before

    def test_the_temporary_id_goes_on_answering(self, v5, launch, tenant_api):
        v5.launched(launch, "i-0bbb")
        assert InstanceAlias.objects.get().alias == launch["instance_id"]
        response = tenant_api.post(f"/api/client/instances/{launch['instance_id']}/terminate")
        assert response.json()["instance_id"] == "i-0bbb"

    def test_that_failed_is_over(self, v5, launch):
        v5.result(launch, succeeded=False, error="InsufficientInstanceCapacity: none left")
        assert statuses()[launch["instance_id"]] == "terminated"
        assert Command.objects.get().status == "failed"
        notice = Notification.objects.get(notification_type="launch_failed")
        assert "InsufficientInstanceCapacity" in notice.message

    def test_unconfirmed_stays_launching_until_the_inventory_shows_it(self, v5, launch):
        v5.result(launch, instance_id="i-0bbb", confirmed_after=None)
        assert statuses()["i-0bbb"] == "launching"
        v5.heartbeat(("i-0bbb", "t3.medium.us-east-1a"))
        assert statuses()["i-0bbb"] == "running_replica"

    def test_unconfirmed_and_never_seen_is_terminated(self, v5, launch, now):
        v5.result(launch, instance_id="i-0bbb", confirmed_after=None)
        now.shift(timedelta(minutes=11))
        sweep()
        assert statuses()["i-0bbb"] == "zombie"

    def test_late_after_the_time_out_still_counts(self, v5, launch, now):
        now.shift(timedelta(minutes=15))
        expire_overdue()
        sweep()
        assert statuses()[launch["instance_id"]] == "terminated"
        v5.launched(launch, "i-0bbb")
        v5.result(launch, instance_id="i-0bbb")
        assert statuses()["i-0bbb"] == "running_replica"
        assert Command.objects.get().status == "completed"


class TestASwitch:
    @pytest.mark.parametrize("order", ["call and result", "result alone", "registration first"])
    def test_moves_the_workload(self, v5, switch, client_token, order):
        new = V5(client_token, instance_id="i-0bbb")
        if order == "registration first":
            new.register()
        if order != "result alone":
            v5.launched(switch, "i-0bbb")
        v5.result(switch, instance_id="i-0bbb")
        assert statuses() == {"i-0aaa": "zombie", "i-0bbb": "running_primary"}
        assert Command.objects.get(command_type="LAUNCH_INSTANCE").status == "completed"
        record = Switch.objects.get()
        assert (record.old_instance_id, record.new_instance_id, record.trigger) == ("i-0aaa", "i-0bbb", "manual")
        assert new.register().json()["agent_id"] == v5.agent_id
        agent = Agent.objects.get(public_id=v5.agent_id)
        assert (agent.instance_id, agent.current_mode) == ("i-0bbb", "ondemand")

    def test_is_followed_by_the_tags_and_the_termination(self, v5, switch, client_token, now):
        v5.launched(switch, "i-0bbb")
        v5.result(switch, instance_id="i-0bbb")
        new = V5(client_token, instance_id="i-0bbb")
        new.register()
        (tags,) = new.orders()
        assert tags["command_type"] == "PROMOTE_REPLICA_TO_PRIMARY"
        assert tags["params"] == {"replica_instance_id": "i-0bbb", "old_primary_id": "i-0aaa"}
        new.result(tags)
        now.shift(timedelta(seconds=301))
        new.heartbeat(("i-0aaa", "t3.medium.us-east-1a"))
        sweep()
        (end,) = new.orders()
        assert (end["command_type"], end["params"]) == ("TERMINATE_INSTANCE", {"instance_id": "i-0aaa"})
        assert v5.orders() == []

    def test_launched_for_a_former_primary_is_not_made_primary(self, v5, switch, agent):
        Command.objects.update(instance_id="i-0former")
        v5.launched(switch, "i-0bbb")
        assert statuses() == {"i-0aaa": "running_primary", "i-0bbb": "zombie"}

    def test_while_the_agent_was_mute_it_stays_online(self, v5, switch, now):
        now.shift(timedelta(minutes=5))
        assert mark_silent_agents_offline() == 0


class TestResults:
    def test_of_an_unknown_request_are_acknowledged(self, v5):
        response = v5.post("action-result", {"request_id": "never", "result": "SUCCESS", "metadata": None})
        assert (response.status_code, response.json()["status"]) == (200, "unknown")

    def test_of_another_agents_request_change_nothing(self, v5):
        foreign = CommandFactory(command_type="LAUNCH_INSTANCE")
        v5.post("action-result", {"request_id": foreign.request_id, "result": "FAILURE"})
        foreign.refresh_from_db()
        assert foreign.status == "pending"

    def test_launched_without_a_known_order_is_not_found(self, v5):
        body = {"temp_instance_id": "i-pending-0", "instance_id": "i-0bbb", "request_id": "never"}
        assert v5.post("instance-launched", body).status_code == 404

    def test_launched_is_found_by_its_request_alone(self, v5, launch):
        body = {"temp_instance_id": "i-pending-lost", "instance_id": "i-0bbb", "request_id": launch["request_id"]}
        assert v5.post("instance-launched", body).json()["status"] == "running_replica"

    @pytest.mark.parametrize("missing", ["temp_instance_id", "instance_id"])
    def test_launched_needs_both_ids(self, v5, missing):
        body = {"temp_instance_id": "i-pending-0", "instance_id": "i-0bbb"} | {missing: None}
        response = v5.post("instance-launched", body)
        assert (response.status_code, list(response.json()["details"])) == (400, [missing])

    def test_duration_is_measured(self, v5, launch, now):
        now.shift(timedelta(seconds=40))
        assert v5.launched(launch, "i-0bbb").json()["launch_duration_seconds"] == 40
        assert clock.now() > Instance.objects.get(instance_id="i-0bbb").launch_requested_at
