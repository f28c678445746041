"""How steady the pools around an instance are, by prices and interruptions; unknown is null (dashboard-api 2.6)."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q

from instances.models import Instance, InterruptionEpisode, Pool, UsageInterval
from instances.selectors.market import list_price, own_pool, place_of, pools_around, price_paid_now, quote_of
from instances.selectors.series import spot_series
from instances.selectors.weighting import Series, microseconds
from instances.services.usage import silent_from
from spotopt.common import clock

DAY, WEEK = timedelta(days=1), timedelta(days=7)
MOST_ALTERNATIVES = 5
# Standard deviation ÷ mean below the bound, in this order; above the last one it is the word after it.
CATEGORIES = ((0.05, "very_low"), (0.10, "low"), (0.20, "medium"), (float("inf"), "high"))
STABILITIES = ((0.02, "very_stable"), (0.05, "stable"), (0.15, "moderate"), (float("inf"), "volatile"))
NO_DATA = "unknown"


@dataclass(frozen=True)
class Spread:
    """Of a price over a window, time-weighted; all None without any price."""

    deviation: float | None = None  # USD
    ratio: float | None = None  # standard deviation ÷ mean

    @classmethod
    def of(cls, series: Series, *, window: timedelta, now: datetime) -> "Spread":
        found = series.mean_and_deviation(microseconds(now - window), microseconds(now))
        return cls(found[1], found[1] / found[0]) if found else cls()

    def word(self, scale: tuple[tuple[float, str], ...]) -> str:
        ratio = self.ratio
        return NO_DATA if ratio is None else next(word for bound, word in scale if ratio < bound)


def pool_volatility(instance: Instance) -> dict[str, Any]:
    """The instance's own pool (null on on-demand) and the cheapest others; the one that saves most is `best`."""
    now = clock.now()
    instance_type, region = place_of(instance)
    pools = pools_around(instance, at=now)
    current = own_pool(instance, pools)
    others = [pool for pool in pools if pool is not current][:MOST_ALTERNATIVES]
    shown = [current, *others] if current else others
    pool_ids = [pool.pool_id for pool in shown]
    series = spot_series(shown, since=now - WEEK, until=now)
    rates = interruption_rates(pool_ids=pool_ids, since=now - DAY, until=now)
    rows = {pool.pool_id: _row(pool, series[pool.pool_id], rates.get(pool.pool_id), now) for pool in shown}
    ondemand = list_price(instance_type=instance_type, region=region)
    paid = price_paid_now(instance, pool=current, ondemand=ondemand, at=now)
    cheapest = quote_of(others[0], at=now) if others else None
    is_worth_it = cheapest is not None and paid is not None and cheapest < paid
    return {
        "current_pool": rows[current.pool_id] if current else None,
        "alternative_pools": [
            rows[pool.pool_id] | {"recommendation": "best" if is_worth_it and position == 0 else None}
            for position, pool in enumerate(others)
        ],
    }


def interruption_rates(*, pool_ids: Collection[str], since: datetime, until: datetime) -> dict[str, float]:
    """Interruptions per instance-day, over all clients; pools in which nothing ran are missing."""
    days = _instance_days(pool_ids, since, until)
    interrupted = InterruptionEpisode.objects.filter(
        pool_id__in=pool_ids,
        detected_at__gte=since,
        detected_at__lt=until,
        kind=InterruptionEpisode.Kind.TERMINATION,
        is_drill=False,
    )
    counts = dict(interrupted.values_list("pool_id").order_by().annotate(number=Count("pk")))
    return {pool_id: round(counts.get(pool_id, 0) / exposure, 6) for pool_id, exposure in days.items()}


def _instance_days(pool_ids: Collection[str], since: datetime, until: datetime) -> dict[str, float]:
    """As the ledger counts them: an instance that went silent ran until its timeout (dashboard-api 5.3)."""
    intervals = UsageInterval.objects.filter(
        Q(ended_at__isnull=True) | Q(ended_at__gt=since), pool_id__in=pool_ids, started_at__lt=until
    ).values_list(
        "pool_id",
        "started_at",
        "ended_at",
        "instance__last_seen_at",
        "instance__agent__last_heartbeat_at",
        "instance__status",
    )
    days: defaultdict[str, float] = defaultdict(float)
    for pool_id, started_at, ended_at, seen_at, heartbeat_at, status in intervals:
        heard = [at for at in (seen_at, heartbeat_at if status == Instance.Status.PRIMARY else None) if at]
        end = ended_at or silent_from(max(heard, default=None)) or until
        length = min(end, until) - max(started_at, since)
        if length > timedelta(0):
            days[pool_id] += length / DAY
    return days


def _row(pool: Pool, series: Series, rate: float | None, now: datetime) -> dict[str, Any]:
    day, week = Spread.of(series, window=DAY, now=now), Spread.of(series, window=WEEK, now=now)
    quote = quote_of(pool, at=now)
    return {
        "pool_id": pool.pool_id,
        "current_price": None if quote is None else float(quote),
        "volatility_score": None if day.deviation is None else round(day.deviation, 6),
        "volatility_category": day.word(CATEGORIES),
        "interruption_rate_24h": rate,
        "price_stability_7d": week.word(STABILITIES),
    }
