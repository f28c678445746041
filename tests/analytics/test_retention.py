"""`prune_history`: what goes, what stays (dashboard-api 5.4)."""

from datetime import timedelta

import pytest
from django.core.management import call_command

from agents.models import CleanupLog, Command
from analytics.models import UsageLedger
from clients.models import IdempotencyKey
from decisions.models import DecisionRecord
from instances.models import OnDemandPriceHistory, SpotPriceHistory, UsageInterval
from notifications.models import Notification, SystemEvent
from spotopt.common import clock
from tests.factories import AgentFactory, CommandFactory, NotificationFactory, SwitchFactory, SystemEventFactory

pytestmark = pytest.mark.django_db


def days_ago(number):
    return clock.now() - timedelta(days=number)


def prune(capsys, *arguments):
    call_command("prune_history", *arguments)
    return capsys.readouterr().out


def remaining(model, name="created_at"):
    """Ages in days."""
    return sorted(round((clock.now() - at) / timedelta(days=1)) for at in model.objects.values_list(name, flat=True))


class TestPrices:
    @pytest.fixture
    def history(self, world):
        world.go_to(24 * 200)
        for days in (200, 150, 91, 89, 10):
            world.spot("d", (24 * (200 - days), "0.01"))
            world.ondemand((24 * (200 - days), "0.05"), instance_type="m5.large")

    def ages(self, rows):
        return sorted(round((clock.now() - at) / timedelta(days=1)) for at in rows.values_list("at", flat=True))

    def test_the_price_in_effect_at_the_cut_off_stays(self, history, capsys):
        prune(capsys)
        assert self.ages(SpotPriceHistory.objects.filter(pool__az="us-east-1d")) == [10, 89, 91]
        assert self.ages(OnDemandPriceHistory.objects.filter(quote__instance_type="m5.large")) == [10, 89, 91]

    def test_a_pool_that_nobody_reports_any_more_keeps_its_last_price(self, history, capsys):
        prune(capsys)
        assert self.ages(SpotPriceHistory.objects.filter(pool__az="us-east-1a")) == [200]

    def test_prices_are_accounted_for_before_they_go(self, world, capsys):
        world.instance()
        world.go_to(2)
        prune(capsys)
        assert UsageLedger.objects.count() == 2

    def test_the_dry_run_counts_and_deletes_nothing(self, history, capsys):
        before = SpotPriceHistory.objects.count()
        said = prune(capsys, "--dry-run")
        assert said.startswith("would delete: ")
        assert "spot_pricing_history 2" in said
        assert "ondemand_pricing_history 2" in said
        assert SpotPriceHistory.objects.count() == before


def test_events_go_after_ninety_days_and_what_people_did_after_180(capsys):
    for days in (89, 91, 179, 181):
        SystemEventFactory(created_at=days_ago(days))
        SystemEventFactory(created_at=days_ago(days), actor="operator")
    assert "system_events 4" in prune(capsys)
    assert remaining(SystemEvent) == [89, 89, 91, 179]


def test_read_notifications_go_after_thirty_days_and_others_with_the_events(capsys):
    for days in (29, 31, 91):
        NotificationFactory(created_at=days_ago(days))
        NotificationFactory(created_at=days_ago(days), read_at=days_ago(days))
    prune(capsys)
    assert remaining(Notification) == [29, 29, 31]


def test_ended_commands_go_after_a_week_and_open_ones_stay(capsys):
    agent = AgentFactory()
    old, recent = days_ago(8), days_ago(6)
    for status in Command.Status:
        if status not in Command.OPEN:
            CommandFactory(agent=agent, status=status, completed_at=old)
    kept = [
        CommandFactory(agent=agent, status="completed", completed_at=recent),
        CommandFactory(agent=agent, status="pending", created_at=old),
    ]
    switch = SwitchFactory(agent=agent, command=Command.objects.filter(completed_at=old).first())
    prune(capsys)
    assert set(Command.objects.all()) == set(kept)
    switch.refresh_from_db()
    assert switch.command is None


def test_stored_answers_go_after_a_day(capsys):
    for hours in (23, 25):
        IdempotencyKey.objects.create(
            principal="p", method="POST", path_hash="h", key=str(hours), created_at=clock.now() - timedelta(hours=hours)
        )
    prune(capsys)
    assert IdempotencyKey.objects.get().key == "23"


def test_decisions_and_clean_up_logs_go_with_the_events(capsys):
    agent = AgentFactory()
    for days in (89, 91):
        DecisionRecord.objects.create(client=agent.client, agent=agent, decision_type="stay", created_at=days_ago(days))
        CleanupLog.objects.create(agent=agent, reported_at=days_ago(days), received_at=days_ago(days))
    prune(capsys)
    assert (remaining(DecisionRecord), remaining(CleanupLog, "received_at")) == ([89], [89])


def test_the_journal_and_the_ledger_stay(world, capsys):
    primary = world.instance()
    world.become(primary, "terminated", at=1)
    world.go_to(2)
    prune(capsys)
    world.go_to(24 * 400)
    prune(capsys)
    assert (UsageInterval.objects.count(), UsageLedger.objects.count()) == (1, 1)
