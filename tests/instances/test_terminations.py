"""Getting rid of old hosts (agent-api 3.12, 3.17, 3.27, 3.34, 4.7)."""

from datetime import timedelta

import pytest
import time_machine
from django.core.management import call_command

from agents.models import Agent, Command
from instances.models import Instance, InterruptionEpisode, Replica
from instances.services.terminations import sweep
from notifications.models import Notification, SystemEvent
from spotopt.common import clock
from tests.dialects import V4, V5
from tests.factories import AgentFactory, CommandFactory, InstanceFactory, ReplicaFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def now():
    with time_machine.travel("2026-01-05T12:00:00Z", tick=False) as travel:
        yield travel


@pytest.fixture
def v4(client_token):
    program = V4(client_token, instance_id="i-0new")
    program.register()
    return program


@pytest.fixture
def agent(v4):
    return Agent.objects.get()


@pytest.fixture
def zombie(agent):
    return InstanceFactory(agent=agent, instance_id="i-0old", status="zombie", zombie_since=clock.now())


def listed(program):
    return [entry["instance_id"] for entry in program.to_terminate()["instances"]]


def status_of(row):
    row.refresh_from_db()
    return row.status


class TestTheList:
    def test_names_a_zombie_after_the_wait(self, v4, zombie, now):
        now.shift(timedelta(seconds=299))
        v4.heartbeat()
        assert listed(v4) == []
        now.shift(timedelta(seconds=1))
        body = v4.to_terminate()
        assert body["auto_terminate_enabled"] is True
        assert body["terminate_wait_seconds"] == 300
        (entry,) = body["instances"]
        assert (entry["instance_id"], entry["reason"], entry["seconds_waiting"]) == ("i-0old", "zombie_timeout", 300)

    def test_never_names_the_primary(self, v4, agent, zombie, now):
        now.shift(timedelta(hours=1))
        v4.heartbeat()
        assert "i-0new" not in listed(v4)

    def test_never_names_others_zombies(self, v4, agent, now):
        InstanceFactory(agent=AgentFactory(client=agent.client), status="zombie", zombie_since=clock.now())
        InstanceFactory(agent=AgentFactory(), status="zombie", zombie_since=clock.now())
        now.shift(timedelta(hours=1))
        v4.heartbeat()
        assert listed(v4) == []

    @pytest.mark.parametrize(
        "kept",
        [
            {"termination_hold": True},
            {"termination_confirmed": True, "status": "terminated"},
            {"termination_attempts": 5},
            {"status": "running_replica"},
            {"status": "launching"},
        ],
    )
    def test_leaves_out(self, v4, zombie, now, kept):
        Instance.objects.filter(pk=zombie.pk).update(**kept)
        now.shift(timedelta(hours=1))
        v4.heartbeat()
        assert listed(v4) == []

    def test_is_empty_and_says_so_while_auto_terminate_is_off(self, v4, zombie, now):
        Agent.objects.update(auto_terminate_enabled=False)
        now.shift(timedelta(hours=1))
        v4.heartbeat()
        assert v4.to_terminate() == {"instances": [], "auto_terminate_enabled": False, "terminate_wait_seconds": 300}

    def test_waits_for_the_successor_to_be_heard(self, v4, zombie, now):
        now.shift(timedelta(seconds=301))
        Agent.objects.update(last_heartbeat_at=clock.now() - timedelta(seconds=302))
        assert listed(v4) == []
        now.shift(timedelta(seconds=4 * 300))
        assert listed(v4) == ["i-0old"]

    def test_spares_what_may_be_all_that_is_left(self, v4, zombie, now):
        """The primary is gone and nobody took over: the zombie is perhaps the workload."""
        v4.post("termination", {"instance_id": "i-0new", "reason": "by mistake"})
        now.shift(timedelta(days=1))
        v4.heartbeat()
        assert (listed(v4), status_of(zombie)) == ([], "zombie")
        assert Instance.objects.get(instance_id="i-0new").status == "zombie"  # alive after all

    def test_names_a_zombie_only_itself(self, v4, zombie, agent, now, client_token):
        InstanceFactory(agent=agent, instance_id="i-0older", status="zombie", zombie_since=clock.now())
        program = V4(client_token, instance_id="i-0old")
        program.register()
        now.shift(timedelta(seconds=301))
        v4.heartbeat()
        assert sorted(listed(v4)) == ["i-0old", "i-0older"]
        assert listed(program) == ["i-0old"]

    def test_names_closed_standbys_at_once(self, v4, agent):
        ReplicaFactory(agent=agent, instance_id="i-0rep", status="terminated", terminated_at=clock.now())
        ReplicaFactory(agent=agent, instance_id="", status="terminated", terminated_at=clock.now())
        (entry,) = v4.to_terminate()["instances"]
        assert (entry["instance_id"], entry["reason"]) == ("i-0rep", "replica_terminated")

    def test_a_pricing_report_does_not_postpone_anything(self, v4, zombie, now, client_token):
        program = V4(client_token, instance_id="i-0old")
        program.register()
        now.shift(timedelta(seconds=299))
        block = {"instance_id": "i-0old", "instance_type": "t3.medium", "region": "us-east-1", "az": "us-east-1a"}
        assert program.post("pricing-report", {"instance": block, "pricing": {"spot_pools": []}}).status_code == 200
        now.shift(timedelta(seconds=1))
        v4.heartbeat()
        assert listed(v4) == ["i-0old"]


