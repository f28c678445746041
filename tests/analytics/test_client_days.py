"""The ledger's sums per client and day: what pages read (dashboard-api 5.3)."""

import random
from datetime import date, timedelta
from decimal import Decimal
from threading import Barrier, Thread

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from analytics.models import ClientDay, SwitchTally, UsageLedger
from analytics.services import client_days, ledger, switch_tallies
from analytics.services.ledger import roll_up
from clients.models import Client
from instances.models import Instance, Switch
from instances.serializers.prices import parse_pricing_report
from instances.services import roles
from instances.services.pricing import record_report
from spotopt.common import clock
from spotopt.common.db import retried_transaction
from tests.analytics.conftest import HOUR, NOON
from tests.analytics.test_ledger import report_of
from tests.factories import (
    AgentFactory,
    ClientFactory,
    InstanceFactory,
    OnDemandPriceFactory,
    PoolFactory,
    SwitchFactory,
    UsageIntervalFactory,
)

D = Decimal
MONDAY, TUESDAY = date(2026, 1, 5), date(2026, 1, 6)


def days(client):
    """By day: hours, priced hours, paid, baseline."""
    rows = ClientDay.objects.filter(client=client).order_by("day")
    return {r.day: (r.seconds / 3600, r.priced_seconds / 3600, r.paid_usd, r.baseline_usd) for r in rows}


def differences():
    return [*client_days.differences(clients=Client.objects.all())]


