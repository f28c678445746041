"""Standbys on the wire (agent-api 3.20–3.26, section 8 items 13 and 14; dashboard-api 2.4, 2.8)."""

from datetime import timedelta

import pytest
import time_machine

from agents.models import Agent
from instances.models import Instance, Replica
from instances.services.departures import delete_agent
from spotopt.common import clock
from tests.dialects import V4
from tests.factories import AgentFactory, InstanceFactory, InterruptionEpisodeFactory, PoolFactory, ReplicaFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def now():
    with time_machine.travel("2026-01-05T12:00:00Z", tick=False) as travel:
        yield travel


@pytest.fixture
def v4(client_token):
    PoolFactory(az="us-east-1b")
    program = V4(client_token, instance_id="i-0aaa")
    program.register()
    program.orders()
    Agent.objects.update(auto_switch_enabled=False, manual_replica_enabled=True)
    return program


@pytest.fixture
def replica(v4):
    """Requested, not launched yet."""
    return ReplicaFactory(agent=Agent.objects.get(), instance_id="", status="launching")


def put(program, replica, instance_id):
    body = {"instance_id": instance_id, "status": "syncing"}
    return program.api.put(f"/api/agents/{program.agent_id}/replicas/{replica.public_id}", body)


def say(program, replica, status, **body):
    return program.post(f"replicas/{replica.public_id}/status", {"status": status} | body)


def listed(program, status):
    response = program.get(f"replicas?status={status}").json()
    assert response["total"] == len(response["replicas"])
    return response["replicas"]


def status_of(row):
    row.refresh_from_db()
    return row.status


class TestWhatToLaunch:
    def test_names_pool_and_zone_in_both_forms(self, v4, replica):
        (item,) = listed(v4, "launching")
        assert (item["id"], item["instance_id"], item["pool_id"]) == (replica.public_id, None, "t3.medium.us-east-1b")
        assert item["az"] == item["pool"]["az"] == "us-east-1b"

    def test_is_handed_out_once(self, v4, replica, now):
        assert len(listed(v4, "launching")) == 1
        now.shift(timedelta(seconds=89))
        assert listed(v4, "launching") == []
        now.shift(timedelta(seconds=2))
        assert len(listed(v4, "launching")) == 1

    def test_is_only_shown_to_those_who_just_look(self, v4, replica, tenant_api):
        for _ in range(2):
            found = tenant_api.get(f"/api/agents/{v4.agent_id}/replicas?status=launching").json()["replicas"]
            assert len(found) == 1
        assert len(listed(v4, "launching")) == 1

    @pytest.mark.parametrize("change", [{"status": "ready"}, {"status": "terminated"}, {"instance_id": "i-0bbb"}])
    def test_is_nothing_that_exists_or_ended(self, v4, replica, change):
        Replica.objects.update(**change)
        assert listed(v4, "launching") == []

    def test_is_nothing_for_a_disabled_agent(self, v4, replica):
        Agent.objects.update(enabled=False)
        assert listed(v4, "launching") == []

    def test_is_nothing_for_another_host(self, v4, replica, client_token):
        InstanceFactory(agent=Agent.objects.get(), instance_id="i-0old", status="zombie")
        zombie = V4(client_token, instance_id="i-0old")
        zombie.register()
        assert listed(zombie, "launching") == listed(zombie, "terminated") == []
        assert len(listed(v4, "launching")) == 1


