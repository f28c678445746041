"""Interruption signals and the failover the server owns (agent-api 3.14–3.19, 4.6, section 8 item 12)."""

from datetime import timedelta

import pytest
import time_machine
from django.core.management import call_command

from agents.models import Agent, Command
from instances.models import Instance, InterruptionEpisode, LaunchFailure, Pool, Replica, Switch
from instances.services.failover import sweep_agent
from instances.services.roles import mark_terminated
from notifications.models import Notification
from spotopt.common import clock
from tests.dialects import V2, V4, V5, V4b
from tests.factories import CommandFactory, InstanceFactory, PoolFactory, ReplicaFactory

pytestmark = pytest.mark.django_db

DEADLINE = "2026-01-05T12:02:00Z"


@pytest.fixture(autouse=True)
def now():
    with time_machine.travel("2026-01-05T12:00:00Z", tick=False) as travel:
        yield travel


@pytest.fixture(autouse=True)
def pools():
    return [PoolFactory(az=f"us-east-1{letter}") for letter in "ab"]


@pytest.fixture
def v4(client_token):
    program = V4(client_token, instance_id="i-0aaa")
    program.register()
    program.orders()
    return program


@pytest.fixture
def v5(client_token):
    return V5(client_token, instance_id="i-0aaa").settle()


def agent():
    return Agent.objects.get()


def standby(instance_id="i-0bbb", status="ready"):
    """A standby of the agent, bound to a running instance."""
    InstanceFactory(agent=agent(), instance_id=instance_id, status="running_replica", az="us-east-1b")
    return ReplicaFactory(agent=agent(), instance_id=instance_id, status=status)


def imminent(program, **body):
    return program.post(
        "termination-imminent",
        {"instance_id": program.instance_id, "termination_time": DEADLINE, "detected_at": "2026-01-05T12:00:00"} | body,
    )


def emergency(program, signal="termination-notice", **body):
    body = {"signal_type": signal, "instance_id": program.instance_id, "termination_time": DEADLINE} | body
    return program.post("create-emergency-replica", body)


def statuses():
    return dict(Instance.objects.values_list("instance_id", "status"))


def put(program, replica_id, instance_id):
    body = {"instance_id": instance_id, "status": "syncing"}
    return program.api.put(f"/api/agents/{program.agent_id}/replicas/{replica_id}", body)


def say(program, replica_id, status, **body):
    return program.post(f"replicas/{replica_id}/status", {"status": status} | body)


