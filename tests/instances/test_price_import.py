"""`import_prices`: AWS's own price history fills in what no agent reported."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
import time_machine
from django.core.management import CommandError, call_command

from instances.models import Pool, SpotPriceHistory
from instances.selectors.prices import as_steps
from tests.factories import OnDemandPriceFactory, PoolFactory

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def traveller():
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def days_ago(days):
    return NOW - timedelta(days=days)


@pytest.fixture
def prices(tmp_path):
    """`prices((days ago, price), …)` writes a CSV file of one pool."""

    def write(*quotes, az="us-east-1a", name="prices.csv"):
        lines = [f"{days_ago(days).isoformat()},us-east-1,{az},m5.large,{price}" for days, price in quotes]
        path = tmp_path / name
        path.write_text("\n".join(["timestamp,region,az,instance_type,price", *lines]))
        return path

    return write


def imported(*arguments):
    out = StringIO()
    call_command("import_prices", *map(str, arguments), stdout=out)
    return out.getvalue()


def price_at(days):
    pool = Pool.objects.get()
    rows = pool.history.order_by("at").values_list("at", "price")
    return as_steps(rows, confirmed_at=pool.last_confirmed_at).at(days_ago(days))


def test_a_new_pool_gets_its_change_points_and_its_latest_price(prices):
    quote = OnDemandPriceFactory(instance_type="m5.large", region="us-east-1")
    said = imported(prices((3, "0.03"), (2.5, "0.03"), (2, "0.04"), (1.9, "0.04")))
    assert "1 pools (1 new), 4 quotes used; 3 rows of history added" in said
    pool = Pool.objects.get()
    assert (pool.pool_id, pool.region, pool.ondemand) == ("m5.large.us-east-1a", "us-east-1", quote)
    assert (pool.price, pool.changed_at, pool.last_confirmed_at) == (Decimal("0.04"), days_ago(2), days_ago(1.9))
    assert [price_at(days) for days in (3.1, 2.9, 1.95)] == [None, Decimal("0.03"), Decimal("0.04")]


def test_the_same_file_again_changes_nothing(prices):
    file = prices((3, "0.03"), (2, "0.04"))
    imported(file)
    before = list(SpotPriceHistory.objects.values()), list(Pool.objects.values())
    assert "0 quotes used, 2 of times whose prices are here already; 0 rows" in imported(file)
    assert (list(SpotPriceHistory.objects.values()), list(Pool.objects.values())) == before


def test_a_price_holds_until_the_next_row_unless_the_pool_was_not_offered_meanwhile(prices):
    imported(prices((10, "0.03"), (8.1, "0.04"), (5, "0.05")))
    assert price_at(8.2) == Decimal("0.03")  # 43 hours after its row
    assert price_at(5.1) is None  # 74 hours lie between these rows


def test_what_agents_reported_stays_and_times_around_it_are_filled_in(prices):
    pool = PoolFactory(
        pool_id="m5.large.us-east-1a", instance_type="m5.large", az="us-east-1a", region="us-east-1", price="0.05",
        changed_at=days_ago(2), recorded_at=days_ago(2), last_confirmed_at=days_ago(1),
    )  # fmt: skip
    pool.history.all().delete()
    SpotPriceHistory.objects.create(pool=pool, at=days_ago(2), price="0.05")
    said = imported(prices((3, "0.03"), (2, "0.99"), (1.5, "0.99"), (0.5, "0.06")))
    assert "2 quotes used, 2 of times whose prices are here already" in said
    assert [price_at(days) for days in (2.5, 1.9, 1.2, 0.4)] == [Decimal(p) for p in ("0.03", "0.05", "0.05", "0.06")]
    pool.refresh_from_db()
    assert pool.price == Decimal("0.06")


def test_older_prices_leave_the_latest_one_alone(prices):
    imported(prices((2, "0.04")))
    imported(prices((4, "0.03"), name="older.csv"))
    assert (Pool.objects.get().price, price_at(3.9)) == (Decimal("0.04"), Decimal("0.03"))


def test_what_retention_would_delete_and_what_lies_ahead_is_left_out(prices, settings):
    settings.PRICE_RETENTION_DAYS = 30
    said = imported(prices((40, "0.03"), (2, "0.04"), (-1, "0.05")))
    assert "1 quotes used, 1 older than PRICE_RETENTION_DAYS, 1 in the future; 1 rows" in said


def test_a_rehearsal_says_the_same_and_changes_nothing(prices):
    said = imported(prices((3, "0.03"), (2, "0.04")), "--dry-run")
    assert "1 pools (1 new), 2 quotes used; 2 rows of history would be added" in said
    assert not Pool.objects.exists()


def test_awss_json_gzipped(tmp_path):
    row = {
        "Timestamp": "2026-02-27T10:00:00.000Z", "AvailabilityZone": "eu-west-1b", "InstanceType": "c5.large",
        "ProductDescription": "Linux/UNIX", "SpotPrice": "0.035100",
    }  # fmt: skip
    path = tmp_path / "history.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"SpotPriceHistory": [row]}).encode()))
    imported(path)
    pool = Pool.objects.get()
    assert (pool.pool_id, pool.region, pool.price) == ("c5.large.eu-west-1b", "eu-west-1", Decimal("0.0351"))


def test_several_files_are_added_up(prices):
    said = imported(prices((3, "0.03")), prices((3, "0.04"), az="us-east-1b", name="b.csv"))
    assert "Together: 2 pools (2 new), 2 quotes used; 2 rows" in said


def test_what_is_no_pool_is_named_and_left_out(prices, capsys):
    imported(prices((3, "0.03"), az="x" * 60))
    assert "is no pool, left out" in capsys.readouterr().err
    assert not Pool.objects.exists()


def test_a_file_without_prices_is_refused(tmp_path):
    path = tmp_path / "empty.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(CommandError, match="no usable spot price"):
        imported(path)