class TestBinding:
    def test_makes_it_a_syncing_standby(self, v4, replica):
        body = put(v4, replica, "i-0bbb").json()
        assert (body["instance_id"], body["status"]) == ("i-0bbb", "syncing")
        instance = Instance.objects.get(instance_id="i-0bbb")
        assert (instance.status, instance.mode, instance.pool_id) == ("running_replica", "spot", "t3.medium.us-east-1b")

    def test_twice_is_the_same(self, v4, replica):
        put(v4, replica, "i-0bbb")
        assert "duplicate" not in put(v4, replica, "i-0bbb").json()
        assert Instance.objects.count() == 2

    def test_of_a_second_instance_sends_that_one_away(self, v4, replica):
        put(v4, replica, "i-0bbb")
        body = put(v4, replica, "i-0ccc").json()
        assert (body["instance_id"], body["duplicate"]) == ("i-0bbb", True)
        listed_ids = [entry["instance_id"] for entry in v4.to_terminate()["instances"]]
        assert listed_ids == ["i-0ccc"]

    @pytest.mark.parametrize("closed", ["terminated", "failed"])
    def test_of_a_closed_one_revives_nothing(self, v4, replica, closed):
        Replica.objects.update(status=closed, terminated_at=clock.now())
        put(v4, replica, "i-0bbb")
        assert status_of(replica) == closed
        assert [item["instance_id"] for item in listed(v4, "terminated")] == ["i-0bbb"]
        assert Instance.objects.get(instance_id="i-0bbb").status == "terminating"

    def test_after_its_registration_merges(self, v4, replica, client_token):
        program = V4(client_token, instance_id="i-0bbb", az="us-east-1b")
        assert program.register().json()["role"] == "replica"
        put(v4, replica, "i-0bbb")
        assert Instance.objects.count() == 2
        assert status_of(replica) == "syncing"

    def test_needs_an_instance(self, v4, replica):
        assert put(v4, replica, None).status_code == 400

    def test_of_an_unknown_or_foreign_one_is_not_found(self, v4):
        foreign = ReplicaFactory()
        assert put(v4, foreign, "i-0bbb").json()["code"] == "REPLICA_NOT_FOUND"


class TestStatus:
    def test_goes_forward_only(self, v4, replica):
        put(v4, replica, "i-0bbb")
        assert say(v4, replica, "ready", sync_completed_at=None).json()["status"] == "ready"
        assert say(v4, replica, "syncing").json()["status"] == "ready"
        assert replica.state_transfer_progress == 0
        replica.refresh_from_db()
        assert (replica.ready_at, replica.state_transfer_progress) == (clock.now(), 100)

    def test_failed_is_final_and_its_machine_goes(self, v4, replica):
        put(v4, replica, "i-0bbb")
        assert say(v4, replica, "failed", error_message="boom").json()["status"] == "failed"
        assert say(v4, replica, "ready").json()["status"] == "failed"
        assert [item["instance_id"] for item in listed(v4, "terminated")] == ["i-0bbb"]

    def test_terminated_is_confirmation(self, v4, replica):
        put(v4, replica, "i-0bbb")
        Replica.objects.update(status="terminated", terminated_at=clock.now())
        say(v4, replica, "terminated", is_active=False, terminated_at="2026-01-05T12:00:00Z")
        assert listed(v4, "terminated") == []
        assert Instance.objects.get(instance_id="i-0bbb").status == "terminated"

    def test_terminated_unasked_means_ec2_took_it(self, v4, replica):
        put(v4, replica, "i-0bbb")
        assert say(v4, replica, "terminated").json()["status"] == "terminated"

    @pytest.mark.parametrize("status", [None, "", "promoted", "nonsense"])
    def test_outside_the_vocabulary_is_refused(self, v4, replica, status):
        assert say(v4, replica, status).status_code == 400

    def test_progress_of_a_hundred_is_ready(self, v4, replica):
        put(v4, replica, "i-0bbb")
        path = f"replicas/{replica.public_id}/sync-status"
        assert v4.post(path, {"state_transfer_progress": 40.5, "sync_latency_ms": 12}).status_code == 200
        assert status_of(replica) == "syncing"
        v4.post(path, {"sync_progress": 100, "sync_state": "synced"})
        assert status_of(replica) == "ready"
        assert v4.post(path, {"state_transfer_progress": 101}).status_code == 400


class TestLaunchedOnes:
    """v4 has launched it and says so: never refused, or the machine would run for ever."""

    def test_are_bound_and_not_offered_again(self, v4):
        body = {
            "instance_id": "i-0bbb",
            "replica_type": "manual",
            "pool_id": "t3.medium.us-east-1b",
            "status": "launching",
        }
        response = v4.post("replicas", body)
        assert (response.status_code, response.json()["instance_id"]) == (201, "i-0bbb")
        assert listed(v4, "launching") == []
        again = v4.post("replicas", body)
        assert (again.status_code, again.json()["replica_id"]) == (200, response.json()["replica_id"])

    def test_in_excess_are_accepted_and_closed(self, v4):
        for instance_id in ("i-0bbb", "i-0ccc"):
            assert v4.post("replicas", {"instance_id": instance_id, "replica_type": "manual"}).status_code == 201
        assert [item["instance_id"] for item in listed(v4, "terminated")] == ["i-0ccc"]

    def test_of_v4_early_are_ready_at_once(self, v4):
        body = {"instance_id": "i-0bbb", "replica_type": "emergency", "status": "ready"}
        v4.post("replicas", body)
        replica = Replica.objects.get()
        assert (replica.status, replica.replica_type) == ("ready", "automatic-rebalance")