class TestATerminationNotice:
    def test_with_a_ready_standby_is_a_failover(self, v4):
        replica = standby()
        body = imminent(v4).json()
        assert (body["success"], body["action"], body["new_instance_id"]) == (True, "replica_promoted", "i-0bbb")
        assert body["create_emergency_replica"] is False
        assert statuses() == {"i-0aaa": "terminating", "i-0bbb": "running_primary"}
        replica.refresh_from_db()
        assert (replica.status, replica.promoted_at) == ("promoted", clock.now())
        assert (agent().instance_id, agent().az, agent().notice_status) == ("i-0bbb", "us-east-1b", "none")
        switch = Switch.objects.get()
        assert (switch.trigger, switch.source, switch.old_instance_id) == ("emergency", "promoted", "i-0aaa")
        episode = InterruptionEpisode.objects.get()
        assert (episode.status, episode.response) == ("resolved", "promoted-existing-replica")
        assert Notification.objects.filter(notification_type="failover_completed", severity="error").count() == 1

    def test_with_a_bound_syncing_standby_is_one_too(self, v4):
        standby(status="syncing")
        assert imminent(v4).json()["success"] is True

    def test_without_a_running_standby_stays_false_because_v4_would_quit(self, v4):
        body = imminent(v4).json()
        assert (body["success"], body["pending"], body["action"]) == (False, True, "failover_pending")
        assert isinstance(body["error"], str)
        replica = Replica.objects.get()
        assert (replica.status, replica.instance_id, replica.az) == ("launching", "", "us-east-1b")
        assert statuses() == {"i-0aaa": "running_primary"}

    @pytest.mark.parametrize("evidence", ["ready", "registration after ready", "last moment", "silence"])
    def test_is_completed_by_the_server_when_the_standby_runs(self, v4, client_token, now, evidence):
        imminent(v4)
        replica = Replica.objects.get()
        if evidence == "registration after ready":  # the binding PUT was lost (9.1)
            say(v4, replica.public_id, "ready")
            assert agent().instance_id == "i-0aaa"
            new = V4(client_token, instance_id="i-0bbb", az="us-east-1b")
            assert new.register().json()["role"] == "primary"
        else:
            put(v4, replica.public_id, "i-0bbb")
            assert agent().instance_id == "i-0aaa"
            if evidence == "ready":
                assert say(v4, replica.public_id, "ready").json()["status"] == "promoted"
            else:
                now.shift(timedelta(seconds=91 if evidence == "last moment" else 121))
                call_command("sweep_failovers")
        assert statuses() == {"i-0aaa": "terminating", "i-0bbb": "running_primary"}
        assert Switch.objects.count() == 1

    @pytest.mark.parametrize("told", ["2026-01-05T11:58:00Z", "2026-01-05T13:02:01Z"])
    def test_by_a_wrong_clock_leaves_the_standby_the_usual_time(self, v4, now, told):
        """The server's or the machine's: the notice must not seem to have run out when it comes."""
        imminent(v4, termination_time=told)
        put(v4, Replica.objects.get().public_id, "i-0bbb")
        assert agent().instance_id == "i-0aaa"
        episode = InterruptionEpisode.objects.get()
        assert episode.deadline_at - episode.detected_at == timedelta(seconds=120)
        now.shift(timedelta(seconds=91))
        call_command("sweep_failovers")
        assert agent().instance_id == "i-0bbb"

    def test_repeated_on_the_dying_host_is_silent_and_cheap(self, v4, django_assert_max_num_queries):
        standby()
        imminent(v4)
        told = Notification.objects.count()
        for _ in range(3):
            assert v4.register().json()["role"] == "zombie"
            with django_assert_max_num_queries(7):
                body = imminent(v4).json()
            assert (body["success"], body["action"]) == (True, "already_handled")
        v4.say_goodbye()
        assert (agent().instance_id, agent().status) == ("i-0bbb", "online")
        assert Notification.objects.count() == told
        assert Replica.objects.count() == 1

    def test_prefers_the_standby_that_is_named(self, v4):
        standby("i-0bbb")
        named = standby("i-0ccc")
        assert imminent(v4, replica_id=named.public_id).json()["new_instance_id"] == "i-0ccc"

    def test_for_a_standby_leaves_the_primary_alone(self, v4):
        replica = standby()
        body = imminent(v4, instance_id="i-0bbb").json()
        assert (body["success"], body["action"]) == (True, "standby_lost")
        replica.refresh_from_db()
        assert replica.status == "failed"
        assert agent().instance_id == "i-0aaa"

    @pytest.mark.parametrize("unknown", [None, "i-0never"])
    def test_without_a_known_instance_is_about_the_primary(self, v4, unknown):
        standby()
        v4.api.cookies.clear()
        assert imminent(v4, instance_id=unknown).json()["new_instance_id"] == "i-0bbb"

    def test_works_whatever_the_settings_say(self, v4):
        Agent.objects.update(auto_switch_enabled=False, emergency_protection=False)
        standby()
        assert imminent(v4).json()["success"] is True

    def test_of_v4b_is_recognised_on_the_wrong_path(self, client_token):
        program = V4b(client_token, instance_id="i-0aaa")
        program.register()
        for _ in range(3):
            body = program.post("rebalance-recommendation", {"notice_time": DEADLINE, "immediate": True}).json()
        assert (body["success"], body["action"]) == (False, "emergency_snapshot_required")
        episode = InterruptionEpisode.objects.get()
        assert (episode.kind, episode.reports, episode.response) == ("termination-notice", 3, "emergency-snapshot")

    def test_of_v5_orders_an_instance_of_another_kind_and_fails_over(self, v5):
        body = {"cloud_instance_id": "i-0aaa", "notice_type": "TERMINATION", "termination_time": DEADLINE}
        assert v5.post("termination-report", body).json()["action"] == "failover_pending"
        assert v5.post("termination-report", body).status_code == 200
        (order,) = v5.orders()
        assert (order["command_type"], order["params"]["role_hint"]) == ("LAUNCH_INSTANCE", "replica")
        assert "target_pool" not in order["params"]  # its own pool is the endangered one
        v5.launched(order, "i-0bbb")
        v5.result(order, instance_id="i-0bbb")
        assert statuses() == {"i-0aaa": "terminating", "i-0bbb": "running_primary"}
        tags = Command.objects.get(command_type="PROMOTE_REPLICA_TO_PRIMARY")
        assert tags.params == {"replica_instance_id": "i-0bbb", "old_primary_id": "i-0aaa"}

    def test_of_v5_that_gets_no_launch_result_tries_again(self, v5, now):
        body = {"cloud_instance_id": "i-0aaa", "notice_type": "TERMINATION", "termination_time": "2026-01-05T13:00:00Z"}
        v5.post("termination-report", body)
        v5.orders()
        now.shift(timedelta(minutes=8))
        call_command("expire_commands")
        call_command("sweep_failovers")
        assert [r.status for r in Replica.objects.order_by("id")] == ["failed"]
        v5.post("termination-report", body)
        assert Replica.objects.active().count() == 1

    def test_too_late_for_a_standby_is_made_good_when_it_comes_up(self, v4, now):
        imminent(v4)
        replica = Replica.objects.get()
        now.shift(timedelta(seconds=200))
        call_command("sweep_terminations")
        assert statuses() == {"i-0aaa": "terminated"}
        assert InterruptionEpisode.objects.get().status == "failed"
        put(v4, replica.public_id, "i-0bbb")
        assert agent().instance_id == "i-0bbb"

    def test_is_over_when_the_machine_is_gone_whoever_told_first(self, v5, now):
        """Another agent's inventories may miss it before the notice's own deadline is over."""
        notice = {"cloud_instance_id": "i-0aaa", "notice_type": "TERMINATION", "termination_time": DEADLINE}
        v5.post("termination-report", notice)
        now.shift(timedelta(seconds=150))
        gone = Instance.objects.get(instance_id="i-0aaa")
        mark_terminated(instance=gone, at=clock.now(), reason="missing from two inventories")
        now.shift(timedelta(seconds=100))
        call_command("sweep_terminations")
        call_command("sweep_failovers")
        assert InterruptionEpisode.objects.get().status == "failed"
        assert agent().notice_status == "none"

    def test_withdraws_orders_for_the_old_host(self, v4):
        standby()
        command = CommandFactory(agent=agent())
        imminent(v4)
        command.refresh_from_db()
        assert command.status == "superseded"