class TestReports:
    def test_success_is_confirmation(self, v4, zombie, now):
        now.shift(timedelta(hours=1))
        response = v4.report_termination("i-0old")
        assert response.json()["status"] == "terminated"
        zombie.refresh_from_db()
        assert (zombie.termination_confirmed, zombie.terminated_at.hour) == (True, 13)
        v4.heartbeat()
        assert listed(v4) == []

    def test_success_may_be_said_by_both_hosts(self, v4, zombie, client_token):
        program = V4(client_token, instance_id="i-0old")
        program.register()
        assert program.report_termination("i-0old").status_code == 200
        assert v4.report_termination("i-0old").status_code == 200
        assert SystemEvent.objects.filter(event_type="instance_terminated").count() == 1

    def test_failure_is_tried_again_five_times(self, v4, zombie, now):
        now.shift(timedelta(seconds=301))
        v4.heartbeat()
        tries = 0
        while "i-0old" in listed(v4):
            v4.report_termination("i-0old", success=False, error="UnauthorizedOperation")
            tries += 1
            assert listed(v4) == []
            now.shift(timedelta(minutes=5, seconds=1))
            v4.heartbeat()
        assert tries == 5
        assert status_of(zombie) == "zombie"
        assert (
            Notification.objects.filter(notification_type="instance_termination_failed", severity="error").count() == 1
        )

    def test_of_the_primary_is_doubted(self, v4, agent):
        response = v4.report_termination("i-0new")
        assert response.json()["status"] == "terminating"
        assert Notification.objects.filter(notification_type="primary_terminating").count() == 1

    def test_of_a_foreign_instance_is_not_found(self, v4):
        foreign = InstanceFactory(status="zombie")
        response = v4.report_termination(foreign.instance_id)
        assert response.status_code == 404
        assert status_of(foreign) == "zombie"

    def test_confirms_a_standby_but_keeps_a_promoted_one(self, v4, agent):
        for status in ("terminated", "promoted"):
            instance = InstanceFactory(agent=agent, status="zombie", zombie_since=clock.now())
            replica = ReplicaFactory(agent=agent, instance_id=instance.instance_id, status=status)
            v4.report_termination(instance.instance_id)
            assert status_of(replica) == status
        assert Replica.objects.filter(termination_confirmed=True).count() == 1


class TestDiscrimination:
    """One path, three messages (agent-api 3.17)."""

    def test_a_warning_is_no_result(self, v4, agent):  # a
        body = {"cloud_instance_id": "i-0new", "notice_type": "TERMINATION", "termination_time": "2026-01-05T12:02:00Z"}
        for _ in range(3):
            assert v4.post("termination-report", body).status_code == 200
        episode = InterruptionEpisode.objects.get()
        assert (episode.status, episode.reports, episode.kind) == ("detected", 3, "termination-notice")
        agent.refresh_from_db()
        assert (agent.notice_status, agent.instance_id) == ("termination", "i-0new")
        assert agent.notice_deadline == clock.now() + timedelta(minutes=2)
        assert Instance.objects.get().status == "running_primary"
        assert Notification.objects.filter(notification_type="termination_notice").count() == 1

    def test_a_notice_time_without_success_is_a_warning(self, v4, agent):
        v4.post("termination-report", {"instance_id": "i-0new", "termination_time": None, "notice_type": "TERMINATION"})
        assert InterruptionEpisode.objects.get().deadline_at == clock.now() + timedelta(seconds=120)

    def test_an_outcome(self, v4, zombie):  # b
        v4.post("termination-report", {"instance_id": "i-0old", "success": True, "error": None, "terminated_at": None})
        assert status_of(zombie) == "terminated"

    def test_a_plain_confirmation(self, v4, zombie):  # c
        v4.post("termination-report", {"instance_id": "i-0old", "termination_reason": "spot"})
        assert status_of(zombie) == "terminated"

    def test_nothing_named_is_refused(self, v4):
        response = v4.post("termination-report", {"success": True})
        assert (response.status_code, response.json()["code"]) == (400, "VALIDATION_ERROR")

    def test_a_warning_for_a_foreign_instance_is_not_found(self, v4):
        body = {"cloud_instance_id": InstanceFactory().instance_id, "notice_type": "TERMINATION"}
        assert v4.post("termination-report", body).status_code == 404
        assert not InterruptionEpisode.objects.exists()