class TestWishes:
    def test_are_requests_for_the_agent(self, v4, tenant_api):
        response = tenant_api.post(f"/api/agents/{v4.agent_id}/replicas", {"tags": {"team": "web"}})
        assert response.status_code == 201
        assert (response.json()["status"], response.json()["instance_id"]) == ("launching", None)
        assert len(listed(v4, "launching")) == 1

    @pytest.mark.parametrize(
        ("change", "status", "code"),
        [
            ({"manual_replica_enabled": False}, 400, "MANUAL_REPLICA_DISABLED"),
            ({"status": "offline"}, 409, "AGENT_UNAVAILABLE"),
            ({"protocol": "v2"}, 409, "UNSUPPORTED_BY_AGENT"),
        ],
    )
    def test_are_refused(self, v4, tenant_api, change, status, code):
        Agent.objects.update(**change)
        response = tenant_api.post(f"/api/agents/{v4.agent_id}/replicas", {})
        assert (response.status_code, response.json()["code"]) == (status, code)

    def test_for_a_second_one_are_refused(self, v4, replica, tenant_api):
        response = tenant_api.post(f"/api/agents/{v4.agent_id}/replicas", {})
        assert response.status_code == 409
        assert response.json()["details"] == {"current_count": 1, "max_allowed": 1}

    def test_for_an_unknown_pool_are_not_found(self, v4, tenant_api):
        response = tenant_api.post(f"/api/agents/{v4.agent_id}/replicas", {"pool_id": "t3.medium.us-east-1z"})
        assert response.json()["code"] == "POOL_NOT_FOUND"


class TestPromotion:
    def promote(self, api, v4, replica, **body):
        return api.post(f"/api/agents/{v4.agent_id}/replicas/{replica.public_id}/promote", body)

    @pytest.fixture
    def ready(self, v4, replica):
        put(v4, replica, "i-0bbb")
        say(v4, replica, "ready")
        return replica

    def test_swaps_the_roles(self, v4, ready, admin_api):
        response = self.promote(admin_api, v4, ready)
        body = response.json()
        assert (response.status_code, body["new_instance_id"], body["old_instance_id"]) == (200, "i-0bbb", "i-0aaa")
        assert Instance.objects.get(instance_id="i-0aaa").status == "zombie"
        assert status_of(ready) == "promoted"
        assert self.promote(admin_api, v4, ready).json()["new_instance_id"] == "i-0bbb"

    def test_can_keep_the_old_one_as_standby(self, v4, ready, admin_api):
        self.promote(admin_api, v4, ready, demote_old_primary=True)
        assert Instance.objects.get(instance_id="i-0aaa").status == "running_replica"
        assert Replica.objects.active().get().instance_id == "i-0aaa"

    def test_by_hand_during_an_interruption_is_its_end(self, v4, ready, admin_api):
        """As if the server had done it: the old host is AWS's to end, and nobody waits for anything more."""
        agent = Agent.objects.get()
        deadline = clock.now() + timedelta(seconds=90)
        episode = InterruptionEpisodeFactory(agent=agent, instance_id="i-0aaa", deadline_at=deadline)
        self.promote(admin_api, v4, ready)
        episode.refresh_from_db()
        agent.refresh_from_db()
        old = Instance.objects.get(instance_id="i-0aaa")
        assert (episode.status, episode.response) == ("resolved", "promoted-existing-replica")
        assert (old.status, old.notice_deadline, agent.interruptions_handled) == ("terminating", deadline, 1)

    def test_waits_for_the_sync(self, v4, replica, admin_api):
        put(v4, replica, "i-0bbb")
        assert self.promote(admin_api, v4, replica).status_code == 409
        assert self.promote(admin_api, v4, replica, wait_for_sync=False).status_code == 200

    def test_needs_a_machine(self, v4, replica, admin_api):
        response = self.promote(admin_api, v4, replica)
        assert (response.status_code, response.json()["current_status"]) == (409, "launching")

    def test_of_anothers_standby_is_not_found(self, v4, tenant_api):
        foreign = ReplicaFactory()
        response = tenant_api.post(f"/api/agents/{foreign.agent.public_id}/replicas/{foreign.public_id}/promote", {})
        assert response.status_code == 404

    def test_makes_the_new_host_the_active_one(self, v4, ready, admin_api, client_token):
        new = V4(client_token, instance_id="i-0bbb", az="us-east-1b")
        assert new.register().json()["role"] == "replica"
        self.promote(admin_api, v4, ready)
        assert new.get("config").json()["enabled"] is True
        assert v4.get("config").json()["enabled"] is False