class TestARebalanceRecommendation:
    def test_makes_a_standby_and_moves_nothing(self, v4):
        body = v4.post("rebalance-recommendation", {"instance_id": "i-0aaa", "detected_at": "now"}).json()
        assert (body["success"], body["action"], body["status"]) == (True, "monitor", "acknowledged")
        assert body["notice_status"] == "rebalance"
        assert Replica.objects.get().replica_type == "automatic-rebalance"
        assert agent().instance_id == "i-0aaa"

    def test_repeated_is_one_episode(self, v4):
        for _ in range(5):
            v4.post("rebalance-recommendation", {"instance_id": "i-0aaa"})
        assert InterruptionEpisode.objects.get().reports == 5
        assert Replica.objects.count() == 1
        assert Notification.objects.filter(notification_type="rebalance_recommendation").count() == 1

    def test_never_downgrades_a_termination(self, v4):
        imminent(v4)
        v4.post("rebalance-recommendation", {"instance_id": "i-0aaa"})
        assert agent().notice_status == "termination"

    def test_that_nothing_comes_of_retires_its_standby(self, v4, now):
        v4.post("rebalance-recommendation", {"instance_id": "i-0aaa"})
        put(v4, Replica.objects.get().public_id, "i-0bbb")
        now.shift(timedelta(hours=2, seconds=1))
        v4.heartbeat()
        call_command("sweep_failovers")
        assert (Replica.objects.get().status, agent().notice_status) == ("terminated", "none")
        assert statuses()["i-0bbb"] == "terminating"

    def test_names_another_pool_where_the_risk_is_high(self, v4):
        Agent.objects.update(risk_threshold="0.01")
        other = InstanceFactory().agent
        InterruptionEpisode.objects.create(
            client=other.client, agent=other, instance_id="i-0x", kind="termination-notice",
            pool_id="t3.medium.us-east-1a", status="resolved",
        )  # fmt: skip
        body = v4.post("rebalance-recommendation", {"instance_id": "i-0aaa"}).json()
        assert (body["action"], body["target_pool_id"]) == ("switch", "t3.medium.us-east-1b")

    def test_of_v2_is_only_noted(self, client_token):
        program = V2(client_token, instance_id="i-0aaa")
        program.register()
        assert program.post("rebalance-recommendation", {}).json()["action"] == "monitor"
        assert not Replica.objects.exists()


