"""Prices over time, a row per hour or day with the mean of each pool (dashboard-api 2.4, 2.6).

Whatever the window and however many pools: a statement for what there is and one for its history, for spot and for
on-demand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from instances.models import Instance, OnDemandPrice, Pool
from instances.selectors.market import list_quote, place_of, pool_row, pools_around
from instances.selectors.series import list_series, spot_series
from instances.selectors.weighting import microseconds
from instances.services.usage import hour_of
from spotopt.common import clock

INTERVALS = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
Means = list[float | None]


@dataclass(frozen=True)
class Buckets:
    """Full hours or days in UTC that cover [now − window, now]; the last one ends now."""

    starts: list[datetime]
    end: datetime

    @classmethod
    def over(cls, window: timedelta, *, interval: str, now: datetime) -> "Buckets":
        first = hour_of(now - window)
        start = first.replace(hour=0) if interval == "day" else first
        count = -((start - now) // INTERVALS[interval])  # rounded up
        return cls([start + number * INTERVALS[interval] for number in range(count)], now)

    @property
    def edges(self) -> list[int]:
        return [microseconds(at) for at in (*self.starts, self.end)]


@dataclass(frozen=True)
class Chart:
    """Means in USD per hour; None is unknown. Times before anything is known are left out."""

    starts: list[datetime]
    ondemand: Means
    spot: dict[str, Means]  # by pool id


def chart_of(*, pools: Sequence[Pool], quote: OnDemandPrice | None, buckets: Buckets) -> Chart:
    span, edges = {"since": buckets.starts[0], "until": buckets.end}, buckets.edges
    ondemand = list_series(quote, **span).means(edges)
    means = {pool_id: series.means(edges) for pool_id, series in spot_series(pools, **span).items()}
    first = min((_known_from(series) for series in (ondemand, *means.values())), default=0)
    return Chart(buckets.starts[first:], ondemand[first:], {pool_id: m[first:] for pool_id, m in means.items()})


def price_history(instance: Instance, *, window: timedelta, interval: str) -> dict[str, Any]:
    """Each row has each pool's key, null where there was no quote: the chart takes dotted keys for paths otherwise."""
    now = clock.now()
    instance_type, region = place_of(instance)
    pools = sorted(pools_around(instance, at=now), key=lambda pool: pool.pool_id)
    quote = list_quote(instance_type=instance_type, region=region)
    answer = {
        "data": [],
        "pools": [pool_row(pool) | {"key": f"pool_{pool.pool_id}"} for pool in pools],
        "onDemandPrice": float(quote.price) if quote else None,
    }
    if not pools:
        return answer
    buckets = Buckets.over(window, interval=interval, now=now)
    chart = chart_of(pools=pools, quote=quote, buckets=buckets)
    names = ["time", "onDemand", *(f"pool_{pool_id}" for pool_id in chart.spot)]
    pattern = "%Y-%m-%d" if interval == "day" else "%Y-%m-%d %H:00"
    labels = [start.strftime(pattern) for start in chart.starts]
    rows = zip(labels, chart.ondemand, *chart.spot.values(), strict=True)
    return answer | {"data": [dict(zip(names, row, strict=True)) for row in rows]}


def pricing_history(*, instance_type: str, region: str, window: timedelta, interval: str) -> list[dict[str, Any]]:
    """Of the active pools of a type in a region, oldest first; no pools, no rows."""
    pools = list(Pool.objects.filter(instance_type=instance_type, region=region, is_active=True).order_by("pool_id"))
    if not pools:
        return []
    buckets = Buckets.over(window, interval=interval, now=clock.now())
    quote = list_quote(instance_type=instance_type, region=region)
    chart = chart_of(pools=pools, quote=quote, buckets=buckets)
    pattern = "%Y-%m-%d" if interval == "day" else "%Y-%m-%d %H:00:00"
    return [
        {
            "timestamp": start.strftime(pattern),
            "ondemand_price": ondemand,
            "spot_pools": [{"pool_id": p.pool_id, "az": p.az, "price": chart.spot[p.pool_id][i]} for p in pools],
        }
        for i, (start, ondemand) in enumerate(zip(chart.starts, chart.ondemand, strict=True))
    ]


def _known_from(series: Means) -> int:
    return next((index for index, value in enumerate(series) if value is not None), len(series))
