"""The ledger's hours and sums (dashboard-api 5.3, with its check values)."""

import random
from datetime import timedelta
from decimal import Decimal
from threading import Barrier, Thread

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from agents.models import Agent
from agents.services.commands import lock_agent
from analytics.models import UsageLedger
from analytics.selectors.savings import agent_totals, client_totals
from analytics.services import ledger
from analytics.services.ledger import roll_up
from instances.models import Instance, SpotPriceHistory
from instances.serializers.prices import parse_pricing_report
from instances.services import roles
from instances.services.pricing import record_report
from spotopt.common import clock
from spotopt.common.db import retried_transaction
from tests.analytics.conftest import HOUR, NOON
from tests.factories import (
    AgentFactory,
    ClientFactory,
    InstanceFactory,
    OnDemandPriceFactory,
    PoolFactory,
    UsageIntervalFactory,
)

MINUTE = timedelta(minutes=1)
TIMEOUT = timedelta(seconds=settings.AGENT_HEARTBEAT_TIMEOUT)
D = Decimal


def sums(instance, **period):
    totals = client_totals(client_pk=instance.client_id, **period)
    return tuple(None if x is None else round(x, 6) for x in (totals.baseline_usd, totals.paid_usd, totals.savings_usd))


def rows():
    columns = ("instance_id", "hour", "role", "mode", "pool_id", *ledger.AMOUNTS)
    return sorted(UsageLedger.objects.values_list(*columns), key=repr)


def from_scratch():
    """What the rows would be if nothing had ever been computed."""
    UsageLedger.objects.all().delete()
    Instance.objects.update(ledger_from=NOON - 48 * HOUR)
    roll_up()
    return rows()


class TestCheckValues:
    def test_two_hours_of_a_primary_on_spot(self, world):
        primary = world.instance()
        world.go_to(2)
        roll_up()
        assert sums(primary) == (D("0.0832"), D("0.0264"), D("0.0568"))

    def test_a_standby_is_pure_cost(self, world):
        primary = world.instance()
        standby = world.instance("running_replica", az="b", agent=primary.agent)
        world.become(standby, "terminated", at=1)
        world.go_to(2)
        roll_up()
        assert sums(primary) == (D("0.0832"), D("0.0392"), D("0.0440"))

    def test_time_on_ondemand_saves_nothing(self, world):
        before = world.instance(mode="ondemand")
        world.become(before, "terminated", at=1)
        after = world.instance(agent=before.agent, since=1)
        world.go_to(2)
        roll_up()
        assert sums(after) == (D("0.0832"), D("0.0548"), D("0.0284"))

    def test_three_switches_within_an_hour_change_next_to_nothing(self, world):
        world.spot("c", (-1, "0.0130"))
        agent = AgentFactory(primary=False)
        start = D(0)
        for zone, end in (("a", 0.25), ("c", 0.5), ("a", 0.75), ("c", 1)):
            instance = world.instance(agent=agent, az=zone, since=float(start))
            world.become(instance, "terminated", at=end)
            start = D(end)
        world.go_to(1)
        roll_up()
        _, _, savings = sums(instance)
        assert abs(savings - (D("0.0416") - D("0.0132"))) <= D("0.0002")