class TestAnEmergencyStandby:
    def test_is_created_once(self, v4):
        first, second = emergency(v4), emergency(v4)
        assert (first.status_code, second.status_code) == (201, 200)
        assert first.json()["replica_id"] == second.json()["replica_id"]
        assert second.json()["existing"] is True
        assert first.json()["replica_instance_id"] is None
        assert first.json()["pool"]["az"] == "us-east-1b"

    def test_takes_an_existing_one_of_any_kind(self, v4):
        replica = standby()
        body = emergency(v4, "rebalance-recommendation").json()
        assert (body["replica_id"], body["replica_instance_id"]) == (replica.public_id, "i-0bbb")

    def test_is_refused_for_a_rebalance_without_protection(self, v4):
        Agent.objects.update(emergency_protection=False)
        response = emergency(v4, "rebalance_recommendation")
        assert (response.status_code, response.json()["code"]) == (403, "AUTO_SWITCH_DISABLED")

    def test_is_never_refused_for_a_termination(self, v4):
        Agent.objects.update(emergency_protection=False, auto_switch_enabled=False)
        assert emergency(v4).status_code == 201

    def test_is_not_made_for_another_host(self, v4):
        InstanceFactory(agent=agent(), instance_id="i-0old", status="zombie")
        response = emergency(v4, instance_id="i-0old")
        assert (response.status_code, response.json()["success"]) == (200, False)

    def test_needs_a_signal(self, v4):
        assert emergency(v4, "whatever").status_code == 400

    def test_needs_a_pool(self, v4):
        Agent.objects.update(instance_type="m5.large")
        assert emergency(v4).json()["code"] == "NO_SUITABLE_POOL"

    @pytest.mark.parametrize("dialect", [V2, V4b])
    def test_is_beyond_agents_that_cannot_launch(self, client_token, dialect):
        program = dialect(client_token, instance_id="i-0aaa")
        program.register()
        assert emergency(program).json()["code"] == "UNSUPPORTED_BY_AGENT"

    def test_goes_to_the_same_zone_rather_than_nowhere_and_says_so(self, v4):
        Pool.objects.filter(az="us-east-1b").update(is_active=False)
        assert emergency(v4).status_code == 201
        replica = Replica.objects.get()
        assert replica.az == "us-east-1a"
        assert "own zone" in replica.placement["note"]

    def test_avoids_a_pool_that_was_full_lately(self, v4):
        PoolFactory(az="us-east-1c", price="0.0200")
        replica_id = emergency(v4).json()["replica_id"]
        assert Replica.objects.get().az == "us-east-1b"
        say(v4, replica_id, "failed", error_message="InsufficientInstanceCapacity: no capacity in us-east-1b")
        assert LaunchFailure.objects.get().error_class == "capacity"
        assert Replica.objects.active().get().az == "us-east-1c"  # the notice is open, so at once

    def test_tries_a_pool_that_has_just_refused_after_all_others(self, v4, now):
        other = PoolFactory(az="us-east-1c", price="0.0200")
        for hours in (1, 2, 3):
            LaunchFailure.objects.create(
                client=agent().client,
                agent=agent(),
                pool_id=other.pool_id,
                error_class="capacity",
                at=clock.now() - timedelta(hours=hours),
            )
        replica_id = emergency(v4, preferred_zones=["us-east-1b"]).json()["replica_id"]
        assert Replica.objects.get().az == "us-east-1b"  # least trouble, and preferred
        for az in ("us-east-1c", "us-east-1b"):
            now.shift(10)
            say(v4, replica_id, "failed", error_message="InsufficientInstanceCapacity")
            replica = Replica.objects.active().get()
            assert replica.az == az  # the one whose refusal is longest ago
            replica_id = replica.public_id
        assert {c["reason"] for c in replica.placement["candidates"]} == {
            "chosen",
            "short of capacity a moment ago",
            "in the primary's zone",
        }