class TestBooking:
    def test_a_day_ends_at_midnight_utc(self, world):
        primary = world.instance()
        world.go_to(13)
        roll_up()
        assert days(primary.client) == {
            MONDAY: (12, 12, 12 * D("0.0132"), 12 * D("0.0416")),
            TUESDAY: (1, 1, D("0.0132"), D("0.0416")),
        }

    def test_several_agents_of_a_client_add_up(self, world):
        first = world.instance()
        for _ in range(4):
            world.instance(agent=AgentFactory(client=first.client, primary=False))
        other = world.instance()
        world.go_to(1)
        roll_up()
        assert days(first.client)[MONDAY][2] == 5 * D("0.0132")
        assert days(other.client)[MONDAY][2] == D("0.0132")

    def test_doing_it_again_changes_nothing(self, world):
        primary = world.instance()
        world.go_to(1.5)
        for _ in range(3):
            roll_up()
        assert days(primary.client)[MONDAY][:2] == (D("1.5"), D("1.5"))

    def test_the_current_hour_is_counted_once_as_it_grows(self, world):
        primary = world.instance()
        for hour in (0.25, 0.5, 1.25):
            world.go_to(hour)
            roll_up()
            assert days(primary.client)[MONDAY][0] == D(str(hour))

    def test_a_price_that_arrives_late_corrects_yesterday(self, world):
        primary = world.instance()
        world.go_to(13)
        roll_up()
        body = report_of("a", "0.0140")
        record_report(agent=primary.agent, caller_instance_id="", report=parse_pricing_report(body))
        body = report_of("a", "0.0136", at=world.at(11))
        record_report(agent=primary.agent, caller_instance_id="", report=parse_pricing_report(body))
        roll_up()
        assert days(primary.client)[MONDAY][2] == 11 * D("0.0132") + D("0.0136")
        assert differences() == []

    def test_a_termination_that_is_learnt_late_takes_days_back(self, world):
        primary = world.instance()
        world.go_to(13)
        roll_up()
        roles.mark_terminated(instance=primary, at=world.at(2), reason="confirmed")
        roll_up()
        assert days(primary.client) == {MONDAY: (2, 2, 2 * D("0.0132"), 2 * D("0.0416")), TUESDAY: (0, 0, 0, 0)}

    def test_ledger_and_days_change_together_or_not_at_all(self, world, monkeypatch):
        world.instance()
        world.go_to(1)
        monkeypatch.setattr(client_days, "book", lambda **rows: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            roll_up()
        assert (UsageLedger.objects.count(), ClientDay.objects.count()) == (0, 0)

    def test_deleting_a_client_deletes_its_days(self, world, admin_api):
        primary = world.instance()
        world.go_to(1)
        roll_up()
        assert admin_api.delete(f"/api/admin/clients/{primary.client.public_id}").status_code == 200
        assert not ClientDay.objects.exists()

    @pytest.mark.parametrize("seed", range(3))
    def test_whatever_happens_the_days_are_the_ledgers_sums(self, world, seed):
        chance = random.Random(seed)
        instances = [world.instance(az=chance.choice("ab")) for _ in range(3)]
        for turn in range(40):
            world.go_to(turn * 0.7)
            instance = Instance.objects.get(pk=chance.choice(instances).pk)
            act = chance.randrange(4)
            if act == 0 and instance.status != "terminated":
                roles.mark_terminated(instance=instance, at=clock.now() - chance.random() * HOUR, reason="test")
            elif act == 1:
                body = report_of(chance.choice("ab"), "0.0140", at=clock.now() - chance.random() * 3 * HOUR)
                record_report(agent=instance.agent, caller_instance_id="", report=parse_pricing_report(body))
            else:
                roll_up()
        roll_up()
        assert ClientDay.objects.exists()
        assert differences() == []


class TestTallies:
    def test_every_switch_that_is_saved_is_counted(self, db):
        agent = AgentFactory()
        for trigger in ("manual", "manual", "automatic", "emergency", "unknown"):
            SwitchFactory(agent=agent, trigger=trigger)
        tally = SwitchTally.objects.get()
        assert (tally.manual, tally.automatic, tally.emergency, tally.unknown) == (2, 1, 1, 1)
        assert tally.client == agent.client

    def test_a_trigger_that_is_learnt_later_moves_the_count(self, db):
        switch = SwitchFactory(trigger="unknown")
        switch.trigger = "manual"
        switch.save()
        tally = SwitchTally.objects.get()
        assert (tally.manual, tally.unknown) == (1, 0)


class TestCheck:
    def check(self, capsys, *arguments):
        call_command("show_ledger", *arguments)
        return capsys.readouterr().out.strip()

    @pytest.fixture
    def client_with_usage(self, world):
        primary = world.instance()
        SwitchFactory(agent=primary.agent)
        world.go_to(13)
        roll_up()
        return primary.client

    def test_what_agrees(self, client_with_usage, capsys):
        assert self.check(capsys, "--check") == "All sums agree with the ledger."

    def test_what_differs_is_said_and_repaired(self, client_with_usage, capsys):
        before = days(client_with_usage)
        ClientDay.objects.filter(day=MONDAY).update(paid_usd=7)
        ClientDay.objects.filter(day=TUESDAY).delete()
        SwitchTally.objects.update(manual=9)
        with pytest.raises(CommandError) as error:
            call_command("show_ledger", "--check")
        assert "2026-01-05: paid_usd 7.000000000 instead of 0.158400000" in str(error.value)
        assert "2026-01-06: seconds 0.000 instead of 3600.000" in str(error.value)
        assert "switches of agent" in str(error.value)
        assert self.check(capsys, "--repair") == "Corrected: 2 days, switches of 1 agents"
        assert self.check(capsys, "--check") == "All sums agree with the ledger."
        assert days(client_with_usage) == before

    def test_a_day_without_ledger_is_nothing(self, client_with_usage, capsys):
        UsageLedger.objects.filter(hour__gte=NOON + 12 * HOUR).delete()
        assert self.check(capsys, "--repair") == "Corrected: 1 days, switches of 0 agents"
        assert days(client_with_usage)[TUESDAY] == (0, 0, 0, 0)

    def test_only_one_client(self, client_with_usage, capsys):
        ClientDay.objects.update(paid_usd=7)
        other = ClientFactory()
        assert "agree" in self.check(capsys, "--check", "--client", other.public_id)


def test_the_migration_fills_them_from_what_is_there(world):
    from importlib import import_module

    from django.apps import apps

    primary = world.instance()
    SwitchFactory(agent=primary.agent)
    world.go_to(13)
    roll_up()
    before, tallies = days(primary.client), list(SwitchTally.objects.values_list("agent", "client", "manual"))
    ClientDay.objects.all().delete()
    SwitchTally.objects.all().delete()
    import_module("analytics.migrations.0003_fill_roll_ups").fill(apps, None)
    assert days(primary.client) == before
    assert list(SwitchTally.objects.values_list("agent", "client", "manual")) == tallies


@pytest.mark.mysql
@pytest.mark.django_db(transaction=True)
def test_roll_ups_corrections_and_repairs_at_once_leave_the_right_sums(monkeypatch):
    """Several instances of the same two clients, so that all transactions meet in the same day rows."""
    monkeypatch.setattr(ledger, "BATCH", 2)
    now = clock.now()
    OnDemandPriceFactory()
    PoolFactory(changed_at=now - 80 * HOUR)
    clients = [ClientFactory(), ClientFactory()]
    agents = [AgentFactory(client=clients[number % 2]) for number in range(12)]
    for agent in agents:
        UsageIntervalFactory(instance=agent.instances.get(), started_at=now - 50 * HOUR)
    Instance.objects.update(ledger_from=now - 50 * HOUR)
    errors = at_once(
        *[lambda turn: roll_up()] * 3,
        *[correcting(agent, now) for agent in agents[:3]],
        lambda turn: client_days.rebuild(clients=clients),
        lambda turn: [client_days.repair(client=clients[0], day=(now - n * 24 * HOUR).date()) for n in range(3)],
    )
    assert errors == []
    roll_up()
    assert ClientDay.objects.count() >= 6
    assert differences() == []


@pytest.mark.mysql
@pytest.mark.django_db(transaction=True)
def test_a_correction_that_waits_for_another_one_adds_to_it():
    """Two transactions that start from the same missing day row: neither overwrites the other."""
    client = ClientFactory()
    instances = [InstanceFactory(agent=AgentFactory(client=client, primary=False)) for _ in range(8)]
    now = clock.now().replace(minute=0, second=0, microsecond=0)

    def booking(instance):
        @retried_transaction
        def act(turn):
            fields = dict.fromkeys(client_days.AMOUNTS, D(turn + 1))
            row = UsageLedger(
                client=client, instance=instance, hour=now - turn * timedelta(hours=1), role="primary", **fields
            )
            row.save()
            client_days.book(added=[row], removed=[])

        return act

    assert at_once(*map(booking, instances)) == []
    assert ClientDay.objects.count() in (1, 2)
    assert differences() == []
    assert sum(row.seconds for row in ClientDay.objects.all()) == 8 * sum(range(1, 9))


@pytest.mark.mysql
@pytest.mark.django_db(transaction=True)
def test_switches_of_different_agents_do_not_wait_for_each_other():
    one = AgentFactory()
    other = AgentFactory(client=one.client)
    SwitchFactory(agent=one)
    with transaction.atomic():
        SwitchFactory(agent=one)
        assert at_once(lambda turn: SwitchFactory(agent=other), turns=1) == []
    assert Switch.objects.count() == 3
    assert list(switch_tallies.differences(clients=Client.objects.all())) == []


def correcting(agent, now):
    def act(turn):
        body = report_of("a", str(D("0.01") + D(turn) / 1000), at=now - turn * 5 * HOUR)
        record_report(agent=agent, caller_instance_id=agent.instance_id, report=parse_pricing_report(body))

    return act


def at_once(*acts, turns=8):
    errors, start = [], Barrier(len(acts))

    def run(act):
        try:
            start.wait(timeout=30)
            for turn in range(turns):
                act(turn)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=90)
    return errors