class TestDeletion:
    def test_ends_the_machine_through_the_agent(self, v4, replica, tenant_api):
        put(v4, replica, "i-0bbb")
        path = f"/api/agents/{v4.agent_id}/replicas/{replica.public_id}"
        for _ in range(2):
            response = tenant_api.delete(path)
            assert (response.status_code, response.json()["terminated_at"]) == (200, "2026-01-05T12:00:00Z")
        assert status_of(replica) == "terminated"
        assert Instance.objects.get(instance_id="i-0bbb").status == "terminating"
        assert [item["instance_id"] for item in listed(v4, "terminated")] == ["i-0bbb"]

    def test_of_a_promoted_one_is_refused(self, v4, replica, tenant_api):
        Replica.objects.update(status="promoted")
        assert tenant_api.delete(f"/api/agents/{v4.agent_id}/replicas/{replica.public_id}").status_code == 409


class TestOfADeletedAgent:
    """agent-api 4.10: whoever is left there may clear away what was launched for it."""

    @pytest.fixture
    def deleted(self, v4, replica):
        put(v4, replica, "i-0bbb")
        delete_agent(agent=Agent.objects.get(), reason="test")
        return v4

    def test_the_standby_is_listed_until_it_is_confirmed_gone(self, deleted):
        assert [item["instance_id"] for item in listed(deleted, "terminated")] == ["i-0bbb"]
        work = deleted.to_terminate()
        assert [item["instance_id"] for item in work["instances"]] == ["i-0bbb"]
        assert work["auto_terminate_enabled"] is True
        assert deleted.report_termination("i-0bbb").status_code == 200
        assert deleted.to_terminate()["instances"] == listed(deleted, "terminated") == []

    def test_its_status_can_still_be_said(self, deleted, replica):
        assert say(deleted, replica, "terminated").status_code == 200
        assert listed(deleted, "terminated") == []

    def test_nothing_else_answers(self, deleted):
        assert deleted.get("replicas").status_code == 404
        assert deleted.get("replicas?status=launching").status_code == 404
        assert deleted.post("termination-report", {"instance_id": "i-0aaa", "notice_type": "x"}).status_code == 404
        assert deleted.post("heartbeat", {"instance_id": "i-0aaa"}).status_code == 404

    def test_after_a_day_it_is_over(self, deleted, now):
        now.shift(timedelta(hours=24))
        assert deleted.get("replicas?status=terminated").status_code == 404
        assert deleted.get("instances-to-terminate").status_code == 404


class TestTheDashboardsList:
    def test_pairs_each_standby_with_its_primary(self, tenant, v4, replica, tenant_api, django_assert_num_queries):
        with django_assert_num_queries(2):
            (pair,) = tenant_api.get(f"/api/client/{tenant.public_id}/replicas").json()
        assert (pair["agentId"], pair["primary"]["instanceId"]) == (v4.agent_id, "i-0aaa")
        assert (pair["replica"]["instanceId"], pair["replica"]["state_transfer_progress"]) == (None, 0.0)
        assert pair["replica"]["pool"]["name"] == "t3.medium (us-east-1b)"

    def test_leaves_closed_and_foreign_ones_out(self, tenant, tenant_api):
        ReplicaFactory()
        ReplicaFactory(agent=AgentFactory(client=tenant), status="promoted")
        assert tenant_api.get(f"/api/client/{tenant.public_id}/replicas").json() == []

    def test_shows_everything_on_demand(self, v4, replica, tenant_api):
        Replica.objects.update(status="failed")
        path = f"/api/agents/{v4.agent_id}/replicas"
        assert tenant_api.get(path).json()["total"] == 0
        assert tenant_api.get(f"{path}?include_terminated=true").json()["total"] == 1


def test_the_replica_config(v4, tenant_api):
    body = tenant_api.get(f"/api/agents/{v4.agent_id}/replica-config").json()
    assert (body["enabled"], body["manual_replica_enabled"], body["auto_create_replica"]) == (False, True, False)