class TestWithoutANotice:
    def time_goes_on(self, now, *, seconds, heard):
        """`heard` call every 15 s; the sweeper looks every 5 s."""
        for second in range(5, seconds + 1, 5):
            now.shift(timedelta(seconds=5))
            for program in heard if second % 15 == 0 else ():
                program.heartbeat()
            call_command("sweep_failovers")

    @pytest.fixture
    def second(self, v4, client_token):
        """The agent on the standby."""
        standby()
        program = V4(client_token, instance_id="i-0bbb", az="us-east-1b")
        assert program.register().json()["role"] == "replica"
        return program

    def test_a_dead_primary_is_replaced_by_a_standby_that_is_heard(self, v4, second, now):
        self.time_goes_on(now, seconds=120, heard=[second])
        assert agent().instance_id == "i-0aaa"
        self.time_goes_on(now, seconds=15, heard=[second])
        assert agent().instance_id == "i-0bbb"
        assert statuses() == {"i-0aaa": "zombie", "i-0bbb": "running_primary"}

    @pytest.mark.parametrize("outage", ["of everything", "of the web server", "of nothing, but its clock"])
    def test_after_an_outage_nobody_is_dead_for_calling_second(self, v4, second, now, outage):
        """The server heard nobody, or believes so: who calls first proves nothing about the others."""
        self.time_goes_on(now, seconds=60, heard=[v4, second])
        if outage == "of the web server":
            self.time_goes_on(now, seconds=600, heard=[])
        else:
            now.shift(timedelta(seconds=600))
        first = second if outage != "of nothing, but its clock" else v4
        self.time_goes_on(now, seconds=45, heard=[first])
        self.time_goes_on(now, seconds=300, heard=[v4, second])
        assert statuses() == {"i-0aaa": "running_primary", "i-0bbb": "running_replica"}
        assert Replica.objects.get().is_active

    def test_a_server_that_is_away_again_has_learnt_nothing_in_between(self, v4, second, now):
        self.time_goes_on(now, seconds=600, heard=[])
        second.heartbeat()
        self.time_goes_on(now, seconds=600, heard=[])
        second.heartbeat()
        v4.heartbeat()
        self.time_goes_on(now, seconds=15, heard=[v4, second])
        assert agent().instance_id == "i-0aaa"

    def test_a_standby_that_was_never_heard_proves_nothing(self, v4, now):
        """Then the fault may be the server's own network."""
        standby()
        now.shift(timedelta(seconds=300))
        call_command("sweep_failovers")
        assert agent().instance_id == "i-0aaa"

    def test_a_notice_that_was_not_carried_out_ends(self, v4, now):
        imminent(v4)
        now.shift(timedelta(seconds=300))
        v4.heartbeat()
        call_command("sweep_terminations")
        call_command("sweep_failovers")
        assert InterruptionEpisode.objects.get().status == "resolved"
        assert agent().notice_status == "none"


class TestManualMode:
    @pytest.fixture(autouse=True)
    def manual(self, v4):
        Agent.objects.update(auto_switch_enabled=False, manual_replica_enabled=True)

    def sweep(self):
        sweep_agent(agent_pk=agent().pk)

    def test_keeps_exactly_one(self, v4):
        for _ in range(3):
            self.sweep()
        assert Replica.objects.active().count() == 1

    def test_retires_surplus_ones(self, v4):
        first, second = standby("i-0bbb"), standby("i-0ccc")
        self.sweep()
        first.refresh_from_db()
        second.refresh_from_db()
        assert (first.status, second.status) == ("terminated", "ready")
        assert statuses()["i-0bbb"] == "terminating"

    def test_waits_longer_after_each_failure(self, v4, now):
        waits = []
        for _ in range(4):
            self.sweep()
            replica = Replica.objects.active().get()
            say(v4, replica.public_id, "failed", error_message="something odd")
            waited = 0
            while not Replica.objects.active().exists():
                now.shift(timedelta(seconds=10))
                waited += 10
                self.sweep()
            waits.append(waited)
            now.shift(timedelta(seconds=1))
        assert waits == [30, 60, 120, 240]

    def test_waits_for_a_person_where_only_a_person_can_help(self, v4, now):
        self.sweep()
        say(v4, Replica.objects.get().public_id, "failed", error_message="UnauthorizedOperation: not authorized")
        now.shift(timedelta(minutes=29))
        self.sweep()
        assert not Replica.objects.active().exists()
        assert Notification.objects.filter(notification_type="launch_misconfigured").count() == 1

    def test_replaces_a_promoted_one(self, v4):
        standby()
        imminent(v4)
        self.sweep()
        assert Replica.objects.active().get().parent_instance_id == "i-0bbb"

    def test_replaces_a_standby_that_is_not_heard_any_more(self, v4, now):
        standby()
        Instance.objects.filter(instance_id="i-0bbb").update(last_seen_at=clock.now())
        for _ in range(5):
            now.shift(timedelta(seconds=30))
            v4.heartbeat()
            self.sweep()
        assert Replica.objects.get(instance_id="i-0bbb").status == "failed"


def test_the_status_of_an_emergency(v4, tenant_api):
    quiet = tenant_api.get(f"/api/agents/{v4.agent_id}/emergency-status").json()
    assert (quiet["emergency_mode_active"], quiet["last_emergency_event"], quiet["notice_status"]) == (
        False,
        None,
        "none",
    )
    imminent(v4)
    body = tenant_api.get(f"/api/agents/{v4.agent_id}/emergency-status").json()
    assert (body["emergency_mode_active"], body["termination_notices_24h"]) == (True, 1)
    assert body["emergency_replica"]["status"] == "launching"
    assert body["data"]["notice_deadline"] == DEADLINE
    assert [a["description"] for a in body["data"]["actions"]] == ["Signal received", "Standby requested"]