class TestHonesty:
    def test_a_loss_is_a_loss(self, world):
        world.spot("d", (-1, "0.09"))
        primary = world.instance(az="d")
        world.go_to(1)
        roll_up()
        assert sums(primary)[2] == D("-0.0484")

    def test_a_zombie_costs_and_saves_nothing(self, world):
        primary = world.instance()
        world.become(primary, "zombie", at=1)
        world.go_to(2)
        roll_up()
        assert sums(primary) == (D("0.0416"), D("0.0264"), D("0.0152"))

    def test_the_price_in_effect_counts(self, world):
        world.spot("d", (-1, "0.01"), (0.5, "0.02"))
        primary = world.instance(az="d")
        world.go_to(1)
        roll_up()
        assert sums(primary)[1] == D("0.015")

    def test_time_before_the_first_price_is_left_out_and_shown(self, world):
        world.spot("d", (0.5, "0.01"))
        primary = world.instance(az="d")
        world.go_to(1)
        roll_up()
        assert sums(primary) == (D("0.0208"), D("0.005"), D("0.0158"))
        row = UsageLedger.objects.get()
        assert (row.seconds, row.priced_seconds) == (3600, 1800)

    def test_nothing_priced_is_unknown_and_not_zero(self, world):
        primary = world.instance(instance_type="x9.huge")
        world.go_to(1)
        roll_up()
        assert sums(primary) == (None, None, None)
        assert client_totals(client_pk=primary.client_id).seconds == 3600

    def test_an_unknown_mode_has_no_price(self, world):
        primary = world.instance(mode="unknown", pool_id="")
        world.go_to(1)
        roll_up()
        assert sums(primary) == (None, None, None)

    def test_a_quote_is_carried_for_a_day_after_it_was_last_confirmed(self, world):
        primary = world.instance()
        world.go_to(40)
        roll_up()
        assert client_totals(client_pk=primary.client_id).priced_seconds == (5 + 24) * 3600

    def test_another_clients_usage_is_not_ours(self, world):
        primary, other = world.instance(), world.instance(az="b")
        world.go_to(1)
        roll_up()
        assert sums(primary) == (D("0.0416"), D("0.0132"), D("0.0284"))
        assert sums(other)[1] == D("0.0128")

    def test_a_period_is_a_sum_of_its_hours(self, world):
        primary = world.instance()
        world.go_to(3)
        roll_up()
        assert sums(primary, since=world.at(1), until=world.at(3))[1] == D("0.0264")
        assert sums(primary, until=world.at(1))[1] == D("0.0132")

    def test_an_agents_lineage_includes_those_merged_into_it(self, world):
        primary = world.instance()
        merged = AgentFactory(client=primary.client, primary=False, merged_into=primary.agent, status="deleted")
        world.instance("zombie", agent=merged, az="b")
        world.go_to(1)
        roll_up()
        assert round(agent_totals(agent=primary.agent).savings_usd, 6) == D("0.0156")

    def test_a_total_is_one_statement(self, world, django_assert_num_queries):
        primary = world.instance()
        with django_assert_num_queries(1):
            client_totals(client_pk=primary.client_id, since=NOON)
        with django_assert_num_queries(1):
            agent_totals(agent=primary.agent)