class TestPostMortem:
    def test_of_the_primary_puts_the_agent_offline(self, v4, agent):
        for _ in range(2):
            assert v4.post("termination", {"reason": "Spot interruption"}).status_code == 200
        agent.refresh_from_db()
        assert agent.status == "offline"
        assert Instance.objects.get().status == "terminated"
        assert SystemEvent.objects.get(event_type="instance_terminated").severity == "warning"

    def test_of_another_instance_is_about_that_one_only(self, v4, agent, zombie):
        v4.post("termination", {"instance_id": "i-0old"})
        assert status_of(zombie) == "terminated"
        assert status_of(agent) == "online"


class TestV5:
    @pytest.fixture
    def v5(self, client_token):
        program = V5(client_token, instance_id="i-0new")
        program.register()
        program.heartbeat()
        return program

    @pytest.fixture
    def old(self, v5):
        return InstanceFactory(
            agent=Agent.objects.get(), instance_id="i-0old", status="zombie", zombie_since=clock.now()
        )

    def test_is_ordered_to_terminate_the_zombie(self, v5, old, now, capsys):
        now.shift(timedelta(seconds=301))
        v5.heartbeat(("i-0old", "t3.medium.us-east-1a"))
        call_command("sweep_terminations")
        call_command("sweep_terminations")
        assert "1 terminations ordered" in capsys.readouterr().out
        (command,) = v5.orders()
        assert (command["command_type"], command["params"]) == ("TERMINATE_INSTANCE", {"instance_id": "i-0old"})
        v5.post("instance-terminated", {"instance_id": "i-0old", "request_id": command["request_id"]})
        v5.result(command, instance_id="i-0old")
        old.refresh_from_db()
        assert (old.status, old.termination_confirmed) == ("terminated", True)
        assert Command.objects.get().status == "completed"

    def test_is_not_asked_while_auto_terminate_is_off(self, v5, old, now):
        Agent.objects.update(auto_terminate_enabled=False)
        now.shift(timedelta(hours=1))
        sweep()
        assert not Command.objects.exists()

    def test_unconfirmed_stays_until_it_is_seen_to_be_gone(self, v5, old, now):
        now.shift(timedelta(seconds=301))
        v5.heartbeat(("i-0old", None))
        sweep()
        (command,) = v5.orders()
        v5.result(command, instance_id="i-0old", confirmed_after=None)
        assert status_of(old) == "zombie"
        v5.heartbeat()
        v5.heartbeat()
        assert status_of(old) == "terminated"

    def test_a_failure_that_says_not_found_is_a_success(self, v5, old, now):
        now.shift(timedelta(seconds=301))
        v5.heartbeat(("i-0old", None))
        sweep()
        (command,) = v5.orders()
        v5.result(command, succeeded=False, error="InvalidInstanceID.NotFound: The instance ID 'i-0old' does not exist")
        assert status_of(old) == "terminated"

    def test_terminated_of_a_foreign_instance_is_not_found(self, v5):
        response = v5.post("instance-terminated", {"instance_id": InstanceFactory().instance_id})
        assert response.status_code == 404


class TestTheSweep:
    def test_closes_what_aws_took_back(self, v4, agent, now):
        body = {"instance_id": "i-0new", "notice_type": "TERMINATION", "termination_time": "2026-01-05T12:02:00Z"}
        v4.post("termination-report", body)
        now.shift(timedelta(seconds=181))
        assert sweep()["reclaimed"] == 1
        instance = Instance.objects.get()
        assert (instance.status, instance.terminated_at) == ("terminated", clock.now() - timedelta(seconds=61))
        assert InterruptionEpisode.objects.get().status == "failed"  # nothing took over

    def test_believes_a_host_that_is_still_heard(self, v4, agent, now):
        v4.post("termination-report", {"instance_id": "i-0new", "notice_type": "TERMINATION"})
        now.shift(timedelta(seconds=300))
        v4.heartbeat()
        assert sweep()["reclaimed"] == 0
        assert Instance.objects.get().status == "running_primary"

    def test_takes_ten_minutes_of_silence_for_gone(self, agent, now):
        told = InstanceFactory(
            agent=agent, status="terminating", last_seen_at=clock.now(), termination_requested_at=clock.now()
        )
        now.shift(timedelta(minutes=10))
        assert sweep()["vanished"] == 0
        now.shift(timedelta(seconds=1))
        assert sweep()["vanished"] == 1
        told.refresh_from_db()
        assert (told.status, told.termination_confirmed) == ("terminated", False)

    def test_gives_up_a_launch_that_nobody_confirmed(self, agent, now):
        command = CommandFactory(agent=agent, command_type="LAUNCH_INSTANCE")
        launch = InstanceFactory(
            agent=agent,
            instance_id="i-pending-1",
            status="launching",
            command_id=command.public_id,
            created_at=clock.now(),
        )
        now.shift(timedelta(minutes=11))
        assert sweep()["launches given up"] == 0  # its order is still open
        Command.objects.update(status="failed")
        assert sweep()["launches given up"] == 1
        assert status_of(launch) == "terminated"
