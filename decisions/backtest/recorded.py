"""The server's own recorded history, in the form of the files. The one module here that knows the database."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

from django.db.models import Model, Q, QuerySet

from decisions.backtest.experience import Experience
from decisions.backtest.files import Advice, Advisor, Series
from decisions.models import SpotAdvice
from instances.models import (
    InterruptionEpisode,
    LaunchFailure,
    OnDemandPrice,
    Pool,
    SpotPriceHistory,
    UsageInterval,
)
from spotopt.common import clock
from spotopt.common.fields import Mode

Row = TypeVar("Row", bound=Model)


def recorded_series(*, days: int, pool_ids: Collection[str] | None = None) -> list[Series]:
    """Of every pool with a price in the last `days`. An unchanged price is stored every 6 h, so silence is a gap."""
    points: dict[int, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    since = clock.now() - timedelta(days=days)
    history = SpotPriceHistory.objects.filter(at__gte=since)
    if pool_ids is not None:
        history = history.filter(pool__pool_id__in=pool_ids)
    rows = history.order_by("pool_id", "at").values_list("pool_id", "at", "price")
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


def recorded_experience(*, pool_ids: Collection[str], since: datetime, until: datetime) -> Mapping[str, Experience]:
    """What the fleet went through in each pool. Drills do not count, nor do standbys that only wait there."""
    found = {pool_id: Experience() for pool_id in pool_ids}
    reclaims = InterruptionEpisode.objects.filter(
        detected_at__gte=since, detected_at__lt=until, is_drill=False, kind=InterruptionEpisode.Kind.TERMINATION
    )
    for pool_id, at in _of_pools(reclaims, found).order_by("detected_at").values_list("pool_id", "detected_at"):
        found[pool_id].reclaims.append(at)
    failures = LaunchFailure.objects.filter(at__gte=since, at__lt=until, error_class=LaunchFailure.Class.CAPACITY)
    for pool_id, at in _of_pools(failures, found).order_by("at").values_list("pool_id", "at"):
        found[pool_id].failed_launches.append(at)
    stays = UsageInterval.objects.filter(started_at__lt=until, mode=Mode.SPOT, role=UsageInterval.Role.PRIMARY)
    stays = _of_pools(stays.filter(Q(ended_at=None) | Q(ended_at__gt=since)), found)
    for pool_id, started_at, ended_at in stays.values_list("pool_id", "started_at", "ended_at").iterator():
        found[pool_id].stays.append((max(started_at, since), min(ended_at or until, until)))
    return found


def _of_pools(rows: QuerySet[Row], pool_ids: Collection[str]) -> QuerySet[Row]:
    return rows.filter(pool_id__in=list(pool_ids))