class TestCorrections:
    def test_a_mode_that_is_learnt_later_counts_from_the_beginning(self, world):
        primary = world.instance(mode="unknown", pool_id="")
        world.go_to(3)
        roll_up()
        roles.learn_facts(instance=primary, mode="spot")
        roll_up()
        assert sums(primary) == (D("0.1248"), D("0.0396"), D("0.0852"))
        assert set(UsageLedger.objects.values_list("mode", flat=True)) == {"spot"}

    def test_a_price_that_arrives_late_corrects_final_hours(self, world):
        primary = world.instance()
        world.go_to(5)
        body = report_of("a", "0.0140")
        record_report(agent=primary.agent, caller_instance_id="", report=parse_pricing_report(body))
        roll_up()
        assert sums(primary, until=world.at(5))[1] == D("0.066")
        body = report_of("a", "0.0136", at=world.at(2))
        record_report(agent=primary.agent, caller_instance_id="", report=parse_pricing_report(body))
        roll_up()
        assert sums(primary, until=world.at(5))[1] == 2 * D("0.0132") + 3 * D("0.0136")

    def test_a_termination_that_is_learnt_late_takes_hours_back(self, world):
        primary = world.instance()
        world.go_to(5)
        roll_up()
        roles.mark_terminated(instance=primary, at=world.at(1.5), reason="confirmed")
        assert roll_up().deleted == 3
        assert sums(primary)[1] == D("0.0198")

    def test_a_silent_primary_does_not_go_on_for_ever(self, world):
        primary = world.instance()
        world.go_to(1)
        world.travel.move_to(world.at(9))
        roll_up()
        assert client_totals(client_pk=primary.client_id).seconds == 3600 + TIMEOUT.seconds

    def test_one_that_is_heard_again_ran_all_the_time(self, world):
        primary = world.instance()
        world.go_to(1)
        for hour in (3, 9):
            world.travel.move_to(world.at(hour))
            roll_up()
        world.go_to(10)
        roll_up()
        assert client_totals(client_pk=primary.client_id).seconds == 10 * 3600

    def test_a_silent_zombie_does_not_go_on_for_ever(self, world):
        zombie = world.instance("zombie", last_seen_at=NOON)
        world.travel.move_to(world.at(9))
        roll_up()
        assert client_totals(client_pk=zombie.client_id).seconds == TIMEOUT.seconds

    def test_a_standby_that_never_speaks_is_believed_to_run(self, world):
        standby = world.instance("running_replica")
        world.travel.move_to(world.at(2))
        roll_up()
        assert client_totals(client_pk=standby.client_id).seconds == 7200

    def test_hours_whose_prices_are_pruned_stay_as_they_are(self, world):
        primary = world.instance()
        world.go_to(2)
        roll_up()
        before = sums(primary)
        SpotPriceHistory.objects.all().delete()
        world.go_to(24 * (settings.PRICE_RETENTION_DAYS + 1))
        Instance.objects.update(ledger_from=NOON)
        roll_up()
        assert sums(primary, until=world.at(2)) == before


class TestWork:
    def test_doing_it_again_changes_nothing(self, world):
        world.instance()
        world.go_to(3.3)
        roll_up()
        before = list(UsageLedger.objects.order_by("pk").values())
        again = roll_up()
        assert list(UsageLedger.objects.order_by("pk").values()) == before
        assert (again.written, again.deleted) == (0, 0)

    def test_the_current_hour_grows(self, world):
        primary = world.instance()
        for hour in (0.25, 0.5, 1.25):
            world.go_to(hour)
            roll_up()
            assert client_totals(client_pk=primary.client_id).seconds == hour * 3600
        assert UsageLedger.objects.count() == 2

    def test_only_what_is_not_final_is_written(self, world):
        world.instance()
        world.go_to(30)
        assert roll_up().written == 30
        world.go_to(30.5)
        assert roll_up().written == 1

    def test_a_finished_instance_is_not_looked_at_again(self, world):
        primary = world.instance()
        world.become(primary, "terminated", at=1.5)
        world.go_to(1.6)
        assert roll_up().instances == 1
        world.go_to(2.5)
        assert roll_up().instances == 1
        assert roll_up().instances == 0

    def test_a_late_word_about_a_finished_instance_is_heard(self, world):
        primary = world.instance()
        world.become(primary, "terminated", at=1.5)
        world.go_to(9)
        roll_up()
        for body in (report_of("a", "0.03"), report_of("a", "0.0264", at=world.at(1))):
            record_report(agent=primary.agent, caller_instance_id="", report=parse_pricing_report(body))
        roll_up()
        assert sums(primary)[1] == D("0.0264")
        assert Instance.objects.get(pk=primary.pk).ledger_from is None

    @pytest.mark.parametrize("count", [1, 25])
    def test_statements_follow_batches_and_not_instances(self, world, count, django_assert_max_num_queries):
        for _ in range(count):
            world.instance()
        world.go_to(2)
        with django_assert_max_num_queries(18):
            roll_up()
        assert UsageLedger.objects.count() == 2 * count

    def test_more_instances_than_a_batch_holds(self, world, monkeypatch):
        monkeypatch.setattr(ledger, "BATCH", 2)
        for _ in range(5):
            world.instance()
        world.go_to(1)
        assert roll_up().instances == 5
        assert UsageLedger.objects.count() == 5

    def test_the_job_says_what_it_did(self, world, capsys):
        world.instance()
        world.go_to(1)
        call_command("roll_up_ledger")
        assert capsys.readouterr().out.strip() == "1 instances, 1 rows written, 0 deleted"


