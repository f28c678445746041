"""Timelines, figures and drills of interruptions."""

from datetime import timedelta

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.urls import reverse

from agents.models import Agent
from instances.models import Instance, InterruptionEpisode, Replica
from instances.selectors.timelines import percentile, summary
from instances.services import drills
from instances.services.terminations import sweep
from spotopt.common import clock
from tests.factories import (
    AgentFactory,
    InstanceFactory,
    InterruptionEpisodeFactory,
    PoolFactory,
    ReplicaFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def now():
    with time_machine.travel("2026-01-05T12:00:00Z", tick=False) as travel:
        yield travel


@pytest.fixture
def agent(tenant):
    return AgentFactory(client=tenant, instance_id="i-0aaa", logical_agent_id="web")


@pytest.fixture
def standby(agent):
    InstanceFactory(agent=agent, instance_id="i-0bbb", status="running_replica")
    return ReplicaFactory(agent=agent, instance_id="i-0bbb", ready_at=clock.now())


def interrupt(api, agent):
    path = f"/api/agents/{agent.public_id}/termination-imminent"
    return api.post(path, {"instance_id": agent.instance_id, "termination_time": "2026-01-05T12:02:00Z"})


class TestTimeline:
    def test_tells_every_step_since_the_signal(self, agent, tenant_api, now):
        PoolFactory(az="us-east-1b")
        interrupt(tenant_api, agent)
        replica = Replica.objects.get()
        now.shift(timedelta(seconds=30))
        path = f"/api/agents/{agent.public_id}/replicas/{replica.public_id}"
        tenant_api.put(path, {"instance_id": "i-0bbb", "status": "syncing"})
        now.shift(timedelta(seconds=15))
        tenant_api.post(f"{path}/status", {"status": "ready"})
        now.shift(timedelta(seconds=140))
        sweep()
        (row,) = tenant_api.get(f"/api/agents/{agent.public_id}/interruptions").json()
        seconds = {step["step"]: step["seconds"] for step in row["timeline"]}
        assert seconds == {
            "notice_received": 0,
            "replica_requested": 0,
            "replica_launched": 30,
            "replica_ready": 45,
            "promoted": 45,
            "old_one_gone": 120,
        }
        assert (row["before_deadline"], row["is_drill"], row["kind"]) == (True, False, "termination-notice")

    def test_of_what_has_not_happened_is_null(self, agent, tenant_api):
        InterruptionEpisodeFactory(agent=agent)
        (row,) = tenant_api.get(f"/api/client/{agent.client.public_id}/interruptions").json()
        assert [step["at"] for step in row["timeline"][1:]] == [None] * 5
        assert row["before_deadline"] is None

    def test_costs_the_same_for_one_and_for_many(self, agent, tenant_api, django_assert_num_queries):
        for number in range(20):
            InterruptionEpisodeFactory(agent=agent, instance_id=f"i-{number}")
        with django_assert_num_queries(3):
            rows = tenant_api.get(f"/api/client/{agent.client.public_id}/interruptions?limit=15").json()
        assert len(rows) == 15

    def test_is_drawn_in_the_console(self, agent, tenant_api, standby, staff_api):
        interrupt(tenant_api, agent)
        episode = InterruptionEpisode.objects.get()
        page = staff_api.get(reverse("admin:instances_interruptionepisode_change", args=[episode.pk]))
        assert page.status_code == 200
        assert "replica ready" in page.content.decode()


class TestFigures:
    def over(self, agent, *, promoted_after=None, deadline_after=120, **fields):
        at = clock.now() - timedelta(minutes=10)
        return InterruptionEpisodeFactory(
            agent=agent,
            status="resolved" if promoted_after is not None else "failed",
            detected_at=at,
            deadline_at=at + timedelta(seconds=deadline_after),
            promoted_at=None if promoted_after is None else at + timedelta(seconds=promoted_after),
            **fields,
        )

    def figures(self):
        return summary(episodes=InterruptionEpisode.objects.all(), since=clock.now() - timedelta(days=1))

    def test_of_failovers(self, agent):
        for seconds in (2, 4, 130):
            self.over(agent, promoted_after=seconds)
        self.over(agent)
        failovers = self.figures()["failovers"]
        assert (failovers["notices"], failovers["promoted"], failovers["before_deadline"]) == (4, 3, 2)
        assert failovers["before_deadline_share"] == 0.5
        assert failovers["notice_to_promoted_seconds"] == {"p50": 4, "p99": 130}

    def test_leave_drills_apart(self, agent):
        self.over(agent, promoted_after=3, is_drill=True)
        figures = self.figures()
        assert (figures["failovers"]["notices"], figures["drills"]["promoted"]) == (0, 1)
        assert figures["signals"] == []

    def test_of_signals_per_pool(self, agent):
        hour_ago = clock.now() - timedelta(hours=1)
        signal = {"agent": agent, "status": "resolved", "pool_id": "t3.medium.us-east-1a"}
        for instance_id in ("i-1", "i-2", "i-3"):
            InterruptionEpisodeFactory(
                kind="rebalance-recommendation", instance_id=instance_id, detected_at=hour_ago, **signal
            )
        for instance_id in ("i-1", "i-9"):
            InterruptionEpisodeFactory(kind="termination-notice", instance_id=instance_id, **signal)
        (pool,) = self.figures()["signals"]
        assert (pool["precision"], pool["recall"]) == (0.3333, 0.5)

    def test_without_anything_are_unknown(self, tenant, tenant_api):
        body = tenant_api.get(f"/api/client/{tenant.public_id}/interruptions/summary?days=7").json()
        assert body["failovers"]["before_deadline_share"] is None
        assert body["failovers"]["notice_to_promoted_seconds"] == {"p50": None, "p99": None}

    @pytest.mark.parametrize(("percent", "value"), [(50, 2), (99, 4), (1, 1)])
    def test_percentiles_are_nearest_ranks(self, percent, value):
        assert percentile([1, 2, 3, 4], percent) == value

    def test_of_another_client_are_forbidden(self, tenant_api):
        foreign = AgentFactory().client
        assert tenant_api.get(f"/api/client/{foreign.public_id}/interruptions/summary").status_code == 403


class TestDrills:
    def test_take_the_same_path_and_are_marked(self, agent, standby):
        drill = drills.start_drill(agent=agent)
        assert (drill.outcome.success, drill.episode.is_drill, drill.episode.status) == (True, True, "resolved")
        assert Agent.objects.get().instance_id == "i-0bbb"

    def test_leave_the_old_host_as_an_ordinary_zombie(self, agent, standby, now):
        """AWS does not take it back, so it is ended after the usual wait."""
        drills.start_drill(agent=agent)
        old = Instance.objects.get(instance_id="i-0aaa")
        assert (old.status, old.notice_deadline) == ("zombie", None)

    def test_are_no_interruptions(self, agent, standby):
        drills.start_drill(agent=agent)
        assert Agent.objects.get().interruptions_handled == 0

    def test_do_not_meet_a_real_one(self, agent, tenant_api, standby):
        InterruptionEpisodeFactory(agent=agent)
        with pytest.raises(CommandError, match="not every drill"):
            call_command("drill_interruption", agent="web")
        assert Agent.objects.get().instance_id == "i-0aaa"

    def test_are_scored_by_the_command(self, agent, standby, capsys):
        call_command("drill_interruption", agent="web")
        output = capsys.readouterr().out
        assert "1 of 1 promoted, 1 in time" in output
        assert "promoted           +0.0 s" in output

    def test_can_be_tried_dry(self, agent, standby, capsys):
        call_command("drill_interruption", client=agent.client.public_id, dry_run=True)
        assert "would interrupt i-0aaa, primary of web" in capsys.readouterr().out
        assert not InterruptionEpisode.objects.exists()

    def test_of_nobody_say_so(self, agent):
        with pytest.raises(CommandError, match="no such agent"):
            call_command("drill_interruption", agent="api")

    def test_can_be_started_in_the_console(self, agent, standby, staff_api):
        primary = Instance.objects.get(instance_id="i-0aaa")
        response = staff_api.post(
            reverse("admin:instances_instance_changelist"),
            {"action": "rehearse_interruption", "_selected_action": [primary.pk], "confirmed": "yes"},
            format="multipart",
        )
        assert response.status_code == 302
        assert InterruptionEpisode.objects.get().is_drill is True
        assert Agent.objects.get().instance_id == "i-0bbb"
