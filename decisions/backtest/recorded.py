"""The server's own recorded history, in the form of the files. The one module here that knows the database."""

from collections import defaultdict
from datetime import timedelta

from decisions.backtest.files import Advice, Advisor, Series
from decisions.models import SpotAdvice
from instances.models import OnDemandPrice, Pool, SpotPriceHistory
from spotopt.common import clock


def recorded_series(*, days: int) -> list[Series]:
    """Of every pool with a price in the last `days`. An unchanged price is stored every 6 h, so silence is a gap."""
    points: dict[int, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    since = clock.now() - timedelta(days=days)
    rows = (
        SpotPriceHistory.objects.filter(at__gte=since).order_by("pool_id", "at").values_list("pool_id", "at", "price")
    )
    for pool_id, at, price in rows.iterator(chunk_size=10_000):
        times, prices = points[pool_id]
        times.append(at.timestamp())
        prices.append(float(price))
    pools = Pool.objects.in_bulk(list(points))
    return [
        Series(pool.region, pool.az, pool.instance_type, *points[pk])
        for pk, pool in sorted(pools.items(), key=lambda item: item[1].pool_id)
    ]


def recorded_ondemand() -> dict[tuple[str, str], float]:
    quotes = OnDemandPrice.objects.values_list("region", "instance_type", "price")
    return {(region, instance_type): float(price) for region, instance_type, price in quotes}


def recorded_advisor() -> Advisor:
    advisor: Advisor = {}
    for row in SpotAdvice.objects.all():
        advice = Advice(row.bucket, row.vcpu or 0.0, row.ram_gb or 0.0)
        advisor[row.region, row.instance_type] = [(row.loaded_at, advice)]
    return advisor
