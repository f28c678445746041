"""Many at once, on a real MySQL or MariaDB with real threads: one primary, one record, one execution."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from agents.models import Agent, Command
from agents.services.sweeps import mark_silent_agents_offline
from clients.models import Client
from instances.models import Instance, InterruptionEpisode, Replica, Switch, UsageInterval
from instances.services.failover import sweep_agent
from instances.services.terminations import sweep
from notifications.models import Notification
from spotopt.common import clock
from tests.dialects import V4, V5
from tests.factories import CommandFactory, InstanceFactory, PoolFactory, ReplicaFactory

pytestmark = [pytest.mark.mysql, pytest.mark.django_db(transaction=True)]


def at_once(*calls):
    """Run the calls in a thread each, started together; their results in order."""
    barrier = threading.Barrier(len(calls))

    def run(call):
        barrier.wait()
        try:
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def codes(responses):
    return sorted(response.status_code for response in responses)


def assert_invariants():
    """Agent-api 8.20, and what hangs on it."""
    for agent in Agent.objects.living():
        primaries = agent.instances.filter(status="running_primary")
        assert primaries.count() == 1
        assert agent.instance_id == primaries.get().instance_id
    for instance in Instance.objects.all():
        open_intervals = UsageInterval.objects.filter(instance=instance, ended_at=None)
        expected = 0 if instance.status == "terminated" or instance.instance_id.startswith("i-pending-") else 1
        assert open_intervals.count() == expected, instance


@pytest.fixture
def v4(client_token):
    program = V4(client_token, instance_id="i-0aaa")
    program.register()
    return program


def successor_of(program, instance_id="i-0bbb"):
    return V4(program.token, instance_id=instance_id, az="us-east-1b")


def fetched_switch(program):
    CommandFactory(agent=Agent.objects.get(public_id=program.agent_id), target_pool_id="t3.medium.us-east-1b")
    (order,) = program.orders()
    return order


def test_twenty_registrations_are_one_agent(client_token):
    programs = [V4(client_token, instance_id="i-0aaa") for _ in range(20)]
    responses = at_once(*(program.register for program in programs))
    assert codes(responses) == [200] * 20
    assert len({r.json()["agent_id"] for r in responses}) == 1
    assert (Agent.objects.count(), Instance.objects.count()) == (1, 1)
    assert Notification.objects.filter(notification_type="new_agent").count() == 1
    assert_invariants()


def test_instances_that_share_a_logical_id_leave_one_primary(client_token):
    programs = [V4(client_token, instance_id=f"i-{n:04x}") for n in range(8)]
    assert codes(at_once(*(p.register for p in programs))) == [200] * 8
    assert Agent.objects.count() == 1
    assert_invariants()


def test_a_registration_and_reports_of_the_same_move(v4):
    order = fetched_switch(v4)
    new = successor_of(v4)
    responses = at_once(
        new.register,
        lambda: v4.report_switch(new),
        lambda: v4.report_switch(new),
        lambda: v4.executed(order["id"]),
        v4.heartbeat,
        v4.say_goodbye,
        v4.orders,
    )
    assert codes(responses[:6]) == [200] * 6
    assert Switch.objects.count() == 1
    assert Command.objects.get().status == "completed"
    assert Agent.objects.get().instance_id == "i-0bbb"
    assert_invariants()


def test_polls_at_once_fetch_an_order_for_one_instance_only(v4):
    CommandFactory(agent=Agent.objects.get())
    replies = at_once(*[v4.orders] * 8)
    assert {order["id"] for reply in replies for order in reply} == {Command.objects.get().public_id}
    assert Command.objects.get().delivered_to == "i-0aaa"


def test_orders_at_once_leave_one_open_switch(v4, tenant_api):
    PoolFactory(az="us-east-1b")

    def order():
        return tenant_api.post("/api/client/instances/i-0aaa/force-switch", {"target": "spot"})

    v4.orders()
    responses = at_once(*[order] * 6)
    assert codes(responses) == [200] + [409] * 5
    assert {r.json()["code"] for r in responses if r.status_code == 409} == {"SWITCH_PENDING"}
    assert Command.objects.open().count() == 1


def test_a_zombie_never_wins_the_role_back(v4):
    fetched_switch(v4)
    new = successor_of(v4)
    new.register()
    at_once(*[v4.register, new.register, v4.heartbeat, new.heartbeat] * 3)
    assert Agent.objects.get().instance_id == "i-0bbb"
    assert Instance.objects.get(instance_id="i-0aaa").status == "zombie"
    assert_invariants()


def test_launch_results_and_registration_of_one_launch(client_token, tenant_api):
    v5 = V5(client_token, instance_id="i-0aaa")
    v5.register()
    v5.heartbeat()
    v5.orders()
    tenant_api.post("/api/client/instances/i-0aaa/force-switch", {"target": "ondemand"})
    (order,) = v5.orders()
    new = V5(client_token, instance_id="i-0bbb")
    responses = at_once(
        new.register,
        lambda: v5.launched(order, "i-0bbb"),
        lambda: v5.launched(order, "i-0bbb"),
        lambda: v5.result(order, instance_id="i-0bbb"),
        lambda: v5.result(order, instance_id="i-0bbb"),
        v5.heartbeat,
    )
    assert codes(responses) == [200] * 6
    statuses = dict(Instance.objects.values_list("instance_id", "status"))
    assert statuses == {"i-0aaa": "zombie", "i-0bbb": "running_primary"}
    assert Switch.objects.count() == 1
    assert new.heartbeat().json()["agent_id"] == v5.agent_id
    assert_invariants()


def notice(program):
    body = {"instance_id": program.instance_id, "termination_time": None, "detected_at": None}
    return program.post("termination-imminent", body)


def test_ten_notices_at_once_are_one_promotion(v4):
    agent = Agent.objects.get()
    InstanceFactory(agent=agent, instance_id="i-0bbb", status="running_replica")
    ReplicaFactory(agent=agent, instance_id="i-0bbb", status="ready")
    responses = at_once(*[lambda: notice(v4)] * 10)
    assert codes(responses) == [200] * 10
    assert {r.json()["success"] for r in responses} == {True}
    assert sorted(r.json()["action"] for r in responses) == ["already_handled"] * 9 + ["replica_promoted"]
    assert (Switch.objects.count(), Replica.objects.get().status) == (1, "promoted")
    assert Agent.objects.get().instance_id == "i-0bbb"


def test_notices_and_requests_at_once_are_one_standby(v4):
    PoolFactory(az="us-east-1b")
    v4.orders()
    emergency = {"signal_type": "termination-notice", "instance_id": "i-0aaa"}
    at_once(
        *[lambda: notice(v4)] * 4,
        *[lambda: v4.post("create-emergency-replica", emergency)] * 4,
        *[lambda: v4.post("rebalance-recommendation", {"instance_id": "i-0aaa"})] * 2,
    )
    assert Replica.objects.count() == 1
    assert InterruptionEpisode.objects.count() == 2  # one of each kind


def test_all_that_completes_a_failover_at_once(v4):
    """Binding, status, registration, the dying host's restart, a person's promotion and two sweepers."""
    PoolFactory(az="us-east-1b")
    v4.orders()
    notice(v4)
    replica = Replica.objects.get()
    new = successor_of(v4)
    path = f"/api/agents/{v4.agent_id}/replicas/{replica.public_id}"
    responses = at_once(
        lambda: v4.api.put(path, {"instance_id": "i-0bbb", "status": "syncing"}),
        lambda: v4.post(f"replicas/{replica.public_id}/status", {"status": "ready"}),
        new.register,
        v4.register,
        lambda: notice(v4),
        lambda: v4.api.post(f"{path}/promote", {}),
        lambda: sweep_agent(agent_pk=replica.agent_id),
        lambda: sweep_agent(agent_pk=replica.agent_id),
    )
    assert codes(responses[:5]) == [200] * 5
    sweep_agent(agent_pk=replica.agent_id)
    assert Agent.objects.get().instance_id == "i-0bbb"
    assert (Switch.objects.count(), Replica.objects.exclude(status="promoted").count()) == (1, 0)
    assert Instance.objects.get(instance_id="i-0aaa").status in ("terminating", "zombie")
    assert_invariants()


def test_polls_at_once_launch_a_standby_once(v4):
    v4.orders()
    ReplicaFactory(agent=Agent.objects.get(), instance_id="", status="launching")
    replies = at_once(*[lambda: v4.get("replicas?status=launching")] * 8)
    assert sum(reply.json()["total"] for reply in replies) == 1


def test_sweepers_at_once_tell_a_silence_once(v4):
    Agent.objects.update(last_heartbeat_at=clock.now() - timedelta(seconds=200))
    assert sum(at_once(*[mark_silent_agents_offline] * 4)) == 1
    assert Notification.objects.filter(notification_type="agent_offline").count() == 1


def test_sweepers_at_once_order_a_termination_once(client_token):
    v5 = V5(client_token, instance_id="i-0aaa")
    v5.register()
    v5.heartbeat()
    v5.orders()
    hour_ago = clock.now() - timedelta(hours=1)
    InstanceFactory(agent=Agent.objects.get(), status="zombie", zombie_since=hour_ago)
    at_once(*[sweep] * 4)
    assert Command.objects.filter(command_type="TERMINATE_INSTANCE").count() == 1


def test_names_differ_byte_by_byte(client_token):
    """MySQL's own comparison takes these for the same."""
    for number, name in enumerate(["web", "Web", "wéb", "web "]):
        V4(client_token, instance_id=f"i-{number}", logical_agent_id=name).register()
    assert Agent.objects.count() == 3  # the blank is cut off by the server, not by the database
    assert Client.objects.count() == 1
