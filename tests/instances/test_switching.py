"""Switch reports before, after and without the successor's registration (agent-api 3.11, 4.3)."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
import time_machine

from agents.models import Agent, Command
from instances.models import Instance, Switch
from notifications.models import Notification, SystemEvent
from spotopt.common import clock
from tests.dialects import V2, V4
from tests.factories import AgentFactory, CommandFactory, OnDemandPriceFactory, PoolFactory

pytestmark = pytest.mark.django_db

OLD_ZONE, NEW_ZONE = "us-east-1a", "us-east-1b"


@pytest.fixture(autouse=True)
def now():
    with time_machine.travel("2026-01-05T12:05:00Z", tick=False) as travel:
        yield travel


@pytest.fixture
def old(client_token):
    program = V4(client_token, instance_id="i-0aaa")
    program.register()
    return program


@pytest.fixture
def new(client_token):
    return V4(client_token, instance_id="i-0bbb", az=NEW_ZONE)


@pytest.fixture
def command(old):
    """A manual switch that `old` has fetched."""
    CommandFactory(agent=Agent.objects.get(), target_pool_id=f"t3.medium.{NEW_ZONE}", created_by="manual")
    old.orders()
    return Command.objects.get()


def statuses():
    return dict(Instance.objects.values_list("instance_id", "status"))


def agent():
    return Agent.objects.get()


class TestOrderOfEvents:
    """One primary, one record, the command concluded and not delivered again, whatever comes first."""

    def check(self, command, new):
        assert statuses() == {"i-0aaa": "zombie", "i-0bbb": "running_primary"}
        switch = Switch.objects.get()
        assert (switch.old_instance_id, switch.new_instance_id) == ("i-0aaa", "i-0bbb")
        assert (switch.command, switch.trigger, switch.is_anomalous) == (command, "manual", False)
        command.refresh_from_db()
        assert command.status == "completed"
        assert (agent().instance_id, agent().az, agent().current_pool_id) == (
            "i-0bbb",
            NEW_ZONE,
            f"t3.medium.{NEW_ZONE}",
        )
        assert agent().status == "online"
        assert new.orders() == []
        assert new.get("config").json()["enabled"] is True
        assert SystemEvent.objects.filter(event_type="switch_completed").count() == 1

    def test_report_then_registration(self, old, new, command):
        assert old.report_switch(new).json()["new_instance_status"] == "running_primary"
        old.executed(command.public_id)
        assert new.register().json()["role"] == "primary"
        self.check(command, new)
        assert Switch.objects.get().source == "reported"

    def test_registration_then_report(self, old, new, command):
        assert new.register().json()["role"] == "primary"
        response = old.report_switch(new).json()
        assert response["duplicate"] is True  # the inferred record is enriched, not doubled
        self.check(command, new)
        assert Switch.objects.get().traffic_switched_at == datetime.fromisoformat("2026-01-05T12:01:02Z")

    def test_registration_alone(self, old, new, command):
        new.register()
        self.check(command, new)
        assert Switch.objects.get().source == "inferred"

    def test_executed_then_registration(self, old, new, command):
        old.executed(command.public_id)
        new.register()
        self.check(command, new)

    def test_the_old_host_lives_on_as_a_zombie(self, old, new, command):
        old.report_switch(new)
        new.register()
        old.heartbeat()
        assert old.register().json()["role"] == "zombie"
        old.say_goodbye()
        self.check(command, new)

    def test_a_failure_after_the_successor_came_only_adds_its_text(self, old, new, command):
        new.register()
        old.executed(command.public_id, success=False, message="EC2 said no")
        self.check(command, new)

    def test_unconcluded_orders_for_the_old_host_are_dropped(self, old, new, command):
        other = CommandFactory(agent=agent(), command_type=Command.Type.CREATE_REPLICA)
        new.register()
        other.refresh_from_db()
        assert other.status == "superseded"


class TestReports:
    def test_repeated_is_one_record(self, old, new, command):
        answers = [old.report_switch(new).json() for _ in range(3)]
        assert len({a["switch_id"] for a in answers}) == 1
        assert [a["duplicate"] for a in answers] == [False, True, True]
        assert Switch.objects.count() == 1
        assert Notification.objects.filter(notification_type="switch_completed").count() == 1

    def test_repeated_later_does_not_move_the_workload_back(self, old, new, command, client_token):
        old.report_switch(new)
        third = V4(client_token, instance_id="i-0ccc", az=OLD_ZONE)
        new.register()
        new.report_switch(third)
        old.report_switch(new)
        assert agent().instance_id == "i-0ccc"
        assert statuses() == {"i-0aaa": "zombie", "i-0bbb": "zombie", "i-0ccc": "running_primary"}

    @pytest.mark.parametrize("name", ["prices", "pricing"])
    def test_prices_under_either_name(self, old, new, name):
        prices = {"on_demand": 0.0416, "old_spot": 0.0132, "new_spot": 0.0128}
        response = old.report_switch(new, **({"prices": None} | {name: prices}))
        assert response.json()["savings_impact"] == pytest.approx(0.0004)
        assert Switch.objects.get().ondemand_price == Decimal("0.0416")

    def test_moving_off_on_demand_is_worth_the_difference(self, client_token, new):
        old = V4(client_token, instance_id="i-0aaa", mode="ondemand")
        old.register()
        prices = {"on_demand": 0.0416, "old_spot": 0.0100, "new_spot": 0.0132}
        assert old.report_switch(new, prices=prices).json()["savings_impact"] == pytest.approx(0.0284)

    @pytest.mark.parametrize("unknown", [None, 0.0, -1, "unknown"])
    def test_missing_prices_come_from_recent_samples(self, old, new, unknown):
        PoolFactory(az=NEW_ZONE, price=Decimal("0.0128"))
        PoolFactory(az=OLD_ZONE, price=Decimal("0.0132"))
        prices = {"on_demand": unknown, "old_spot": unknown, "new_spot": unknown}
        assert old.report_switch(new, prices=prices).json()["savings_impact"] == pytest.approx(0.0004)

    def test_unknown_prices_make_an_unknown_impact(self, old, new):
        OnDemandPriceFactory()
        PoolFactory(az=NEW_ZONE, last_confirmed_at=clock.now() - timedelta(hours=2))
        assert old.report_switch(new, prices={}).json()["savings_impact"] is None
        assert Switch.objects.get().savings_impact is None

    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ("switch_initiated_at", "initiated_at"),
            ("initiated_at", "initiated_at"),
            ("new_instance_launched_at", "instance_launched_at"),
            ("instance_launched_at", "instance_launched_at"),
            ("new_instance_ready_at", "instance_ready_at"),
            ("instance_ready_at", "instance_ready_at"),
            ("old_instance_terminated_at", "old_terminated_at"),
            ("old_terminated_at", "old_terminated_at"),
            ("ami_created_at", "ami_created_at"),
        ],
    )
    def test_timing_in_both_vocabularies(self, old, new, theirs, ours):
        old.report_switch(new, timing={theirs: "2026-01-05T12:03:00Z"})
        assert getattr(Switch.objects.get(), ours) == datetime.fromisoformat("2026-01-05T12:03:00Z")

    def test_an_old_host_that_ended_itself_is_terminated(self, old, new):
        response = old.report_switch(new, timing={"old_instance_terminated_at": "2026-01-05T12:04:00Z"})
        assert response.json()["old_instance_status"] == "terminated"
        instance = Instance.objects.get(instance_id="i-0aaa")
        assert (instance.status, instance.termination_confirmed) == ("terminated", True)
        assert instance.terminated_at == datetime.fromisoformat("2026-01-05T12:04:00Z")

    def test_downtime_is_measured_or_unknown(self, old, new):
        timing = {"new_instance_ready_at": "2026-01-05T12:04:30Z", "old_instance_terminated_at": "2026-01-05T12:04:00Z"}
        old.report_switch(new, timing=timing)
        assert Switch.objects.get().downtime_seconds == 30

    def test_downtime_without_both_ends_is_unknown(self, old, new):
        old.report_switch(new)
        assert Switch.objects.get().downtime_seconds is None

    def test_the_flat_documented_form(self, old):
        response = old.post(
            "switch-report",
            {
                "old_instance_id": "i-0aaa",
                "new_instance_id": "i-0bbb",
                "new_mode": "ondemand",
                "ondemand_price": 0.0416,
                "old_price": 0.0132,
                "initiated_at": "2026-01-05 12:00:00",
            },
        )
        assert response.status_code == 200
        switch = Switch.objects.get()
        assert (switch.ondemand_price, switch.initiated_at.hour) == (Decimal("0.0416"), 12)
        assert statuses()["i-0bbb"] == "running_primary"

    @pytest.mark.parametrize("missing", ["old_instance", "new_instance"])
    def test_needs_both_instances(self, old, new, missing):
        response = old.report_switch(new, **{missing: {"instance_id": None}})
        assert response.status_code == 400
        assert list(response.json()["details"]) == [missing]
        assert not Switch.objects.exists()

    def test_an_automatic_order_is_an_automatic_switch_whatever_the_agent_says(self, old, new):
        CommandFactory(agent=agent(), created_by="model", priority=50, target_pool_id=f"t3.medium.{NEW_ZONE}")
        old.orders()
        old.report_switch(new, trigger="manual")
        assert Switch.objects.get().trigger == "automatic"

    @pytest.mark.parametrize(("said", "meant"), [("model", "automatic"), ("manual", "manual"), ("what", "unknown")])
    def test_without_an_order_the_report_is_believed(self, old, new, said, meant):
        old.report_switch(new, trigger=said)
        assert Switch.objects.get().trigger == meant

    def test_by_v2(self, client_token):
        old = V2(client_token, instance_id="i-0aaa", mode="ondemand")
        old.register()
        new = V2(client_token, instance_id="i-0bbb")
        prices = {"on_demand": 0.0416, "old_spot": 0.0, "new_spot": 0.0132}
        assert (
            old.report_switch(new, prices=prices, snapshot={"used": True, "snapshot_id": "snap-1"}).status_code == 200
        )
        switch = Switch.objects.get()
        assert (switch.savings_impact, switch.snapshot["snapshot_id"]) == (Decimal("0.0284"), "snap-1")


class TestAnomalies:
    def test_a_zombie_that_executes_moves_nothing(self, old, new, command, client_token):
        new.register()
        stray = V4(client_token, instance_id="i-0ccc", az=NEW_ZONE)
        response = old.report_switch(stray)
        assert response.json()["savings_impact"] is None
        assert statuses() == {"i-0aaa": "zombie", "i-0bbb": "running_primary", "i-0ccc": "zombie"}
        assert Switch.objects.get(new_instance_id="i-0ccc").is_anomalous is True
        assert agent().instance_id == "i-0bbb"

    def test_a_reported_failure_moves_nothing(self, old, new, command):
        old.report_switch(new, success=False, error_message="it did not boot")
        assert agent().instance_id == "i-0aaa"
        command.refresh_from_db()
        assert (command.status, command.message) == ("failed", "it did not boot")
        assert Switch.objects.get().success is False

    def test_another_agents_instance_is_not_taken(self, old, tenant):
        other = AgentFactory(client=tenant, logical_agent_id="api", instance_id="i-0other")
        old.report_switch(V4(old.token, instance_id="i-0other"))
        other.refresh_from_db()
        assert other.instance_id == "i-0other"
        assert Instance.objects.get(instance_id="i-0other").agent == other
        assert agent_named("web").instance_id == "i-0aaa"

    def test_another_tenants_instance_of_that_name_stays_untouched(self, old):
        foreign = AgentFactory(instance_id="i-0bbb")
        old.report_switch(V4(old.token, instance_id="i-0bbb", az=NEW_ZONE))
        foreign.refresh_from_db()
        assert foreign.instance_id == "i-0bbb"
        assert Instance.objects.filter(instance_id="i-0bbb").count() == 2


def agent_named(logical_agent_id):
    return Agent.objects.get(logical_agent_id=logical_agent_id)
