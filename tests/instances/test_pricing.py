"""POST /api/agents/{id}/pricing-report: what becomes of prices (agent-api 3.10, design 2.8)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Barrier, Thread

import pytest
import time_machine
from django.db import connection

from agents.models import Agent, PricingReport
from instances.models import Instance, OnDemandPrice, OnDemandPriceHistory, Pool, SpotPriceHistory
from instances.selectors.prices import as_steps, spot_steps
from instances.serializers.prices import parse_pricing_report
from instances.services.pricing import record_report
from spotopt.common import clock
from tests.dialects import V2, V4, V5
from tests.factories import AgentFactory, InstanceFactory, UsageIntervalFactory

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
POOL = "t3.medium.us-east-1a"
PRICES = {"us-east-1a": 0.0132, "us-east-1b": 0.0128}


@pytest.fixture(autouse=True)
def noon(request):
    if request.node.get_closest_marker("mysql"):
        yield None
        return
    with time_machine.travel(NOON, tick=False) as travel:
        yield travel


@pytest.fixture
def v4(client_token):
    program = V4(client_token, instance_id="i-0aaa")
    program.register()
    return program


def items(prices=PRICES, price="price", **extra):
    return [
        {"pool_id": f"t3.medium.{az}", "instance_type": "t3.medium", "az": az, price: value} | extra
        for az, value in prices.items()
    ]


def v4_body(prices=PRICES, *, ondemand=0.0416, own=0.0132, at=None, **instance):
    return {
        "instance": {
            "instance_id": "i-0aaa",
            "instance_type": "t3.medium",
            "region": "us-east-1",
            "az": "us-east-1a",
            "mode": "spot",
            "pool_id": POOL,
        }
        | instance,
        "pricing": {
            "on_demand_price": ondemand,
            "current_spot_price": own,
            "cheapest_pool": None,
            "spot_pools": items(prices),
            "collected_at": (at or clock.now()).isoformat(),
        },
    }


def v2_body():
    body = v4_body()
    block = body["instance"]
    block["current_mode"], block["current_pool_id"] = block.pop("mode"), block.pop("pool_id")
    return {"instance": block, "on_demand_price": {"price": 0.0416}, "spot_pools": items()}


def v5_body(prices=PRICES, *, ondemand=0.0416, since=None):
    stamp = clock.now().replace(tzinfo=None).isoformat()
    entries = items(prices, price="spot_price", timestamp=since.isoformat() if since else stamp)
    entries.append({"instance_type": "t3.medium", "price_type": "ondemand", "price": ondemand, "timestamp": stamp})
    return {"pricing_data_array": entries, "timestamp": stamp}


def documented_body():
    spot = [
        {"pool_id": f"t3.medium.{az}", "az": az, "price": p, "timestamp": "2026-01-05 12:00:00"}
        for az, p in PRICES.items()
    ]
    block = {"instance_id": "i-0aaa", "instance_type": "t3.medium", "region": "us-east-1", "az": "us-east-1a"}
    return block | {"ondemand_price": 0.0416, "current_spot_price": 0.0132, "spot_prices": spot}


def report(program, body):
    response = program.post("pricing-report", body)
    assert response.status_code == 200
    return response.json()


def history(pool_id=POOL):
    """(hours after noon, price)"""
    rows = SpotPriceHistory.objects.filter(pool__pool_id=pool_id).order_by("at").values_list("at", "price")
    return [((at - NOON) / HOUR, float(price)) for at, price in rows]


def list_price():
    quote = OnDemandPrice.objects.get(instance_type="t3.medium", region="us-east-1")
    return float(quote.price), quote.is_estimate


@pytest.mark.parametrize(
    ("dialect", "body"),
    [(V4, v4_body), (V2, v2_body), (V5, v5_body), (V4, documented_body)],
    ids=["v4", "v2", "v5", "doc"],
)
def test_every_shape_gives_the_same_samples(client_token, dialect, body):
    program = dialect(client_token, instance_id="i-0aaa")
    program.register()
    answer = report(program, body())
    assert answer["success"] is True
    assert isinstance(answer["report_id"], str)
    assert answer["records_inserted"] == 3
    pools = Pool.objects.order_by("az").values_list("pool_id", "region", "price", "changed_at", "last_confirmed_at")
    assert [(p[0], p[1], float(p[2]), *p[3:]) for p in pools] == [
        (f"t3.medium.{az}", "us-east-1", price, NOON, NOON) for az, price in PRICES.items()
    ]
    assert history() == [(0, 0.0132)]
    assert list_price() == (0.0416, False)
    assert {pool.ondemand.price for pool in Pool.objects.select_related("ondemand")} == {Decimal("0.0416")}
    kept = PricingReport.objects.get()
    assert (float(kept.ondemand_price), float(kept.spot_price or 0), kept.pools) == (
        0.0416,
        0.0132 if dialect is not V5 else 0.0,  # v5 registers without a mode, so nobody knows its pool yet
        2,
    )


def test_the_other_address_is_the_same(v4):
    assert v4.post("pricing", v4_body()).json()["records_inserted"] == 3


def test_the_same_report_again_adds_nothing(v4):
    report(v4, v4_body())
    assert report(v4, v4_body())["records_inserted"] == 0
    assert history() == [(0, 0.0132)]


@pytest.mark.parametrize("body", [{}, {"pricing": None}, {"instance": [], "pricing": {"spot_pools": "none"}}])
def test_a_report_that_says_nothing_is_fine(v4, body):
    assert report(v4, body)["records_inserted"] == 0


@pytest.mark.parametrize(
    "bad",
    [
        {"price": 0},
        {"price": -1},
        {"price": None},
        {"price": "free"},
        {"az": "us-east-1b"},  # and the pool id says us-east-1a
        {"pool_id": None, "az": None},
        {"pool_id": "nonsense"},
    ],
)
def test_a_bad_item_is_left_out_and_the_others_count(v4, bad):
    body = v4_body(own=None)
    body["pricing"]["spot_pools"][0] |= bad
    report(v4, body)
    assert list(Pool.objects.values_list("az", flat=True)) == ["us-east-1b"]


def test_an_item_without_pool_id_or_without_its_parts_is_understood(v4):
    body = v4_body({}, own=None)
    body["pricing"]["spot_pools"] = [
        {"instance_type": "t3.medium", "az": "us-east-1a", "price": 0.01},
        {"pool_id": "t3.medium.us-west-2-lax-1a", "price": "0.02"},
    ]
    report(v4, body)
    assert set(Pool.objects.values_list("az", flat=True)) == {"us-east-1a", "us-west-2-lax-1a"}


def test_the_own_pool_is_known_from_the_own_price_alone(v4):
    report(v4, v4_body({}))
    assert history() == [(0, 0.0132)]


@pytest.mark.parametrize("mode", ["ondemand", "on-demand"])
def test_an_ondemand_instance_has_no_pool(v4, mode):
    report(v4, v4_body({}, mode=mode, pool_id=None))
    assert not Pool.objects.exists()
    assert list_price() == (0.0416, False)


class TestOnDemand:
    @pytest.mark.parametrize("unknown", [0, 0.0, None, -1, "unknown", {"price": 0}])
    def test_an_unknown_price_is_not_stored(self, v4, unknown):
        report(v4, v4_body(ondemand=unknown))
        assert not OnDemandPrice.objects.exists()

    @pytest.mark.parametrize("guess", [0.1, 0.039])  # 3 × the average spot price
    def test_a_guess_is_marked_and_no_money_is_computed_from_it(self, v4, guess):
        report(v4, v4_body(ondemand=guess))
        assert list_price() == (guess, True)
        assert not OnDemandPriceHistory.objects.exists()

    @pytest.mark.parametrize("guess", [0.1, 0.039])
    def test_a_guess_does_not_replace_what_is_known(self, v4, guess):
        report(v4, v4_body())
        report(v4, v4_body(ondemand=guess))
        assert list_price() == (0.0416, False)

    def test_knowledge_replaces_a_guess(self, v4):
        report(v4, v4_body(ondemand=0.1))
        assert report(v4, v4_body())["records_inserted"] == 1
        assert list_price() == (0.0416, False)
        assert [float(row.price) for row in OnDemandPriceHistory.objects.all()] == [0.0416]

    def test_a_guess_far_from_another_is_not_believed(self, v4):
        report(v4, v4_body(ondemand=0.1))
        report(v4, v4_body(ondemand=0.039))
        assert list_price() == (0.1, True)

    def test_v5_looks_the_price_up_and_may_find_it_to_be_a_tenth(self, client_token):
        program = V5(client_token, instance_id="i-0aaa")
        program.register()
        report(program, v5_body(ondemand=0.1))
        assert list_price() == (0.1, False)

    def test_a_changed_price_is_a_new_row(self, v4, noon):
        report(v4, v4_body())
        noon.shift(HOUR)
        report(v4, v4_body(ondemand=0.05))
        rows = OnDemandPriceHistory.objects.order_by("at").values_list("at", "price")
        assert [(at, float(price)) for at, price in rows] == [(NOON, 0.0416), (NOON + HOUR, 0.05)]


class TestHistory:
    def test_a_change_is_a_row_and_a_confirmation_is_not(self, v4, noon):
        report(v4, v4_body())
        noon.shift(HOUR)
        report(v4, v4_body())
        noon.shift(HOUR)
        report(v4, v4_body({"us-east-1a": 0.014}))
        pool = Pool.objects.get(pool_id=POOL)
        assert history() == [(0, 0.0132), (2, 0.014)]
        assert (float(pool.price), pool.changed_at, pool.last_confirmed_at) == (0.014, clock.now(), clock.now())

    def test_a_confirmation_shows_on_the_pool(self, v4, noon):
        report(v4, v4_body())
        noon.shift(HOUR)
        report(v4, v4_body())
        pool = Pool.objects.get(pool_id=POOL)
        assert (pool.changed_at, pool.last_confirmed_at) == (NOON, NOON + HOUR)

    def test_a_price_that_holds_is_recorded_every_six_hours(self, v4, noon):
        for _ in range(13):
            report(v4, v4_body())
            noon.shift(HOUR)
        assert history() == [(0, 0.0132), (6, 0.0132), (12, 0.0132)]

    def test_after_a_long_silence_the_last_confirmation_is_recorded(self, v4, noon):
        report(v4, v4_body())
        noon.shift(2 * HOUR)
        report(v4, v4_body())
        noon.shift(48 * HOUR)
        report(v4, v4_body({"us-east-1a": 0.014}))
        assert history() == [(0, 0.0132), (2, 0.0132), (50, 0.014)]

    def test_the_time_that_aws_gives_is_when_the_price_took_effect(self, v4, client_token, noon):
        report(v4, v4_body())
        noon.shift(2 * HOUR)
        program = V5(client_token, instance_id="i-0bbb")
        program.register()
        report(program, v5_body({"us-east-1a": 0.014}, since=NOON + HOUR))
        pool = Pool.objects.get(pool_id=POOL)
        assert history() == [(0, 0.0132), (1, 0.014)]
        assert (pool.changed_at, pool.last_confirmed_at) == (NOON + HOUR, NOON + 2 * HOUR)

    def test_a_clock_that_runs_ahead_counts_as_now(self, v4):
        report(v4, v4_body(at=NOON + timedelta(minutes=4)))
        assert history() == [(0, 0.0132)]

    def test_several_prices_of_a_pool_are_taken_in_their_order(self, v4):
        body = v4_body({}, own=None)
        body["pricing"]["spot_pools"] = [
            {"pool_id": POOL, "price": price, "timestamp": (NOON - hours * HOUR).isoformat()}
            for price, hours in [(0.012, 1), (0.011, 3), (0.0115, 2)]
        ]
        report(v4, body)
        assert history() == [(-3, 0.011), (-2, 0.0115), (-1, 0.012)]
        assert Pool.objects.get().price == Decimal("0.012")


class TestLateReports:
    @pytest.fixture
    def known(self, v4, noon):
        """0.0132 from noon on, 0.014 from 2 o'clock on; it is 3 o'clock."""
        report(v4, v4_body())
        noon.shift(2 * HOUR)
        report(v4, v4_body({"us-east-1a": 0.014}))
        noon.shift(HOUR)
        report(v4, v4_body({"us-east-1a": 0.014}))
        return v4

    def current(self):
        pool = Pool.objects.get(pool_id=POOL)
        return float(pool.price), pool.changed_at, pool.last_confirmed_at

    def test_the_latest_price_stays(self, known):
        before = self.current()
        report(known, v4_body({"us-east-1a": 0.02}, own=None, at=NOON + HOUR))
        assert self.current() == before

    def test_a_change_between_two_known_prices_is_added(self, known):
        report(known, v4_body({"us-east-1a": 0.0136}, own=None, at=NOON + HOUR))
        assert history() == [(0, 0.0132), (1, 0.0136), (2, 0.014)]

    def test_what_is_known_already_is_not(self, known):
        report(known, v4_body({"us-east-1a": 0.0132}, own=None, at=NOON + HOUR))
        assert history() == [(0, 0.0132), (2, 0.014)]

    def test_what_contradicts_a_confirmation_is_not(self, known):
        report(known, v4_body({"us-east-1a": 0.02}, own=None, at=NOON + 2.5 * HOUR))
        assert history() == [(0, 0.0132), (2, 0.014)]

    def test_prices_of_the_time_before_any_are_added(self, known):
        report(known, v4_body({"us-east-1a": 0.012}, own=None, at=NOON - HOUR))
        assert history() == [(-1, 0.012), (0, 0.0132), (2, 0.014)]

    def test_a_repeat_adds_nothing(self, known):
        for _ in range(2):
            report(known, v4_body({"us-east-1a": 0.0136}, own=None, at=NOON + HOUR))
        assert len(history()) == 3

    def test_whoever_used_the_pool_since_is_accounted_for_again(self, known):
        later = NOON + 3 * HOUR
        user, gone, elsewhere = InstanceFactory.create_batch(3, ledger_from=later)
        for instance in (user, gone, elsewhere):
            UsageIntervalFactory(instance=instance, started_at=NOON - 9 * HOUR, pool_id=POOL)
        gone.usage.update(ended_at=NOON)
        elsewhere.usage.update(pool_id="t3.medium.us-east-1b")
        report(known, v4_body({"us-east-1a": 0.0136}, own=None, at=NOON + HOUR))
        starts = [Instance.objects.get(pk=one.pk).ledger_from for one in (user, gone, elsewhere)]
        assert starts == [NOON + HOUR, later, later]


class TestWhoReports:
    def test_the_primarys_last_reports_are_kept(self, v4, noon):
        for minute in range(0, 60, 5):
            report(v4, v4_body({"us-east-1a": 0.01 + minute / 10_000}, own=0.01 + minute / 10_000))
            noon.shift(timedelta(minutes=5))
        kept = PricingReport.objects.order_by("-received_at")
        assert len(kept) <= PricingReport.SLOTS
        assert [float(row.spot_price) for row in kept[:3]] == [0.0155, 0.015, 0.0145]
        assert kept[0].instance_id == "i-0aaa"

    def test_a_zombies_prices_count_and_its_termination_is_not_put_off(self, v4, client_token, noon):
        new = V4(client_token, instance_id="i-0bbb")
        noon.shift(HOUR)
        new.register()
        before = Instance.objects.values().get(instance_id="i-0aaa"), Agent.objects.values().get()
        assert before[0]["status"] == "zombie"
        noon.shift(HOUR)
        assert report(v4, v4_body())["records_inserted"] == 3
        assert (Instance.objects.values().get(instance_id="i-0aaa"), Agent.objects.values().get()) == before
        assert not PricingReport.objects.exists()

    def test_a_strangers_instance_is_ignored_and_its_prices_are_not(self, v4):
        foreign = InstanceFactory(instance_id="i-0foreign")
        before = Instance.objects.values().get(pk=foreign.pk)
        assert report(v4, v4_body(instance_id="i-0foreign"))["records_inserted"] == 3
        assert Instance.objects.values().get(pk=foreign.pk) == before
        assert not PricingReport.objects.exists()

    def test_the_region_is_the_agents_where_the_report_has_none(self, client_token):
        program = V5(client_token, instance_id="i-0aaa", region="eu-west-1")
        program.register()
        report(program, v5_body())
        assert set(Pool.objects.values_list("region", flat=True)) == {"eu-west-1"}


class TestStatements:
    def many(self, count=300):
        return {f"us-east-1{n}": 0.01 + n / 10_000 for n in range(count)}

    def test_an_unchanged_report_of_300_pools_costs_no_more_than_one_of_ten(
        self, client_token, noon, django_assert_max_num_queries
    ):
        program = V5(client_token, instance_id="i-0aaa")
        program.register()
        report(program, v5_body(self.many()))
        noon.shift(timedelta(minutes=5))
        with django_assert_max_num_queries(4):
            report(program, v5_body(self.many()))

    def test_new_prices_cost_the_same_however_many(self, client_token, noon, django_assert_max_num_queries):
        program = V5(client_token, instance_id="i-0aaa")
        program.register()
        report(program, v5_body(self.many()))
        noon.shift(timedelta(minutes=5))
        changed = {az: price + 0.001 for az, price in self.many().items()}
        with django_assert_max_num_queries(20):
            assert report(program, v5_body(changed))["records_inserted"] == 300

    def test_within_a_minute_a_pool_is_confirmed_once(self, v4, noon, django_assert_max_num_queries):
        report(v4, v4_body())
        noon.shift(timedelta(seconds=30))
        with django_assert_max_num_queries(3):
            report(v4, v4_body())


class TestSteps:
    def test_a_price_holds_until_the_next_one_and_a_day_at_most(self):
        steps = as_steps([(NOON, Decimal(1)), (NOON + 40 * HOUR, Decimal(2))], confirmed_at=NOON + 41 * HOUR)
        expected = {-0.1: None, 0: 1, 23.9: 1, 24: None, 40: 2, 64.9: 2, 65: None}
        assert {hours: steps.at(NOON + hours * HOUR) for hours in expected} == expected

    def test_prices_mean_the_same_after_the_next_report_as_before_it(self, v4, noon):
        """Whether an hour is accounted for at once or years later must not change it."""
        moments = [NOON + quarter * HOUR / 4 for quarter in range(-8, 8 * 40)]
        seen = {}
        for pause, price in [
            (0, 0.01),
            (1, 0.01),
            (5, 0.01),
            (3, 0.012),
            (30, 0.012),
            (2, 0.011),
            (23, 0.011),
            (40, 0),
        ]:
            noon.shift(pause * HOUR)
            now = clock.now()
            if price:
                report(v4, v4_body({"us-east-1a": price}, own=None))
            steps = spot_steps(pool_ids=[POOL], since=moments[0], until=now).get(POOL)
            past = [moment for moment in moments if moment < now]
            for moment in past:
                assert steps.at(moment) == seen.setdefault(moment, steps.at(moment)), moment
        assert {None, Decimal("0.01"), Decimal("0.011"), Decimal("0.012")} == set(seen.values())


@pytest.mark.mysql
@pytest.mark.django_db(transaction=True)
def test_eight_reports_at_once_neither_deadlock_nor_double_a_change():
    agents = [AgentFactory() for _ in range(8)]
    zones = [f"us-east-1{letter}" for letter in "abcdefghij"]
    start, errors = Barrier(8), []

    def run(agent, number):
        try:
            for turn in range(6):
                order = zones[number:] + zones[:number]
                start.wait(timeout=30)
                body = v4_body(dict.fromkeys(order, 0.01 + turn / 1000), instance_id=agent.instance_id)
                body["pricing"]["current_spot_price"] = None
                record_report(agent=agent, caller_instance_id=agent.instance_id, report=parse_pricing_report(body))
        except Exception as error:
            errors.append(error)
            start.abort()
        finally:
            connection.close()

    threads = [Thread(target=run, args=(agent, number)) for number, agent in enumerate(agents)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []
    for az in zones:
        prices = [price for _, price in history(f"t3.medium.{az}")]
        assert prices == [0.01, 0.011, 0.012, 0.013, 0.014, 0.015]
    assert PricingReport.objects.values("agent").distinct().count() == 8