def report_of(zone, price, *, at=None):
    item = {"pool_id": f"t3.medium.us-east-1{zone}", "price": price, "timestamp": at.isoformat() if at else None}
    when = (at or clock.now()).isoformat()
    return {"instance": {"region": "us-east-1"}, "pricing": {"spot_pools": [item], "collected_at": when}}


class TestAgainstMinutes:
    """The same by brute force: every minute looks up its own prices."""

    ROLES = ("primary", "replica", "zombie")

    def price(self, quotes, minute):
        """`quotes` = {minute: price}, the last one confirmed for 6 more hours."""
        known = [at for at in quotes if at <= minute]
        if not known:
            return None
        latest = max(known)
        carried = 24 * 60 + (6 * 60 if latest == max(quotes) else 0)
        return quotes[latest] if minute < latest + carried else None

    @pytest.mark.parametrize("seed", range(5))
    def test_random_journals_and_prices(self, world, seed):
        chance = random.Random(seed)
        end = 4 * 24 * 60
        quotes = {
            zone: {chance.randrange(end): D(chance.randrange(100, 900)) / 10_000 for _ in range(chance.randrange(1, 9))}
            for zone in "cde"
        }
        for zone, rows_of in quotes.items():
            world.spot(zone, *((minute / 60, price) for minute, price in sorted(rows_of.items())))
        listed = {chance.randrange(end): D(chance.randrange(900, 2000)) / 10_000 for _ in range(4)}
        world.ondemand(*((minute / 60, price) for minute, price in sorted(listed.items())), instance_type="m5.large")
        expected = {}
        for _ in range(4):
            instance = InstanceFactory(
                instance_type="m5.large", status="terminated", ledger_from=NOON, pool_id="", mode="unknown"
            )
            cuts = sorted(chance.sample(range(end), 8))
            for start, stop in zip(cuts[::2], cuts[1::2], strict=True):
                role, mode = chance.choice(self.ROLES), chance.choice(["spot", "spot", "ondemand", "unknown"])
                zone = chance.choice("cde")
                pool_id = f"t3.medium.us-east-1{zone}" if mode == "spot" else ""
                UsageIntervalFactory(
                    instance=instance,
                    role=role,
                    mode=mode,
                    pool_id=pool_id,
                    started_at=world.at(start / 60),
                    ended_at=world.at(stop / 60),
                )
                for minute in range(start, stop):
                    d = self.price(listed, minute)
                    p = {"spot": self.price(quotes[zone], minute), "ondemand": d}.get(mode)
                    key = (instance.pk, minute // 60, role, mode, pool_id)
                    is_priced = p is not None and (d is not None or role != "primary")
                    row = expected.setdefault(key, [0, 0, D(0), D(0)])
                    row[0] += 60
                    if is_priced:
                        row[1] += 60
                        row[2] += p / 60
                        row[3] += d / 60 if role == "primary" else 0
        world.go_to(end / 60)
        roll_up()
        found = {(r[0], (r[1] - NOON) // HOUR, *r[2:5]): r[5:] for r in rows()}
        assert found.keys() == expected.keys()
        for key, amounts in expected.items():
            assert found[key][:2] == tuple(amounts[:2]), key
            assert all(abs(a - b) < D("0.000000002") for a, b in zip(found[key][2:], amounts[2:], strict=True)), key

    @pytest.mark.parametrize("seed", range(8))
    def test_steps_in_any_order_give_what_one_step_from_scratch_gives(self, world, seed):
        """Roles, terminations, prices on time and late, silences and corrections, with roll-ups in between."""
        chance = random.Random(seed)
        instances = [world.instance(az=zone, mode=chance.choice(["spot", "unknown"])) for zone in "ab"]
        hour = 0.0
        for _ in range(60):
            hour += chance.choice([0.02, 0.1, 0.7, 2.3])
            if chance.random() < 0.7:
                world.go_to(hour)
            else:
                world.travel.move_to(world.at(hour))  # nobody is heard
            instance = chance.choice(instances)
            instance.refresh_from_db()
            what = chance.randrange(8)
            if what == 0 and not instance.is_gone:
                world.become(instance, chance.choice(["running_replica", "zombie"]), at=hour)
            elif what == 1 and instance.status != "terminated" and chance.random() < 0.4:
                back = chance.choice([0, 0.3, 3])
                roles.mark_terminated(instance=instance, at=world.at(hour - back), reason="gone")
                instances.append(world.instance(az=chance.choice("ab"), since=hour, mode="spot"))
            elif what == 2:
                roles.learn_facts(instance=instance, mode=chance.choice(["spot", "ondemand"]), may_correct=True)
            elif what in (3, 4, 5):
                at = world.at(hour - chance.choice([0, 0, 0.5, 4]))
                price = D(chance.randrange(100, 140)) / 10_000
                body = report_of(chance.choice("ab"), str(price), at=at) | {"ondemand_price": "0.0416"}
                body["instance"]["instance_type"] = "t3.medium"
                agent = Agent.objects.get(pk=instance.agent_id)
                record_report(agent=agent, caller_instance_id="", report=parse_pricing_report(body))
            else:
                roll_up()
        world.go_to(hour + 0.5)
        roll_up()
        assert len(rows()) > 20
        assert rows() == from_scratch()


@pytest.mark.mysql
@pytest.mark.django_db(transaction=True)
def test_roll_ups_reports_and_role_changes_at_once_agree_in_the_end(monkeypatch):
    monkeypatch.setattr(ledger, "BATCH", 3)
    now = clock.now()
    client = ClientFactory()
    OnDemandPriceFactory()
    pool = PoolFactory(changed_at=now - 5 * HOUR)
    agents = [AgentFactory(client=client) for _ in range(8)]
    for agent in agents:
        UsageIntervalFactory(instance=agent.instances.get(), started_at=now - 4 * HOUR)
    Instance.objects.update(ledger_from=now - 4 * HOUR)
    errors, start = [], Barrier(8)

    def run(act):
        try:
            start.wait(timeout=30)
            for turn in range(8):
                act(turn)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    def reporting(agent):
        def act(turn):
            at = clock.now() - turn * 20 * MINUTE
            body = report_of("a", str(D("0.01") + D(turn) / 1000), at=at)
            record_report(agent=agent, caller_instance_id=agent.instance_id, report=parse_pricing_report(body))

        return act

    def ending(agent):
        def act(turn):
            instance = Instance.objects.get(agent=agent)
            terminate_or_revive(agent.pk, instance.pk, now - turn * 10 * MINUTE)

        return act

    acts = [lambda _: roll_up()] * 3 + [reporting(agent) for agent in agents[:3]] + [ending(a) for a in agents[3:5]]
    threads = [Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []
    moment = clock.now()
    roll_up(now=moment)
    found = rows()
    UsageLedger.objects.all().delete()
    Instance.objects.update(ledger_from=now - 5 * HOUR)
    roll_up(now=moment)
    assert found == rows()
    assert pool.history.count() > 1


@retried_transaction
def terminate_or_revive(agent_pk, instance_pk, at):
    lock_agent(agent_pk)
    instance = Instance.objects.get(pk=instance_pk)
    if instance.status == "terminated":
        roles.make_zombie(instance=instance, at=clock.now())
    else:
        roles.mark_terminated(instance=instance, at=at, reason="test")
