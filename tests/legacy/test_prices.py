"""Prices of the old server: change points by the rule of live reports, the same price at every moment."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from instances.models import OnDemandPrice, Pool, SpotPriceHistory
from instances.serializers.prices import parse_pricing_report
from instances.services.pricing import record_report
from tests.factories import AgentFactory

pytestmark = [pytest.mark.mysql, pytest.mark.django_db]

POOL = "t3.medium.us-east-1a"


def every_five_minutes(prices, *, start="2026-01-04 00:00:00"):
    at = datetime.fromisoformat(start)
    return [(at + timedelta(minutes=5 * n), price) for n, price in enumerate(prices)]


def history(pool_id=POOL):
    rows = SpotPriceHistory.objects.filter(pool__pool_id=pool_id).order_by("at")
    return [(f"{at:%d %H:%M}", str(price)) for at, price in rows.values_list("at", "price")]


def skipped(report, table="spot_price_snapshots"):
    return {reason: found["count"] for reason, found in report["tables"][table]["skipped"].items()}


@pytest.fixture(autouse=True)
def fleet(legacy):
    legacy.add_small_fleet()


def test_only_changes_are_kept_and_that_a_price_still_holds(legacy, run):
    legacy.add_prices(POOL, every_five_minutes(["0.0125"] * 100 + ["0.0130"] * 10))
    run()
    assert history() == [("04 00:00", "0.012500"), ("04 06:00", "0.012500"), ("04 08:20", "0.013000")]
    pool = Pool.objects.get(pool_id=POOL)
    assert (pool.price, pool.region) == (Decimal("0.0130"), "us-east-1")
    assert pool.last_confirmed_at == datetime(2026, 1, 4, 9, 5, tzinfo=UTC)


def test_it_is_the_history_that_live_reports_would_have_made(legacy, run, traveller):
    chance = random.Random(7)
    prices = [chance.choice(["0.0120", "0.0125", "0.0130"]) if n % 9 == 0 else None for n in range(300)]
    known = [price or prices[n - n % 9] for n, price in enumerate(prices)]
    legacy.add_prices("t3.medium.us-east-1b", every_five_minutes(known))
    run()
    agent = AgentFactory()
    for at, price in every_five_minutes(known):
        traveller.move_to(at.replace(tzinfo=UTC))
        body = {
            "instance": {"region": "us-east-1"},
            "spot_pools": [{"pool_id": "t3.medium.us-east-1c", "price": price}],
        }
        record_report(agent=agent, caller_instance_id="", report=parse_pricing_report(body))
    assert history("t3.medium.us-east-1b") == history("t3.medium.us-east-1c")


def test_what_is_no_price_or_has_no_time_is_skipped(legacy, run):
    times = ["0000-00-00 00:00:00", None, "2031-01-01 00:00:00", "2026-01-04 10:00:00", "2026-01-04 11:00:00"]
    legacy.add_prices(POOL, zip(times, ["0.01", "0.01", "0.01", "-1", "0.0125"], strict=True))
    report = run()
    assert history() == [("04 11:00", "0.012500")]
    assert skipped(report) == {"no time": 2, "a time in the future": 1, "no price": 1}


def test_a_pool_that_cannot_be_one_is_skipped(legacy, run):
    legacy.add_prices("3", every_five_minutes(["0.01"] * 4))
    legacy.add_prices("t3.medium.us-east-1-bos-1a", every_five_minutes(["0.01"]))
    assert skipped(run()) == {"its pool is not in spot_pools, and its id does not tell the region": 5}
    assert not Pool.objects.exists()


def test_a_pool_of_a_local_zone_gets_its_region_from_its_own_row(legacy, run):
    zone = {"instance_type": "t3.medium", "region": "us-east-1", "az": "us-east-1-bos-1a"}
    legacy.add("spot_pools", id="t3.medium.us-east-1-bos-1a", **zone)
    legacy.add_prices("t3.medium.us-east-1-bos-1a", every_five_minutes(["0.01"]))
    run()
    assert Pool.objects.get().price == Decimal("0.01")


def test_prices_that_agents_reported_here_are_not_contradicted(legacy, run):
    agent = AgentFactory()
    body = {"instance": {"region": "us-east-1"}, "spot_pools": [{"pool_id": POOL, "price": 0.02}]}
    record_report(agent=agent, caller_instance_id="", report=parse_pricing_report(body))
    legacy.add_prices(POOL, [("2026-01-05 11:00:00", "0.0125"), ("2026-01-05 12:00:00", "0.0125")])
    report = run("--only-prices")
    assert history() == [("05 11:00", "0.012500"), ("05 12:00", "0.020000")]
    assert Pool.objects.get().price == Decimal("0.02")
    assert skipped(report) == {"prices of that time are here already": 1}
    assert run("--only-prices", "--check")["differences"] == 0


def test_list_prices_come_from_both_tables_without_the_agents_guess(legacy, run):
    quote = {"instance_type": "t3.medium", "region": "us-east-1"}
    legacy.add("ondemand_prices", id="x", price="0.0400", recorded_at="2026-01-01 00:00:00", **quote)
    legacy.add("ondemand_price_snapshots", id=1, price="0.0416", captured_at="2026-01-02 00:00:00", **quote)
    legacy.add("ondemand_price_snapshots", id=2, price="0.1", captured_at="2026-01-03 00:00:00", **quote)
    legacy.add_prices(POOL, every_five_minutes(["0.0125"]))
    report = run()
    listed = OnDemandPrice.objects.get()
    assert (listed.price, listed.is_estimate) == (Decimal("0.0416"), False)
    kept = listed.history.order_by("at").values_list("price", flat=True)
    assert list(kept) == [Decimal("0.0400"), Decimal("0.0416")]
    assert Pool.objects.get().ondemand == listed
    assert skipped(report, "ondemand_prices") == {"what agents sent when they did not know": 1}


def test_the_check_compares_the_price_at_every_moment(legacy, run):
    legacy.add_prices(POOL, every_five_minutes(["0.0125"] * 5 + ["0.0130"] * 5))
    run()
    SpotPriceHistory.objects.filter(price="0.0130").update(price="0.0131")
    with pytest.raises(CommandError, match="5 differences"):
        call_command("import_legacy", "--check")


def test_the_large_part_can_be_moved_before_the_rest(legacy, run):
    legacy.add_prices(POOL, every_five_minutes(["0.0125"] * 5))
    assert run("--only-prices")["moved"] == 5
    legacy.add_prices(POOL, [("2026-01-05 11:00:00", "0.0130")])
    report = run()
    assert report["tables"]["spot_price_snapshots"]["moved"] == 1
    assert report["tables"]["agents"]["moved"] == 1
    assert run("--check")["differences"] == 0
